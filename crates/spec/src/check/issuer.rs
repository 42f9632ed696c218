//! Rules between the fields of a token issuer.

use base::{Diagnostic, Diagnostics};
use serde_json::Value;

use super::unique;
use crate::issuer::RESIDENT;
use crate::units::Duration;

/// The greatest leeway; as that of the policy.
const LEEWAY_MAX: Duration = Duration::from_ms(300_000);

/// Every violated rule.
pub(super) fn find(document: &Value, found: &mut Diagnostics) {
    let spec = &document["spec"];
    if document["metadata"]["name"] == RESIDENT {
        let message = "`resident` is the platform itself";
        let problem = Diagnostic::error("issuer-name", "/metadata/name", message);
        found.push(problem.mend("give the issuer another name"));
    }
    if spec["jwksUri"].is_string() && filled(&spec["keys"]) {
        let message = "`jwksUri` and `keys` both say which keys the issuer has";
        let problem = Diagnostic::error("two-sources", "/spec/jwksUri", message);
        found.push(problem.mend("keep one of the two"));
    }
    if spec["anyAudience"] == true {
        any_audience(spec, found);
    }
    if duration(&spec["leeway"]).is_some_and(|leeway| leeway > LEEWAY_MAX) {
        let problem = Diagnostic::error("jwt-leeway", "/spec/leeway", "the leeway is at most 5m");
        found.push(problem);
    }
    for (key, what) in [
        ("audience", "audience"),
        ("types", "type"),
        ("algorithms", "algorithm"),
        ("require", "condition"),
    ] {
        let pointer = format!("/spec/{key}");
        unique(&spec[key], &pointer, what, found, Value::as_str);
    }
    refresh(&spec["refresh"], found);
    introspection(&spec["introspection"], found);
}

fn filled(list: &Value) -> bool {
    list.as_array().is_some_and(|list| !list.is_empty())
}

fn duration(value: &Value) -> Option<Duration> {
    value.as_str()?.parse().ok()
}

fn any_audience(spec: &Value, found: &mut Diagnostics) {
    if filled(&spec["audience"]) {
        let message = "`anyAudience` makes `audience` useless";
        let problem = Diagnostic::error("two-audiences", "/spec/anyAudience", message);
        found.push(problem.mend("keep one of the two"));
    }
    if !filled(&spec["require"]) {
        let message = "tokens that were made for others would be accepted";
        let problem = Diagnostic::error("any-audience", "/spec/anyAudience", message);
        found.push(problem.mend(
            "say in `require` how a token for these APIs is known, as in `'orders' in principal.claims.apis`",
        ));
    }
}

fn refresh(refresh: &Value, found: &mut Diagnostics) {
    // What is not written is shorter, or longer, than what is written should be.
    let every = duration(&refresh["every"]).unwrap_or(Duration::from_s(300));
    let at_most = duration(&refresh["atMost"]).unwrap_or(Duration::from_s(3600));
    if every > at_most {
        let message = format!("keys cannot be fetched every {every}, and after {at_most} at most");
        let problem = Diagnostic::error("refresh", "/spec/refresh/atMost", message);
        found.push(problem.mend("make `atMost` as long as `every`, or longer"));
    }
}

fn introspection(introspection: &Value, found: &mut Diagnostics) {
    let Some(secret) = introspection["secret"].as_object() else {
        return;
    };
    let pointer = "/spec/introspection/secret";
    let places = ["secretRef", "file", "env"];
    if places
        .iter()
        .filter(|key| secret.contains_key(**key))
        .count()
        != 1
    {
        let message = "exactly one of the keys `secretRef`, `file`, `env` is expected";
        found.push(Diagnostic::error("one-key", pointer, message));
    }
    if secret.contains_key("key") && !secret.contains_key("secretRef") {
        let message = "`key` is the file in the folder of `secretRef`";
        let pointer = format!("{pointer}/key");
        found.push(Diagnostic::error("key-unused", pointer, message).mend("remove it"));
    }
}
