//! How a backend is called: again after a failure, not at all while it fails, over which connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::units::{Duration, Percent, Size};

/// When a call is sent again. Without it a call is sent once more when nothing of it was sent, or when its method is
/// idempotent and the connection broke before the answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often at most, after the first try; 0 = never.
    #[serde(default = "Retry::default_attempts")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: u32,
    /// What is answered by another try.
    #[serde(default = "Retry::default_on")]
    #[schemars(length(min = 1, max = 64))]
    pub on: Vec<RetryOn>,
    /// Methods of calls that may be sent again although the backend may have seen them; absent = the idempotent ones
    /// (RFC 9110 §9.2.2): `GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`, `DELETE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 32), extend("items" = {"type": "string", "format": "tollway-method"}))]
    pub methods: Option<Vec<String>>,
    /// Until the head of the answer must be there, for each try; absent = the backend's `timeout` alone holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub per_try: Option<Duration>,
    /// The share of the calls under way to this backend, in the whole process, that may be further tries.
    #[serde(default = "Retry::default_budget")]
    #[schemars(extend("format" = "tollway-percent"))]
    pub budget: Percent,
    /// So many further tries may be under way whatever the budget says.
    #[serde(default = "Retry::default_budget_floor")]
    #[schemars(range(min = 0, max = 10_000))]
    pub budget_floor: u32,
    /// The pause before another try.
    #[serde(default)]
    pub backoff: Backoff,
    /// The longest `Retry-After` of the backend that is waited for; an answer that asks for more is passed on.
    #[serde(default = "Retry::default_retry_after_max")]
    pub retry_after_max: Duration,
    /// How much of a request's body is kept for another try; a larger one is not sent again once a part was sent.
    #[serde(default = "Retry::default_body_max")]
    pub body_max: Size,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Retry {
    fn default_attempts() -> u32 {
        1
    }
    fn default_on() -> Vec<RetryOn> {
        use Condition::{ConnectFailure, RefusedStream, Reset};
        [ConnectFailure, Reset, RefusedStream]
            .map(RetryOn::Condition)
            .to_vec()
    }
    fn default_budget() -> Percent {
        Percent::new(20)
    }
    fn default_budget_floor() -> u32 {
        3
    }
    fn default_retry_after_max() -> Duration {
        Duration::from_s(1)
    }
    fn default_body_max() -> Size {
        Size::from_bytes(64 * 1024)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Self::default_attempts(),
            on: Self::default_on(),
            methods: None,
            per_try: None,
            budget: Self::default_budget(),
            budget_floor: Self::default_budget_floor(),
            backoff: Backoff::default(),
            retry_after_max: Self::default_retry_after_max(),
            body_max: Self::default_body_max(),
            extensions: Extensions::new(),
        }
    }
}

/// What is answered by another try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryOn {
    /// A failure of the way to the backend.
    Condition(Condition),
    /// A status of the backend's answer.
    Status(#[schemars(range(min = 400, max = 599))] u16),
}

/// A failure of the way to a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// No connection could be made: nothing was sent.
    ConnectFailure,
    /// The connection broke before the head of the answer was there.
    Reset,
    /// HTTP/2: the backend says that it has not looked at the call (`REFUSED_STREAM`, `GOAWAY`).
    RefusedStream,
    /// No head of an answer within `perTry`.
    Timeout,
}

/// The pause before another try: a random part of `base`, doubled with each further try, at most `max`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// The longest pause before the second try.
    #[serde(default = "Backoff::default_base")]
    pub base: Duration,
    /// The longest pause before any try.
    #[serde(default = "Backoff::default_max")]
    pub max: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Backoff {
    fn default_base() -> Duration {
        Duration::from_ms(25)
    }
    fn default_max() -> Duration {
        Duration::from_ms(250)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Self::default_base(),
            max: Self::default_max(),
            extensions: Extensions::new(),
        }
    }
}

/// When a backend is not called. What is counted holds for the whole process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Connections at a time; absent = no limit. What needs one more waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// Calls at a time that wait for a connection; absent = no limit. What is beyond is refused (503).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_pending: Option<u32>,
    /// Calls at a time, to the end of their answers; absent = no limit. What is beyond is refused (503).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: Option<u32>,
    /// Calls beyond `maxRequests` that wait for their turn, fair among applications and addresses; absent = none does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue: Option<CallQueue>,
    /// The share of failed tries within `window` that opens the circuit; absent = it never opens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-percent"))]
    pub error_rate: Option<Percent>,
    /// Over which time failures are counted.
    #[serde(default = "CircuitBreaker::default_window")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub window: Duration,
    /// Tries within `window` below which the circuit does not open.
    #[serde(default = "CircuitBreaker::default_min_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Statuses of answers that are failures; absent = 500 to 599.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 64), inner(range(min = 400, max = 599)))]
    pub statuses: Option<Vec<u16>>,
    /// How long an open circuit refuses all calls (503).
    #[serde(default = "CircuitBreaker::default_open_for")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub open_for: Duration,
    /// Calls that are let through then; when all of them succeed the circuit closes, when one fails it stays open.
    #[serde(default = "CircuitBreaker::default_probes")]
    #[schemars(range(min = 1, max = 1000))]
    pub probes: u32,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Calls that wait for their turn at a backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallQueue {
    /// How many may wait; what is beyond is refused (503), first of those who have most in the queue.
    #[schemars(range(min = 1, max = 10_000))]
    pub calls: u32,
    /// How long one may wait; then it is refused (503).
    #[serde(default = "CallQueue::default_wait")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub wait: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl CallQueue {
    fn default_wait() -> Duration {
        Duration::from_ms(500)
    }
}

impl CircuitBreaker {
    fn default_window() -> Duration {
        Duration::from_s(10)
    }
    fn default_min_requests() -> u32 {
        20
    }
    fn default_open_for() -> Duration {
        Duration::from_s(30)
    }
    fn default_probes() -> u32 {
        1
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_pending: None,
            max_requests: None,
            queue: None,
            error_rate: None,
            window: Self::default_window(),
            min_requests: Self::default_min_requests(),
            statuses: None,
            open_for: Self::default_open_for(),
            probes: Self::default_probes(),
            extensions: Extensions::new(),
        }
    }
}

/// How long connections are kept. What is absent is as the node is configured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeepAlive {
    /// How long an unused connection is kept; shorter where the backend says so (`Keep-Alive: timeout`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle: Option<Duration>,
    /// Unused HTTP/1.1 connections that are kept for each endpoint, by each core.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_idle: Option<u32>,
    /// How long a connection takes new calls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub max_age: Option<Duration>,
    /// How many calls a connection takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_requests: Option<u32>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// How HTTP/2 connections are used. What is absent is as the node is configured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http2 {
    /// Calls at a time on one connection; fewer where the backend says so (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_streams: Option<u32>,
    /// Connections to each endpoint, by each core.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_connections: Option<u32>,
    /// How often a connection is tried with a PING; `0s` = never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ping_every: Option<Duration>,
    /// Until the answer to a PING must be there, or else the connection is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub ping_timeout: Option<Duration>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}
