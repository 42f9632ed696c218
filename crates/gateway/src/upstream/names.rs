//! The names that endpoints are found by, followed once for the whole process.
//!
//! Whoever needs a name holds it; while somebody does, [`Discovery`] follows it on the thread of `upkeep`, and tells what
//! it leads to. A core reads what is known without a lock.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use base::Clock;
use tokio::sync::{Notify, mpsc, watch};

use super::members::Group;

/// Endpoints that one name may lead to; what is beyond is left out.
pub(super) const TARGETS_MAX: usize = 256;

/// What is looked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Sought {
    /// The addresses of a host.
    Host(String),
    /// The SRV records of a name.
    Services(String),
}

/// What was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Target {
    /// Lower numbers are called first.
    pub(crate) priority: u16,
    /// The host.
    pub(crate) host: String,
    /// Its port, where the records have one.
    pub(crate) port: Option<u16>,
    /// Its share beside the others'.
    pub(crate) weight: u32,
    /// Where it is.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Finds out what names lead to. DNS is one way, what a cluster says of its services another.
pub(crate) trait Discovery {
    /// Follows a name while [`Tell::is_wanted`], and tells what it leads to whenever that has changed.
    fn follow(&self, tell: Tell) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// All names that are followed.
pub(crate) struct Names {
    table: Mutex<HashMap<Sought, Arc<Followed>>>,
    wanted: mpsc::UnboundedSender<Tell>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// No names yet; those that are wanted come out of the other end.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> (Arc<Self>, mpsc::UnboundedReceiver<Tell>) {
        let (wanted, names) = mpsc::unbounded_channel();
        let all = Self {
            table: Mutex::default(),
            wanted,
            clock,
        };
        (Arc::new(all), names)
    }

    /// Follows a name while what is returned is held.
    pub(super) fn follow(self: &Arc<Self>, sought: Sought) -> Arc<Followed> {
        let mut table = locked(&self.table);
        if let Some(known) = table.get(&sought) {
            return Arc::clone(known);
        }
        let followed = Arc::new(Followed::new(sought.clone()));
        table.insert(sought, Arc::clone(&followed));
        let tell = Tell {
            followed: Arc::clone(&followed),
            names: Arc::clone(self),
        };
        // Without anybody who looks up, nothing is ever found: those who wait have their own time limit.
        let _ = self.wanted.send(tell);
        followed
    }

    /// The time, for those who make members.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name, and what is known of it.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) sought: Sought,
    /// What it leads to; none = nobody knows yet.
    found: ArcSwapOption<Vec<Target>>,
    /// Why the last look-up failed.
    fault: ArcSwapOption<String>,
    /// Counts changes of what it leads to.
    version: AtomicU64,
    /// Wakes those who wait for the first answer.
    told: watch::Sender<bool>,
    /// What it leads to did not answer: it may have moved.
    again: Notify,
    groups: Mutex<Vec<Weak<Group>>>,
}

impl Followed {
    fn new(sought: Sought) -> Self {
        Self {
            sought,
            found: ArcSwapOption::empty(),
            fault: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            told: watch::Sender::new(false),
            again: Notify::new(),
            groups: Mutex::default(),
        }
    }

    /// A group whose members are what this leads to.
    pub(super) fn leads(&self, group: &Arc<Group>) {
        let mut groups = locked(&self.groups);
        groups.retain(|group| group.strong_count() > 0);
        groups.push(Arc::downgrade(group));
    }

    /// What it leads to; none = nobody knows yet.
    pub(crate) fn found(&self) -> Option<Arc<Vec<Target>>> {
        self.found.load_full()
    }

    /// Why the last look-up failed.
    pub(crate) fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// Grows whenever it leads somewhere else.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What it leads to did not answer.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Returns when somebody has looked it up, whatever came of it.
    pub(super) async fn told(&self) {
        let mut told = self.told.subscribe();
        // An error means that nobody looks names up any more.
        let _ = told.wait_for(|told| *told).await;
    }

    /// All its addresses, with the port where the records have none.
    pub(super) fn addresses(&self, port: u16) -> Vec<SocketAddr> {
        let found = self.found.load();
        let targets = found.iter().flat_map(|targets| targets.iter());
        let addresses = targets.flat_map(|target| {
            let port = target.port.unwrap_or(port);
            let at = move |ip: &IpAddr| SocketAddr::new(*ip, port);
            target.addresses.iter().map(at)
        });
        addresses.collect()
    }
}

/// By which a [`Discovery`] tells what a name leads to.
pub(crate) struct Tell {
    followed: Arc<Followed>,
    names: Arc<Names>,
}

impl Tell {
    /// What is looked for.
    pub(crate) fn sought(&self) -> &Sought {
        &self.followed.sought
    }

    /// Whether anybody still needs it. Once not, it must not be followed any longer.
    pub(crate) fn is_wanted(&self) -> bool {
        let mut table = locked(&self.names.table);
        // Ours and the table's. New ones are made from these two alone, and under the lock.
        if Arc::strong_count(&self.followed) > 2 {
            return true;
        }
        table.remove(self.sought());
        false
    }

    /// What the name leads to; the order does not matter.
    pub(crate) fn found(&self, mut targets: Vec<Target>) {
        for target in &mut targets {
            target.addresses.sort_unstable();
            target.addresses.dedup();
        }
        targets.sort_unstable();
        targets.dedup();
        targets.truncate(TARGETS_MAX);
        let followed = &self.followed;
        let before = followed.found();
        followed.fault.store(None);
        if before.as_deref() != Some(&targets) {
            tracing::debug!(name = ?followed.sought, ?targets, "a name leads to");
            followed.found.store(Some(Arc::new(targets)));
            followed.version.fetch_add(1, Ordering::Release);
            let groups = locked(&followed.groups).clone();
            let now_ms = self.names.now_ms();
            for group in groups.iter().filter_map(Weak::upgrade) {
                group.rebuild(now_ms);
            }
        }
        followed.told.send_replace(true);
    }

    /// The look-up failed; what was found before stands.
    pub(crate) fn failed(&self, fault: String) {
        let followed = &self.followed;
        if followed.fault.load().as_deref() != Some(&fault) {
            tracing::warn!(name = ?followed.sought, fault, "a backend's name cannot be looked up");
        }
        followed.fault.store(Some(Arc::new(fault)));
        followed.told.send_replace(true);
    }

    /// Returns when somebody found that what the name leads to does not answer.
    pub(crate) async fn asked_again(&self) {
        self.followed.again.notified().await;
    }
}
