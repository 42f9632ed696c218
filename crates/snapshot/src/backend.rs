//! Backends, compiled.

use std::sync::Arc;

use base::{Digest, Org};
use http::header::HeaderName;
use sync::calls::CallRules;

/// Names a backend.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BackendKey {
    /// Its organisation.
    pub org: Org,
    /// Its document's name; `API#production`, `API#sandbox` or `API#production#METHOD template` for one that exists for
    /// an API alone (`#` stands in no document's name).
    pub name: Arc<str>,
}

/// A backend, ready to be dialled. What it has of state (connections, health) lives in the gateway, by key.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name.
    pub key: BackendKey,
    /// Where it listens; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Which endpoint gets a call.
    pub balance: Balance,
    /// Which endpoints may be called.
    pub health: Health,
    /// Backends that take over, the first first. Theirs are not looked at: two may take over from each other.
    pub failover: Vec<BackendKey>,
    /// How long the share of an endpoint that is new or comes back grows, in milliseconds; 0 = it has all at once.
    pub slow_start_ms: u64,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Until the head of the answer must be there, in milliseconds.
    pub timeout_ms: u64,
    /// How it is called.
    pub calls: CallRules,
    /// The model's digest: connections of another digest are not reused.
    pub digest: Digest,
}

impl Backend {
    /// A backend at these endpoints, with all defaults.
    #[must_use]
    pub fn at(key: BackendKey, endpoints: Vec<Endpoint>) -> Self {
        Self {
            key,
            endpoints,
            balance: Balance::default(),
            health: Health::default(),
            failover: Vec::new(),
            slow_start_ms: 0,
            protocol: Protocol::Auto,
            timeout_ms: 30_000,
            calls: CallRules::default(),
            digest: Digest::from_bytes([0; 32]),
        }
    }
}

/// Where a backend listens: one endpoint, or what leads to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// Host name or address, without brackets; with [`Lookup::Services`] the name of the records.
    pub host: String,
    /// The port; with [`Lookup::Services`] the records' own.
    pub port: u16,
    /// The `Host` header: host and, unless it is the scheme's own, port.
    pub authority: http::uri::Authority,
    /// What stands before the rest of the path; without a trailing slash, empty for the root.
    pub path: String,
    /// Its share of the calls beside the others', at least 1.
    pub weight: u32,
    /// Lower numbers are called first.
    pub priority: u16,
    /// What the host leads to.
    pub lookup: Lookup,
}

impl Endpoint {
    /// One endpoint at a host and port, with an empty path. `None` where these make no authority.
    #[must_use]
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Option<Self> {
        let own_port = scheme.port();
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let shown = if port == own_port {
            shown
        } else {
            format!("{shown}:{port}")
        };
        Some(Self {
            scheme,
            host: host.to_owned(),
            port,
            authority: shown.parse().ok()?,
            path: String::new(),
            weight: 1,
            priority: 0,
            lookup: Lookup::Host,
        })
    }
}

/// What an endpoint's host leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// One endpoint, at whichever of the host's addresses answers first.
    Host,
    /// An endpoint for each of its addresses (A, AAAA).
    Addresses,
    /// An endpoint for each of its SRV records (RFC 2782).
    Services,
}

/// Which endpoint gets a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// Of two that are drawn by weight, the one with fewer calls in flight.
    LeastRequest,
    /// Equal values of something of the call reach the same endpoint.
    Hash {
        /// What is hashed.
        by: HashBy,
        /// How far above its fair share of the calls in flight an endpoint may go, in hundredths; above 100.
        bound_percent: u32,
    },
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The value of a request header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The client's address.
    Ip,
    /// The value of an expression.
    Expr(Arc<expr::Expr>),
}

/// Which endpoints may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How endpoints are checked, where they are.
    pub check: Option<Check>,
    /// Checks in a row that make a failed endpoint healthy.
    pub healthy_after: u32,
    /// Checks in a row that make an endpoint unhealthy.
    pub unhealthy_after: u32,
    /// Failed calls in a row that eject an endpoint; 0 = none does.
    pub eject_after: u32,
    /// Which calls count as failed.
    pub eject_on: EjectOn,
    /// For how long an endpoint is ejected the first time, in milliseconds.
    pub eject_for_ms: u64,
    /// How many hundredths of the endpoints may be ejected at a time.
    pub max_ejected_percent: u32,
    /// How many hundredths of the endpoints must be able to take calls, before others are asked to.
    pub min_healthy_percent: u32,
    /// Below how many hundredths all endpoints are called, where nobody else can take the calls.
    pub panic_below_percent: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            check: None,
            healthy_after: 2,
            unhealthy_after: 3,
            eject_after: 5,
            eject_on: EjectOn::GatewayErrors,
            eject_for_ms: 30_000,
            max_ejected_percent: 50,
            min_healthy_percent: 50,
            panic_below_percent: 0,
        }
    }
}

/// Which calls count as failed; each has the ones above it too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EjectOn {
    /// No answer at all.
    NoAnswer,
    /// 502, 503, 504.
    GatewayErrors,
    /// Every 5xx.
    ServerErrors,
}

/// How endpoints are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub ask: CheckAsk,
    /// How often, in milliseconds.
    pub every_ms: u64,
    /// Until the answer must be there, in milliseconds.
    pub timeout_ms: u64,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckAsk {
    /// A path.
    Http {
        /// The path, with its query.
        target: String,
        /// `Host`, where it is not the endpoint's.
        host: Option<String>,
        /// The first and the last of each range of statuses of a healthy endpoint.
        expect: Vec<(u16, u16)>,
    },
    /// Nothing: that there is a connection is enough.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service; empty = the server as a whole.
        service: String,
    },
}

/// How an endpoint is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The port that is meant where none is named.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The word in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Which HTTP an upstream speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// TLS: what ALPN says; clear text: HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; on clear text with prior knowledge.
    Http2,
}
