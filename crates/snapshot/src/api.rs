//! APIs and operations, compiled.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base::{Digest, Environment, Org};
use policy::Chain;

use crate::backend::BackendKey;
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
    /// What clients are told of the tokens that it takes; `None` where it takes none.
    pub protected: Option<Box<Protected>>,
    /// Files of the node's folder of secrets with the keys that its backends check tokens of the gateway with.
    pub backend_keys: Box<[PathBuf]>,
    /// The model's digest: an equal digest is an equal API.
    pub digest: Digest,
}

/// The tokens that an API takes, over all its operations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protected {
    /// Names of the issuers, in the order of the document.
    pub issuers: Box<[Box<str>]>,
    /// The scopes that its operations need, sorted.
    pub scopes: Box<[Box<str>]>,
    /// Whether they are sent in `Authorization`, and not in a header of the API's own.
    pub in_authorization: bool,
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

/// One operation. A node has a hundred thousand of them: what each has of its own is a line of the processor's cache.
pub struct Operation {
    /// The policies; operations that have none of their own share one chain.
    pub chain: Arc<Chain>,
    /// Where calls go; most operations of an API share it.
    pub targets: Arc<Targets>,
    /// What organisation, API and label together are known by where calls are counted.
    pub mark: Mark,
    /// `operationId`, or `METHOD template`: the label in metrics and logs.
    pub label: Arc<str>,
    /// The path template below the API's mount, for traces (`http.route`).
    pub template: Arc<str>,
}

/// The fingerprint of names that do not change, made by the first who needs it: to look at the names themselves costs
/// several times more. Nothing but a memory; two that are made of equal names need not be equal.
#[derive(Debug, Default)]
pub struct Mark(OnceLock<u64>);

impl Mark {
    /// The fingerprint, which `make` makes of the names where there is none yet.
    pub fn get(&self, make: impl FnOnce() -> u64) -> u64 {
        *self.0.get_or_init(make)
    }
}

/// The backends of an operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Targets {
    /// Where calls of production credentials go, and those without a credential; none: they are refused.
    pub production: Option<BackendKey>,
    /// Where calls of sandbox credentials go; none: they are refused.
    pub sandbox: Option<BackendKey>,
}

impl Operation {
    /// Where the calls of a credential go; `None` when the operation has no backend for its environment.
    #[must_use]
    pub fn backend_for(&self, environment: Environment) -> Option<&BackendKey> {
        match environment {
            Environment::Production => self.targets.production.as_ref(),
            Environment::Sandbox => self.targets.sandbox.as_ref(),
        }
    }
}
