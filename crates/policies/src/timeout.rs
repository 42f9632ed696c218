//! `timeout`: how long the backend may take until the head of its answer is there.

use base::Diagnostic;
use policy::{CompileEnv, Outcome, Phase, Policy, PolicyKind, RequestCx};

use spec::units::Duration;

/// The kind.
pub struct Timeout;

/// The longest timeout that is accepted.
pub const LONGEST: Duration = Duration::from_ms(3_600_000);

/// Overrides the backend's own timeout for the calls it is put on. Its configuration is a duration.
///
/// Errors at run time: the gateway answers `BACKEND_TIMEOUT` (504).
struct Running {
    timeout_ms: u64,
}

impl PolicyKind for Timeout {
    const NAME: &'static str = "timeout";
    const PHASE: Phase = Phase::ChooseBackend;
    const SUMMARY: &'static str = "Bounds the time until the head of the backend's answer must be there; answers 504 after it.";
    type Config = Duration;

    fn compile(
        &self,
        config: Duration,
        _: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        if config.as_ms() == 0 || config > LONGEST {
            let diagnostic = Diagnostic::error(
                "timeout-range",
                "",
                "the timeout must be between 1ms and 1h",
            )
            .mend("write for example `timeout: 5s`");
            return Err(vec![diagnostic]);
        }
        Ok(Box::new(Running {
            timeout_ms: config.as_ms(),
        }))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        cx.timeout_ms = Some(self.timeout_ms);
        Outcome::CONTINUE
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, compile, compile_errors};

    #[test]
    fn the_innermost_timeout_wins() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        bench
            .run(&*compile("timeout", json!("5s")), &mut cx)
            .unwrap();
        bench
            .run(&*compile("timeout", json!("250ms")), &mut cx)
            .unwrap();
        assert_eq!(cx.timeout_ms, Some(250));
    }

    #[test]
    fn refuses_no_unit_nothing_and_too_long() {
        for config in [json!(5), json!("0s"), json!("2h"), json!({}), json!("soon")] {
            assert_eq!(compile_errors("timeout", config).len(), 1);
        }
    }
}
