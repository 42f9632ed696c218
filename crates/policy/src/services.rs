//! Services that policies ask about a call while it waits, and the beginning of its body, where they ask for that too.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use base::Org;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::LocalFuture;
use crate::context::RequestCx;

/// What a service is asked. It is a backend, so its endpoints, TLS, health and limits are those of that document.
#[derive(Clone, Debug)]
pub struct ServiceCall {
    /// Whose backend.
    pub org: Org,
    /// Its document's name.
    pub backend: Arc<str>,
    /// The method.
    pub method: Method,
    /// The path, with a leading slash, behind that of the endpoint's URL.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The fields; `Host` and `Content-Length` are added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Until when the whole answer has to be there.
    pub timeout_ms: u64,
    /// The longest answer that is read.
    pub answer_bytes_max: usize,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct ServiceAnswer {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What came behind it.
    pub trailers: HeaderMap,
}

/// There is no answer: why, for operators.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is no backend of this name on the node.
    #[error("there is no such backend")]
    Missing,
    /// The call failed.
    #[error("{0}")]
    Failed(&'static str),
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
}

/// Asks services, on the core.
pub trait Services {
    /// Asks, and reads the whole answer. `about` is the call that waits.
    fn call(
        &self,
        about: &RequestCx,
        call: ServiceCall,
    ) -> LocalFuture<'static, Result<ServiceAnswer, NoAnswer>>;
}

/// The body of a request that a policy may look at before the backend gets it; in a slot of calls whose chain has such a
/// policy ([`crate::Policy::looks_ahead`]), unless there is no body.
#[derive(Clone)]
pub struct Ahead(pub Rc<dyn BodyAhead>);

/// See [`Ahead`].
pub trait BodyAhead {
    /// Waits for the first bytes: at most so many, or all. What was looked at goes to the backend all the same.
    fn peek(&self, bytes_max: usize) -> LocalFuture<'static, Result<Peeked, PeekFault>>;
}

/// What was looked at.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// The first bytes.
    pub bytes: Bytes,
    /// There are no more.
    pub whole: bool,
}

/// There is nothing more to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeekFault {
    /// The client's body is longer than the node takes.
    TooLong,
    /// It broke off, or came too slowly.
    Broken,
}

/// What came of external authorization, for metrics.
#[derive(Debug, Default)]
pub struct AuthorizationCounts {
    /// Calls that the service let pass.
    pub allowed: AtomicU64,
    /// Calls that it did not.
    pub denied: AtomicU64,
    /// Calls refused, since it gave no answer that can be understood.
    pub failed: AtomicU64,
    /// Calls that passed although it gave none.
    pub failed_open: AtomicU64,
    /// Calls refused, since their body is longer than it may be asked about.
    pub too_long: AtomicU64,
}
