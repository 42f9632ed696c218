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

use super::balance::{LineUp, Lined};
use super::members::{Group, Member};
use super::{h1, h2, host_header, tls};
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
    used_ms: Cell<u64>,
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
    shared: RefCell<Vec<Rc<h2::Connection>>>,
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
                endpoint.sweep(now_ms, keep_ms);
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
            used_ms: Cell::new(0),
        }
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
            shared: RefCell::default(),
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

    /// Keeps a connection for the next request, unless the backend sent more than its answer.
    pub(crate) fn give_back(&self, worker: &Worker, mut connection: Box<h1::Connection>) {
        let moved = connection.address_version != self.member.address_version();
        if connection.has_unread() || self.retired.get() || moved {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= worker.config.upstream.idle_max {
            worker.numbers().limit(Limit::UpstreamIdle);
            return;
        }
        connection.idle_since_ms = worker.now_ms.get();
        idle.push(connection);
    }

    /// A place on an HTTP/2 connection that stands.
    pub(crate) fn take_stream(&self, worker: &Worker) -> Option<h2::StreamSlot> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| !connection.is_closed());
        let max = worker.config.upstream.h2_streams_max;
        let free = shared.iter().find(|connection| connection.streams() < max);
        free.map(|connection| connection.slot(worker.now_ms.get()))
    }

    /// It is no endpoint of its backend any more: calls that it has end as they would.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Whether there are HTTP/2 connections.
    pub(super) fn is_shared(&self) -> bool {
        !self.shared.borrow().is_empty()
    }

    pub(super) fn share(&self, connection: Rc<h2::Connection>) {
        self.shared.borrow_mut().push(connection);
    }

    fn sweep(&self, now_ms: u64, keep_ms: u64) {
        let version = self.member.address_version();
        let before = self.address_version.replace(version);
        if before != version && before != 0 {
            // What is under way there ends as it would.
            self.shared.borrow_mut().clear();
        }
        self.idle.borrow_mut().retain_mut(|connection| {
            connection.address_version == version
                && now_ms.saturating_sub(connection.idle_since_ms) <= keep_ms
                && !connection.is_dead()
        });
        self.shared.borrow_mut().retain(|connection| {
            let unused = now_ms.saturating_sub(connection.used_ms.get()) > keep_ms;
            !(connection.is_closed() || (unused && connection.streams() == 0))
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
}

impl OpenCount {
    pub(super) fn new(worker: &Worker) -> Self {
        worker.numbers().upstream(Upstream::Opened);
        worker.numbers().upstream_open.up();
        Self {
            numbers: Arc::clone(&worker.shared.numbers),
            worker: worker.index,
        }
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.numbers.workers[self.worker].upstream_open.down();
    }
}
