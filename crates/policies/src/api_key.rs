//! `apiKey`: the caller shows an API key in a header or in the query.

use std::rc::Rc;
use std::sync::Arc;

use base::code::{API_KEY_ADDRESS_REFUSED, API_KEY_INVALID, CREDENTIALS_MISSING};
use base::{Diagnostic, Org, key_text};
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use policy::{
    CompileEnv, LimitedKey, Outcome, Phase, Policy, PolicyKind, Principal, Reject, RequestCx,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::challenge::challenge;

/// The kind.
pub struct ApiKey;

const HEADER_DEFAULT: HeaderName = HeaderName::from_static("x-api-key");

/// Where the key stands.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header that carries the key; default `X-API-Key`, unless `query` is given.
    pub header: Option<String>,
    /// The query parameter that carries the key. Queries stand in the logs of proxies: prefer the header.
    pub query: Option<String>,
}

/// Looks the key up in the node's directory, which knows keyed hashes only. The key is taken out of the request, out
/// of the query too, whether it was good or not.
///
/// # Errors
/// `CREDENTIALS_MISSING` (401), `API_KEY_INVALID` (401: mistyped, unknown, expired, of another organisation, or more than
/// one); both with `WWW-Authenticate`. `API_KEY_ADDRESS_REFUSED` (403) for a key that is limited to other addresses; what
/// operations a key is for the gateway looks at itself.
struct Running {
    org: Org,
    header: Option<HeaderName>,
    query: Option<String>,
    challenge: HeaderValue,
}

impl PolicyKind for ApiKey {
    const NAME: &'static str = "apiKey";
    const PHASE: Phase = Phase::Authenticate;
    const SUMMARY: &'static str = "Authenticates the caller's application by an API key.";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let header = match config.header.as_deref().map(str::parse::<HeaderName>) {
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => {
                faults.push(Diagnostic::error(
                    "header-name",
                    "/header",
                    "no valid header name",
                ));
                None
            }
            None if config.query.is_none() => Some(HEADER_DEFAULT),
            None => None,
        };
        if config.query.as_deref() == Some("") {
            faults.push(Diagnostic::error(
                "query-name",
                "/query",
                "the name is empty",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Box::new(Running {
            org: env.org.clone(),
            header,
            query: config.query,
            challenge: challenge("ApiKey", &[("realm", &env.api)]),
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let presented = self.take(cx);
        if cx.principal.is_some() {
            return Outcome::CONTINUE;
        }
        let presented = match presented {
            Presented::None => {
                return Reject::new(CREDENTIALS_MISSING, "the request carries no credential")
                    .header(WWW_AUTHENTICATE, self.challenge.clone())
                    .because("key-missing")
                    .into();
            }
            Presented::One(key) => key,
            Presented::Several => {
                return self.refuse(
                    "one-credential",
                    "the request carries more than one API key",
                );
            }
        };
        // Before the look-up: most wrong keys are typos, or never were keys.
        if !key_text::is_well_formed(&presented) {
            return self.refuse(
                "key-format",
                "the API key is mistyped: its checksum or length is wrong",
            );
        }
        let Some(found) = cx.core.runtime.directory.api_key(&presented) else {
            return self.refuse("key-known", "the API key is unknown or revoked");
        };
        if found.org != self.org {
            return self.refuse("key-known", "the API key is unknown or revoked");
        }
        if found
            .expires_unix_s
            .is_some_and(|expires| expires <= cx.unix_ms / 1000)
        {
            return self.refuse("key-expired", "the API key has expired");
        }
        if let Some(limited) = &found.limited
            && !limited.limits().allow_address(cx.client.ip)
        {
            let detail = "the API key is not for calls from this address";
            return Reject::new(API_KEY_ADDRESS_REFUSED, detail)
                .because("key-address")
                .fact("address", cx.client.ip.to_string(), "")
                .into();
        }
        let limited = found.limited.as_deref();
        let identity = limited.map_or(&cx.core.unnamed, LimitedKey::identity);
        let identity = Arc::clone(identity);
        cx.principal = Some(Rc::new(Principal {
            org: found.org,
            application: Some(found.application),
            credential: Some(found.credential),
            key: Some(found.mark),
            environment: found.environment,
            identity,
            limits: limited.map(|limited| Arc::clone(limited.limits())),
            token: None,
        }));
        Outcome::CONTINUE
    }
}

/// The keys of a request.
enum Presented {
    None,
    One(String),
    Several,
}

impl Presented {
    fn add(&mut self, key: String) {
        *self = match self {
            Self::None => Self::One(key),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}

impl Running {
    /// Takes all keys out of the request.
    fn take(&self, cx: &mut RequestCx) -> Presented {
        let mut presented = Presented::None;
        if let Some(header) = &self.header
            && let http::header::Entry::Occupied(entry) = cx.headers.entry(header)
        {
            for value in entry.remove_entry_mult().1 {
                // What is no text is no key of ours; it counts as a wrong one.
                presented.add(String::from_utf8_lossy(value.as_bytes()).into_owned());
            }
        }
        if let Some(name) = &self.query {
            take_from_query(&mut cx.query, name, &mut presented);
        }
        presented
    }

    fn refuse(&self, rule: &'static str, detail: &'static str) -> Outcome<'static> {
        Reject::new(API_KEY_INVALID, detail)
            .header(WWW_AUTHENTICATE, self.challenge.clone())
            .because(rule)
            .into()
    }
}

/// Takes the parameters called `name` out of a query, and looks at none.
pub(crate) fn remove_from_query(query: &mut Option<String>, name: &str) {
    take_from_query(query, name, &mut Presented::None);
}

/// Takes the parameters called `name` out of a query, however the name is encoded; the others stay as they were sent.
fn take_from_query(query: &mut Option<String>, name: &str, presented: &mut Presented) {
    let Some(text) = query.as_deref() else {
        return;
    };
    let mut kept = String::with_capacity(text.len());
    let mut found = false;
    for (index, pair) in text.split('&').enumerate() {
        match form_urlencoded::parse(pair.as_bytes()).next() {
            Some((key, value)) if key == name => {
                presented.add(value.into_owned());
                found = true;
            }
            _ => {
                if index > 0 && !kept.is_empty() {
                    kept.push('&');
                }
                kept.push_str(pair);
            }
        }
    }
    if found {
        *query = Some(kept).filter(|kept| !kept.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use policy::RequestCx;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{API_KEY, Bench, ManualTime, compile, compile_errors};

    fn with_key(bench: &Bench, key: &str) -> RequestCx {
        let mut cx = bench.request("GET", "/x");
        cx.headers.insert("x-api-key", key.parse().unwrap());
        cx
    }

    fn refused(bench: &Bench, config: Value, mut cx: RequestCx) -> &'static str {
        let reject = bench.run(&*compile("apiKey", config), &mut cx).unwrap_err();
        assert!(cx.principal.is_none());
        assert_eq!(reject.headers[0].1, "ApiKey realm=\"pets-1.0.0\"");
        assert!(!reject.detail.contains(API_KEY), "a key in an error");
        reject.code.name
    }

    #[test]
    fn a_key_in_the_header_is_taken_out() {
        let bench = Bench::new();
        let mut cx = with_key(&bench, API_KEY);
        bench.run(&*compile("apiKey", json!({})), &mut cx).unwrap();
        let principal = cx.principal.unwrap();
        assert_eq!(principal.application, Some(bench.application));
        assert!(principal.identity.scopes.is_none());
        assert!(principal.key.is_some());
        assert!(
            Arc::ptr_eq(&principal.identity, &cx.core.unnamed),
            "a call makes none of its own"
        );
        assert!(cx.headers.is_empty());
    }

    #[test]
    fn a_key_in_the_query_is_taken_out_however_its_name_is_written() {
        let bench = Bench::new();
        let policy = compile("apiKey", json!({"query": "api_key"}));
        for (query, left) in [
            (format!("api_key={API_KEY}"), None),
            (
                format!("a=1&api_key={API_KEY}&b=%20+x"),
                Some("a=1&b=%20+x"),
            ),
            (format!("api%5Fkey={API_KEY}&a&b="), Some("a&b=")),
        ] {
            let mut cx = bench.request("GET", "/x");
            cx.query = Some(query);
            bench.run(&*policy, &mut cx).unwrap();
            assert_eq!(cx.query.as_deref(), left);
        }
    }

    #[test]
    fn missing_unknown_several_and_long_keys() {
        let bench = Bench::new();
        let refused = |config, cx| refused(&bench, config, cx);
        assert_eq!(
            refused(json!({}), bench.request("GET", "/x")),
            "CREDENTIALS_MISSING"
        );
        assert_eq!(
            refused(json!({}), with_key(&bench, "nonsense")),
            "API_KEY_INVALID"
        );
        let mut twice = with_key(&bench, API_KEY);
        twice.headers.append("x-api-key", API_KEY.parse().unwrap());
        assert_eq!(refused(json!({}), twice), "API_KEY_INVALID");
        let long = format!("{API_KEY}{API_KEY}");
        assert_eq!(
            refused(json!({}), with_key(&bench, &long)),
            "API_KEY_INVALID"
        );
    }

    #[test]
    fn a_mistyped_key_is_not_looked_up() {
        let bench = Bench::new();
        let typo = API_KEY.replace('z', "y");
        let application = bench.application;
        let row = (application, base::CredentialId::generate());
        bench.directory.tables().api_keys.insert(typo.clone(), row);
        let mut cx = with_key(&bench, &typo);
        let reject = bench.run(&*compile("apiKey", json!({})), &mut cx);
        let reject = reject.unwrap_err();
        assert_eq!(reject.code.name, "API_KEY_INVALID");
        assert_eq!(reject.reason.unwrap().rule, "key-format");
    }

    #[test]
    fn a_key_is_good_from_its_addresses_alone() {
        let bench = Bench::new();
        let limits = |ranges: &[&str]| {
            let ip_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
            policy::LimitedKey::of(&base::KeyLimits {
                ip_ranges,
                ..base::KeyLimits::default()
            })
        };
        let ip = bench.request("GET", "/x").client.ip;
        bench.directory.tables().api_key_limits = limits(&["203.0.113.0/24"]);
        let mut cx = with_key(&bench, API_KEY);
        let refused = bench.run(&*compile("apiKey", json!({})), &mut cx);
        assert_eq!(refused.unwrap_err().code.name, "API_KEY_ADDRESS_REFUSED");
        assert!(cx.principal.is_none());
        let own = format!("{ip}/32");
        bench.directory.tables().api_key_limits = limits(&["203.0.113.0/24", &own]);
        let mut cx = with_key(&bench, API_KEY);
        bench.run(&*compile("apiKey", json!({})), &mut cx).unwrap();
        assert!(cx.principal.unwrap().limits.is_some());
    }

    #[test]
    fn a_key_may_stand_for_some_scopes() {
        let bench = Bench::new();
        bench.directory.tables().api_key_limits = LimitedKey::of(&base::KeyLimits {
            scopes: Some(["read".to_owned()].into()),
            ..base::KeyLimits::default()
        });
        let mut cx = with_key(&bench, API_KEY);
        bench.run(&*compile("apiKey", json!({})), &mut cx).unwrap();
        let first = Arc::clone(&cx.principal.as_ref().unwrap().identity);
        let mut again = with_key(&bench, API_KEY);
        bench
            .run(&*compile("apiKey", json!({})), &mut again)
            .unwrap();
        assert!(Arc::ptr_eq(&first, &again.principal.unwrap().identity));
        let needs = |scope: &str| compile("scopes", json!({"anyOf": [[scope]]}));
        bench.run(&*needs("read"), &mut cx).unwrap();
        let refused = bench.run(&*needs("write"), &mut cx).unwrap_err();
        assert_eq!(refused.code.name, "SCOPE_INSUFFICIENT");
    }

    /// req: S9
    #[test]
    fn expired_and_revoked_keys_stop() {
        let bench = Bench::new();
        bench.directory.tables().api_key_expires_unix_s = Some(bench.now_s() + 60);
        let mut cx = with_key(&bench, API_KEY);
        bench.run(&*compile("apiKey", json!({})), &mut cx).unwrap();
        bench.clock.advance_s(60);
        assert_eq!(
            refused(&bench, json!({}), with_key(&bench, API_KEY)),
            "API_KEY_INVALID"
        );
        bench.directory.tables().api_keys.clear();
        assert_eq!(
            refused(&bench, json!({}), with_key(&bench, API_KEY)),
            "API_KEY_INVALID"
        );
    }

    #[test]
    fn a_key_of_another_organisation_is_unknown() {
        let bench = Bench::new();
        bench.directory.tables().org = Org::new("other");
        assert_eq!(
            refused(&bench, json!({}), with_key(&bench, API_KEY)),
            "API_KEY_INVALID"
        );
    }

    #[test]
    fn faults_of_the_configuration() {
        assert_eq!(
            compile_errors("apiKey", json!({"header": "a b", "query": ""})).len(),
            2
        );
        assert_eq!(compile_errors("apiKey", json!({"headers": "X"})).len(), 1);
    }
}
