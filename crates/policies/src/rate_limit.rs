//! `rateLimit`: how many calls may come in what time, for each value of a key.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base::Diagnostic;
use expr::{Attribute, EvalError, Expr};
use limits::{Concurrency, Key as CounterKey, Limit, LimitId, Quota, Rate};
use policy::{
    Ask, AskedBy, Asks, CompileEnv, Measure, NamedLimit, Outcome, Phase, Policy, PolicyKind,
    RequestCx,
};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::units::{Flow, Frequency, Size};

/// The kind.
pub struct RateLimit;

/// The longest name.
const NAME_CHARS_MAX: usize = 64;
/// The greatest number of calls, at once or in the time.
const COUNT_MAX: u64 = 1_000_000_000;
/// The greatest number of bytes: what a window can count, with room to spare.
const BYTES_MAX: u64 = 500 << 30;
/// The longest time.
const PER_MS_MAX: u64 = 366 * 86_400_000;

/// How many calls may come in what time, for each value of a key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Its name, unique in the API; answers tell it. Two limits of one name share their counters.
    #[schemars(length(min = 1, max = 64))]
    name: String,
    /// For what is counted: an expression (CEL). Calls for which it has no value are counted together. An IPv6 address
    /// counts as its network of 64 bits, which is what one subscriber has.
    #[serde(default = "Config::default_key")]
    key: String,
    /// Which calls are counted: a condition (CEL); absent = all. A call for which it has no answer is counted.
    #[serde(default)]
    when: Option<String>,
    /// How many calls in what time, as in `100/min`. One of `limit`, `bytes`, `events` and `concurrent` is needed.
    #[serde(default)]
    limit: Option<Frequency>,
    /// How many bytes in what time, as in `10Mi/min`: bodies of requests and answers, and what passes through WebSockets. They
    /// are counted as they pass. A call begins while anything is left and is not cut, so each that is under way may go
    /// beyond the limit by its own length.
    #[serde(default)]
    bytes: Option<Flow>,
    /// How many events in what time, as in `100/min`: messages of WebSockets, both ways, and events of answers of the type
    /// `text/event-stream`. A call begins while anything is left, and is ended by the event that nothing was left for.
    #[serde(default)]
    events: Option<Frequency>,
    /// How many calls at the same time; each counts until its answer or its WebSocket has ended.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    concurrent: Option<u64>,
    /// How many calls or events may come at once; then they pass evenly spread (with 1: a spike arrest, no two at once).
    /// Absent = as many as the limit, and never more of them in any stretch of that time. With `bytes`: `burstBytes`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    burst: Option<u64>,
    /// How many bytes may come at once, as in `1Mi`; with `bytes` alone.
    #[serde(default)]
    burst_bytes: Option<Size>,
}

impl Config {
    fn default_key() -> String {
        "client.ip".to_owned()
    }
}

/// Holds a call against a limit of the document. The counter belongs to the limit's name, what it counts and the key's
/// value; it outlives an edit of the number, and of the time where there is a `burst`.
///
/// # Errors
/// `RATE_LIMITED` (429) with `Retry-After`, from the step behind the policies of this phase.
struct Running {
    limit: Arc<NamedLimit>,
    /// Digest of what the limit is called, across all APIs.
    id: LimitId,
    key: Key,
    when: Option<Expr>,
}

/// What a key looks at.
enum Key {
    /// The client's address: the usual one, and free of the language's cost.
    ClientIp,
    /// The calling application, likewise.
    Application,
    Expr(Expr),
}

impl PolicyKind for RateLimit {
    const NAME: &'static str = "rateLimit";
    const PHASE: Phase = Phase::Limit;
    const SUMMARY: &'static str =
        "Admits so many calls in a time, for each value of a key, with or without a burst.";
    type Config = Config;

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let chars = config.name.chars().count();
        if chars == 0 || chars > NAME_CHARS_MAX || config.name.chars().any(char::is_control) {
            let message = "the name must have 1 to 64 characters, and no control characters";
            found.push(Diagnostic::error("limit-name", "/name", message));
        }
        let limit = limit(&config, &mut found);
        let key = expression(&config.key, "/key", &mut found);
        let when = config
            .when
            .as_deref()
            .and_then(|when| expression(when, "/when", &mut found));
        let (Some(key), Some((measure, limit)), true) = (key, limit, found.is_empty()) else {
            return Err(found);
        };
        let key = match key.alone() {
            Some(Attribute::ClientIp) => Key::ClientIp,
            Some(Attribute::Application) => Key::Application,
            _ => Key::Expr(key),
        };
        let whose = format!("{}\n{}\n{}\n{measure:?}", env.org, env.api, config.name);
        let digest = u128::from_be_bytes(first(whose.as_bytes()));
        Ok(Box::new(Running {
            // Applications are ours; what else there is, callers choose.
            id: match key {
                Key::Application => LimitId::known(digest),
                Key::ClientIp | Key::Expr(_) => LimitId::chosen(digest),
            },
            key,
            limit: Arc::new(NamedLimit {
                name: config.name,
                limit,
                measure,
            }),
            when,
        }))
    }
}

/// The one limit that a configuration states.
fn limit(config: &Config, found: &mut Vec<Diagnostic>) -> Option<(Measure, Limit)> {
    let stated = [
        config.limit.map(|of| (Measure::Requests, of.count, of.per)),
        config
            .bytes
            .map(|of| (Measure::Bytes, of.size.as_bytes(), of.per)),
        config.events.map(|of| (Measure::Events, of.count, of.per)),
    ];
    let stated: Vec<_> = stated.into_iter().flatten().collect();
    let (measure, count, per_ms) = match (stated.as_slice(), config.concurrent) {
        ([], Some(calls)) => {
            if calls == 0 || calls > COUNT_MAX {
                let message = "concurrent must be between 1 and 1000000000";
                found.push(Diagnostic::error("limit-range", "/concurrent", message));
            }
            if config.burst.is_some() || config.burst_bytes.is_some() {
                let message = "calls at the same time have no burst";
                found.push(Diagnostic::error("limit-burst", "/burst", message));
            }
            let concurrency = Concurrency { calls };
            return Some((Measure::Concurrency, concurrency.into()));
        }
        ([(measure, count, per)], None) => (*measure, *count, per.as_ms()),
        _ => {
            let message = "exactly one of `limit`, `bytes`, `events` and `concurrent` is needed";
            found.push(
                Diagnostic::error("limit-one", "", message)
                    .mend("write another `rateLimit` for another measure"),
            );
            return None;
        }
    };
    let (pointer, count_max) = match measure {
        Measure::Bytes => ("/bytes", BYTES_MAX),
        Measure::Events => ("/events", COUNT_MAX),
        Measure::Requests | Measure::Concurrency => ("/limit", COUNT_MAX),
    };
    if count > count_max || per_ms > PER_MS_MAX {
        let message = "a limit is at most 1000000000, of bytes 500Gi, in at most 366 days";
        found.push(Diagnostic::error("limit-range", pointer, message));
    }
    let burst = match measure {
        Measure::Bytes => config.burst_bytes.map(Size::as_bytes),
        _ => config.burst,
    };
    let misplaced = match measure {
        Measure::Bytes => config.burst.map(|_| "/burst"),
        _ => config.burst_bytes.map(|_| "/burstBytes"),
    };
    if let Some(pointer) = misplaced {
        let message = "`burst` is of calls and events, `burstBytes` of bytes";
        found.push(Diagnostic::error("limit-burst", pointer, message));
    }
    if burst.is_some_and(|burst| burst == 0 || burst > count_max) {
        let message = "burst must be between 1 and 1000000000, of bytes 500Gi";
        let pointer = if measure == Measure::Bytes {
            "/burstBytes"
        } else {
            "/burst"
        };
        found.push(
            Diagnostic::error("limit-range", pointer, message)
                .mend("leave it out to count in windows"),
        );
    }
    // Between two of a rate lies a nanosecond at least.
    if burst.is_some() && count > per_ms.saturating_mul(1_000_000) {
        let message = "a rate is at most 1000000000 a second";
        found.push(Diagnostic::error("limit-range", pointer, message));
    }
    let limit = match burst {
        Some(burst) => Limit::Rate(Rate {
            requests: count,
            per_ms,
            burst,
        }),
        None => Limit::Quota(Quota {
            limit: count,
            window_ms: per_ms,
        }),
    };
    Some((measure, limit))
}

fn expression(source: &str, pointer: &str, found: &mut Vec<Diagnostic>) -> Option<Expr> {
    Expr::compile(source)
        .map_err(|error| found.push(Diagnostic::error("expression", pointer, error.to_string())))
        .ok()
}

/// The first bytes of a text's SHA-256: nobody finds two texts that agree in 16 of them.
fn first<const N: usize>(text: &[u8]) -> [u8; N] {
    let digest = digest(&SHA256, text);
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest.as_ref()[..N]);
    bytes
}

impl Key {
    fn of(&self, cx: &RequestCx) -> u128 {
        match self {
            Self::ClientIp => match cx.client.ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
                IpAddr::V6(ip) => ip.to_bits() & !u128::from(u64::MAX),
            },
            Self::Application => cx
                .principal
                .as_ref()
                .and_then(|principal| principal.application)
                .map_or(0, |application| application.0.as_u128()),
            Self::Expr(expr) => expr
                .text(cx)
                .map_or(0, |text| u128::from_be_bytes(first(text.as_bytes()))),
        }
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let holds: Result<bool, EvalError> =
            self.when.as_ref().map_or(Ok(true), |when| when.holds(cx));
        if !holds.unwrap_or(true) {
            return Outcome::CONTINUE;
        }
        let key = CounterKey {
            limit: self.id,
            value: self.key.of(cx),
        };
        let asks = cx.slots.get_or_default::<Asks>();
        let by = AskedBy::Policy(Arc::clone(&self.limit));
        let NamedLimit { limit, measure, .. } = *self.limit;
        asks.list.push(Ask::new(key, limit, measure, by));
        Outcome::CONTINUE
    }
}

#[cfg(test)]
mod tests;
