//! Backends: where calls go.

mod balance;
mod endpoint;
mod health;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::calls::{CircuitBreaker, Http2, KeepAlive, Retry};
use crate::units::Duration;

pub use balance::{Balance, BalanceHash, BalanceRule, HashSpec};
pub use endpoint::{EndpointScheme, EndpointSpec};
pub use health::{EjectOn, GrpcCheck, HealthSpec, HttpCheck, TcpCheck};

/// Where calls go and how.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// Where it listens.
    #[schemars(length(min = 1, max = 256))]
    pub endpoints: Vec<EndpointSpec>,
    /// Which endpoint gets a call: `roundRobin`, `leastRequest` or `{hash: …}`; absent = `roundRobin`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub balance: Option<Balance>,
    /// Which endpoints may be called; absent = no checks, and endpoints whose calls fail are ejected for a while.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub health: Option<HealthSpec>,
    /// Names of `Backend` documents that take the calls while this one has too few endpoints that can, the first first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 8), extend("items" = {"type": "string", "format": "tollway-name"}))]
    pub failover: Vec<String>,
    /// How long an endpoint that is new, or comes back, gets less than its share of the calls, which grows; absent = at
    /// once all of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub slow_start: Option<Duration>,
    /// Until the head of the answer must be there.
    #[serde(default = "BackendSpec::default_timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// The longest pause within the body of an answer; `0s` = any. Absent = as the node says (5 minutes), and any for events
    /// (`text/event-stream`) and gRPC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration"))]
    pub idle_timeout: Option<Duration>,
    /// When a call is sent again; absent = once, where that is safe.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry: Option<Box<Retry>>,
    /// When the backend is not called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circuit_breaker: Option<Box<CircuitBreaker>>,
    /// How long connections are kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep_alive: Option<Box<KeepAlive>>,
    /// How HTTP/2 connections are used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http2: Option<Box<Http2>>,
    /// Which HTTP it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// How TLS endpoints are verified; absent = by the system's certificates and the URL's host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<Box<BackendTls>>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl BackendSpec {
    fn default_timeout() -> Duration {
        Duration::from_s(30)
    }

    /// The names of `Backend` documents that it refers to, each with where it stands.
    pub fn failover_names(&self) -> impl Iterator<Item = (String, &str)> {
        let names = self.failover.iter().enumerate();
        names.map(|(index, name)| (format!("failover/{index}"), name.as_str()))
    }

    /// A backend with one endpoint and all defaults.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            endpoints: vec![EndpointSpec::at(url)],
            balance: None,
            health: None,
            failover: Vec::new(),
            slow_start: None,
            timeout: Self::default_timeout(),
            idle_timeout: None,
            retry: None,
            circuit_breaker: None,
            keep_alive: None,
            http2: None,
            protocol: Protocol::default(),
            tls: None,
            extensions: Extensions::new(),
        }
    }
}

/// Which HTTP a backend speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Over TLS what both sides agree on, in clear text HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text with prior knowledge.
    Http2,
}

/// How a TLS endpoint is verified. There is no way to switch it off.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// Certificates that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca: Option<Ca>,
    /// The server's name, where it is not the URL's host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-host"))]
    pub sni: Option<String>,
    /// What the gateway shows a backend that asks who calls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_certificate: Option<ClientCertificate>,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Certificates, at one of these places.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ca {
    /// The text, in PEM.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-pem"))]
    pub inline: Option<String>,
    /// The folder under the node's `--secrets-dir` that holds `ca.crt` (PEM).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub secret_ref: Option<String>,
    /// A file (PEM) under the node's `--secrets-dir`, as in `orders/ca.pem`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-file"))]
    pub file: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// The folder under the node's `--secrets-dir` that holds `tls.crt` and `tls.key` (PEM), as Kubernetes mounts a
    /// secret of type `kubernetes.io/tls`.
    #[schemars(extend("format" = "tollway-name"))]
    pub secret_ref: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// Where calls go, by the environment of the credential that they come with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backends {
    /// Of production credentials, and of calls without a credential: the name of a `Backend` document, or a backend for
    /// this API alone; absent = the servers of the definition, at an operation the API's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub production: Option<BackendRef>,
    /// Of sandbox credentials; absent = their calls are refused, at an operation the API's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sandbox: Option<BackendRef>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Backends {
    /// The names of `Backend` documents, each with where it stands.
    pub(crate) fn names(&self) -> impl Iterator<Item = (String, &str)> {
        let both = [("production", &self.production), ("sandbox", &self.sandbox)];
        both.into_iter().flat_map(|(key, backend)| match backend {
            Some(BackendRef::Name(name)) => vec![(key.to_owned(), name.as_str())],
            Some(BackendRef::Inline(backend)) => backend
                .failover_names()
                .map(|(place, name)| (format!("{key}/{place}"), name))
                .collect(),
            None => Vec::new(),
        })
    }

    /// These and nothing else.
    #[must_use]
    pub fn new(production: Option<BackendRef>, sandbox: Option<BackendRef>) -> Self {
        Self {
            production,
            sandbox,
            extensions: Extensions::new(),
        }
    }
}

/// A backend by name or in place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BackendRef {
    /// The name of a `Backend` document.
    Name(#[schemars(extend("format" = "tollway-name"))] String),
    /// A backend for this API alone.
    Inline(Box<BackendSpec>),
}
