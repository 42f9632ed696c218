//! The stream below a connection. Its driver reads and writes it; calls may look whether it stands.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::Stream;

/// The driver's end: the stream closes with it.
pub(super) struct Wire(Rc<RefCell<Stream>>);

/// The calls' end.
pub(super) struct Sight(Weak<RefCell<Stream>>);

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Sight) {
        let stream = Rc::new(RefCell::new(stream));
        let sight = Sight(Rc::downgrade(&stream));
        (Self(stream), sight)
    }
}

impl Sight {
    /// Whether the peer sends no more: asked of the system, see [`Stream::has_ended`].
    pub(super) fn has_ended(&self) -> bool {
        self.0
            .upgrade()
            .is_none_or(|stream| stream.borrow().has_ended())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::net::TcpStream;

    use super::*;

    /// Nothing is awaited behind the close: the driver cannot have read the end, and the call sees it all the same.
    #[tokio::test]
    async fn a_call_sees_the_end_before_the_driver_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Stream::Tcp(TcpStream::connect(address).await.unwrap());
        let (wire, sight) = Wire::new(stream);
        let (peer, _) = listener.accept().unwrap();
        assert!(!sight.has_ended());
        drop(peer);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !sight.has_ended() {
            assert!(Instant::now() < deadline, "the end did not come");
        }
        drop(wire);
        assert!(sight.has_ended());
    }
}
