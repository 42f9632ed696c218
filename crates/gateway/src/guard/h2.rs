//! The guard of an HTTP/2 connection: counts the frames that pass, and ends a connection that brings too many.
//!
//! Reads the heads of frames where they pass and copies nothing. The end is GOAWAY with `ENHANCE_YOUR_CALM`, written
//! between two frames of the library; the library then sees an error and lets all streams of the connection go.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::READ_BYTES;
use super::calm::{Calm, Flood, Sent};
use super::frames::Frames;
use crate::config::H2Limits;

const ENHANCE_YOUR_CALM: u8 = 0xb;
/// What a client may still have sent is read and dropped before the socket closes, up to this much: closing a socket
/// with unread bytes resets it, and the client might lose the answer.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// Who is told of what passes.
pub trait Watch {
    /// The time, in milliseconds; need not be exact.
    fn now_ms(&self) -> u64;
    /// Bytes came. `owed`: the client has begun something that it has to end soon. `open`: streams whose answers have
    /// not ended.
    fn came(&self, owed: bool, open: usize);
    /// Bytes were sent. `ended`: answers that ended with them.
    fn sent(&self, open: usize, ended: bool);
    /// The head of an answer was sent; the first one of its stream.
    fn head_sent(&self);
    /// A stream was refused because too many are open.
    fn refused(&self);
    /// The connection is ended because of this.
    fn flooded(&self, flood: Flood);
}

/// A connection whose frames are counted.
pub struct Counted<IO, W> {
    inner: IO,
    watch: W,
    /// Apart: most of the life of most connections is spent elsewhere.
    books: Box<Books>,
}

struct Books {
    came: Frames,
    sent: Frames,
    calm: Calm,
    flood: Option<Flood>,
    /// It was told of.
    told: bool,
}

impl<IO, W: Watch> Counted<IO, W> {
    /// Counts from the first byte on.
    pub fn new(inner: IO, limits: H2Limits, watch: W) -> Self {
        let books = Books {
            came: Frames::of_client(),
            sent: Frames::of_server(),
            calm: Calm::new(limits, watch.now_ms()),
            flood: None,
            told: false,
        };
        Self {
            inner,
            watch,
            books: Box::new(books),
        }
    }

    fn follow_came(&mut self, bytes: &[u8]) {
        let Books {
            came, calm, flood, ..
        } = &mut *self.books;
        let now_ms = self.watch.now_ms();
        let passed = came.advance(bytes, |frame| match calm.came(frame, now_ms) {
            Ok(()) => ControlFlow::Continue(()),
            Err(found) => ControlFlow::Break(found),
        });
        if let ControlFlow::Break(found) = passed {
            *flood = Some(found);
        }
        self.watch.came(came.is_owed(), calm.open_streams());
    }

    fn follow_sent<'b>(&mut self, parts: impl Iterator<Item = &'b [u8]>, mut length: usize) {
        let Books {
            sent, calm, flood, ..
        } = &mut *self.books;
        let now_ms = self.watch.now_ms();
        let before = calm.open_streams();
        for part in parts {
            let passed = &part[..part.len().min(length)];
            length -= passed.len();
            let watch = &self.watch;
            let went = sent.advance(passed, |frame| match calm.sent(frame, now_ms) {
                Ok(sent) => {
                    match sent {
                        Sent::Refusal => watch.refused(),
                        Sent::Head => watch.head_sent(),
                        Sent::Other => {}
                    }
                    ControlFlow::Continue(())
                }
                // The frames behind it have been sent all the same.
                Err(found) => {
                    *flood = Some(found);
                    ControlFlow::<()>::Continue(())
                }
            });
            debug_assert!(went.is_continue(), "nothing breaks");
            if length == 0 {
                break;
            }
        }
        let open = calm.open_streams();
        self.watch.sent(open, open < before);
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, W: Watch> Counted<IO, W> {
    /// Ends the connection where there was too much.
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.books.flood {
            None => Ok(()),
            Some(flood) => Err(self.end(flood, cx)),
        }
    }

    /// Says why, as far as the socket takes it, and closes.
    fn end(&mut self, flood: Flood, cx: &mut Context<'_>) -> io::Error {
        if !std::mem::replace(&mut self.books.told, true) {
            self.watch.flooded(flood);
        }
        if self.books.sent.is_between() {
            let [a, b, c, d] = self.books.calm.latest_stream().to_be_bytes();
            #[rustfmt::skip]
            let goaway = [0, 0, 8, super::frames::kind::GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, ENHANCE_YOUR_CALM];
            // A client that does not read does not hear why.
            let _ = Pin::new(&mut self.inner).poll_write(cx, &goaway);
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
        drain(&mut self.inner, cx);
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("too many frames of one kind: {flood:?}"),
        )
    }
}

/// Drops what is there to be read; does not wait for more.
fn drain<IO: AsyncRead + Unpin>(inner: &mut IO, cx: &mut Context<'_>) {
    let mut dropped = 0;
    let mut bytes = [0; READ_BYTES];
    while dropped < DRAIN_BYTES_MAX {
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *inner).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => dropped += buf.filled().len(),
            _ => return,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, W: Watch + Unpin> AsyncRead for Counted<IO, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.follow_came(&buf.filled()[before..]);
        let passed = this.may_go_on(cx);
        if passed.is_err() {
            // Nothing of it reaches the library.
            buf.set_filled(before);
        }
        Poll::Ready(passed)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, W: Watch + Unpin> AsyncWrite for Counted<IO, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.follow_sent(std::iter::once(buf), written);
        Poll::Ready(this.may_go_on(cx).map(|()| written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        this.follow_sent(bufs.iter().map(|part| &**part), written);
        Poll::Ready(this.may_go_on(cx).map(|()| written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
