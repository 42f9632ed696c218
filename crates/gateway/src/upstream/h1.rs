//! HTTP/1.1 to a backend, driven by the request that uses it.
//!
//! Our own, because the request path is what this crate exists for: a third of what a plain call cost was the library's
//! client (docs/adr/0022-own-http1-client.md). A connection has no task of its own: whoever waits for the answer polls
//! it, then the answer's body does; a request that is dropped closes its connection by itself. The request's body may
//! still be on its way while the answer comes.
//!
//! Start reading at [`send`]. Source: RFC 9112.

mod decoder;
mod head;
mod latest;
mod upload;

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::AsyncReadExt;

use super::answer::{Answered, Company, Source, Streaming};
use super::far::Far;
use super::pool::{EndpointPool, Keeping, OpenCount};
use super::tries::causes;
use super::{Outgoing, Reach, Unanswered, again, tls};
use crate::io::Stream;
use crate::worker::Worker;
use decoder::{DecodeFault, Decoder};
use head::{Framing, Head, HeadFault};
pub(super) use latest::Latest;
use upload::{Upload, UploadFault};

/// What is read at once of a head, and at most of a body.
const HEAD_READ_BYTES: usize = 8 * 1024;
const BODY_READ_BYTES: usize = 64 * 1024;
/// Answers before the final one (100, 103) that are passed over.
const INTERIM_MAX: usize = 16;
/// A connection is given up so long before the backend does.
const KEPT_MARGIN_MS: u64 = 1_000;

/// A connection that is idle, or used by one request.
pub(crate) struct Connection {
    stream: Stream,
    /// What was read and not yet taken.
    read: BytesMut,
    /// The buffer that requests are written from.
    out: Vec<u8>,
    head_bytes_max: usize,
    headers_max: usize,
    keeping: Rc<Keeping>,
    born_ms: u64,
    served: u32,
    /// How long the backend keeps it, as far as its answers have said.
    kept_ms: Option<u64>,
    /// When it was last given back.
    pub(crate) idle_since_ms: u64,
    /// Which addresses its endpoint had when it was made.
    pub(super) address_version: u64,
    open: OpenCount,
}

/// What broke an exchange.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Upload(UploadFault),
    #[error(transparent)]
    Head(HeadFault),
    #[error("the connection cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("the backend closed the connection before its answer")]
    Closed,
}

impl Fault {
    /// `whole`: what was to be sent is there as it was.
    fn unanswered(&self, whole: bool) -> Unanswered {
        let reach = match self {
            Self::Upload(UploadFault::Nothing(_)) if whole => Reach::Unsent,
            Self::Upload(UploadFault::Nothing(_) | UploadFault::Part(_))
            | Self::Read(_)
            | Self::Closed => Reach::Broke,
            Self::Upload(UploadFault::Body) | Self::Head(_) => Reach::Garbled,
        };
        let trust = match self {
            Self::Upload(UploadFault::Nothing(error) | UploadFault::Part(error))
            | Self::Read(error) => tls::cause(error),
            _ => None,
        };
        Unanswered {
            reach,
            tls: trust.is_some(),
            cause: trust.unwrap_or_else(|| causes(self)).into(),
        }
    }
}

/// An answer's body that does not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The connection broke.
    #[error("the connection cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is not what its head says.
    #[error(transparent)]
    Decode(#[from] DecodeFault),
    /// The client's body, still on its way, broke off.
    #[error("the request's body broke off")]
    Request,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        worker: &Worker,
        keeping: &Rc<Keeping>,
        open: OpenCount,
    ) -> Box<Self> {
        let limits = &worker.config.upstream;
        Box::new(Self {
            stream,
            keeping: Rc::clone(keeping),
            born_ms: worker.now_ms.get(),
            served: 0,
            kept_ms: None,
            read: BytesMut::new(),
            out: Vec::new(),
            head_bytes_max: limits.head_bytes_max,
            headers_max: limits.headers_max,
            idle_since_ms: 0,
            address_version: 0,
            open,
        })
    }

    /// Whether the peer has closed it, or says what nobody asked for. Looks at what the runtime knows already,
    /// mostly without a system call.
    pub(crate) fn is_dead(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.has_unread() || self.poll_read(HEAD_READ_BYTES, &mut cx).is_ready()
    }

    /// [`Self::is_dead`] for a call that cannot be sent again when it has gone into a connection that ends: the system is
    /// asked as well, right before the first byte is written. The peer's end may have come since the runtime last looked.
    fn is_dead_for(&mut self, outgoing: &Outgoing<'_>) -> bool {
        let asks = self.served > 0 && again::goes_once(outgoing);
        self.is_dead() || (asks && self.stream.has_come())
    }

    /// Whether it is old or has served enough.
    pub(super) fn is_worn(&self, now_ms: u64) -> bool {
        self.keeping.is_worn(self.born_ms, self.served, now_ms)
    }

    /// Whether it was unused for so long that the backend may close it.
    pub(super) fn is_stale(&self, now_ms: u64) -> bool {
        let idle_ms = self.kept_ms.unwrap_or(u64::MAX).min(self.keeping.idle_ms);
        now_ms.saturating_sub(self.idle_since_ms) > idle_ms
    }

    /// How many unused ones are kept.
    pub(super) fn idle_max(&self) -> usize {
        self.keeping.idle_max
    }

    /// Whether somebody waits for a connection of this backend to go.
    pub(super) fn is_wanted(&self) -> bool {
        self.open.is_wanted()
    }

    /// Looks at the first answer for how long the backend keeps the connection: later ones say the same.
    fn served(&mut self, answer: &HeaderMap) {
        if self.served == 0 {
            self.kept_ms = head::kept_ms(answer).map(|ms| ms.saturating_sub(KEPT_MARGIN_MS));
        }
        self.served = self.served.saturating_add(1);
    }

    /// Whether something came that belongs to no answer.
    pub(crate) fn has_unread(&self) -> bool {
        !self.read.is_empty()
    }

    /// The stream alone: it speaks another protocol now.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// What was read behind the head of the last answer.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read).into()
    }

    /// Reads up to so many bytes; 0 is the end.
    fn poll_read(&mut self, room: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // For little, back to the buffer's begin, where the last answer has let go of it: those lines are in the processor's cache.
        let begins = room <= HEAD_READ_BYTES && self.read.is_empty();
        let reclaimed = begins && self.read.try_reclaim(HEAD_READ_BYTES);
        let left = self.read.capacity() - self.read.len();
        if !reclaimed && left < room.min(HEAD_READ_BYTES / 2) {
            self.read.reserve(room);
        }
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }

    /// So many bytes, where they were read already.
    fn take(&mut self, length: u64) -> Option<Bytes> {
        let length = usize::try_from(length).ok()?;
        (self.read.len() >= length).then(|| self.read.split_to(length).freeze())
    }

    /// The final head of the answer. `seen` is how much of what was read was looked at before.
    fn poll_head(
        &mut self,
        method: &Method,
        latest: &RefCell<Latest>,
        seen: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, Fault>> {
        let mut interim = 0;
        loop {
            let taken = head::take(
                &mut self.read,
                *seen,
                self.headers_max,
                method,
                &mut latest.borrow_mut(),
            );
            match taken.map_err(Fault::Head)? {
                // Where nobody asked for another protocol, whoever gets this answer refuses it.
                Some(head) if head.parts.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Poll::Ready(Ok(head));
                }
                Some(head) if head.parts.status.is_informational() => {
                    interim += 1;
                    *seen = 0;
                    if interim > INTERIM_MAX {
                        return Poll::Ready(Err(Fault::Head(HeadFault::TooLarge)));
                    }
                }
                Some(head) => return Poll::Ready(Ok(head)),
                None => {
                    *seen = self.read.len();
                    if *seen > self.head_bytes_max {
                        return Poll::Ready(Err(Fault::Head(HeadFault::TooLarge)));
                    }
                    match ready!(self.poll_read(HEAD_READ_BYTES, cx)) {
                        Ok(0) => return Poll::Ready(Err(Fault::Closed)),
                        Ok(_) => {}
                        Err(error) => return Poll::Ready(Err(Fault::Read(error))),
                    }
                }
            }
        }
    }
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// With [`Reach::Unsent`] the request is whole: the backend had closed the connection, or the system took nothing of it.
/// A backend that answers and closes before it has read all of the request has answered.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    mut connection: Box<Connection>,
    outgoing: &mut Outgoing<'_>,
) -> Result<Answered, Unanswered> {
    if connection.is_dead_for(outgoing) {
        return Err(Unanswered {
            reach: Reach::Unsent,
            cause: "the backend had closed the connection".into(),
            tls: false,
        });
    }
    let has_body = !outgoing.body.is_end_stream();
    outgoing.taken |= has_body;
    let buffer = std::mem::take(&mut connection.out);
    let mut upload = Some(Upload::new(outgoing, buffer));
    let (mut cut, mut seen) = (false, 0);
    let answered = std::future::poll_fn(|cx| {
        if let Err(fault) = poll_upload(&mut upload, &mut connection, &mut cut, cx) {
            return Poll::Ready(Err(fault));
        }
        connection.poll_head(outgoing.method, &outgoing.endpoint.latest, &mut seen, cx)
    })
    .await;
    let head = match answered {
        Ok(head) => head,
        Err(fault) => {
            let clear = connection.stream.is_clear();
            let whole = !has_body || (clear && put_back(&fault, upload, outgoing));
            return Err(fault.unanswered(whole));
        }
    };
    let Head {
        mut parts,
        framing,
        keep_alive,
    } = head;
    parts.version = Version::HTTP_11;
    connection.served(&parts.headers);
    let keep = keep_alive && !cut;
    if outgoing.switches && parts.status == StatusCode::SWITCHING_PROTOCOLS && upload.is_none() {
        return Ok((parts, Source::Switched(Far::H1(connection))));
    }
    // Mostly all of a short answer came with its head.
    if let Framing::Length(length) = framing
        && let Some(bytes) = connection.take(length)
    {
        if keep && upload.is_none() {
            outgoing.endpoint.give_back(worker, connection);
        }
        return Ok((parts, Source::Complete(bytes)));
    }
    let driven = Driven {
        decoder: Decoder::new(framing, connection.head_bytes_max, connection.headers_max),
        connection: Some(connection),
        upload,
        keep,
        worker: Rc::clone(worker),
        endpoint: Rc::clone(&outgoing.endpoint),
        company: Company::default(),
    };
    let body = Streaming::H1(Box::new(driven));
    Ok((parts, Source::Streaming(body)))
}

/// Gives a request its body back of which nothing went out; whether that could be done. Over TLS nobody knows: a part of
/// what was encrypted may have gone.
fn put_back(fault: &Fault, upload: Option<Upload>, outgoing: &mut Outgoing<'_>) -> bool {
    let nothing = matches!(fault, Fault::Upload(UploadFault::Nothing(_)));
    let body = upload.filter(|_| nothing).and_then(Upload::into_body);
    let Some(body) = body else { return false };
    outgoing.body = body;
    outgoing.taken = false;
    true
}

/// Writes on. A backend that no longer reads may have answered nevertheless: what it says counts.
fn poll_upload(
    upload: &mut Option<Upload>,
    connection: &mut Connection,
    cut: &mut bool,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    let Some(under_way) = upload else {
        return Ok(());
    };
    match under_way.poll(&mut connection.stream, cx) {
        Poll::Pending => return Ok(()),
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(UploadFault::Part(_))) => *cut = true,
        Poll::Ready(Err(fault)) => return Err(Fault::Upload(fault)),
    }
    if let Some(done) = upload.take() {
        connection.out = done.into_buffer();
    }
    Ok(())
}

/// An answer's body together with the connection that it comes from.
pub(crate) struct Driven {
    decoder: Decoder,
    connection: Option<Box<Connection>>,
    upload: Option<Upload>,
    /// The connection may serve another request when this body has ended.
    keep: bool,
    worker: Rc<Worker>,
    endpoint: Rc<EndpointPool>,
    pub(super) company: Company,
}

impl Driven {
    /// The body is complete: its connection may serve somebody else, if all of the request was written.
    fn finish(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.keep && self.upload.is_none() {
            self.endpoint.give_back(&self.worker, connection);
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = self.poll(cx).map(Result::transpose);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.connection = None,
            Poll::Ready(_) if self.decoder.has_ended() => self.finish(),
            Poll::Ready(_) | Poll::Pending => {}
        }
        polled
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyFault>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(None));
        };
        let mut cut = false;
        if poll_upload(&mut self.upload, connection, &mut cut, cx).is_err() {
            return Poll::Ready(Err(BodyFault::Request));
        }
        self.keep &= !cut;
        loop {
            if let Some(frame) = self.decoder.next(&mut connection.read)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if self.decoder.has_ended() {
                return Poll::Ready(Ok(None));
            }
            let room = self.decoder.wants().min(BODY_READ_BYTES);
            match ready!(connection.poll_read(room, cx)) {
                Ok(0) => {
                    self.keep = false;
                    self.decoder.end()?;
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(BodyFault::Read(error))),
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.decoder.has_ended()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }
}
