//! HTTP/2 to a backend: few connections, many streams.
//!
//! Over the frames of the library `h2`, without a client around them: a call sees how many streams the peer takes, which
//! calls it has not looked at when it goes away, and hands a request's body on by itself
//! (docs/adr/0027-http2-client-over-h2.md). A task of its own drives the connection.
//!
//! Start reading at [`send`]. Source: RFC 9113.

mod driven;
mod tunnelled;
mod upload;
mod wire;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong, Reason};
use http::header::{HOST, TE};
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use snapshot::Scheme;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::answer::{Answered, Source, Streaming};
use super::pool::{Keeping, OpenCount};
use super::tries::causes;
use super::{Outgoing, Reach, Unanswered, again};
use crate::body::RequestBody;
use crate::io::Stream;
use crate::metrics::Upstream;
use crate::worker::Worker;
pub(crate) use driven::{BodyFault, Driven};
pub(crate) use tunnelled::Tunnelled;
use upload::{Upload, UploadFault};
use wire::{Sight, Wire};

/// How much of an answer may be on its way that was not asked for yet: of a stream, and of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How much of all requests' bodies may wait in a connection.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// With so many streams or more on each connection another one is opened ahead: as a part of what they take.
const FILLING: (usize, usize) = (3, 4);
/// A connection that takes fewer streams is not worth opening one ahead.
const AHEAD_STREAMS_MIN: usize = 4;

/// A connection that several requests use at a time.
pub(crate) struct Connection {
    sender: RefCell<SendRequest<Bytes>>,
    streams: Cell<usize>,
    served: Cell<u32>,
    closed: Rc<Cell<bool>>,
    pings: RefCell<Pings>,
    driver: AbortHandle,
    sight: Sight,
    keeping: Rc<Keeping>,
    born_ms: u64,
    /// When a stream was last begun.
    used_ms: Cell<u64>,
    /// Told when a stream has ended.
    freed: Rc<Notify>,
}

/// The PINGs of a connection.
struct Pings {
    wire: Option<PingPong>,
    /// When the one was sent that is not answered.
    sent_ms: Option<u64>,
    answered_ms: u64,
}

/// One stream's place on a connection, held while the stream lasts.
pub(crate) struct StreamSlot(Rc<Connection>);

impl Connection {
    /// Begins HTTP/2, and waits until the peer has said how many streams it takes: its SETTINGS come before the answer
    /// to a PING (RFC 9113 §3.4).
    pub(super) async fn handshake(
        stream: Stream,
        worker: &Worker,
        keeping: &Rc<Keeping>,
        freed: &Rc<Notify>,
        open: OpenCount,
    ) -> Result<Rc<Self>, h2::Error> {
        let head_max = worker.config.upstream.head_bytes_max;
        let (stream, sight) = Wire::new(stream);
        let (sender, mut wire) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(u32::try_from(head_max).unwrap_or(u32::MAX))
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .handshake::<_, Bytes>(stream)
            .await?;
        let mut pings = wire.ping_pong();
        let closed = Rc::new(Cell::new(false));
        let driver = tokio::task::spawn_local({
            let (closed, freed) = (Rc::clone(&closed), Rc::clone(freed));
            async move {
                let _open = open;
                if let Err(error) = wire.await {
                    tracing::debug!(%error, "HTTP/2 connection to a backend ended");
                }
                closed.set(true);
                freed.notify_one();
            }
        })
        .abort_handle();
        if let Some(pings) = &mut pings {
            pings.send_ping(Ping::opaque())?;
            std::future::poll_fn(|cx| pings.poll_pong(cx)).await?;
        }
        let now_ms = worker.now_ms.get();
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            streams: Cell::new(0),
            served: Cell::new(0),
            closed,
            pings: RefCell::new(Pings {
                wire: pings,
                sent_ms: None,
                answered_ms: now_ms,
            }),
            driver,
            sight,
            keeping: Rc::clone(keeping),
            born_ms: now_ms,
            used_ms: Cell::new(now_ms),
            freed: Rc::clone(freed),
        }))
    }

    /// Whether it takes no more streams: gone, told to go, or used up.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether it is old or has served enough. What is under way on it ends as it would.
    pub(crate) fn is_worn(&self, now_ms: u64) -> bool {
        self.keeping
            .is_worn(self.born_ms, self.served.get(), now_ms)
    }

    /// Whether nobody has used it for a while.
    pub(super) fn is_unused(&self, now_ms: u64) -> bool {
        let unused_ms = now_ms.saturating_sub(self.used_ms.get());
        self.streams.get() == 0 && unused_ms > self.keeping.idle_ms
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// How many streams at a time it takes: by us and by the peer.
    fn takes(&self) -> usize {
        let by_peer = self.sender.borrow().current_max_send_streams();
        self.keeping.streams_max.min(by_peer)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.streams.get() < self.takes()
    }

    /// Whether it is time for another connection.
    pub(crate) fn is_filling(&self) -> bool {
        let takes = self.takes();
        let (part, whole) = FILLING;
        takes >= AHEAD_STREAMS_MIN && self.streams.get() * whole >= takes * part
    }

    /// Whether the peer has ended it, for a call that must not go into a connection that ends: many close theirs without a
    /// GOAWAY (docs/adr/0045-asked-before-the-first-byte.md).
    fn is_dead_for(&self, outgoing: &Outgoing<'_>) -> bool {
        self.served.get() > 1 && again::goes_once(outgoing) && self.sight.has_ended()
    }

    /// Takes a place for one more stream.
    pub(crate) fn slot(self: &Rc<Self>, now_ms: u64) -> StreamSlot {
        self.streams.set(self.streams.get() + 1);
        self.served.set(self.served.get().saturating_add(1));
        self.used_ms.set(now_ms);
        StreamSlot(Rc::clone(self))
    }

    /// Asks the peer now and then whether it is there. One that does not answer in time is given up.
    pub(crate) fn ping(&self, worker: &Worker, now_ms: u64) {
        if self.keeping.ping_every_ms == 0 || self.closed.get() {
            return;
        }
        let mut pings = self.pings.borrow_mut();
        let Pings {
            wire: Some(wire),
            sent_ms,
            answered_ms,
        } = &mut *pings
        else {
            return;
        };
        match *sent_ms {
            None if now_ms.saturating_sub(*answered_ms) >= self.keeping.ping_every_ms => {
                *sent_ms = wire.send_ping(Ping::opaque()).ok().map(|()| now_ms);
            }
            None => {}
            Some(at_ms) => match wire.poll_pong(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(_)) => (*sent_ms, *answered_ms) = (None, now_ms),
                Poll::Ready(Err(_)) => self.closed.set(true),
                Poll::Pending if now_ms.saturating_sub(at_ms) >= self.keeping.ping_timeout_ms => {
                    worker.numbers().upstream(Upstream::PingTimeout);
                    self.closed.set(true);
                    self.driver.abort();
                    self.freed.notify_one();
                }
                Poll::Pending => {}
            },
        }
    }
}

impl StreamSlot {
    /// Whether the peer takes WebSockets (`SETTINGS_ENABLE_CONNECT_PROTOCOL`, RFC 8441 §3).
    pub(super) fn takes_tunnels(&self) -> bool {
        self.0
            .sender
            .borrow()
            .is_extended_connect_protocol_enabled()
    }

    /// No more streams on this connection.
    fn forget(&self) {
        self.0.closed.set(true);
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.freed.notify_one();
    }
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// [`Unanswered`]; where the peer has seen nothing of it, the request is whole.
pub(crate) async fn send(
    worker: &Worker,
    slot: StreamSlot,
    outgoing: &mut Outgoing<'_>,
) -> Result<Answered, Unanswered> {
    let Some(mut request) = head(outgoing) else {
        return Err(Unanswered {
            reach: Reach::Garbled,
            cause: "the backend's address and the path are no URI together".into(),
            tls: false,
        });
    };
    let ready = std::future::poll_fn(|cx| slot.0.sender.borrow_mut().poll_ready(cx)).await;
    if let Err(error) = ready {
        return Err(broke(worker, &slot, &error, Reach::Unsent));
    }
    if slot.0.is_dead_for(outgoing) {
        slot.forget();
        return Err(Unanswered {
            reach: Reach::Unsent,
            cause: "the backend had closed the connection".into(),
            tls: false,
        });
    }
    *request.version_mut() = Version::HTTP_2;
    if outgoing.switches {
        tunnelled::asks(&mut request);
        return tunnelled::ask(worker, slot, request).await;
    }
    let ends = http_body::Body::is_end_stream(&outgoing.body);
    let begun = slot.0.sender.borrow_mut().send_request(request, ends);
    let (mut response, stream) = match begun {
        Ok(begun) => begun,
        Err(error) => return Err(broke(worker, &slot, &error, Reach::Garbled)),
    };
    let mut upload = None;
    if !ends {
        let body = std::mem::replace(&mut outgoing.body, RequestBody::Empty);
        outgoing.taken = true;
        upload = Some(Upload::new(body, stream));
    }
    let answered = std::future::poll_fn(|cx| {
        if upload::poll(&mut upload, cx).is_err() {
            return Poll::Ready(None);
        }
        pin!(&mut response).poll(cx).map(Some)
    })
    .await;
    let response = match answered {
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            let reach = reach(&error);
            return Err(broke(worker, &slot, &error, reach));
        }
        None => {
            return Err(Unanswered {
                reach: Reach::Garbled,
                cause: UploadFault::Body.to_string().into(),
                tls: false,
            });
        }
    };
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    if body.is_end_stream() && upload.is_none() {
        return Ok((parts, Source::Complete(Bytes::new())));
    }
    let driven = Driven::new(&parts.headers, body, upload, slot);
    Ok((parts, Source::Streaming(Streaming::H2(Box::new(driven)))))
}

/// How far a request came, by the error that its stream ended with. A stream above the last one that a GOAWAY names, or
/// one that is refused, was not looked at (RFC 9113 §6.8, §8.7).
fn reach(error: &h2::Error) -> Reach {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    match error.is_remote() && (refused || error.is_go_away()) {
        true => Reach::Refused,
        false => Reach::Broke,
    }
}

fn broke(worker: &Worker, slot: &StreamSlot, error: &h2::Error, reach: Reach) -> Unanswered {
    if error.is_go_away() && error.is_remote() && !slot.0.closed.get() {
        worker.numbers().upstream(Upstream::GoAway);
    }
    if reach == Reach::Refused && error.is_reset() {
        worker.numbers().upstream(Upstream::Refused);
    }
    if !error.is_reset() {
        slot.forget();
    }
    let trust = error.get_io().and_then(super::tls::cause);
    Unanswered {
        reach,
        tls: trust.is_some(),
        cause: trust.unwrap_or_else(|| causes(error)).into(),
    }
}

/// The request without its body. The headers are copied: a stream that the peer does not look at is sent again.
fn head(outgoing: &Outgoing<'_>) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri(outgoing)?;
    let mut headers = outgoing.headers.clone();
    // HTTP/2 says it in `:authority` (RFC 9113 §8.3.1).
    headers.remove(HOST);
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    *request.headers_mut() = headers;
    Some(request)
}

fn uri(outgoing: &Outgoing<'_>) -> Option<Uri> {
    let endpoint = &outgoing.endpoint.address;
    let mut target = Vec::new();
    outgoing.target.write(endpoint, &mut target);
    let scheme = match endpoint.scheme {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(endpoint.authority.clone());
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(target)).ok()?);
    Uri::from_parts(parts).ok()
}
