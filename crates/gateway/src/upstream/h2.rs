//! HTTP/2 to a backend: few connections, many streams.

use std::cell::Cell;
use std::rc::Rc;

use bytes::BytesMut;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use snapshot::Scheme;

use super::pool::OpenCount;
use super::tries::causes;
use super::{Answered, Outgoing, Source, Streaming, Unanswered};
use crate::body::RequestBody;
use crate::io::Stream;
use crate::worker::{LocalExecutor, Worker};

/// A connection that several requests use at a time.
pub(crate) struct Connection {
    sender: http2::SendRequest<RequestBody>,
    streams: Cell<usize>,
    closed: Cell<bool>,
    /// When a stream was last begun.
    pub(crate) used_ms: Cell<u64>,
}

/// One stream's place on a connection, held while the stream lasts.
pub(crate) struct StreamSlot(Rc<Connection>);

impl Connection {
    pub(crate) async fn handshake(
        stream: Stream,
        worker: &Worker,
        open: OpenCount,
    ) -> Result<Rc<Self>, hyper::Error> {
        let (sender, wire) = http2::Builder::new(LocalExecutor)
            .max_header_list_size(
                u32::try_from(worker.config.upstream.head_bytes_max).unwrap_or(u32::MAX),
            )
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = wire.await {
                tracing::debug!(%error, "HTTP/2 connection to a backend ended");
            }
        });
        Ok(Rc::new(Self {
            sender,
            streams: Cell::new(0),
            closed: Cell::new(false),
            used_ms: Cell::new(0),
        }))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get() || self.sender.is_closed()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Takes a place for one more stream.
    pub(crate) fn slot(self: &Rc<Self>, now_ms: u64) -> StreamSlot {
        self.streams.set(self.streams.get() + 1);
        self.used_ms.set(now_ms);
        StreamSlot(Rc::clone(self))
    }
}

impl StreamSlot {
    /// No more streams on this connection.
    pub(crate) fn forget(&self) {
        self.0.closed.set(true);
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// [`Unanswered::unsent`] gives the request back whole; the connection takes no more.
pub(crate) async fn send(
    slot: StreamSlot,
    outgoing: &mut Outgoing<'_>,
) -> Result<Answered, Unanswered> {
    let Some(uri) = uri(outgoing) else {
        return Err(Unanswered {
            unsent: false,
            cause: "the backend's address and the path are no URI together".into(),
        });
    };
    let mut request = Request::new(std::mem::replace(&mut outgoing.body, RequestBody::Empty));
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = std::mem::take(&mut outgoing.headers);
    // HTTP/2 says it in `:authority` (RFC 9113 §8.3.1).
    request.headers_mut().remove(HOST);
    let mut sender = slot.0.sender.clone();
    match sender.try_send_request(request).await {
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            parts.version = Version::HTTP_11;
            let body = Streaming::H2 {
                body,
                _slot: slot,
                in_flight: None,
            };
            Ok((parts, Source::Streaming(body)))
        }
        Err(mut failed) => {
            let given_back = failed.take_message();
            let unsent = given_back.is_some();
            if let Some(request) = given_back {
                slot.forget();
                let (parts, body) = request.into_parts();
                (outgoing.headers, outgoing.body) = (parts.headers, body);
            }
            let cause = causes(&failed.into_error()).into();
            Err(Unanswered { unsent, cause })
        }
    }
}

fn uri(outgoing: &Outgoing<'_>) -> Option<Uri> {
    let endpoint = &outgoing.endpoint.address;
    let mut target = BytesMut::new();
    outgoing.target.write(endpoint, &mut target);
    let scheme = match endpoint.scheme {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(endpoint.authority.clone());
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(target.freeze()).ok()?);
    Uri::from_parts(parts).ok()
}
