//! What a schema cannot say: rules between the fields of one document. They look at the JSON value, so that they find
//! their faults in a text that has others too; what has the wrong shape is passed over, the schema has reported it.

mod backend;
mod calls;
mod issuer;

use std::collections::HashMap;

use base::{Diagnostic, Diagnostics};
use serde_json::Value;

use crate::kind::Kind;
use crate::lifecycle::Lifecycle;
use crate::names;
use crate::units::{Duration, Size};

/// What nodes can count in a window, with room to spare.
const BYTES_MAX: u64 = 500 << 30;

/// Every violated rule.
pub(crate) fn find(kind: Kind, value: &Value) -> Diagnostics {
    let mut found = Diagnostics::default();
    match kind {
        Kind::Api => api(&value["spec"], &mut found),
        Kind::Backend => {
            backend::find(&value["spec"], "/spec", &mut found);
            backend::itself(value, &mut found);
        }
        Kind::Plan | Kind::Application => plan(&value["spec"], &mut found),
        Kind::Gateway => gateway(&value["spec"], &mut found),
        Kind::DenyRule => deny_rule(&value["spec"], &mut found),
        Kind::TokenIssuer => issuer::find(value, &mut found),
        Kind::Subscription => {}
    }
    found
}

fn api(spec: &Value, found: &mut Diagnostics) {
    for (key, what) in [("vhosts", "host"), ("plans", "plan")] {
        unique(
            &spec[key],
            &format!("/spec/{key}"),
            what,
            found,
            Value::as_str,
        );
    }
    unique(&spec["scopes"], "/spec/scopes", "scope", found, |entry| {
        entry["name"].as_str()
    });
    let gateway = |entry: &'_ Value| entry["gateway"].as_str().map(str::to_owned);
    unique(
        &spec["deployments"],
        "/spec/deployments",
        "gateway",
        found,
        gateway,
    );
    let operation = |entry: &'_ Value| {
        let (method, template) = names::split_operation(entry["match"].as_str()?)?;
        Some(format!("{method} {template}"))
    };
    unique(
        &spec["operations"],
        "/spec/operations",
        "operation",
        found,
        operation,
    );
    definition(&spec["definition"], found);
    sunset(spec, found);
    cors(&spec["cors"], found);
    security(&spec["security"], "/spec/security", found);
    backends(&spec["backends"], "/spec/backends", found);
    for (index, operation) in spec["operations"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let pointer = format!("/spec/operations/{index}");
        security(
            &operation["security"],
            &format!("{pointer}/security"),
            found,
        );
        backends(
            &operation["backends"],
            &format!("{pointer}/backends"),
            found,
        );
        if operation["backend"].is_string() && !operation["backends"].is_null() {
            let message = "`backend` and `backends` both say where calls go";
            let problem = Diagnostic::error("two-backends", format!("{pointer}/backend"), message);
            found.push(problem.mend("write the name as `backends: {production: NAME}`"));
        }
    }
}

/// `optional` stands beside ways to authenticate: alone it would say in a roundabout way that everybody may call.
fn security(ways: &Value, pointer: &str, found: &mut Diagnostics) {
    let Some(list) = ways.as_array() else { return };
    let alone = !list.is_empty() && list.iter().all(|way| way["optional"].is_boolean());
    if alone {
        let message = "`optional` stands beside ways to authenticate, and there is none";
        let problem = Diagnostic::error("optional-alone", pointer, message);
        found.push(problem.mend("write `[]` for an API that is open to everybody"));
    }
    for (index, way) in list.iter().enumerate() {
        let needed = way["allOf"].as_array().into_iter().flatten();
        for (at, needed) in needed.enumerate() {
            let pointer = format!("{pointer}/{index}/allOf/{at}/anyOf");
            security(&needed["anyOf"], &pointer, found);
        }
    }
}

/// The backends that are written in place, of each environment.
fn backends(spec: &Value, pointer: &str, found: &mut Diagnostics) {
    for environment in ["production", "sandbox"] {
        backend::find(
            &spec[environment],
            &format!("{pointer}/{environment}"),
            found,
        );
    }
}

/// A definition is at one place.
fn definition(definition: &Value, found: &mut Diagnostics) {
    let Some(map) = definition.as_object() else {
        return;
    };
    let places = ["file", "inline"];
    if places.iter().filter(|key| map.contains_key(**key)).count() != 1 {
        let message = "exactly one of the keys `file`, `inline` is expected";
        found.push(Diagnostic::error("one-key", "/spec/definition", message));
    }
}

/// The same thing twice in a list.
fn unique<'v, K: Eq + std::hash::Hash + std::fmt::Display>(
    list: &'v Value,
    pointer: &str,
    what: &str,
    found: &mut Diagnostics,
    key: impl Fn(&'v Value) -> Option<K>,
) {
    let mut seen: HashMap<K, usize> = HashMap::new();
    for (index, entry) in list.as_array().into_iter().flatten().enumerate() {
        let Some(key) = key(entry) else { continue };
        if let Some(first) = seen.get(&key) {
            let message = format!("the {what} `{key}` is listed twice, first at {pointer}/{first}");
            let problem = Diagnostic::error("duplicate", format!("{pointer}/{index}"), message);
            found.push(problem.mend("keep one of the two"));
        } else {
            seen.insert(key, index);
        }
    }
}

fn sunset(spec: &Value, found: &mut Diagnostics) {
    let state = spec["lifecycle"].as_str().unwrap_or("Created");
    // A word that names no state is reported already.
    let Ok(state) = state.parse::<Lifecycle>() else {
        return;
    };
    let leaves = matches!(state, Lifecycle::Deprecated | Lifecycle::Retired);
    if spec["sunset"].is_string() && !leaves {
        let message = format!("an API in the state {state} has no `sunset`");
        let problem = Diagnostic::error("sunset-state", "/spec/sunset", message);
        found.push(problem.mend("remove it, or set `lifecycle: Deprecated`"));
    }
}

fn cors(cors: &Value, found: &mut Diagnostics) {
    let origins = cors["allowOrigins"].as_array();
    let every = origins.is_some_and(|origins| origins.iter().any(|origin| origin == "*"));
    if every && cors["allowCredentials"] == true {
        let message = "credentials cannot be allowed for every origin";
        let problem = Diagnostic::error("cors-credentials", "/spec/cors/allowCredentials", message);
        found.push(problem.mend("name the origins instead of `*`"));
    }
}

/// The quota and the burst of a plan or an application.
fn plan(spec: &Value, found: &mut Diagnostics) {
    for key in ["quota", "burst"] {
        let Some(quota) = spec[key].as_object() else {
            continue;
        };
        let measures = ["requests", "bytes", "events"];
        let stated = measures.iter().filter(|key| quota.contains_key(**key));
        if stated.count() != 1 {
            let message = "exactly one of the keys `requests`, `bytes`, `events` is expected";
            found.push(Diagnostic::error(
                "one-key",
                format!("/spec/{key}"),
                message,
            ));
        }
        let bytes = quota.get("bytes").and_then(Value::as_str);
        let bytes = bytes.and_then(|text| text.parse::<Size>().ok());
        if bytes.is_some_and(|size| !(1..=BYTES_MAX).contains(&size.as_bytes())) {
            let message = "a quota has 1 byte to 500Gi";
            let pointer = format!("/spec/{key}/bytes");
            found.push(Diagnostic::error("quota-bytes", pointer, message));
        }
    }
    let length = |key: &str| spec[key]["per"].as_str()?.parse::<Duration>().ok();
    if let (Some(quota), Some(burst)) = (length("quota"), length("burst"))
        && burst >= quota
    {
        let message = format!("the burst window {burst} is not shorter than the quota's {quota}");
        let problem = Diagnostic::error("burst-window", "/spec/burst/per", message);
        found.push(problem.mend("shorten it, or keep the quota alone"));
    }
}

/// A rule that names nothing would refuse everybody.
fn deny_rule(spec: &Value, found: &mut Diagnostics) {
    let lists = ["clients", "applications", "users", "apis"];
    let named = lists
        .iter()
        .any(|key| spec[*key].as_array().is_some_and(|list| !list.is_empty()));
    if !named && !spec["when"].is_string() {
        let message = "the rule names nobody";
        let problem = Diagnostic::error("deny-nobody", "/spec", message);
        found.push(problem.mend(
            "name `clients`, `applications`, `users`, `apis` or a condition (`when: 'true'` for all)",
        ));
    }
}

fn gateway(spec: &Value, found: &mut Diagnostics) {
    let port = |entry: &'_ Value| entry["port"].as_u64();
    unique(&spec["listeners"], "/spec/listeners", "port", found, port);
    let listeners = spec["listeners"].as_array().into_iter().flatten();
    for (index, listener) in listeners.enumerate() {
        if listener["protocol"] == "HTTP" && listener["tls"].is_object() {
            let pointer = format!("/spec/listeners/{index}/tls");
            let problem =
                Diagnostic::error("tls-unused", pointer, "`tls` has no meaning with HTTP");
            found.push(problem.mend("remove it, or set `protocol: HTTPS`"));
        }
        if listener["protocol"] == "HTTP" && listener["clientCertificates"].is_object() {
            let pointer = format!("/spec/listeners/{index}/clientCertificates");
            let message = "`clientCertificates` has no meaning with HTTP";
            let problem = Diagnostic::error("tls-unused", pointer, message);
            found.push(problem.mend(
                "set `protocol: HTTPS`; behind a proxy that ends TLS use `forwardedCertificate`",
            ));
        }
    }
}
