//! How a backend is called, as a node needs it. Durations are in milliseconds, shares in parts of a hundred.

use serde::{Deserialize, Serialize};

/// How a backend is called. What is `None` is as the node is configured, or off.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallRules {
    /// When a call is sent again; `None` = once, where that is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Box<RetryRules>>,
    /// When the backend is not called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Box<BreakerRules>>,
    /// Whom to trust and what to show, over TLS.
    pub tls: TlsRules,
    /// The longest pause within an answer's body; 0 = any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle_ms: Option<u64>,
    /// How long connections are kept.
    pub keep_alive: KeepAliveRules,
    /// How HTTP/2 connections are used.
    pub http2: Http2Rules,
}

impl CallRules {
    /// Whether the document says nothing about it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When a call is sent again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryRules {
    /// How often at most, after the first try.
    pub attempts: u32,
    /// After a connection that could not be made.
    pub on_connect_failure: bool,
    /// After a connection that broke before the head of the answer.
    pub on_reset: bool,
    /// After a stream that the backend has not looked at.
    pub on_refused_stream: bool,
    /// After a try that took too long.
    pub on_timeout: bool,
    /// After answers with these statuses.
    pub on_statuses: Vec<u16>,
    /// Methods that may reach the backend twice; `None` = the idempotent ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub methods: Option<Vec<String>>,
    /// Until the head of the answer must be there, for each try.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub per_try_ms: Option<u64>,
    /// The share of the calls under way that may be further tries.
    pub budget_percent: u16,
    /// Further tries that are allowed whatever the share.
    pub budget_floor: u32,
    /// The longest pause before the second try.
    pub backoff_base_ms: u64,
    /// The longest pause.
    pub backoff_max_ms: u64,
    /// The longest `Retry-After` that is waited for.
    pub retry_after_max_ms: u64,
    /// How much of a request's body is kept, in bytes.
    pub body_bytes_max: u64,
}

/// When a backend is not called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerRules {
    /// Connections at a time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections_max: Option<u32>,
    /// Calls that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_max: Option<u32>,
    /// Calls at a time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requests_max: Option<u32>,
    /// Calls beyond them that wait for their turn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue: Option<QueueRules>,
    /// The share of failed tries that opens the circuit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_percent: Option<u16>,
    /// Over which time they are counted.
    pub window_ms: u64,
    /// Tries below which the circuit stays closed.
    pub requests_min: u32,
    /// Statuses that are failures; `None` = 500 to 599.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub statuses: Option<Vec<u16>>,
    /// How long it stays open.
    pub open_ms: u64,
    /// Calls that are let through then.
    pub probes: u32,
}

/// Calls that wait for their turn at a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRules {
    /// How many may wait.
    pub calls_max: u32,
    /// For how long.
    pub wait_ms: u64,
}

/// Whom to trust and what to show, over TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRules {
    /// Certificates that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaSource>,
    /// Server name, where it is not the URL's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The secret that holds certificate and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// TLS 1.2 is not spoken.
    pub only_tls13: bool,
}

/// Where certificates stand that are trusted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaSource {
    /// Here, in PEM.
    Inline(String),
    /// In `ca.crt` of a secret of the node.
    Secret(String),
    /// In a file below the node's folder of secrets.
    File(String),
}

/// How long connections are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeepAliveRules {
    /// How long an unused connection is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Unused HTTP/1.1 connections of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_max: Option<u32>,
    /// How long a connection takes calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_max_ms: Option<u64>,
    /// How many calls a connection takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u32>,
}

/// How HTTP/2 connections are used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http2Rules {
    /// Calls at a time on a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_max: Option<u32>,
    /// Connections of a core to an endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<u32>,
    /// How often a connection is tried with a PING; 0 = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_every_ms: Option<u64>,
    /// Until its answer must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_timeout_ms: Option<u64>,
}
