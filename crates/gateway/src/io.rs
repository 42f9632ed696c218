//! A client's or a backend's byte stream: clear text or TLS.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SendFlags;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Parts that are no longer together are copied and go out in one piece, which costs the system less than a list.
const JOINED_BYTES_MAX: usize = 2 * 1024;

/// One type for both, so that the HTTP machinery is compiled once.
pub(crate) enum Stream {
    /// Clear text.
    Tcp(TcpStream),
    /// TLS that we serve.
    ServerTls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS that a backend serves.
    ClientTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::ServerTls(tls) => tls.get_ref().0,
            Self::ClientTls(tls) => tls.get_ref().0,
        }
    }

    /// Whether bytes go out as they are written.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Ready when there is something to read, or the end; reads nothing.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(cx)
    }

    /// Whether the peer has sent something, has ended or has broken the connection: asked of the system, because what
    /// the runtime knows is as old as its last look. Reads nothing.
    pub(crate) fn has_come(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let looked = socket2::SockRef::from(self.tcp()).peek(&mut byte);
        !looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the peer sends no more, has closed or has broken the connection: asked of the system. What it has sent before
    /// that may still be unread.
    pub(crate) fn has_ended(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::new(self.tcp(), PollFlags::RDHUP)];
        let asked = rustix::event::poll(&mut fds, Some(&Timespec::default()));
        asked.is_ok() && fds[0].revents().intersects(gone)
    }
}

/// Writes by the system call itself: the C library's `send` is a point where a thread can be cancelled, which costs two
/// atomic exchanges that nobody here needs.
fn poll_send(tcp: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        let sent = tcp.try_io(Interest::WRITABLE, || {
            Ok(rustix::net::send(tcp, bytes, SendFlags::NOSIGNAL)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

/// The parts in one piece, where they are short.
fn joined(parts: &[io::IoSlice<'_>]) -> Option<SmallVec<[u8; JOINED_BYTES_MAX]>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    (length <= JOINED_BYTES_MAX).then(|| {
        let mut all = SmallVec::new();
        for part in parts {
            all.extend_from_slice(part);
        }
        all
    })
}

macro_rules! delegate {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Self::ServerTls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
            Self::ClientTls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Self::Tcp(tcp) = &*self {
            return poll_send(tcp, cx, buf);
        }
        delegate!(self, inner => inner.poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Self::Tcp(tcp) = &*self
            && let Some(all) = joined(bufs)
        {
            return poll_send(tcp, cx, &all);
        }
        delegate!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::ServerTls(inner) => inner.is_write_vectored(),
            Self::ClientTls(inner) => inner.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::{Duration, Instant};

    use super::*;

    /// The end is told although something stands before it.
    #[tokio::test]
    async fn an_end_behind_what_is_unread_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Stream::Tcp(TcpStream::connect(address).await.unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut peer, b"unread").unwrap();
        assert!(!stream.has_ended());
        drop(peer);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !stream.has_ended() {
            assert!(Instant::now() < deadline, "the end did not come");
        }
    }

    /// Nothing is awaited behind the close: the runtime cannot have heard of it.
    #[tokio::test]
    async fn the_system_knows_of_an_end_that_the_runtime_has_not_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Stream::Tcp(TcpStream::connect(address).await.unwrap());
        let (peer, _) = listener.accept().unwrap();
        assert!(!stream.has_come());
        drop(peer);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !stream.has_come() {
            assert!(Instant::now() < deadline, "the end did not come");
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_readable(&mut cx).is_pending());
    }
}
