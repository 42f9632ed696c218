//! The connections of one worker to each backend.
//!
//! Pools outlive snapshots: a backend that did not change keeps its `Arc`, and so its pool. One that changed gets a
//! new pool; the old one goes when it was not used for a while.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use snapshot::{Backend, Endpoint};
use tokio::sync::Notify;

use super::balance::{LineUp, Lined};
use super::load::{Counted, Load};
use super::members::{Group, Member};
use super::{connect, h1, h2, host_header, tls};
use crate::config::UpstreamConfig;
use crate::metrics::{Limit, Numbers, Upstream};
use crate::worker::Worker;

/// All pools of a worker, by the address of the backend's `Arc` (which the pool holds, so it is not used again).
#[derive(Default)]
pub(crate) struct Pools(RefCell<HashMap<usize, Rc<BackendPool>, foldhash::fast::RandomState>>);

/// The connections to one backend.
pub(crate) struct BackendPool {
    pub(crate) backend: Arc<Backend>,
    /// Its endpoints, as all cores know them.
    pub(super) group: Arc<Group>,
    /// Its endpoints, as this core uses them.
    pub(super) line_up: Lined,
    pub(super) tls: tls::TlsSetup,
    /// How its connections are kept.
    pub(super) keeping: Rc<Keeping>,
    used_ms: Cell<u64>,
}

/// How the connections to a backend are kept and used: by its document, or else by the node's configuration.
pub(crate) struct Keeping {
    pub(super) idle_ms: u64,
    pub(super) idle_max: usize,
    /// 0 = none.
    age_max_ms: u64,
    /// 0 = any number.
    requests_max: u32,
    pub(super) streams_max: usize,
    pub(super) connections_max: usize,
    pub(super) ping_every_ms: u64,
    pub(super) ping_timeout_ms: u64,
}

impl Keeping {
    fn of(backend: &Backend, node: &UpstreamConfig) -> Self {
        let (kept, http2) = (&backend.calls.keep_alive, &backend.calls.http2);
        let size = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
        Self {
            idle_ms: kept.idle_ms.unwrap_or(node.idle_timeout_ms),
            idle_max: size(kept.idle_max).unwrap_or(node.idle_max),
            age_max_ms: kept.age_max_ms.unwrap_or(node.age_max_ms),
            requests_max: kept.requests_max.unwrap_or(node.requests_max),
            streams_max: size(http2.streams_max).unwrap_or(node.h2_streams_max),
            connections_max: size(http2.connections_max).unwrap_or(node.h2_connections_max),
            ping_every_ms: http2.ping_every_ms.unwrap_or(node.h2_ping_every_ms),
            ping_timeout_ms: http2.ping_timeout_ms.unwrap_or(node.h2_ping_timeout_ms),
        }
    }

    /// Whether a connection is old or has served enough.
    pub(super) fn is_worn(&self, born_ms: u64, served: u32, now_ms: u64) -> bool {
        let old = self.age_max_ms != 0 && now_ms.saturating_sub(born_ms) >= self.age_max_ms;
        old || (self.requests_max != 0 && served >= self.requests_max)
    }
}

/// The connections to one endpoint.
pub(crate) struct EndpointPool {
    pub(crate) address: Endpoint,
    /// What the process knows of it.
    pub(super) member: Arc<Member>,
    pub(super) group: Arc<Group>,
    /// It is no endpoint of its backend any more: no connection is kept.
    retired: Cell<bool>,
    /// The `Host` header.
    pub(crate) host: HeaderValue,
    #[expect(
        clippy::vec_box,
        reason = "a connection is large and moves between requests: its pointer does"
    )]
    idle: RefCell<Vec<Box<h1::Connection>>>,
    /// Fields of the latest answers over HTTP/1.1.
    pub(super) latest: RefCell<h1::Latest>,
    shared: RefCell<Vec<Rc<h2::Connection>>>,
    /// Told when a stream or a connection can be used again.
    pub(super) freed: Rc<Notify>,
    /// Calls of this core that wait for that.
    pub(super) waiting: Cell<usize>,
    /// A connection is being made before it is needed.
    pub(super) ahead: Cell<bool>,
    /// Held while a connection is made that others may share, or that shows whether they may.
    pub(super) dialling: tokio::sync::Mutex<()>,
    /// Whether the last connection that was made speaks HTTP/1.1.
    pub(super) speaks_h1: Cell<bool>,
    /// Which addresses the shared connections go to.
    address_version: Cell<u64>,
    /// When a failure to connect was last logged.
    pub(super) warned_ms: Cell<Option<u64>>,
}

impl Pools {
    /// The pool of a backend.
    pub(crate) fn of(&self, worker: &Worker, backend: &Arc<Backend>) -> Rc<BackendPool> {
        let address = Arc::as_ptr(backend).addr();
        let mut pools = self.0.borrow_mut();
        let pool = pools
            .entry(address)
            .or_insert_with(|| Rc::new(BackendPool::new(worker, backend)));
        pool.used_ms.set(worker.now_ms.get());
        Rc::clone(pool)
    }

    /// Closes what was idle for too long, or was closed by the backend; forgets pools that nobody uses.
    pub(crate) fn sweep(&self, worker: &Worker) {
        let now_ms = worker.now_ms.get();
        let keep_ms = worker.config.upstream.idle_timeout_ms;
        self.0.borrow_mut().retain(|_, pool| {
            let mut line_up = pool.line_up.borrow_mut();
            line_up.follow(&pool.group);
            for endpoint in &line_up.pools {
                endpoint.sweep(worker, now_ms);
            }
            let is_empty = line_up.pools.iter().all(|endpoint| endpoint.is_empty());
            let unused = now_ms.saturating_sub(pool.used_ms.get()) > keep_ms;
            !(is_empty && unused)
        });
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl BackendPool {
    fn new(worker: &Worker, backend: &Arc<Backend>) -> Self {
        let group = worker.shared.endpoints.group(backend);
        Self {
            line_up: RefCell::new(LineUp::new(&group, worker.index)),
            group,
            backend: Arc::clone(backend),
            tls: tls::TlsSetup::default(),
            keeping: Rc::new(Keeping::of(backend, &worker.config.upstream)),
            used_ms: Cell::new(0),
        }
    }

    /// What is under way at the backend, of all cores.
    pub(super) fn load(&self) -> &Arc<Load> {
        &self.group.state.load
    }
}

impl EndpointPool {
    pub(super) fn new(group: &Arc<Group>, member: &Arc<Member>) -> Self {
        let endpoint = &member.endpoint;
        Self {
            address: endpoint.clone(),
            host: host_header(endpoint),
            member: Arc::clone(member),
            group: Arc::clone(group),
            retired: Cell::new(false),
            idle: RefCell::default(),
            latest: RefCell::default(),
            shared: RefCell::default(),
            freed: Rc::default(),
            waiting: Cell::new(0),
            ahead: Cell::new(false),
            dialling: tokio::sync::Mutex::new(()),
            speaks_h1: Cell::new(false),
            address_version: Cell::new(member.address_version()),
            warned_ms: Cell::new(None),
        }
    }

    /// The connection that was used last: the ones below it may then run into their timeout.
    pub(crate) fn take_idle(&self) -> Option<Box<h1::Connection>> {
        self.idle.borrow_mut().pop()
    }

    /// Whether there is no other to go to, ever.
    pub(super) fn is_only(&self) -> bool {
        self.group.is_one
    }

    /// Keeps a connection for the next request, unless the backend sent more than its answer.
    pub(crate) fn give_back(&self, worker: &Worker, mut connection: Box<h1::Connection>) {
        let moved = connection.address_version != self.member.address_version();
        if connection.has_unread() || self.retired.get() || moved {
            return;
        }
        let now_ms = worker.now_ms.get();
        if connection.is_worn(now_ms) {
            worker.numbers().upstream(Upstream::Worn);
            return;
        }
        let waited_for = self.waiting.get() > 0;
        // Another core waits for a connection, and this one has no use for it.
        if !waited_for && connection.is_wanted() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= connection.idle_max() {
            worker.numbers().limit(Limit::UpstreamIdle);
            return;
        }
        connection.idle_since_ms = now_ms;
        idle.push(connection);
        if waited_for {
            self.freed.notify_one();
        }
    }

    /// A place on the HTTP/2 connection that has the fewest streams. When all of them fill, another one is opened.
    pub(crate) fn take_stream(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pool: &Rc<BackendPool>,
    ) -> Option<h2::StreamSlot> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now_ms = worker.now_ms.get();
        shared.retain(|connection| {
            let worn = connection.is_worn(now_ms);
            if worn {
                worker.numbers().upstream(Upstream::Worn);
            }
            !worn && !connection.is_closed()
        });
        let least = shared.iter().min_by_key(|connection| connection.streams());
        let least = least.filter(|connection| connection.has_room())?;
        let slot = least.slot(now_ms);
        let more = shared.len() < pool.keeping.connections_max;
        if more && least.is_filling() && !self.ahead.replace(true) {
            connect::open_ahead(worker, pool, self);
        }
        Some(slot)
    }

    /// It is no endpoint of its backend any more: calls that it has end as they would.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// How many HTTP/2 connections there are.
    pub(super) fn shared_count(&self) -> usize {
        self.shared.borrow().len()
    }

    pub(super) fn share(&self, connection: Rc<h2::Connection>) {
        self.shared.borrow_mut().push(connection);
    }

    fn sweep(&self, worker: &Worker, now_ms: u64) {
        let version = self.member.address_version();
        let before = self.address_version.replace(version);
        if before != version && before != 0 {
            // What is under way there ends as it would.
            self.shared.borrow_mut().clear();
        }
        let unwanted_here = self.waiting.get() == 0;
        self.idle.borrow_mut().retain_mut(|connection| {
            let spare = unwanted_here && connection.is_wanted();
            let old = connection.is_worn(now_ms) || connection.is_stale(now_ms);
            let moved = connection.address_version != version;
            !(spare || old || moved || connection.is_dead())
        });
        self.shared.borrow_mut().retain(|connection| {
            connection.ping(worker, now_ms);
            !(connection.is_closed() || connection.is_unused(now_ms))
        });
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }
}

/// Counts a connection to a backend as open while it lives.
pub(crate) struct OpenCount {
    numbers: Arc<Numbers>,
    worker: usize,
    /// Its place among the connections that the backend may have.
    place: Option<Counted>,
}

impl OpenCount {
    pub(super) fn new(worker: &Worker, place: Option<Counted>) -> Self {
        worker.numbers().upstream(Upstream::Opened);
        worker.numbers().upstream_open.up();
        Self {
            numbers: Arc::clone(&worker.shared.numbers),
            worker: worker.index,
            place,
        }
    }

    /// Whether somebody waits for a connection of this backend to go.
    pub(super) fn is_wanted(&self) -> bool {
        self.place.as_ref().is_some_and(Counted::is_wanted)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.numbers.workers[self.worker].upstream_open.down();
    }
}
