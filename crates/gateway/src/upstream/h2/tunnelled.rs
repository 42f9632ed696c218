//! WebSockets on streams (RFC 8441): how they are asked for, and the bytes of one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::header::SEC_WEBSOCKET_KEY;
use http::{Method, Request, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Driven, StreamSlot, broke, reach};
use crate::upstream::answer::{Answered, Source, Streaming};
use crate::upstream::far::Far;
use crate::upstream::{Reach, Unanswered};
use crate::worker::Worker;

/// What is handed to the connection at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A stream that is a tunnel. Dropped before both sides have ended, it is reset.
pub(crate) struct Tunnelled {
    send: SendStream<Bytes>,
    recv: RecvStream,
    /// What came and was not read.
    unread: Bytes,
    /// Its place on the connection.
    _slot: StreamSlot,
}

/// Makes the question over HTTP/2 of that over HTTP/1.1 (RFC 8441 §5).
pub(super) fn asks(request: &mut Request<()>) {
    *request.method_mut() = Method::CONNECT;
    request.headers_mut().remove(SEC_WEBSOCKET_KEY);
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
}

/// Asks for a WebSocket. Where the backend agrees, the answer is what it is over HTTP/1.1: 101.
pub(super) async fn ask(
    worker: &Worker,
    slot: StreamSlot,
    request: Request<()>,
) -> Result<Answered, Unanswered> {
    let begun = slot.0.sender.borrow_mut().send_request(request, false);
    let (response, mut send) =
        begun.map_err(|error| broke(worker, &slot, &error, Reach::Garbled))?;
    let response = response
        .await
        .map_err(|error| broke(worker, &slot, &error, reach(&error)))?;
    let (mut parts, recv) = response.into_parts();
    parts.version = Version::HTTP_11;
    if parts.status.is_success() {
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        let tunnelled = Tunnelled {
            send,
            recv,
            unread: Bytes::new(),
            _slot: slot,
        };
        return Ok((parts, Source::Switched(Far::H2(Box::new(tunnelled)))));
    }
    // A refusal is an answer like any other, and there is no more of the request. An error means that the stream has
    // ended already.
    let _ = send.send_data(Bytes::new(), true);
    if recv.is_end_stream() {
        return Ok((parts, Source::Complete(Bytes::new())));
    }
    let driven = Driven::new(&parts.headers, recv, None, slot);
    Ok((parts, Source::Streaming(Streaming::H2(Box::new(driven)))))
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Tunnelled {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            match ready!(this.recv.poll_data(cx)) {
                Some(Ok(data)) => this.unread = data,
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let length = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread.split_to(length));
        // An error means that the stream has ended: so says the next read.
        let _ = this.recv.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnelled {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let send = &mut self.get_mut().send;
        send.reserve_capacity(buf.len().min(WRITE_BYTES_MAX));
        while send.capacity() == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = send.capacity().min(buf.len());
        let sent = send.send_data(Bytes::copy_from_slice(&buf[..length]), false);
        Poll::Ready(sent.map(|()| length).map_err(broken))
    }

    /// The connection's own task sends.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.get_mut().send.send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(broken))
    }
}
