//! A backend's end of a tunnel: a connection of HTTP/1.1 that has changed its protocol, or a stream of HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{h1, h2};

/// Bytes both ways.
pub(crate) enum Far {
    /// The connection is nobody else's.
    H1(Box<h1::Connection>),
    /// A stream beside others.
    H2(Box<h2::Tunnelled>),
}

impl Far {
    /// Whether the backend has to prove that it read the handshake (RFC 6455 §4.2.2); over HTTP/2 it need not (RFC 8441
    /// §5).
    pub(crate) fn proves(&self) -> bool {
        matches!(self, Self::H1(_))
    }

    /// What was read behind the head of the answer.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        match self {
            Self::H1(connection) => connection.take_unread(),
            Self::H2(_) => Vec::new(),
        }
    }
}

impl AsyncRead for Far {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::H1(connection) => Pin::new(connection.stream()).poll_read(cx, buf),
            Self::H2(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Far {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::H1(connection) => Pin::new(connection.stream()).poll_write(cx, buf),
            Self::H2(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::H1(connection) => Pin::new(connection.stream()).poll_flush(cx),
            Self::H2(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::H1(connection) => Pin::new(connection.stream()).poll_shutdown(cx),
            Self::H2(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
