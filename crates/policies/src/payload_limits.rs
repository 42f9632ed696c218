//! `payloadLimits`: how large the body of a request may be.

use base::Diagnostic;
use policy::{CompileEnv, Outcome, Phase, Policy, PolicyKind, RequestCx};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::units::Size;

/// The kind.
pub struct PayloadLimits;

/// What is taken.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The size of a request's body. One that says it is larger is refused before any of it is read, another one as soon
    /// as more has come. `0B` takes no body at all.
    pub max_body: Size,
}

/// Overrides what policies before it say, so that an operation may take more than its API; never more than the node
/// itself takes (`--gateway-body-bytes-max`).
///
/// Errors at run time: the gateway answers `BODY_TOO_LARGE` (413).
struct Running {
    body_bytes_max: u64,
}

impl PolicyKind for PayloadLimits {
    const NAME: &'static str = "payloadLimits";
    const PHASE: Phase = Phase::Validate;
    const SUMMARY: &'static str = "Bounds the size of a request's body; answers 413 above it.";
    type Config = Config;

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        Ok(Box::new(Running {
            body_bytes_max: config.max_body.as_bytes(),
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        cx.body_bytes_max = Some(self.body_bytes_max);
        Outcome::CONTINUE
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, compile, compile_errors};

    /// req: S12
    #[test]
    fn the_innermost_size_wins() {
        let bench = Bench::new();
        let mut cx = bench.request("POST", "/x");
        for (size, bytes) in [("1Mi", 1 << 20), ("10Mi", 10 << 20), ("0B", 0)] {
            let policy = compile("payloadLimits", json!({"maxBody": size}));
            bench.run(&*policy, &mut cx).unwrap();
            assert_eq!(cx.body_bytes_max, Some(bytes));
        }
    }

    #[test]
    fn refuses_no_unit_and_nothing() {
        for config in [json!({"maxBody": 5}), json!({}), json!({"maxBody": "1MB"})] {
            assert_eq!(compile_errors("payloadLimits", config).len(), 1);
        }
    }
}
