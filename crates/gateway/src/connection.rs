//! One client's connection, from the first byte to the last.

mod http1;
mod http2;
mod opening;
mod unread;
mod watched;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use http::HeaderMap;
use policies::identity_headers::Peer;
use policy::{ClientCertificate, Core};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::body::Outflow;
use crate::forwarded::Forwarding;
use crate::guard::{self, Violation};
use crate::metrics::{Limit, Wire};
use crate::seats::Seat;
use crate::timers;
use crate::tunnel::Tunnel;
use crate::worker::{Accepted, Worker};
pub(crate) use unread::Inflow;
use unread::Unread;

/// What the sweep has decided about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// Nothing.
    Go,
    /// The node drains: answer one more request, which may be on its way, and say that it was the last one.
    Drain,
    /// Answer what is in flight, then close.
    CloseGracefully,
    /// Close at once; the head did not come in time.
    HeadTimedOut,
    /// Give the buffers back until the next request comes; HTTP/1.1 only.
    Rest,
    /// Close at once: the client was told to go and has not gone, or does not take its answer.
    Cut,
}

/// What requests and timeouts need to know of a connection.
pub(crate) struct Connection {
    id: u64,
    client: Cell<policy::Client>,
    /// What backends are told of the client; made when it is first asked for.
    peer: OnceCell<Peer>,
    /// What is known of the client's certificate; nothing for most.
    certificate: OnceCell<Shown>,
    /// Whether clients can show certificates where this connection came in.
    takes_certificates: Cell<bool>,
    /// What the guard of an HTTP/1.1 connection has found.
    guard: OnceCell<guard::Handle>,
    wire: Cell<Option<Wire>>,
    /// Requests that are not answered to the end.
    active: Cell<u32>,
    /// When the latest request ended, or the connection began.
    idle_since_ms: Cell<u64>,
    /// When something was begun that the client has to end: a head, or with HTTP/2 any frame but one of a body. Or since
    /// when it owes the rest of a body that was answered.
    head_since_ms: Cell<Option<u64>>,
    /// The body of the latest request; HTTP/1.1 only.
    unread: Unread,
    /// Answers that wait for the client on the wire; HTTP/2 only.
    streams: Cell<Streams>,
    /// Answers that were handed over and whose heads have not gone out; HTTP/2 only.
    unsent: Cell<u32>,
    /// Answers that come in parts, with how the client takes them.
    outflows: RefCell<Vec<Rc<Outflow>>>,
    /// Something waits for the client to read; HTTP/1.1 only.
    blocked: Cell<bool>,
    /// The buffers were given back.
    resting: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    /// What this HTTP/1.1 connection becomes when the answer under way has gone out.
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

/// Where the certificate of a connection's client comes from.
enum Shown {
    /// The handshake.
    Handshake(Arc<ClientCertificate>),
    /// Each request, of a proxy that is trusted. What that one has shown itself is not its clients'.
    Requests(Arc<Forwarding>),
}

/// Streams of an HTTP/2 connection, as the wire shows them.
#[derive(Clone, Copy, Default)]
struct Streams {
    /// Opened, and the answer has not gone out to its end.
    open: usize,
    /// Since when more are open than there are requests under way, and none of them has ended.
    stuck_since_ms: Option<u64>,
}

impl Connection {
    /// Who connected.
    pub(crate) fn client(&self) -> policy::Client {
        self.client.get()
    }

    /// The certificate of the client that a request is of.
    pub(crate) fn certificate(
        &self,
        core: &Core,
        headers: &HeaderMap,
    ) -> Option<Arc<ClientCertificate>> {
        match self.certificate.get()? {
            Shown::Handshake(certificate) => Some(Arc::clone(certificate)),
            Shown::Requests(forwarding) => forwarding.certificate(core, headers),
        }
    }

    /// Whether clients can show certificates where this connection came in: to the handshake, or to a proxy.
    pub(crate) fn takes_certificates(&self) -> bool {
        self.takes_certificates.get()
    }

    /// What backends are told of the client.
    pub(crate) fn peer(&self) -> &Peer {
        self.peer.get_or_init(|| Peer::new(&self.client.get()))
    }

    /// A proxy has said who the client is; before the first request.
    fn is_from(&self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let client = self.client.get();
        self.client.set(policy::Client { ip, ..client });
    }

    /// Looks after an answer that comes in parts, for as long as the answer holds this.
    pub(crate) fn watch(&self) -> Rc<Outflow> {
        let outflow = Rc::new(Outflow::default());
        let mut outflows = self.outflows.borrow_mut();
        if outflows.len() == outflows.capacity() {
            forget_ended(&mut outflows);
        }
        outflows.push(Rc::clone(&outflow));
        outflow
    }

    /// Whether it speaks HTTP/2.
    pub(crate) fn is_h2(&self) -> bool {
        matches!(self.wire.get(), Some(Wire::H2 | Wire::H2c))
    }

    /// A request begins: its head is complete.
    pub(crate) fn request_begins(&self) {
        self.active.set(self.active.get() + 1);
        self.head_since_ms.set(None);
    }

    /// A request was answered to the end, or given up.
    pub(crate) fn request_ended(&self, now_ms: u64) {
        self.active.set(self.active.get() - 1);
        self.idle_since_ms.set(now_ms);
        if self.owes_rest() {
            self.head_since_ms.set(Some(now_ms));
        }
        if let Some(guard) = self.guard.get() {
            guard.answered();
        }
    }

    /// An answer was handed over to be sent.
    pub(crate) fn answer_handed(&self) {
        self.unsent.set(self.unsent.get().saturating_add(1));
    }

    /// The head of an answer has gone out; whether it is one that was handed over. HTTP/2 only.
    fn head_sent(&self) -> bool {
        let unsent = self.unsent.get().checked_sub(1);
        self.unsent.set(unsent.unwrap_or(0));
        unsent.is_some()
    }

    /// What the guard has found wrong with what the client sent.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.guard.get().and_then(guard::Handle::violation)
    }

    /// Has the connection's task look again.
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
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

    /// Whether nothing is under way: no request, no beginning or rest of one, and nothing waits to be written.
    fn is_quiet(&self) -> bool {
        self.active.get() == 0
            && self.head_since_ms.get().is_none()
            && !self.blocked.get()
            && self.is_between()
    }

    /// Whether the client has to end something that it has begun; HTTP/2 only.
    fn owes(&self, owed: bool, now_ms: u64) {
        let since_ms = self.head_since_ms.get();
        self.head_since_ms
            .set(owed.then(|| since_ms.unwrap_or(now_ms)));
    }

    /// So many streams wait for the end of their answers, and whether one has just ended; HTTP/2 only.
    fn has_open(&self, open: usize, ended: bool) {
        let stuck_since_ms = self.streams.get().stuck_since_ms.filter(|_| !ended);
        if open == 0 {
            // Those whose streams the client has reset never go out.
            self.unsent.set(0);
        }
        self.streams.set(Streams {
            open,
            stuck_since_ms,
        });
    }

    /// Since when answers that were handed over have not gone out.
    fn stuck_since_ms(&self, now_ms: u64) -> Option<u64> {
        let Streams {
            open,
            stuck_since_ms,
        } = self.streams.get();
        let stuck = open > self.active.get() as usize;
        let stuck_since_ms = stuck.then(|| stuck_since_ms.unwrap_or(now_ms));
        self.streams.set(Streams {
            open,
            stuck_since_ms,
        });
        stuck_since_ms
    }

    fn bytes_came(&self, now_ms: u64) {
        if self.active.get() == 0 && self.head_since_ms.get().is_none() {
            self.head_since_ms.set(Some(now_ms));
        }
    }

    fn give(&self, order: Order) {
        if self.order.get() != order {
            self.order.set(order);
            self.wake();
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
        let limits = &worker.config.limits;
        let now_ms = worker.now_ms.get();
        let passed = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let is_over = |since_ms: Option<u64>, ms| since_ms.is_some_and(|since| passed(since) > ms);
        // HTTP/1.1: an answer was handed over, and the client has not taken all of it. What it owes behind that counts from then.
        let untaken = self.active.get() == 0 && self.blocked.get();
        let is_owed = self.head_since_ms.get().is_some();
        if untaken && is_owed && passed(self.idle_since_ms.get()) <= limits.answer_timeout_ms {
            self.head_since_ms.set(Some(now_ms));
        }
        if is_over(self.head_since_ms.get(), limits.head_timeout_ms) {
            // A request that was answered has no second answer, and none goes into the middle of another one.
            let order = if self.owes_rest() || untaken {
                Order::Cut
            } else {
                Order::HeadTimedOut
            };
            self.end(worker, Limit::HeadTimeout, order);
        } else if is_over(self.stuck_since_ms(now_ms), limits.answer_timeout_ms)
            || self.has_slow_outflow(worker)
        {
            self.end(worker, Limit::AnswerTimeout, Order::Cut);
        }
        if self.active.get() > 0 || self.head_since_ms.get().is_some() {
            return;
        }
        let idle_ms = passed(self.idle_since_ms.get());
        if idle_ms > limits.idle_timeout_ms + limits.head_timeout_ms {
            self.give(Order::Cut);
        } else if self.order.get() == Order::Drain {
            if idle_ms > limits.drain_idle_ms {
                self.give(Order::CloseGracefully);
            }
        } else if self.order.get() != Order::Go {
        } else if idle_ms > limits.idle_timeout_ms {
            worker.numbers().limit(Limit::IdleTimeout);
            self.give(Order::CloseGracefully);
        } else if idle_ms > limits.rest_after_ms && !self.resting.get() && !self.is_h2() {
            self.give(Order::Rest);
        }
    }

    /// Ends the connection because of a limit; counts it once.
    fn end(&self, worker: &Worker, limit: Limit, order: Order) {
        if !matches!(self.order.get(), Order::HeadTimedOut | Order::Cut) {
            worker.numbers().limit(limit);
            self.give(order);
        }
    }

    fn has_slow_outflow(&self, worker: &Worker) -> bool {
        let mut outflows = self.outflows.borrow_mut();
        if outflows.is_empty() {
            return false;
        }
        forget_ended(&mut outflows);
        let rules = worker.answer_pace();
        let now_ms = worker.now_ms.get();
        outflows
            .iter()
            .any(|outflow| outflow.is_slow(now_ms, &rules))
    }
}

/// Answers that are still on their way hold their own share.
fn forget_ended(outflows: &mut Vec<Rc<Outflow>>) {
    outflows.retain(|outflow| Rc::strong_count(outflow) > 1);
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

    /// Every connection closes when what is in flight has been answered; those that come do so too. One that is idle
    /// gets a moment: its client may have sent a request that has not arrived.
    pub(crate) fn drain(&self, now_ms: u64) {
        self.closing.set(true);
        for connection in self.open.borrow().values() {
            if connection.active.get() == 0 {
                connection.idle_since_ms.set(now_ms);
            }
            connection.give(Order::Drain);
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
            Order::Drain
        } else {
            Order::Go
        };
        let connection = Rc::new(Connection {
            id,
            client: Cell::new(client),
            peer: OnceCell::new(),
            certificate: OnceCell::new(),
            takes_certificates: Cell::new(false),
            guard: OnceCell::new(),
            wire: Cell::new(None),
            active: Cell::new(0),
            idle_since_ms: Cell::new(now_ms),
            head_since_ms: Cell::new(None),
            unread: Unread::default(),
            streams: Cell::default(),
            unsent: Cell::new(0),
            outflows: RefCell::default(),
            blocked: Cell::new(false),
            resting: Cell::new(false),
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
    let tls = accepted.entrance.tls.is_some();
    let connection = worker
        .connections
        .add(accepted.peer, tls, worker.read_clock());
    let enrolled = Enrolled {
        worker: Rc::clone(worker),
        connection,
    };
    // In a box: a task has room for what it is given as long as it lives.
    let accepted = Box::new(accepted);
    tokio::task::spawn_local(async move {
        if let Err(error) = serve(&enrolled, accepted).await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the socket cannot be used: {0}")]
    Socket(io::Error),
    #[error(transparent)]
    Proxy(crate::proxy_header::HeaderFault),
    #[error("connections to this port come from others than its load balancers")]
    NoProxy,
    #[error("the client that the proxy named has too many connections")]
    Full,
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("nothing came in time")]
    TimedOut,
    #[error(transparent)]
    Http(hyper::Error),
}

/// What is needed once is boxed: the future of a connection lives as long as the connection, idle or not.
async fn serve(enrolled: &Enrolled, accepted: Box<Accepted>) -> Result<(), ServeError> {
    let Enrolled { worker, connection } = enrolled;
    let (stream, is_h2, _seat) = Box::pin(open(worker, connection, *accepted)).await?;
    let wire = match (is_h2, connection.client().tls) {
        (false, false) => Wire::Http1,
        (true, false) => Wire::H2c,
        (false, true) => Wire::Https1,
        (true, true) => Wire::H2,
    };
    connection.wire.set(Some(wire));
    worker.numbers().connections[wire as usize].up();
    worker.numbers().connections_total[wire as usize].add(1);
    if is_h2 {
        http2::serve(worker, connection, stream).await
    } else {
        http1::serve(worker, connection, stream).await
    }
}

async fn open(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    accepted: Accepted,
) -> Result<(crate::io::Stream, bool, Seat), ServeError> {
    let Accepted {
        stream,
        entrance,
        seat,
        ..
    } = accepted;
    let tcp = TcpStream::from_std(stream).map_err(ServeError::Socket)?;
    tcp.set_nodelay(true).map_err(ServeError::Socket)?;
    let limits = &worker.config.limits;
    let (limit, time_ms) = if entrance.is_plain() {
        (Limit::HeadTimeout, limits.head_timeout_ms)
    } else {
        (Limit::OpeningTimeout, limits.opening_timeout_ms)
    };
    let deadline_ms = worker.now_ms.get() + time_ms;
    let opening = std::pin::pin!(opening::open(worker, connection, &entrance, seat, tcp));
    let opened = timers::until(&worker.timers, &*worker.clock, deadline_ms, opening);
    opened.await.unwrap_or_else(|| {
        worker.numbers().limit(limit);
        Err(ServeError::TimedOut)
    })
}
