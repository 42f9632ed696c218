//! Rules between the fields that say how a backend is called.

use base::{Diagnostic, Diagnostics};
use serde_json::Value;

use crate::units::Duration;

/// Every violated rule of one backend.
pub(super) fn find(spec: &Value, pointer: &str, found: &mut Diagnostics) {
    let length = |value: &Value| value.as_str()?.parse::<Duration>().ok();
    let retry = &spec["retry"];
    if let (Some(base), Some(max)) = (
        length(&retry["backoff"]["base"]),
        length(&retry["backoff"]["max"]),
    ) && base > max
    {
        let message = format!("the first pause {base} is longer than the longest, {max}");
        let pointer = format!("{pointer}/retry/backoff/base");
        let problem = Diagnostic::error("backoff-order", pointer, message);
        found.push(problem.mend("make `base` the shorter one"));
    }
    if let (Some(per_try), Some(all)) = (length(&retry["perTry"]), length(&spec["timeout"]))
        && per_try >= all
    {
        let message = format!("`perTry` {per_try} is not shorter than the `timeout` {all}");
        let pointer = format!("{pointer}/retry/perTry");
        let problem = Diagnostic::error("per-try-length", pointer, message);
        found.push(problem.mend("shorten it, or leave it out"));
    }
    let breaker = &spec["circuitBreaker"];
    if breaker["queue"].is_object() && !breaker["maxRequests"].is_u64() {
        let message = "nobody waits where `maxRequests` sets no limit";
        let pointer = format!("{pointer}/circuitBreaker/queue");
        let problem = Diagnostic::error("queue-unused", pointer, message);
        found.push(problem.mend("set `maxRequests`, or leave `queue` out"));
    }
    if spec["circuitBreaker"]["errorRate"] == "0%" {
        let message = "every call is at least 0% of failures";
        let pointer = format!("{pointer}/circuitBreaker/errorRate");
        let problem = Diagnostic::error("error-rate", pointer, message);
        found.push(problem.mend("write a share of at least `1%`, or leave it out"));
    }
}
