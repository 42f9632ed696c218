//! APIs, operations and backends, compiled.

use std::sync::Arc;

use base::{Digest, Environment, Org};
use policy::Chain;

use crate::router::Router;

/// One version of an API.
pub struct Api {
    /// Its organisation.
    pub org: Org,
    /// Its document's name.
    pub name: String,
    /// The API's name, shared by its versions.
    pub api: String,
    /// The version.
    pub version: String,
    /// Hosts it is served at; none = every host.
    pub vhosts: Vec<String>,
    /// Paths it is mounted at: `/context/version`, and `/context` for the default version.
    pub mounts: Vec<String>,
    /// Whether it serves.
    pub gate: Gate,
    /// Its operations; empty unless the gate is [`Gate::Serve`].
    pub router: Router,
    /// Answers `OPTIONS` where the definition has no such operation (CORS preflight), and gives answers that no
    /// operation made (404, 405) their headers.
    pub preflight: Chain,
    /// The model's digest: an equal digest is an equal API.
    pub digest: Digest,
}

/// What the life cycle and the compiler say of an API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Calls pass.
    Serve,
    /// `API_NOT_PUBLISHED`
    NotPublished,
    /// `API_BLOCKED`
    Blocked,
    /// `API_RETIRED`
    Retired,
    /// `API_BROKEN`
    Broken,
}

/// One operation.
pub struct Operation {
    /// The API's document name, for metrics and logs.
    pub api: Arc<str>,
    /// `operationId`, or `METHOD template`: the label in metrics and logs.
    pub label: Arc<str>,
    /// The path template below the API's mount, for traces (`http.route`).
    pub template: Arc<str>,
    /// The policies.
    pub chain: Chain,
    /// Where calls of production credentials go, and those without a credential; none: they are refused.
    pub backend: Option<BackendKey>,
    /// Where calls of sandbox credentials go; none: they are refused.
    pub sandbox: Option<BackendKey>,
}

impl Operation {
    /// Where the calls of a credential go; `None` when the operation has no backend for its environment.
    #[must_use]
    pub fn backend_for(&self, environment: Environment) -> Option<&BackendKey> {
        match environment {
            Environment::Production => self.backend.as_ref(),
            Environment::Sandbox => self.sandbox.as_ref(),
        }
    }
}

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
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Until the head of the answer must be there, in milliseconds.
    pub timeout_ms: u64,
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_pem: Option<String>,
    /// Server name for TLS; `None` = the endpoint's host.
    pub sni: Option<String>,
    /// The model's digest: connections of another digest are not reused.
    pub digest: Digest,
}

/// One endpoint of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The `Host` header: host and, unless it is the scheme's own, port.
    pub authority: http::uri::Authority,
    /// What stands before the rest of the path; without a trailing slash, empty for the root.
    pub path: String,
}

/// How an endpoint is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
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
