//! One client's connection, from the first byte to the last.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use policies::identity_headers::Peer;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::config::Limits;
use crate::guard::{self, Guarded, Violation};
use crate::io::Stream;
use crate::metrics::{Limit, Wire};
use crate::tunnel::Tunnel;
use crate::worker::{Accepted, LocalExecutor, Worker};
use crate::{answer, request, timers};

/// How every HTTP/2 connection begins (RFC 9113 §3.4); no HTTP/1 method begins like it.
const PREFACE_BEGIN: &[u8] = b"PRI ";

/// What is read or written at once, at least.
const BUFFER_BYTES: usize = 64 * 1024;

/// Header fields that hyper takes without being told a number.
pub(crate) const HYPER_HEADERS_MAX: usize = 100;

/// What the sweep has decided about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// Nothing.
    Go,
    /// Answer what is in flight, then close.
    CloseGracefully,
    /// Close at once; the head did not come in time.
    HeadTimedOut,
    /// Close at once: the client was told to go and has not gone.
    Cut,
}

/// What requests and timeouts need to know of a connection.
pub(crate) struct Connection {
    id: u64,
    pub(crate) client: policy::Client,
    /// What backends are told of the client.
    pub(crate) peer: Peer,
    /// What the guard of an HTTP/1.1 connection has found.
    guard: OnceCell<guard::Handle>,
    wire: Cell<Option<Wire>>,
    /// Requests that are not answered to the end.
    active: Cell<u32>,
    /// When the latest request ended, or the connection began.
    idle_since_ms: Cell<u64>,
    /// When the first byte of a head came that is not complete; HTTP/1.1 only.
    head_since_ms: Cell<Option<u64>>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    /// What this HTTP/1.1 connection becomes when the answer under way has gone out.
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl Connection {
    /// A request begins: its head is complete.
    pub(crate) fn request_begins(&self) {
        self.active.set(self.active.get() + 1);
        self.head_since_ms.set(None);
    }

    /// A request was answered to the end, or given up.
    pub(crate) fn request_ended(&self, now_ms: u64) {
        self.active.set(self.active.get() - 1);
        self.idle_since_ms.set(now_ms);
    }

    /// What the guard has found wrong with what the client sent.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.guard.get().and_then(guard::Handle::violation)
    }

    /// Whether the request in flight asks for a WebSocket over HTTP/1.1.
    pub(crate) fn waits(&self) -> bool {
        self.guard.get().is_some_and(guard::Handle::waits)
    }

    /// The request in flight is answered without a change of protocol.
    pub(crate) fn stays(&self) {
        if let Some(guard) = self.guard.get() {
            guard.resume();
        }
    }

    /// Makes a tunnel of the connection once the answer has gone out.
    pub(crate) fn switch(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    fn bytes_came(&self, now_ms: u64) {
        if self.active.get() == 0 && self.head_since_ms.get().is_none() {
            self.head_since_ms.set(Some(now_ms));
        }
    }

    fn give(&self, order: Order) {
        if self.order.get() != order {
            self.order.set(order);
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Remembers whom to wake. A connection is one task for all its life, so once is enough.
    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
    }

    fn sweep(&self, worker: &Worker) {
        if self.active.get() > 0 {
            return;
        }
        let limits = &worker.config.limits;
        let now_ms = worker.now_ms.get();
        let passed = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let slow_head = self
            .head_since_ms
            .get()
            .is_some_and(|since_ms| passed(since_ms) > limits.head_timeout_ms);
        if slow_head {
            if self.order.get() != Order::HeadTimedOut {
                worker.numbers().limit(Limit::HeadTimeout);
                self.give(Order::HeadTimedOut);
            }
            return;
        }
        let idle_ms = passed(self.idle_since_ms.get());
        if self.order.get() == Order::Go && idle_ms > limits.idle_timeout_ms {
            worker.numbers().limit(Limit::IdleTimeout);
            self.give(Order::CloseGracefully);
        } else if idle_ms > limits.idle_timeout_ms + limits.head_timeout_ms {
            self.give(Order::Cut);
        }
    }
}

/// The connections of a worker.
#[derive(Default)]
pub(crate) struct Registry {
    open: RefCell<HashMap<u64, Rc<Connection>, foldhash::fast::RandomState>>,
    next_id: Cell<u64>,
    closing: Cell<bool>,
    emptied: Notify,
}

impl Registry {
    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Returns when the last connection has gone.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    pub(crate) fn sweep(&self, worker: &Worker) {
        for connection in self.open.borrow().values() {
            connection.sweep(worker);
        }
    }

    /// Every connection closes when what is in flight has been answered; those that come do so too.
    pub(crate) fn close_gracefully(&self) {
        self.closing.set(true);
        for connection in self.open.borrow().values() {
            connection.give(Order::CloseGracefully);
        }
    }

    fn add(&self, peer: SocketAddr, tls: bool, now_ms: u64) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let client = policy::Client {
            ip: peer.ip().to_canonical(),
            tls,
        };
        let order = if self.closing.get() {
            Order::CloseGracefully
        } else {
            Order::Go
        };
        let connection = Rc::new(Connection {
            id,
            client,
            peer: Peer::new(&client),
            guard: OnceCell::new(),
            wire: Cell::new(None),
            active: Cell::new(0),
            idle_since_ms: Cell::new(now_ms),
            head_since_ms: Cell::new(None),
            order: Cell::new(order),
            waker: RefCell::new(None),
            tunnel: RefCell::new(None),
        });
        self.open.borrow_mut().insert(id, Rc::clone(&connection));
        connection
    }
}

/// Takes the connection out of all books when its task ends, however it ends.
struct Enrolled {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        let registry = &self.worker.connections;
        registry.open.borrow_mut().remove(&self.connection.id);
        if let Some(wire) = self.connection.wire.get() {
            self.worker.numbers().connections[wire as usize].down();
        }
        self.worker.released();
        if registry.is_empty() {
            registry.emptied.notify_one();
        }
    }
}

/// Serves a connection in a task of its own.
pub(crate) fn begin(worker: &Rc<Worker>, accepted: Accepted) {
    let connection =
        worker
            .connections
            .add(accepted.peer, accepted.tls.is_some(), worker.read_clock());
    let enrolled = Enrolled {
        worker: Rc::clone(worker),
        connection,
    };
    tokio::task::spawn_local(async move {
        if let Err(error) = serve(&enrolled, accepted.stream, accepted.tls).await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the socket cannot be used: {0}")]
    Socket(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("nothing came in time")]
    TimedOut,
    #[error(transparent)]
    Http(hyper::Error),
}

async fn serve(
    enrolled: &Enrolled,
    stream: std::net::TcpStream,
    tls: Option<Arc<ServerConfig>>,
) -> Result<(), ServeError> {
    let Enrolled { worker, connection } = enrolled;
    let tcp = TcpStream::from_std(stream).map_err(ServeError::Socket)?;
    tcp.set_nodelay(true).map_err(ServeError::Socket)?;
    let deadline_ms = worker.now_ms.get() + worker.config.limits.head_timeout_ms;
    let opening = Box::pin(open(worker, tls, tcp));
    let opened = timers::until(&worker.timers, &*worker.clock, deadline_ms, opening);
    let Some(opened) = opened.await else {
        worker.numbers().limit(Limit::HeadTimeout);
        return Err(ServeError::TimedOut);
    };
    let (stream, is_h2) = opened?;
    let wire = match (is_h2, connection.client.tls) {
        (false, false) => Wire::Http1,
        (true, false) => Wire::H2c,
        (false, true) => Wire::Https1,
        (true, true) => Wire::H2,
    };
    connection.wire.set(Some(wire));
    worker.numbers().connections[wire as usize].up();
    worker.numbers().connections_total[wire as usize].add(1);
    if is_h2 {
        serve_h2(worker, connection, stream).await
    } else {
        serve_h1(worker, connection, stream).await
    }
}

/// The stream that HTTP runs on, and whether that is HTTP/2.
async fn open(
    worker: &Worker,
    tls: Option<Arc<ServerConfig>>,
    tcp: TcpStream,
) -> Result<(Stream, bool), ServeError> {
    match tls {
        Some(config) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let tls = acceptor.accept(tcp).await.map_err(|error| {
                worker.numbers().handshakes_failed.add(1);
                ServeError::Tls(error)
            })?;
            let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok((Stream::ServerTls(Box::new(tls)), is_h2))
        }
        None => {
            let is_h2 = begins_with_preface(&tcp)
                .await
                .map_err(ServeError::Socket)?;
            Ok((Stream::Tcp(tcp), is_h2))
        }
    }
}

/// Looks at the first bytes without taking them.
async fn begins_with_preface(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE_BEGIN.len()];
    loop {
        let length = tcp.peek(&mut first).await?;
        if length == 0 || first[..length] != PREFACE_BEGIN[..length] {
            return Ok(false);
        }
        if length == first.len() {
            return Ok(true);
        }
        // Rare: less than four bytes came. Readiness does not change before they are taken, so look again later.
        tokio::time::sleep(std::time::Duration::from_millis(timers::TICK_MS)).await;
    }
}

async fn serve_h1(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> Result<(), ServeError> {
    let limits = &worker.config.limits;
    let watched = Watched {
        stream,
        connection: Rc::clone(connection),
        worker: Rc::clone(worker),
    };
    let (guarded, handle) = Guarded::new(watched, rules(limits));
    // Set once: a connection is served once.
    let _ = connection.guard.set(handle);
    let io = TokioIo::new(guarded);
    let service = {
        let (worker, connection) = (Rc::clone(worker), Rc::clone(connection));
        service_fn(move |request| {
            request::handle(Rc::clone(&worker), Rc::clone(&connection), request)
        })
    };
    let mut builder = http1::Builder::new();
    // The guard's limits come first; hyper's are not below them, so that it is the guard that refuses.
    builder
        .max_header_size(limits.head_bytes_max * 2)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES) * 2);
    // With a number of its own hyper takes its table of fields from the heap, for every head.
    if limits.headers_max > HYPER_HEADERS_MAX {
        builder.max_headers(limits.headers_max);
    }
    let mut http = builder.serve_connection(io, service);
    let mut closing = false;
    let ended = std::future::poll_fn(|cx| {
        connection.remember(cx);
        match connection.order.get() {
            Order::Go => {}
            Order::CloseGracefully if closing => {}
            Order::CloseGracefully => {
                closing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            Order::HeadTimedOut => return Poll::Ready(None),
            Order::Cut => return Poll::Ready(Some(Ok(()))),
        }
        Pin::new(&mut http).poll(cx).map(Some)
    })
    .await;
    let tunnel = connection.tunnel.take();
    match (ended, tunnel) {
        (Some(Ok(())), Some(tunnel)) => {
            let parts = http.into_parts();
            let (watched, held) = parts.io.into_inner().into_parts();
            let mut ahead = Vec::from(parts.read_buf);
            ahead.extend(held);
            Box::pin(tunnel.run(watched.stream, ahead)).await;
            Ok(())
        }
        (Some(ended), _) => ended.map_err(ServeError::Http),
        (None, _) => {
            let mut stream = http.into_parts().io.into_inner().into_inner().stream;
            let reject = policy::Reject::new(
                base::code::REQUEST_TIMEOUT,
                "the head of the request did not come in time",
            );
            worker.numbers().reject(&reject.code);
            let text = answer::raw_problem(&reject);
            stream.write_all(&text).await.map_err(ServeError::Socket)?;
            stream.shutdown().await.map_err(ServeError::Socket)
        }
    }
}

fn rules(limits: &Limits) -> guard::Rules {
    guard::Rules {
        head_bytes_max: limits.head_bytes_max,
        headers_max: limits.headers_max,
        target_bytes_max: limits.target_bytes_max,
        extension_bytes_max: limits.chunk_extension_bytes_max,
    }
}

async fn serve_h2(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stream: Stream,
) -> Result<(), ServeError> {
    let limits = &worker.config.limits;
    let service = {
        let (worker, connection) = (Rc::clone(worker), Rc::clone(connection));
        service_fn(move |request| {
            request::handle(Rc::clone(&worker), Rc::clone(&connection), request)
        })
    };
    let mut http = http2::Builder::new(LocalExecutor)
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_resets_max)
        .max_local_error_reset_streams(limits.h2_resets_max)
        // WebSockets (RFC 8441).
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service);
    let mut closing = false;
    std::future::poll_fn(|cx| {
        connection.remember(cx);
        match connection.order.get() {
            Order::CloseGracefully if !closing => {
                closing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            Order::Cut => return Poll::Ready(Ok(())),
            Order::Go | Order::CloseGracefully | Order::HeadTimedOut => {}
        }
        Pin::new(&mut http).poll(cx)
    })
    .await
    .map_err(ServeError::Http)
}

/// A stream that tells when bytes come while no request is in flight: the beginning of a head.
struct Watched {
    stream: Stream,
    connection: Rc<Connection>,
    worker: Rc<Worker>,
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            this.connection.bytes_came(this.worker.now_ms.get());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
