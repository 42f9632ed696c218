//! HTTP/2 to a backend: few connections, many streams.

use std::cell::Cell;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use snapshot::{Endpoint, Scheme};

use super::pool::OpenCount;
use super::tries::causes;
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

/// The request was not answered; it is here again when nothing of it was written.
pub(crate) struct Unsent {
    pub(crate) request: Option<Request<RequestBody>>,
    pub(crate) error: String,
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
/// Why not, and the request when nothing of it was sent.
pub(crate) async fn send(
    slot: &StreamSlot,
    endpoint: &Endpoint,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, Unsent> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(match endpoint.scheme {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    });
    parts.authority = Some(endpoint.authority.clone());
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Unsent {
        request: None,
        error: error.to_string(),
    })?;
    *request.version_mut() = Version::HTTP_2;
    // HTTP/2 says it in `:authority` (RFC 9113 §8.3.1).
    let host = request.headers_mut().remove(HOST);
    let mut sender = slot.0.sender.clone();
    sender
        .try_send_request(request)
        .await
        .map_err(|mut failed| Unsent {
            request: failed
                .take_message()
                .and_then(|unsent| as_http1(unsent, host)),
            error: causes(&failed.into_error()),
        })
}

/// The next connection may speak HTTP/1.1.
fn as_http1(
    mut unsent: Request<RequestBody>,
    host: Option<HeaderValue>,
) -> Option<Request<RequestBody>> {
    let path = unsent.uri().path_and_query().cloned()?;
    *unsent.uri_mut() = Uri::from(path);
    *unsent.version_mut() = Version::HTTP_11;
    if let Some(host) = host {
        unsent.headers_mut().insert(HOST, host);
    }
    Some(unsent)
}
