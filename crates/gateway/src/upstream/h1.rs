//! HTTP/1.1 to a backend, driven by the request that uses it.
//!
//! A connection has no task of its own: whoever waits for the answer polls it, then the answer's body does. That
//! saves two task switches for each request, and a request that is dropped closes its connection by itself.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::pool::{BackendPool, OpenCount};
use crate::body::RequestBody;
use crate::connection::HYPER_HEADERS_MAX;
use crate::io::Stream;
use crate::worker::Worker;

type Wire = http1::Connection<TokioIo<Stream>, RequestBody>;

/// Through which a connection wakes whoever uses it.
///
/// Its queues wake it when the user puts something in or takes something out. But the user drives the connection
/// itself afterwards: to be woken for that would cost a second pass through everything. So the bell is silent but
/// while its user waits; and for a connection that nobody uses there is nobody to wake.
#[derive(Default)]
struct Bell {
    rings: AtomicBool,
    user: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rings.load(Ordering::Relaxed) {
            self.user.wake();
        }
    }
}

/// A connection that is idle, or used by one request.
pub(crate) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// `None` when it has ended.
    wire: Option<Wire>,
    bell: Arc<Bell>,
    /// The bell, as the connection gets it.
    rope: Waker,
    /// When it was last given back.
    pub(crate) idle_since_ms: u64,
    _open: OpenCount,
}

/// The request was not answered; it is here again when nothing of it was written.
pub(crate) struct Unsent {
    pub(crate) request: Option<Request<RequestBody>>,
    pub(crate) error: hyper::Error,
}

impl Connection {
    pub(crate) async fn handshake(
        stream: Stream,
        worker: &Worker,
        open: OpenCount,
    ) -> Result<Box<Self>, hyper::Error> {
        let limits = &worker.config.upstream;
        let mut builder = http1::Builder::new();
        builder.max_header_size(limits.head_bytes_max);
        // With a number of its own hyper takes its table of fields from the heap, for every head.
        if limits.headers_max != HYPER_HEADERS_MAX {
            builder.max_headers(limits.headers_max);
        }
        let (sender, wire) = builder.handshake(TokioIo::new(stream)).await?;
        let bell = Arc::new(Bell::default());
        Ok(Box::new(Self {
            sender,
            wire: Some(wire),
            rope: Waker::from(Arc::clone(&bell)),
            bell,
            idle_since_ms: 0,
            _open: open,
        }))
    }

    /// Whether the exchange is over, both ways, and another may begin.
    pub(crate) fn is_ready(&self) -> bool {
        self.wire.is_some() && self.sender.is_ready()
    }

    /// Whether the peer has closed it. Looks at what the runtime knows already, without a system call.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.is_ready()
    }

    /// Lets the connection read and write what it can; from now on it wakes the caller.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(wire) = &mut self.wire {
            self.bell.user.register(cx.waker());
            self.bell.rings.store(true, Ordering::Relaxed);
            let ended = Pin::new(wire).poll(&mut Context::from_waker(&self.rope));
            if ended.is_ready() {
                // Dropping it tells whoever waits for something from it.
                self.wire = None;
            }
        }
    }

    /// The caller no longer waits for the connection, or drives it before it does.
    pub(super) fn silence(&self) {
        self.bell.rings.store(false, Ordering::Relaxed);
    }
}

/// Sends a request and waits for the head of the answer. The connection comes back unless it has ended.
pub(crate) async fn send(
    mut connection: Box<Connection>,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Option<Box<Connection>>), Unsent> {
    connection.silence();
    let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
    let answered = std::future::poll_fn(|cx| {
        connection.drive(cx);
        // Only driving the connection, here, can complete the answer: nobody has to be woken for it.
        answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    })
    .await;
    match answered {
        Ok(response) => {
            let alive = connection.wire.is_some();
            Ok((response, alive.then_some(connection)))
        }
        Err(mut failed) => Err(Unsent {
            request: failed.take_message(),
            error: failed.into_error(),
        }),
    }
}

/// An answer's body together with the connection that it comes from.
pub(crate) struct Driven {
    body: Incoming,
    connection: Option<Box<Connection>>,
    worker: Rc<Worker>,
    pool: Rc<BackendPool>,
    index: usize,
}

impl Driven {
    pub(super) fn new(
        body: Incoming,
        connection: Option<Box<Connection>>,
        worker: Rc<Worker>,
        pool: Rc<BackendPool>,
        index: usize,
    ) -> Self {
        Self {
            body,
            connection,
            worker,
            pool,
            index,
        }
    }

    /// The body is complete: its connection may serve somebody else.
    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take() {
            if !connection.is_ready() {
                connection.drive(cx);
            }
            if connection.is_ready() {
                self.pool.endpoints[self.index].give_back(&self.worker, connection);
            }
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut frame = self.poll_body();
        if frame.is_pending()
            && let Some(connection) = &mut self.connection
        {
            connection.drive(cx);
            if connection.wire.is_none() {
                self.connection = None;
            }
            frame = self.poll_body();
        }
        match &frame {
            Poll::Ready(None) => self.give_back(cx),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.give_back(cx),
            Poll::Ready(Some(Err(_))) => self.connection = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame
    }

    /// What is there already. Only driving the connection can bring more, so nobody has to be woken.
    fn poll_body(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(connection) = &self.connection else {
            return self.poll_incoming();
        };
        connection.silence();
        let frame = self.poll_incoming();
        if let (Poll::Pending, Some(connection)) = (&frame, &self.connection) {
            connection.bell.rings.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn poll_incoming(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
