//! Ways to authenticate, as policies. `allOf`, `anyOf` and `optional` are no policies of the slice: they say how others are
//! put together, and their configuration is the list of those.

use serde::Serialize;
use serde_json::{Value, json};
use spec::{ApiKeySecurity, JwtSecurity, Needed, Security, Way};
use sync::PolicyUse;

/// All of a list.
pub(crate) const ALL_OF: &str = "allOf";
/// Any of a list.
pub(crate) const ANY_OF: &str = "anyOf";
/// Nothing at all is enough too.
pub(crate) const OPTIONAL: &str = "optional";

/// Ways to authenticate, as policies; `x-…` keys stay behind.
pub(crate) fn security(entries: &[Security], pointer: &str) -> Vec<PolicyUse> {
    listed(entries, pointer, |entry, pointer| match entry {
        Security::Jwt(jwt) => jwt_use(jwt, pointer),
        Security::ApiKey(key) => api_key(key, pointer),
        Security::Basic(basic) => used("basic", plain(basic), pointer),
        Security::MutualTls(tls) => used("mutualTls", plain(tls), pointer),
        Security::AllOf(all) => {
            let all = listed(all, &format!("{pointer}/{ALL_OF}"), needed);
            used(ALL_OF, json!(all), pointer)
        }
        Security::Optional(_) => used(OPTIONAL, Value::Null, pointer),
    })
}

fn needed(entry: &Needed, pointer: &str) -> PolicyUse {
    match entry {
        Needed::Jwt(jwt) => jwt_use(jwt, pointer),
        Needed::ApiKey(key) => api_key(key, pointer),
        Needed::Basic(basic) => used("basic", plain(basic), pointer),
        Needed::MutualTls(tls) => used("mutualTls", plain(tls), pointer),
        Needed::AnyOf(ways) => {
            let ways = listed(ways, &format!("{pointer}/{ANY_OF}"), way);
            used(ANY_OF, json!(ways), pointer)
        }
    }
}

fn way(entry: &Way, pointer: &str) -> PolicyUse {
    match entry {
        Way::Jwt(jwt) => jwt_use(jwt, pointer),
        Way::ApiKey(key) => api_key(key, pointer),
        Way::Basic(basic) => used("basic", plain(basic), pointer),
        Way::MutualTls(tls) => used("mutualTls", plain(tls), pointer),
        Way::Optional(_) => used(OPTIONAL, Value::Null, pointer),
    }
}

fn listed<E>(
    entries: &[E],
    pointer: &str,
    reduced: impl Fn(&E, &str) -> PolicyUse,
) -> Vec<PolicyUse> {
    let entries = entries.iter().enumerate();
    let reduced = entries.map(|(index, entry)| reduced(entry, &format!("{pointer}/{index}")));
    reduced.collect()
}

fn jwt_use(jwt: &JwtSecurity, pointer: &str) -> PolicyUse {
    let config = json!({"issuers": jwt.issuers, "audience": jwt.audience, "header": jwt.header});
    used("jwt", config, pointer)
}

fn api_key(key: &ApiKeySecurity, pointer: &str) -> PolicyUse {
    let mut config = json!({"header": key.header, "query": key.query});
    if let Some(members) = config.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    used("apiKey", config, pointer)
}

fn used(policy: &str, config: Value, pointer: &str) -> PolicyUse {
    PolicyUse {
        policy: policy.to_owned(),
        config,
        pointer: format!("{pointer}/{policy}"),
    }
}

/// A spec without its `x-…` keys, wherever they stand.
fn plain(spec: &impl Serialize) -> Value {
    let mut config = serde_json::to_value(spec).expect("specs have string keys only");
    strip(&mut config);
    config
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !key.starts_with("x-"));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
