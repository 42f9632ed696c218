//! One core's share of the gateway: a thread with a runtime of its own, and everything its requests use.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base::Clock;
use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use snapshot::Snapshot;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::connection::{self, Registry};
use crate::decisions;
use crate::forwarded::Forwarding;
use crate::live::{self, Live};
use crate::metrics::{Numbers, WorkerNumbers};
use crate::pace;
use crate::seats::{Seat, Seats};
use crate::services::OverBackends;
use crate::shelf::{Shelf, Shown};
use crate::timers::Timers;
use crate::trace::{self, IdSource};
use crate::tunnel::Tunnels;
use crate::upstream::pool::Pools;
use crate::upstream::state::States;
use crate::usage::{Outlet, Tally};

/// The snapshot that is in force; `None` until the first one is there.
pub type Snapshots = ArcSwap<Option<Snapshot>>;

/// How often connections are looked at for timeouts.
const SWEEP_MS: u64 = 250;
/// Sweeps between two looks for memory to give back.
const SWEEPS_PER_GIVING: u32 = 4;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) runtime: Arc<policy::Runtime>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) server_tls: Option<Arc<Shown>>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) access_log: Option<AccessLog>,
    /// Where each worker puts its decisions.
    pub(crate) decisions: Vec<decisions::Sender>,
    /// Connections that each worker holds.
    pub(crate) live: Vec<AtomicUsize>,
    /// Connections that each client holds.
    pub(crate) seats: Arc<Seats>,
    pub(crate) native_roots: OnceLock<Arc<RootCertStore>>,
    /// Where usage goes.
    pub(crate) usage: Outlet,
    /// How the endpoints of backends fare.
    pub(crate) endpoints: Arc<States>,
    pub(crate) tunnels: Tunnels,
}

impl Shared {
    /// The machine's certificate authorities, read once.
    pub(crate) fn native_roots(&self) -> Arc<RootCertStore> {
        let roots = self.native_roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a certificate authority of the system cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        });
        Arc::clone(roots)
    }
}

/// A connection on its way to a worker.
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) seat: Seat,
}

/// What comes before HTTP on the connections of a port.
pub(crate) struct Entrance {
    /// `None` for clear text.
    pub(crate) tls: Option<Arc<Shown>>,
    /// Who has to say whose connection it is, and alone may connect; empty = clients connect themselves.
    pub(crate) proxies: Vec<IpNet>,
    /// From whom certificates are taken that are forwarded in a field.
    pub(crate) forwarding: Option<Arc<Forwarding>>,
}

impl Entrance {
    /// Whether connections begin with a header of the PROXY protocol.
    pub(crate) fn is_proxied(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// Whether HTTP begins with the first byte.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none() && !self.is_proxied()
    }
}

/// What the workers are to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Accept nothing yet.
    Holding,
    /// Serve.
    Serving,
    /// Finish what is in flight.
    Draining,
    /// Close everything.
    Stopped,
}

/// The snapshot that a worker uses. Its requests share it by a count that no other core touches.
pub(crate) struct Current(Arc<Option<Snapshot>>);

impl Current {
    /// `None` until the first snapshot is there.
    pub(crate) fn get(&self) -> Option<&Snapshot> {
        self.0.as_ref().as_ref()
    }
}

/// One core's surroundings.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) core: Rc<policy::Core>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) pools: Pools,
    pub(crate) connections: Registry,
    pub(crate) ids: IdSource,
    pub(crate) tracing: trace::Rules,
    pub(crate) series: crate::metrics::SeriesCache,
    pub(crate) usage: Tally,
    pub(crate) live: Live,
    /// What tunnels read into.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// The monotonic time of the latest request or sweep: for what need not be exact.
    pub(crate) now_ms: Cell<u64>,
    /// Unix time minus monotonic time, as of the latest sweep.
    unix_offset_ms: Cell<u64>,
    snapshots: RefCell<arc_swap::Cache<Arc<Snapshots>, Arc<Option<Snapshot>>>>,
    snapshot: RefCell<Rc<Current>>,
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Rc<Self> {
        let clock = Arc::clone(&shared.runtime.clock);
        let mut cache = arc_swap::Cache::new(Arc::clone(&shared.snapshots));
        let snapshot = Rc::new(Current(Arc::clone(cache.load())));
        let worker = Self {
            index,
            config: shared.config.clone(),
            core: policy::Core::new(Arc::clone(&shared.runtime)),
            timers: Rc::default(),
            pools: Pools::default(),
            connections: Registry::default(),
            ids: IdSource::new(),
            tracing: trace::Rules::new(&shared.config.tracing),
            series: crate::metrics::SeriesCache::default(),
            usage: Tally::new(
                shared.config.usage.rows_max,
                shared.usage.clone(),
                Arc::clone(&clock),
            ),
            live: Live::default(),
            scratch: RefCell::default(),
            now_ms: Cell::new(0),
            unix_offset_ms: Cell::new(0),
            snapshots: RefCell::new(cache),
            snapshot: RefCell::new(snapshot),
            clock,
            shared,
        };
        worker.tick();
        worker.note_revision(&worker.snapshot.borrow());
        let worker = Rc::new(worker);
        let services = OverBackends(Rc::downgrade(&worker));
        worker.core.serve_by(Rc::new(services));
        worker
    }

    pub(crate) fn numbers(&self) -> &WorkerNumbers {
        &self.shared.numbers.workers[self.index]
    }

    /// The snapshot in force.
    pub(crate) fn snapshot(&self) -> Rc<Current> {
        let mut cache = self.snapshots.borrow_mut();
        let latest = cache.load();
        let mut mine = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(&mine.0, latest) {
            *mine = Rc::new(Current(Arc::clone(latest)));
            self.note_revision(&mine);
        }
        Rc::clone(&mine)
    }

    fn note_revision(&self, current: &Current) {
        if let Some(snapshot) = current.get() {
            self.numbers().serves(snapshot.revision);
        }
    }

    /// The monotonic time, read now.
    pub(crate) fn read_clock(&self) -> u64 {
        self.clock_was(Instant::now())
    }

    /// The monotonic time at a moment that was just read.
    pub(crate) fn clock_was(&self, moment: Instant) -> u64 {
        let now_ms = self.clock.monotonic_ms_at(moment);
        self.now_ms.set(now_ms);
        now_ms
    }

    /// The Unix time that belongs to a monotonic time, as exact as the latest sweep.
    pub(crate) fn unix_ms(&self, monotonic_ms: u64) -> u64 {
        self.unix_offset_ms.get().wrapping_add(monotonic_ms)
    }

    fn tick(&self) {
        let now_ms = self.read_clock();
        self.unix_offset_ms
            .set(self.clock.unix_ms().wrapping_sub(now_ms));
    }

    /// Lets go of an old snapshot also while no request comes, closes what is idle for too long, gives memory back.
    async fn sweep(self: Rc<Self>) {
        for turn in (0..SWEEPS_PER_GIVING).cycle() {
            tokio::time::sleep(Duration::from_millis(SWEEP_MS)).await;
            self.tick();
            self.snapshot();
            self.connections.sweep(&self);
            self.pools.sweep(&self);
            self.live.sweep(self.now_ms.get());
            if turn == 0 {
                (self.config.give_back)();
            }
        }
    }

    /// Hands over what was counted, whenever the collector asks.
    async fn flush_usage(self: Rc<Self>) {
        let mut rounds = self.usage.outlet.rounds.clone();
        while rounds.changed().await.is_ok() {
            let round = *rounds.borrow_and_update();
            self.usage.flush(Some(round));
        }
    }

    async fn serve(
        self: Rc<Self>,
        mut accepted: mpsc::UnboundedReceiver<Accepted>,
        mut stage: watch::Receiver<Stage>,
        closings: live::Closings,
    ) -> usize {
        tokio::task::spawn_local(Rc::clone(&self.timers).run(Arc::clone(&self.clock)));
        tokio::task::spawn_local(Rc::clone(&self).sweep());
        tokio::task::spawn_local(Rc::clone(&self).flush_usage());
        tokio::task::spawn_local(Live::follow(Rc::clone(&self), closings));
        let mut accepting = true;
        loop {
            let now = *stage.borrow_and_update();
            match now {
                Stage::Holding | Stage::Serving => {}
                Stage::Draining => {
                    self.connections.drain(self.read_clock());
                    let limits = &self.config.limits;
                    self.live
                        .drain_at(self.read_clock() + limits.tunnel_drain_ms);
                    if !accepting && self.connections.is_empty() {
                        return 0;
                    }
                }
                Stage::Stopped => return self.connections.len(),
            }
            tokio::select! {
                next = accepted.recv(), if accepting => match next {
                    Some(next) => connection::begin(&self, next),
                    None => accepting = false,
                },
                _ = stage.changed() => {}
                () = self.connections.emptied(), if now == Stage::Draining => {}
            }
        }
    }

    /// How fast a body has to come.
    pub(crate) fn body_pace(&self) -> pace::Rules {
        pace::Rules {
            silence_ms: self.config.limits.body_timeout_ms,
            rate_min: self.config.limits.rate_min,
        }
    }

    /// How fast an answer has to be taken.
    pub(crate) fn answer_pace(&self) -> pace::Rules {
        pace::Rules {
            silence_ms: self.config.limits.answer_timeout_ms,
            rate_min: self.config.limits.rate_min,
        }
    }

    /// A connection is gone.
    pub(crate) fn released(&self) {
        self.shared.live[self.index].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a worker's thread; tells how many connections were cut off when it has ended.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    index: usize,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    stage: watch::Receiver<Stage>,
    closings: live::Closings,
) -> std::io::Result<oneshot::Receiver<usize>> {
    let (ended, end) = oneshot::channel();
    let (made, making) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(format!("gateway-{index}"))
        .spawn(move || {
            // Only the thread that uses a local runtime may make it.
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // The starter waits for this; if it is gone, so is the channel that the worker would serve.
            let _ = made.send(result);
            let Some(runtime) = runtime else { return };
            let cut = runtime.block_on(async move {
                let worker = Worker::new(shared, index);
                let cut = Rc::clone(&worker).serve(accepted, stage, closings).await;
                worker.pools.clear();
                cut
            });
            drop(runtime);
            // Nobody may be interested.
            let _ = ended.send(cut);
        })?;
    making
        .recv()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread ended at once")))?;
    Ok(end)
}

/// Runs hyper's own tasks on the worker that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
