//! The way to the backends: pools of connections, one set for each worker.
//!
//! Start at [`call`]: it demands a [`Permit`], so no request reaches a backend without its policies having run.

mod attributes;
pub(crate) mod balance;
pub(crate) mod connect;
pub(crate) mod dns;
mod eyeballs;
pub(crate) mod h1;
pub(crate) mod h2;
mod health;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod pool;
pub(crate) mod state;
pub(crate) mod tls;
pub(crate) mod tries;
pub(crate) mod upkeep;

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use policy::{Permit, Reject, RequestCx};
use snapshot::{Backend, Endpoint, Snapshot};

use crate::body::{BodyFault, BodyState, RequestBody};
use crate::metrics::Upstream;
use crate::timers;
use crate::worker::Worker;
use balance::{InFlight, PickInput, Tried};
use connect::Dialled;
use members::Did;
use pool::{BackendPool, EndpointPool};
use tries::{Tries, Via};

/// A connection brought no answer.
pub(crate) struct Unanswered {
    /// The backend has seen nothing of the request, and all of it is still there.
    unsent: bool,
    /// Why, for the operator.
    cause: Cow<'static, str>,
}

/// What a backend is asked.
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Without hop-by-hop headers; `Host` is replaced.
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// How the body fares, where there is one.
    pub(crate) body_state: Option<Rc<BodyState>>,
    /// A WebSocket is asked for: over HTTP/1.1, on a connection that becomes a tunnel.
    pub(crate) switches: bool,
    /// When the head of the answer must be there, by the monotonic clock.
    pub(crate) deadline_ms: u64,
}

/// The rest of the path (empty, or with a leading slash) and the query.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl Target<'_> {
    /// The backend's own path, the rest and the query.
    fn write(self, endpoint: &Endpoint, out: &mut BytesMut) {
        out.extend_from_slice(endpoint.path.as_bytes());
        out.extend_from_slice(self.rest.as_bytes());
        if endpoint.path.is_empty() && self.rest.is_empty() {
            out.extend_from_slice(b"/");
        }
        if let Some(query) = self.query {
            out.extend_from_slice(b"?");
            out.extend_from_slice(query.as_bytes());
        }
    }
}

/// A request on its way to one endpoint.
pub(crate) struct Outgoing<'a> {
    endpoint: &'a EndpointPool,
    method: &'a Method,
    target: Target<'a>,
    headers: HeaderMap,
    body: RequestBody,
    switches: bool,
}

/// Where an answer's body comes from.
pub(crate) enum Source {
    /// All of it is here already.
    Complete(Bytes),
    /// It comes as it is asked for.
    Streaming(Streaming),
    /// There is none: the connection has changed its protocol, as was asked.
    Switched(Box<h1::Connection>),
}

/// An answer's body that is still on its way.
pub(crate) enum Streaming {
    /// On an HTTP/1.1 connection that this body drives.
    H1(Box<h1::Driven>),
    /// On a stream of a shared HTTP/2 connection.
    H2 {
        body: Incoming,
        /// Its place on the connection, free when the body is dropped.
        _slot: h2::StreamSlot,
        /// The call counts until its answer has ended.
        in_flight: Option<InFlight>,
    },
}

/// What broke an answer's body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendBodyFault {
    #[error(transparent)]
    H1(h1::BodyFault),
    #[error(transparent)]
    H2(hyper::Error),
}

/// The head of an answer, and where its body comes from.
pub(crate) type Answered = (Parts, Source);

impl Streaming {
    /// The call counts as in flight until this has ended.
    fn hold(&mut self, call: InFlight) {
        match self {
            Self::H1(driven) => driven.in_flight = Some(call),
            Self::H2 { in_flight, .. } => *in_flight = Some(call),
        }
    }

    /// The next part of the body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendBodyFault>>> {
        match self {
            Self::H1(driven) => driven.poll_frame(cx).map_err(BackendBodyFault::H1),
            Self::H2 { body, .. } => Pin::new(body).poll_frame(cx).map_err(BackendBodyFault::H2),
        }
    }

    /// Whether nothing more will come.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::H1(driven) => driven.is_end_stream(),
            Self::H2 { body, .. } => body.is_end_stream(),
        }
    }

    /// How long the rest is, where that is known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::H1(driven) => driven.size_hint(),
            Self::H2 { body, .. } => body.size_hint(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection could be made.
    Unreachable,
    /// The two ends of TLS do not trust each other.
    Untrusted,
    /// The connection broke, or what came was not HTTP.
    Failed,
    /// No answer in time.
    TimedOut,
    /// The client's body is larger than allowed.
    BodyTooLarge,
    /// The client's body comes too slowly.
    BodyTooSlow,
    /// The client's body broke off.
    BodyBroken,
}

impl Failure {
    /// What the client is told.
    pub(crate) fn reject(self) -> Reject {
        use base::code;
        match self {
            Self::Unreachable => Reject::new(
                code::BACKEND_UNREACHABLE,
                "no connection to the backend could be made",
            ),
            Self::Untrusted => Reject::new(
                code::BACKEND_TLS_FAILED,
                "the backend and the gateway do not trust each other",
            ),
            Self::Failed => Reject::new(
                code::BACKEND_FAILED,
                "the connection to the backend broke before its answer was there",
            ),
            Self::TimedOut => {
                Reject::new(code::BACKEND_TIMEOUT, "the backend did not answer in time")
            }
            Self::BodyTooLarge => Reject::new(
                code::BODY_TOO_LARGE,
                "the request's body is larger than this gateway takes",
            )
            .close(),
            Self::BodyTooSlow => {
                Reject::new(code::REQUEST_TIMEOUT, "the request's body came too slowly").close()
            }
            Self::BodyBroken => Reject::new(
                code::BAD_REQUEST_FRAMING,
                "the request's body broke off or is malformed",
            )
            .close(),
        }
    }
}

/// Where a call goes, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) backend: &'a Arc<Backend>,
    pub(crate) cx: &'a RequestCx,
    pub(crate) target: Target<'a>,
}

/// Asks a backend; returns when the head of its answer is there.
///
/// A pooled connection that turns out to be closed before the request was written is replaced, whatever the method: the
/// backend has seen nothing of the request.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    _permit: Permit,
    to: Destination<'_>,
    ask: Ask,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let Ask {
        method,
        headers,
        body,
        body_state,
        switches,
        deadline_ms,
    } = ask;
    let input = PickInput {
        snapshot: to.snapshot,
        cx: to.cx,
        headers: &headers,
    };
    let tried = Tried::default();
    let picked = match balance::pick(worker, to.backend, &input, &tried) {
        Some(picked) => picked,
        None => {
            // Its names are not looked up yet, or lead nowhere.
            let found = Box::pin(balance::pick_found(worker, to.backend, &input, &tried));
            let found = timers::until(&worker.timers, &*worker.clock, deadline_ms, found).await;
            found.flatten().ok_or(Failure::Unreachable)?
        }
    };
    let endpoint = &picked.endpoint;
    let outgoing = Outgoing {
        endpoint,
        method: &method,
        target: to.target,
        headers,
        body,
        switches,
    };
    let sent = {
        let sending = std::pin::pin!(send(worker, &picked.pool, endpoint, outgoing, tries));
        timers::until(&worker.timers, &*worker.clock, deadline_ms, sending).await
    };
    let sent = sent.unwrap_or_else(|| {
        tries.failed(&endpoint.address, "no answer in time");
        Err(Failure::TimedOut)
    });
    let sent = sent.map_err(|failure| match body_state.and_then(|state| state.fault()) {
        Some(BodyFault::TooLarge) => Failure::BodyTooLarge,
        Some(BodyFault::TooSlow) => Failure::BodyTooSlow,
        Some(BodyFault::Broken) => Failure::BodyBroken,
        None => failure,
    });
    picked.in_flight.done(worker, did(&sent));
    let (parts, mut source) = sent?;
    if let Source::Streaming(body) = &mut source {
        body.hold(picked.in_flight);
    }
    Ok((parts, source))
}

/// What the endpoint did, by what came of the try.
fn did(sent: &Result<Answered, Failure>) -> Did {
    match sent {
        Ok((parts, _)) => Did::Answered(parts.status.as_u16()),
        Err(Failure::Unreachable | Failure::Untrusted) => Did::ConnectFailed,
        Err(Failure::Failed) => Did::Broke,
        Err(Failure::TimedOut) => Did::TimedOut,
        Err(Failure::BodyTooLarge | Failure::BodyTooSlow | Failure::BodyBroken) => Did::GaveUp,
    }
}

/// Takes pooled connections while they last. What happens seldom is boxed: the future of every request has room for
/// all that it may become, and is copied with it.
async fn send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    mut outgoing: Outgoing<'_>,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    loop {
        let sent = if outgoing.switches {
            return Box::pin(dial_and_send(worker, pool, endpoint, outgoing, tries)).await;
        } else if let Some(connection) = endpoint.take_idle() {
            tries.begin(Via::Reused, &worker.ids, &mut outgoing.headers);
            h1::send(worker, endpoint, connection, &mut outgoing).await
        } else if let Some(slot) = endpoint.take_stream(worker) {
            tries.begin(Via::Reused, &worker.ids, &mut outgoing.headers);
            Box::pin(h2::send(slot, &mut outgoing)).await
        } else {
            return Box::pin(dial_and_send(worker, pool, endpoint, outgoing, tries)).await;
        };
        match sent {
            Ok(answered) => {
                tries.answered(&endpoint.address, answered.0.status);
                worker.numbers().upstream(Upstream::Reused);
                return Ok(answered);
            }
            Err(Unanswered { unsent, cause }) => {
                tries.failed(&endpoint.address, cause);
                if !unsent {
                    return Err(Failure::Failed);
                }
                worker.numbers().upstream(Upstream::Replaced);
            }
        }
    }
}

async fn dial_and_send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    endpoint: &Rc<EndpointPool>,
    mut outgoing: Outgoing<'_>,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let address = &endpoint.address;
    tries.begin(Via::Connecting, &worker.ids, &mut outgoing.headers);
    let dialled = connect::dial(worker, pool, endpoint, outgoing.switches).await;
    let dialled = dialled.map_err(|error| {
        tries.failed(address, tries::causes(&error));
        match error.is_tls() {
            true => Failure::Untrusted,
            false => Failure::Unreachable,
        }
    })?;
    tries.connected(Via::New);
    let sent = match dialled {
        Dialled::H1(connection) => h1::send(worker, endpoint, connection, &mut outgoing).await,
        Dialled::H2(slot) => h2::send(slot, &mut outgoing).await,
    };
    match sent {
        Ok(answered) => {
            tries.answered(address, answered.0.status);
            Ok(answered)
        }
        Err(unanswered) => {
            tries.failed(address, unanswered.cause);
            Err(Failure::Failed)
        }
    }
}

/// The `Host` header of an endpoint.
pub(crate) fn host_header(endpoint: &Endpoint) -> HeaderValue {
    HeaderValue::from_str(endpoint.authority.as_str()).expect("an authority is a legal value")
}
