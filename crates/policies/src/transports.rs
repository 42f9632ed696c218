//! `transports`: the API is served in clear text only, or over TLS only.

use base::Diagnostic;
use base::code::TRANSPORT_NOT_ALLOWED;
use policy::{CompileEnv, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The kind.
pub struct Transports;

/// What is let in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The transports that callers may use.
    pub allow: Vec<Transport>,
}

/// How a call comes to the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

/// Looks at the connection itself: what a proxy before the gateway says of its own clients (`X-Forwarded-Proto`) is not
/// believed.
///
/// # Errors
/// `TRANSPORT_NOT_ALLOWED` (403).
struct Running {
    http: bool,
    https: bool,
}

impl PolicyKind for Transports {
    const NAME: &'static str = "transports";
    const PHASE: Phase = Phase::Preflight;
    const SUMMARY: &'static str = "Lets calls in over TLS only, or in clear text only.";
    type Config = Config;

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        if config.allow.is_empty() {
            let fault = Diagnostic::error("transports", "/allow", "no transport is allowed");
            return Err(vec![fault.mend("name `http`, `https` or both")]);
        }
        Ok(Box::new(Running {
            http: config.allow.contains(&Transport::Http),
            https: config.allow.contains(&Transport::Https),
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let (allowed, detail) = if cx.client.tls {
            (self.https, "the API is not served over https; use http")
        } else {
            (self.http, "the API is not served over http; use https")
        };
        if allowed {
            Outcome::CONTINUE
        } else {
            Reject::new(TRANSPORT_NOT_ALLOWED, detail).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, compile, compile_errors};

    /// req: GW17
    #[test]
    fn only_what_is_named_comes_in() {
        let bench = Bench::new();
        for (allow, tls, passes) in [
            (json!(["http"]), false, true),
            (json!(["http"]), true, false),
            (json!(["https"]), false, false),
            (json!(["https"]), true, true),
            (json!(["http", "https"]), false, true),
            (json!(["http", "https"]), true, true),
        ] {
            let policy = compile("transports", json!({"allow": allow}));
            let mut cx = bench.request("GET", "/x");
            cx.client.tls = tls;
            // What a proxy says is not believed.
            let says = if tls { "http" } else { "https" };
            cx.headers
                .insert("x-forwarded-proto", says.parse().unwrap());
            let code = bench
                .run(&*policy, &mut cx)
                .map_err(|reject| reject.code.name);
            let expected = if passes {
                Ok(())
            } else {
                Err("TRANSPORT_NOT_ALLOWED")
            };
            assert_eq!(code, expected, "{allow} {tls}");
        }
    }

    #[test]
    fn nothing_allowed_is_a_fault() {
        assert_eq!(compile_errors("transports", json!({"allow": []})).len(), 1);
    }
}
