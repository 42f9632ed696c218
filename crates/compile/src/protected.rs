//! Which tokens an API takes, for clients that ask (RFC 9728).

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::Protected;
use sync::{ApiModel, Gate};

/// What there is to tell of the tokens that an API takes; `None` when it takes none, or does not serve.
pub(crate) fn protected(model: &ApiModel) -> Option<Box<Protected>> {
    if !matches!(model.gate, Gate::Serve { .. }) {
        return None;
    }
    let own = model
        .operations
        .iter()
        .filter_map(|operation| operation.security.as_deref());
    let mut ways = Vec::new();
    for used in std::iter::once(model.security.as_slice())
        .chain(own)
        .flatten()
    {
        tokens(&used.policy, &used.config, &mut ways);
    }
    let usual = |config: &&Value| {
        let header = config.get("header").and_then(Value::as_str);
        header.is_none_or(|name| name.eq_ignore_ascii_case("authorization"))
    };
    let mut issuers: Vec<Box<str>> = Vec::new();
    for name in ways.iter().flat_map(|config| issuers_of(config)) {
        if !issuers.iter().any(|known| **known == *name) {
            issuers.push(name.into());
        }
    }
    if issuers.is_empty() {
        return None;
    }
    let scopes: BTreeSet<&str> = model
        .operations
        .iter()
        .flat_map(|operation| operation.scopes.iter().flatten())
        .map(String::as_str)
        .collect();
    Some(Box::new(Protected {
        issuers: issuers.into(),
        scopes: scopes.into_iter().map(Box::from).collect(),
        in_authorization: ways.iter().any(usual),
    }))
}

/// Adds the configurations of the policy `jwt` among ways to authenticate, also where several are put together: then the
/// configuration is the list of those.
fn tokens<'m>(policy: &str, config: &'m Value, found: &mut Vec<&'m Value>) {
    match config {
        Value::Array(several) => {
            for one in several {
                let policy = one.get("policy").and_then(Value::as_str);
                tokens(policy.unwrap_or_default(), &one["config"], found);
            }
        }
        config if policy == "jwt" => found.push(config),
        _ => {}
    }
}

/// The issuers of one way to authenticate, as the policy `jwt` reads them.
fn issuers_of(config: &Value) -> Vec<&str> {
    match config.get("issuers").and_then(Value::as_array) {
        Some(named) => named.iter().filter_map(Value::as_str).collect(),
        None => vec!["resident"],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let jwt =
            |issuer: &str| json!({"policy": "jwt", "config": {"issuers": [issuer]}, "pointer": ""});
        let key = json!({"policy": "apiKey", "config": {}, "pointer": ""});
        let nested = json!({"policy": "anyOf", "config": [key, jwt("b")], "pointer": ""});
        let all = json!([jwt("a"), nested]);
        let mut found = Vec::new();
        tokens("allOf", &all, &mut found);
        let empty = json!({});
        tokens("apiKey", &empty, &mut found);
        tokens("jwt", &empty, &mut found);
        let issuers: Vec<_> = found.iter().flat_map(|config| issuers_of(config)).collect();
        assert_eq!(issuers, ["a", "b", "resident"]);
    }
}
