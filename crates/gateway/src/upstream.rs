//! The way to the backends: pools of connections, one set for each worker.
//!
//! Start at [`call`]: it demands a [`Permit`], so no request reaches a backend without its policies having run.

pub(crate) mod connect;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod pool;
pub(crate) mod tls;
pub(crate) mod tries;

use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming, SizeHint};
use policy::{Permit, Reject};
use snapshot::{Backend, Endpoint};

use crate::body::{BodyFault, BodyState, RequestBody};
use crate::metrics::Upstream;
use crate::timers;
use crate::worker::Worker;
use connect::Dialled;
use pool::BackendPool;
use tries::{Tries, Via};

/// What a backend is asked.
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Without hop-by-hop headers; `Host` is replaced.
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// How the body fares, where there is one.
    pub(crate) body_state: Option<Rc<BodyState>>,
    /// When the head of the answer must be there, by the monotonic clock.
    pub(crate) deadline_ms: u64,
}

/// The rest of the path (empty, or with a leading slash) and the query.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// Where an answer's body comes from.
pub(crate) enum Source {
    /// Nobody has to be asked any more: all of it is here already.
    Complete(Incoming),
    /// An HTTP/1.1 connection that this body drives.
    H1(h1::Driven),
    /// A stream of a shared HTTP/2 connection.
    H2 {
        body: Incoming,
        /// Its place on the connection, free when the body is dropped.
        _slot: h2::StreamSlot,
    },
}

/// The head of an answer, and where its body comes from.
pub(crate) type Answered = (Parts, Source);

impl Source {
    /// How long the body is, where that is known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(body) | Self::H2 { body, .. } => body.size_hint(),
            Self::H1(driven) => driven.size_hint(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection could be made.
    Unreachable,
    /// The connection broke, or what came was not HTTP.
    Failed,
    /// No answer in time.
    TimedOut,
    /// The client's body is larger than allowed.
    BodyTooLarge,
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
            Self::BodyBroken => Reject::new(
                code::BAD_REQUEST_FRAMING,
                "the request's body broke off or is malformed",
            )
            .close(),
        }
    }
}

/// Asks a backend; returns when the head of its answer is there.
///
/// Endpoints are taken in turn. A pooled connection that turns out to be closed before the request was written is
/// replaced, whatever the method: the backend has seen nothing of the request.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    _permit: Permit,
    backend: &Arc<Backend>,
    target: Target<'_>,
    ask: Ask,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let pool = worker.pools.of(worker, backend);
    let index = pool.next_endpoint();
    let Ask {
        method,
        mut headers,
        body,
        body_state,
        deadline_ms,
    } = ask;
    let endpoint = &pool.endpoints[index];
    headers.insert(HOST, endpoint.host.clone());
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = origin_form(&endpoint.address, target).ok_or(Failure::Failed)?;
    *request.headers_mut() = headers;
    let sent = {
        let sending = std::pin::pin!(send(worker, &pool, index, request, tries));
        timers::until(&worker.timers, &*worker.clock, deadline_ms, sending).await
    };
    let sent = sent.unwrap_or_else(|| {
        tries.failed(&endpoint.address, "no answer in time");
        Err(Failure::TimedOut)
    });
    sent.map_err(|failure| match body_state.and_then(|state| state.fault()) {
        Some(BodyFault::TooLarge) => Failure::BodyTooLarge,
        Some(BodyFault::Broken) => Failure::BodyBroken,
        None => failure,
    })
}

/// The backend's own path, the rest and the query.
fn origin_form(endpoint: &Endpoint, target: Target<'_>) -> Option<Uri> {
    let slash = if endpoint.path.is_empty() && target.rest.is_empty() {
        "/"
    } else {
        ""
    };
    let query_len = target.query.map_or(0, |query| query.len() + 1);
    let mut text = String::with_capacity(endpoint.path.len() + target.rest.len() + 1 + query_len);
    text.push_str(&endpoint.path);
    text.push_str(target.rest);
    text.push_str(slash);
    if let Some(query) = target.query {
        text.push('?');
        text.push_str(query);
    }
    Uri::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

/// Takes pooled connections while they last. What happens seldom is boxed: the future of every request has room for
/// all that it may become, and is copied with it.
async fn send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    index: usize,
    mut request: Request<RequestBody>,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let endpoint = &pool.endpoints[index];
    loop {
        if let Some(connection) = endpoint.take_idle() {
            tries.begin(Via::Reused, &worker.ids, &mut request);
            match h1::send(connection, request).await {
                Ok((response, connection)) => {
                    tries.answered(&endpoint.address, response.status());
                    worker.numbers().upstream(Upstream::Reused);
                    return Ok(h1_answer(worker, pool, index, response, connection));
                }
                Err(failed) => {
                    tries.failed(&endpoint.address, tries::causes(&failed.error));
                    request = replace(worker, failed.request)?;
                }
            }
        } else if let Some(slot) = endpoint.take_stream(worker) {
            tries.begin(Via::Reused, &worker.ids, &mut request);
            match Box::pin(h2::send(&slot, &endpoint.address, request)).await {
                Ok(response) => {
                    tries.answered(&endpoint.address, response.status());
                    worker.numbers().upstream(Upstream::Reused);
                    return Ok(h2_answer(response, slot));
                }
                Err(failed) => {
                    tries.failed(&endpoint.address, failed.error);
                    slot.forget();
                    request = replace(worker, failed.request)?;
                }
            }
        } else {
            return Box::pin(dial_and_send(worker, pool, index, request, tries)).await;
        }
    }
}

async fn dial_and_send(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    index: usize,
    mut request: Request<RequestBody>,
    tries: &mut Tries,
) -> Result<Answered, Failure> {
    let endpoint = &pool.endpoints[index].address;
    tries.begin(Via::Connecting, &worker.ids, &mut request);
    let dialled = connect::dial(worker, pool, index).await;
    let dialled = dialled.map_err(|error| {
        tries.failed(endpoint, tries::causes(&error));
        Failure::Unreachable
    })?;
    match dialled {
        Dialled::H1(connection) => {
            tries.connected(Via::New);
            let (response, connection) = h1::send(connection, request).await.map_err(|failed| {
                tries.failed(endpoint, tries::causes(&failed.error));
                Failure::Failed
            })?;
            tries.answered(endpoint, response.status());
            Ok(h1_answer(worker, pool, index, response, connection))
        }
        Dialled::H2(slot) => {
            tries.connected(Via::New);
            let sent = h2::send(&slot, endpoint, request).await;
            let response = sent.map_err(|failed| {
                tries.failed(endpoint, failed.error);
                Failure::Failed
            })?;
            tries.answered(endpoint, response.status());
            Ok(h2_answer(response, slot))
        }
    }
}

/// The request, where it was given back unsent.
fn replace(
    worker: &Worker,
    unsent: Option<Request<RequestBody>>,
) -> Result<Request<RequestBody>, Failure> {
    let request = unsent.ok_or(Failure::Failed)?;
    worker.numbers().upstream(Upstream::Replaced);
    Ok(request)
}

fn h1_answer(
    worker: &Rc<Worker>,
    pool: &Rc<BackendPool>,
    index: usize,
    response: Response<Incoming>,
    connection: Option<Box<h1::Connection>>,
) -> Answered {
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    let source = match connection {
        Some(connection) if connection.is_ready() => {
            pool.endpoints[index].give_back(worker, connection);
            Source::Complete(body)
        }
        connection => Source::H1(h1::Driven::new(
            body,
            connection,
            Rc::clone(worker),
            Rc::clone(pool),
            index,
        )),
    };
    (parts, source)
}

fn h2_answer(response: Response<Incoming>, slot: h2::StreamSlot) -> Answered {
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    (parts, Source::H2 { body, _slot: slot })
}

/// The `Host` header of an endpoint.
pub(crate) fn host_header(endpoint: &Endpoint) -> HeaderValue {
    HeaderValue::from_str(endpoint.authority.as_str()).expect("an authority is a legal value")
}
