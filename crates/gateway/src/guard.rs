//! The head guard: framing is checked on the raw bytes before hyper sees them (req: S4).
//!
//! hyper accepts `Content-Length` together with `Transfer-Encoding` and drops the length before a service sees it, and
//! it takes a bare LF for a line's end. Two readers who understand one byte stream differently are what request
//! smuggling lives on. So every HTTP/1 connection is read through [`Guarded`], which follows the messages' boundaries,
//! passes clean bytes on unchanged, and holds a head back until it is complete and found clean.
//!
//! # What becomes of a violation
//! - In a head: no byte of it passes. In its place hyper reads a request of the guard's own, whose method is [`REFUSED`]
//!   (which no client can send through the guard). The service answers it by what [`Handle::violation`] says. So the
//!   answers to earlier requests go out first, in order, and refusals are rendered, counted and logged like all others.
//!   That request says `Connection: close`, so the connection ends with it.
//! - In a body (chunk framing, trailers): the head has passed already. Reading the body fails with
//!   [`std::io::ErrorKind::InvalidData`]; if no answer has begun, the service answers by [`Handle::violation`].
//!
//! After a violation nothing of what the client sent is passed on any more.
//!
//! # A request for another protocol
//! What stands behind a head that asks for a WebSocket is another request or the first bytes of a tunnel; only the answer
//! tells. So it is held unread until the service says which: by [`Handle::resume`], or by [`Guarded::into_parts`].
//!
//! # A client that goes away
//! While a request is in flight nobody reads, and a client that has gone would get its answer made all the same. hyper would read
//! to see that, into a buffer that it takes for each request anew; so it is told not to (`half_close`), and the guard looks
//! whenever hyper flushes, which it does at each of its turns. The end of the stream breaks the connection; what comes instead is held.
//!
//! Start reading at [`scanner::Scanner`]. Source: RFC 9112. HTTP/2 has a guard of its own, [`h2`],
//! which counts.

pub mod calm;
mod characters;
pub(crate) mod chunked;
pub mod frames;
pub mod h2;
mod head;
mod scanner;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use base::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use scanner::{Place, Scanner};

/// The method of the request that stands in for a refused one.
pub const REFUSED: &str = "TOLLWAY-REFUSED";

const STAND_IN: &[u8] = b"TOLLWAY-REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// How much is read at once while a head is held back.
const READ_BYTES: usize = 4096;

/// What a message may be. Sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A head: request line and fields.
    pub head_bytes_max: usize,
    /// Fields of a head.
    pub headers_max: usize,
    /// The request target.
    pub target_bytes_max: usize,
    /// The trailers of a body.
    pub trailer_bytes_max: usize,
    /// Fields of the trailers of a body.
    pub trailers_max: usize,
    /// Chunk extensions of one body.
    pub extension_bytes_max: usize,
    /// Requests that wait for their answers.
    pub pipelined_max: usize,
}

/// The usual limits; as many requests as come may wait.
impl Default for Rules {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            headers_max: 100,
            target_bytes_max: 8 * 1024,
            trailer_bytes_max: 8 * 1024,
            trailers_max: 32,
            extension_bytes_max: 4 * 1024,
            pipelined_max: usize::MAX,
        }
    }
}

/// A limit that a message is beyond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exceeded {
    /// Number or size of the fields.
    Head,
    /// Size of the target.
    Target,
    /// Number or size of the trailers.
    Trailers,
    /// Size of the chunk extensions.
    ChunkExtensions,
    /// Requests that wait for their answers.
    Pipelined,
}

/// What is wrong with a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// `BAD_REQUEST_FRAMING`, or that of the limit.
    pub code: Code,
    /// What was found.
    pub detail: Cow<'static, str>,
    /// The limit, where it is one.
    pub exceeded: Option<Exceeded>,
}

impl Violation {
    fn framing(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: base::code::BAD_REQUEST_FRAMING,
            detail: detail.into(),
            exceeded: None,
        }
    }

    fn exceeds(limit: Exceeded, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: match limit {
                Exceeded::Head | Exceeded::Trailers => base::code::HEADER_TOO_LARGE,
                Exceeded::Target => base::code::URI_TOO_LONG,
                Exceeded::ChunkExtensions => base::code::BAD_REQUEST_FRAMING,
                Exceeded::Pipelined => base::code::PIPELINE_LIMIT,
            },
            detail: detail.into(),
            exceeded: Some(limit),
        }
    }
}

/// Reads a byte stream under the default rules to its end and says how many complete messages it holds.
///
/// # Errors
/// The first violation.
pub fn check_stream(bytes: &[u8]) -> Result<usize, Violation> {
    let mut scanner = Scanner::new(Rules::default());
    // Nobody waits: all are taken for answered.
    match scanner.advance(bytes, usize::MAX).1 {
        Some(violation) => Err(violation),
        None => Ok(scanner.messages()),
    }
}

/// What the guard of a connection and the service that answers its requests tell each other.
#[derive(Clone, Debug, Default)]
pub struct Handle(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    violation: RefCell<Option<Violation>>,
    /// Requests that were answered to the end, or given up.
    answered: Cell<usize>,
    /// How many bytes of what was begun have not passed; `None` where nobody knows, as before anything is read.
    to_come: Cell<Option<u64>>,
    /// Which request asks for a WebSocket, counted from 1, until somebody says what comes behind it; 0 is none. There may be
    /// others before it.
    waits: Cell<usize>,
}

impl Handle {
    /// The violation that ended the connection, if one did.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.0.violation.borrow().clone()
    }

    /// A request was answered to the end, or given up.
    pub fn answered(&self) {
        self.0.answered.set(self.0.answered.get() + 1);
    }

    /// Whether every message that has begun has passed as a whole.
    pub(crate) fn is_between(&self) -> bool {
        self.to_come() == Some(0)
    }

    /// How many bytes of the message that has begun have not passed; `None` where nobody knows.
    pub(crate) fn to_come(&self) -> Option<u64> {
        self.0.to_come.get()
    }

    /// Whether the request in flight asks for a WebSocket: what the client sends behind it is held.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.0.waits.get() == self.0.answered.get() + 1
    }

    /// The connection stays with HTTP: what was held is read as the next request.
    pub fn resume(&self) {
        if self.waits() {
            self.0.waits.set(0);
        }
    }
}

/// A connection whose requests are checked while they are read; writing is passed on.
pub struct Guarded<IO> {
    inner: IO,
    scanner: Scanner,
    /// Bytes that were read and not given out: the beginning of a head, or what had no room.
    held: Vec<u8>,
    /// How many of the held bytes are clean.
    clean: usize,
    /// How many of the clean bytes were given out.
    given: usize,
    ended: Option<Place>,
    handle: Handle,
}

impl<IO> Guarded<IO> {
    /// Guards a connection from its first byte on.
    pub fn new(inner: IO, rules: Rules) -> (Self, Handle) {
        let handle = Handle::default();
        let guarded = Self {
            inner,
            scanner: Scanner::new(rules),
            held: Vec::new(),
            clean: 0,
            given: 0,
            ended: None,
            handle: handle.clone(),
        };
        (guarded, handle)
    }

    /// The connection itself.
    pub(crate) fn get_ref(&self) -> &IO {
        &self.inner
    }

    /// The connection itself; what is held back is dropped.
    pub fn into_inner(self) -> IO {
        self.inner
    }

    /// The connection, and what the client has sent that was not given out.
    pub fn into_parts(mut self) -> (IO, Vec<u8>) {
        let ahead = self.held.split_off(self.given);
        (self.inner, ahead)
    }

    /// Gives out clean bytes that are held.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let end = self.clean.min(self.given + buf.remaining());
        buf.put_slice(&self.held[self.given..end]);
        self.given = end;
        if end == self.held.len() {
            // Connections idle for long: a buffer that a large head has grown is not kept.
            self.held = Vec::new();
            (self.clean, self.given) = (0, 0);
        } else if end == self.clean {
            self.held.drain(..end);
            (self.clean, self.given) = (0, 0);
        }
    }

    fn note_waits(&self) {
        let waits = self.scanner.waits();
        let waits = if waits { self.scanner.begun() } else { 0 };
        self.handle.0.waits.set(waits);
    }

    /// Whether somebody has said that HTTP comes behind a request for a WebSocket.
    fn is_resumed(&self) -> bool {
        self.scanner.waits() && self.handle.0.waits.get() == 0
    }

    fn tell(&self) {
        let to_come = self.scanner.to_come().filter(|_| self.held.is_empty());
        self.handle.0.to_come.set(to_come);
    }

    /// Checks the held bytes that are not clean yet.
    fn check_held(&mut self) {
        let answered = self.handle.0.answered.get();
        let (clean, violation) = self.scanner.advance(&self.held[self.clean..], answered);
        self.clean += clean;
        self.note_waits();
        if let Some(violation) = violation {
            self.end(violation);
        }
    }

    fn end(&mut self, violation: Violation) {
        let place = self.scanner.place();
        self.held.truncate(self.clean);
        if place == Place::Head {
            self.held.extend_from_slice(STAND_IN);
            self.clean = self.held.len();
        }
        self.ended = Some(place);
        *self.handle.0.violation.borrow_mut() = Some(violation);
    }
}

impl<IO: AsyncRead + Unpin> Guarded<IO> {
    /// Reads into the caller's buffer: the usual case, in which nothing is held and nothing is copied.
    fn read_through(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Progress>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(Progress::Done));
        }
        let (clean, violation) = self.scanner.advance(read, self.handle.0.answered.get());
        self.note_waits();
        if violation.is_none() {
            self.held.extend_from_slice(&read[clean..]);
        }
        buf.set_filled(before + clean);
        if let Some(violation) = violation {
            self.end(violation);
        }
        Poll::Ready(Ok(if clean > 0 {
            Progress::Done
        } else {
            Progress::More
        }))
    }

    /// Reads more of a head that is held back.
    fn read_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let mut buf = ReadBuf::new(&mut self.held[before..]);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut buf);
        let read = buf.filled().len();
        self.held.truncate(before + read);
        ready!(polled)?;
        if read == 0 {
            return Poll::Ready(Ok(Progress::Done));
        }
        self.check_held();
        Poll::Ready(Ok(Progress::More))
    }

    /// Looks whether the client has gone while its one request is in flight. What comes instead is held: the next request, or the
    /// beginning of a tunnel.
    ///
    /// # Errors
    /// The client has gone.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.is_looked_ahead() {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let mut buf = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            if buf.filled().is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.held.extend_from_slice(buf.filled());
            self.check_held();
            self.tell();
        }
        Ok(())
    }

    fn is_looked_ahead(&self) -> bool {
        let answered = self.handle.0.answered.get();
        self.scanner.awaits_answer(answered)
            && self.held.len() < READ_BYTES
            && self.ended.is_none()
            && !self.is_resumed()
    }
}

enum Progress {
    /// The caller's buffer has what there is: bytes, or the end.
    Done,
    /// Nothing was given out yet.
    More,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let polled = this.poll_checked(cx, buf);
        this.tell();
        polled
    }
}

impl<IO: AsyncRead + Unpin> Guarded<IO> {
    fn poll_checked(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self;
        loop {
            if this.given < this.clean {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                None => {}
                // The stand-in was read; the end comes with the answer to it. An end of the stream now would make
                // hyper give up the requests before it.
                Some(Place::Head) => return Poll::Pending,
                Some(Place::Body) => return Poll::Ready(Err(body_refused())),
            }
            if this.is_resumed() {
                this.scanner.resume();
                this.check_held();
                continue;
            }
            if this.scanner.waits() {
                // Whoever says what comes has an answer sent, and is asked again behind it.
                return Poll::Pending;
            }
            let progress = if this.held.is_empty() {
                ready!(this.read_through(cx, buf))?
            } else {
                ready!(this.read_held(cx))?
            };
            match progress {
                Progress::Done => return Poll::Ready(Ok(())),
                Progress::More => {}
            }
        }
    }
}

fn body_refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the framing of the body is malformed",
    )
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look_ahead(cx)?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
