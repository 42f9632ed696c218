//! What a node serves: routes, matchers, compiled policies. Immutable; a change makes a new one that shares all that
//! did not change.
//!
//! No serde, no IO, no documents. Start at [`Snapshot::find`].

pub mod api;
pub mod backend;
pub mod mounts;
pub mod router;
pub mod template;

use std::collections::HashMap;
use std::sync::Arc;

use base::Org;
use http::Method;

pub use api::{Api, Gate, Mark, Operation, Protected, Targets};
pub use backend::{
    Backend, BackendKey, Balance, Check, CheckAsk, EjectOn, Endpoint, HashBy, Health, Lookup,
    Protocol, Scheme,
};
pub use mounts::{Conflict, Mounts};
pub use router::{MethodSet, Router, RouterBuilder, RouterError};
pub use template::{Segment, TemplateError};

/// Everything a node serves at one revision.
pub struct Snapshot {
    /// The store's revision that it shows.
    pub revision: u64,
    /// The environment of the gateway that serves it; usage is counted under it.
    pub environment: Arc<str>,
    /// Where clients reach the gateway that serves it: scheme, host and port; `None` where nobody has said.
    pub public_url: Option<Arc<str>>,
    mounts: Mounts,
    backends: HashMap<BackendKey, Arc<Backend>, foldhash::fast::RandomState>,
}

/// What stands at a host, path and method.
pub enum Found<'s> {
    /// An operation of a serving API.
    Operation {
        /// The API.
        api: &'s Arc<Api>,
        /// The operation.
        operation: &'s Operation,
        /// Where the path that the backend gets begins: behind context and version.
        rest_at: usize,
    },
    /// The path exists, the method does not.
    MethodNotAllowed {
        /// The API.
        api: &'s Arc<Api>,
        /// The methods that do.
        allow: MethodSet,
    },
    /// The API is there, the path is not.
    NoOperation {
        /// The API.
        api: &'s Arc<Api>,
    },
    /// No API is served there.
    NoApi,
}

impl Snapshot {
    /// A snapshot of these APIs and backends. APIs that claim a mount which another one has are reported and left
    /// out at that mount; the first by (organisation, name) keeps it, whatever the order given.
    #[must_use]
    pub fn new(
        revision: u64,
        apis: impl IntoIterator<Item = Arc<Api>>,
        backends: impl IntoIterator<Item = (BackendKey, Arc<Backend>)>,
    ) -> (Self, Vec<Conflict>) {
        let (mounts, conflicts) = Mounts::new(apis);
        (
            Self {
                revision,
                environment: "".into(),
                public_url: None,
                mounts,
                backends: backends.into_iter().collect(),
            },
            conflicts,
        )
    }

    /// The same, in an environment.
    #[must_use]
    pub fn in_environment(self, environment: &Arc<str>) -> Self {
        Self {
            environment: Arc::clone(environment),
            ..self
        }
    }

    /// The same, reached by clients at this URL.
    #[must_use]
    pub fn at_public_url(self, public_url: Option<Arc<str>>) -> Self {
        Self { public_url, ..self }
    }

    /// A snapshot that serves nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(0, [], []).0
    }

    /// Finds what stands at `host` (lower case, no port), the canonical `path` and `method`.
    ///
    /// Cost: one hash look-up per path segment up to the deepest mount, then a walk of the API's own trie; neither
    /// grows with the number of APIs. `HEAD` falls back to `GET` where the definition has no `HEAD`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Found<'_> {
        let Some((api, rest_at)) = self.mounts.find(host, path) else {
            return Found::NoApi;
        };
        match api.router.find(&path[rest_at..]) {
            None => Found::NoOperation { api },
            Some(methods) => match methods.get(method) {
                Some(operation) => Found::Operation {
                    api,
                    operation,
                    rest_at,
                },
                None => Found::MethodNotAllowed {
                    api,
                    allow: methods.allowed(),
                },
            },
        }
    }

    /// The API that is mounted at exactly this path.
    #[must_use]
    pub fn mounted(&self, host: &str, mount: &str) -> Option<&Arc<Api>> {
        let (api, rest_at) = self.mounts.find(host, mount)?;
        (rest_at == mount.len()).then_some(api)
    }

    /// The backend that an operation names; `None` when it does not exist (any more).
    #[must_use]
    pub fn backend(&self, key: &BackendKey) -> Option<&Arc<Backend>> {
        self.backends.get(key)
    }

    /// All backends.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends.values()
    }

    /// All APIs, each once.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<Api>> {
        self.mounts.apis()
    }

    /// The API with this organisation and document name.
    #[must_use]
    pub fn api(&self, org: &Org, name: &str) -> Option<&Arc<Api>> {
        self.apis().find(|api| api.org == *org && api.name == name)
    }
}

#[cfg(test)]
mod tests;
