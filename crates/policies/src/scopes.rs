//! `scopes`: the token must carry the scopes that the operation asks for.

use base::Diagnostic;
use base::code::{CREDENTIALS_MISSING, INTERNAL, SCOPE_INSUFFICIENT};
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use policy::{CompileEnv, Nobody, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::challenge::challenge;

/// The kind.
pub struct Scopes;

/// Which scopes are enough.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Alternatives, each a set of scopes: the token must carry all scopes of one of them.
    pub any_of: Vec<Vec<String>>,
}

/// Compares the caller's scopes with the alternatives. A credential without scopes (an API key) passes: it stands for
/// all that its application may do.
///
/// # Errors
/// `CREDENTIALS_MISSING` (401) for who called as nobody; `SCOPE_INSUFFICIENT` (403) with `WWW-Authenticate: Bearer error="insufficient_scope", scope="…"`, which names the
/// first alternative.
///
/// Source: RFC 6750 §3.1.
struct Running {
    any_of: Box<[Box<[String]>]>,
    challenge: HeaderValue,
    /// For those who showed nothing (RFC 6750 §3: no `error` then).
    nobody: HeaderValue,
    detail: String,
}

impl PolicyKind for Scopes {
    const NAME: &'static str = "scopes";
    const PHASE: Phase = Phase::Authorize;
    const SUMMARY: &'static str = "Lets only tokens pass that carry the needed scopes.";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let Some(first) = config.any_of.first() else {
            return Err(vec![
                Diagnostic::error("scopes-empty", "/anyOf", "no alternative is given")
                    .mend("name at least one set of scopes, or leave the policy out"),
            ]);
        };
        for (alternative, scopes) in config.any_of.iter().enumerate() {
            for (index, scope) in scopes.iter().enumerate() {
                if !is_scope(scope) {
                    let pointer = format!("/anyOf/{alternative}/{index}");
                    faults.push(
                        Diagnostic::error("scope-name", pointer, format!("{scope:?} is no scope"))
                            .mend("a scope is printable ASCII without space, quote and backslash"),
                    );
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let wanted = first.join(" ");
        let any_of: Box<[Box<[String]>]> = config
            .any_of
            .into_iter()
            .map(Vec::into_boxed_slice)
            .collect();
        Ok(Box::new(Running {
            challenge: challenge(
                "Bearer",
                &[
                    ("realm", &env.api),
                    ("error", "insufficient_scope"),
                    ("scope", &wanted),
                ],
            ),
            nobody: challenge("Bearer", &[("realm", &env.api), ("scope", &wanted)]),
            detail: format!("the token needs the scopes: {}", alternatives(&any_of)),
            any_of,
        }))
    }
}

/// RFC 6749 §3.3: `scope-token`.
fn is_scope(text: &str) -> bool {
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(printable)
}

fn alternatives(any_of: &[Box<[String]>]) -> String {
    let alternatives: Vec<String> = any_of.iter().map(|scopes| scopes.join(" ")).collect();
    alternatives.join(", or: ")
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let Some(principal) = &cx.principal else {
            if cx.slots.get::<Nobody>().is_some() {
                let detail = "the operation needs scopes, and the request carries no credential";
                return Reject::new(CREDENTIALS_MISSING, detail)
                    .header(WWW_AUTHENTICATE, self.nobody.clone())
                    .because("scope")
                    .fact("claim scope", "", alternatives(&self.any_of))
                    .into();
            }
            return Reject::new(INTERNAL, "no policy has authenticated the caller").into();
        };
        let Some(held) = &principal.identity.scopes else {
            return Outcome::CONTINUE;
        };
        let enough = self
            .any_of
            .iter()
            .any(|wanted| wanted.iter().all(|scope| held.contains(scope)));
        if enough {
            return Outcome::CONTINUE;
        }
        Reject::new(SCOPE_INSUFFICIENT, self.detail.clone())
            .header(WWW_AUTHENTICATE, self.challenge.clone())
            .because("scope")
            .fact("claim scope", held.join(" "), alternatives(&self.any_of))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, compile, compile_errors};

    #[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
    fn allowed(any_of: serde_json::Value, held: Option<&[&str]>) -> Result<(), policy::Reject> {
        let bench = Bench::new();
        let mut cx = bench.request_of("GET", "/x", held);
        bench.run(&*compile("scopes", json!({ "anyOf": any_of })), &mut cx)
    }

    #[test]
    fn all_scopes_of_one_alternative_are_needed() {
        let any_of = json!([["orders:read", "orders:write"], ["admin"]]);
        assert!(allowed(any_of.clone(), Some(&["orders:read", "orders:write", "x"])).is_ok());
        assert!(allowed(any_of.clone(), Some(&["admin"])).is_ok());
        let reject = allowed(any_of, Some(&["orders:read"])).unwrap_err();
        assert_eq!(reject.code.name, "SCOPE_INSUFFICIENT");
        assert_eq!(reject.code.status, 403);
        assert_eq!(
            reject.headers[0].1,
            "Bearer realm=\"pets-1.0.0\", error=\"insufficient_scope\", scope=\"orders:read orders:write\""
        );
    }

    #[test]
    fn nobody_is_asked_for_a_token() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        cx.slots.put(policy::Nobody);
        let policy = compile("scopes", json!({"anyOf": [["read", "list"]]}));
        let reject = bench.run(&*policy, &mut cx).unwrap_err();
        assert_eq!(reject.code.name, "CREDENTIALS_MISSING");
        assert_eq!(
            reject.headers[0].1,
            "Bearer realm=\"pets-1.0.0\", scope=\"read list\""
        );
    }

    #[test]
    fn an_api_key_has_no_scopes_and_passes() {
        assert!(allowed(json!([["admin"]]), None).is_ok());
    }

    #[test]
    fn a_token_without_scopes_does_not_pass() {
        assert!(allowed(json!([["admin"]]), Some(&[])).is_err());
    }

    #[test]
    fn faults_are_all_reported() {
        assert_eq!(compile_errors("scopes", json!({ "anyOf": [] })).len(), 1);
        let faults = compile_errors("scopes", json!({ "anyOf": [["a b"], ["ok", ""]] }));
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/anyOf/0/0", "/anyOf/1/1"]);
    }
}
