//! Rules between the fields of a backend.

use base::{Diagnostic, Diagnostics};
use serde_json::Value;

use super::unique;

/// What leads to endpoints, in an entry of `endpoints`.
const PLACES: [&str; 3] = ["url", "dns", "srv"];

/// Every violated rule of one backend.
pub(super) fn find(spec: &Value, pointer: &str, found: &mut Diagnostics) {
    let list = format!("{pointer}/endpoints");
    unique(&spec["endpoints"], &list, "endpoint", found, identity);
    for (index, endpoint) in spec["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        one_place(endpoint, &format!("{list}/{index}"), found);
    }
    let name = |entry: &'_ Value| entry.as_str().map(str::to_owned);
    unique(
        &spec["failover"],
        &format!("{pointer}/failover"),
        "backend",
        found,
        name,
    );
    one_key(
        &spec["balance"]["hash"],
        &format!("{pointer}/balance/hash"),
        &["header", "cookie", "ip", "cel"],
        found,
    );
    if spec["balance"]["hash"]["ip"] == false {
        let pointer = format!("{pointer}/balance/hash/ip");
        let problem = Diagnostic::error("wrong-value", pointer, "`ip: false` hashes nothing");
        found.push(problem.mend("write `ip: true`, or hash something else"));
    }
    health(&spec["health"], &format!("{pointer}/health"), found);
    one_key(
        &spec["tls"]["ca"],
        &format!("{pointer}/tls/ca"),
        &["inline", "secretRef", "file"],
        found,
    );
    tls(spec, pointer, found);
    super::calls::find(spec, pointer, found);
}

/// What tells one entry from another.
fn identity(entry: &Value) -> Option<String> {
    let place = PLACES.iter().find_map(|key| entry[*key].as_str())?;
    let port = entry["port"].as_u64();
    Some(port.map_or_else(|| place.to_owned(), |port| format!("{place}:{port}")))
}

fn one_place(endpoint: &Value, pointer: &str, found: &mut Diagnostics) {
    one_key(endpoint, pointer, &PLACES, found);
    let (url, srv) = (endpoint["url"].is_string(), endpoint["srv"].is_string());
    for (key, useless) in [("port", url || srv), ("scheme", url), ("path", url)] {
        if useless && !endpoint[key].is_null() {
            let where_it_is = if url {
                "the URL has it"
            } else {
                "the records have it"
            };
            let message = format!("`{key}` has no meaning here: {where_it_is}");
            let problem = Diagnostic::error("endpoint-key", format!("{pointer}/{key}"), message);
            found.push(problem.mend("remove it"));
        }
    }
}

/// Exactly one of these keys.
fn one_key(value: &Value, pointer: &str, keys: &[&str], found: &mut Diagnostics) {
    let Some(map) = value.as_object() else { return };
    if keys.iter().filter(|key| map.contains_key(**key)).count() != 1 {
        let names: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        let message = format!("exactly one of the keys {} is expected", names.join(", "));
        found.push(Diagnostic::error("one-key", pointer, message));
    }
}

fn health(health: &Value, pointer: &str, found: &mut Diagnostics) {
    let checks = ["http", "tcp", "grpc"];
    let written: Vec<_> = checks
        .iter()
        .filter(|key| health[**key].is_object())
        .collect();
    if let [first, second, ..] = written[..] {
        let message = format!("`{first}` and `{second}` are two checks, an endpoint has one");
        let problem = Diagnostic::error("two-checks", format!("{pointer}/{second}"), message);
        found.push(problem.mend("keep one of them"));
    }
}

fn tls(spec: &Value, pointer: &str, found: &mut Diagnostics) {
    if !spec["tls"].is_object() {
        return;
    }
    let clear = |entry: &Value| match entry["url"].as_str() {
        Some(url) => url.starts_with("http://"),
        None => entry["scheme"].is_null() || entry["scheme"] == "http",
    };
    let endpoints = spec["endpoints"].as_array();
    if endpoints.is_some_and(|list| !list.is_empty() && list.iter().all(clear)) {
        let message = "`tls` has no meaning, all endpoints are `http://`";
        let problem = Diagnostic::error("tls-unused", format!("{pointer}/tls"), message);
        found.push(problem.mend("remove it, or write `https://`"));
    }
}

/// A backend does not stand in for itself. Two that stand in for each other do no harm: the list of the one that is
/// called is the only one that counts.
pub(super) fn itself(document: &Value, found: &mut Diagnostics) {
    let name = &document["metadata"]["name"];
    let names = document["spec"]["failover"]
        .as_array()
        .into_iter()
        .flatten();
    for (index, failover) in names.enumerate() {
        if failover.is_string() && failover == name {
            let pointer = format!("/spec/failover/{index}");
            let problem = Diagnostic::error(
                "failover-itself",
                pointer,
                "the backend cannot take over from itself",
            );
            found.push(problem.mend("remove it, or name another backend"));
        }
    }
}
