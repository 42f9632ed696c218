//! What the process knows of endpoints: how they fare, what is in flight. One for all cores; it outlives snapshots.
//!
//! Keyed by organisation, backend name and the endpoint's own name, so that an edit of a backend changes nothing of what is
//! known of an endpoint that stays. A core reads atomics and takes no lock; locks are for those who make a pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use snapshot::{Backend, BackendKey, Health};

use super::load::Load;
use super::members::Group;
use super::names::Names;

/// The longest that an endpoint is ejected, in multiples of the first time.
const EJECTED_TIMES_MAX: u32 = 10;
/// The smallest share of an endpoint that starts slowly, in thousandths of its weight.
const SLOW_START_LEAST: u64 = 100;
/// A whole share.
pub(crate) const WHOLE: u64 = 1000;

/// All backends that calls were sent to, or that are looked after.
#[derive(Debug)]
pub(crate) struct States {
    workers: usize,
    names: Arc<Names>,
    table: Mutex<HashMap<BackendKey, Arc<BackendState>>>,
}

impl States {
    /// For so many cores.
    pub(crate) fn new(workers: usize, names: Arc<Names>) -> Self {
        Self {
            workers,
            names,
            table: Mutex::default(),
        }
    }

    /// The members of a backend; the same for all who ask with the same `Arc`.
    pub(crate) fn group(&self, backend: &Arc<Backend>) -> Arc<Group> {
        let state = Arc::clone(
            locked(&self.table)
                .entry(backend.key.clone())
                .or_insert_with(|| Arc::new(BackendState::new(self.workers))),
        );
        let mut groups = locked(&state.groups);
        groups.retain(|group| group.strong_count() > 0);
        let known = groups.iter().filter_map(Weak::upgrade);
        if let Some(group) = known
            .into_iter()
            .find(|group| Arc::ptr_eq(&group.backend, backend))
        {
            return group;
        }
        let group = Group::new(backend, &state, &self.names);
        groups.push(Arc::downgrade(&group));
        drop(groups);
        group
    }

    /// All that is known, by key.
    pub(crate) fn all(&self) -> Vec<(BackendKey, Arc<BackendState>)> {
        let table = locked(&self.table);
        let all = table.iter();
        all.map(|(key, state)| (key.clone(), Arc::clone(state)))
            .collect()
    }

    /// Forgets backends that are not served any more and that no call uses.
    pub(crate) fn forget(&self, gone: impl Fn(&BackendKey) -> bool) {
        locked(&self.table).retain(|key, state| !gone(key) || state.is_used());
    }
}

/// What is known of a backend.
#[derive(Debug)]
pub(crate) struct BackendState {
    workers: usize,
    /// What is under way, and the circuit breaker.
    pub(crate) load: Arc<Load>,
    endpoints: Mutex<HashMap<Arc<str>, Arc<EndpointState>>>,
    groups: Mutex<Vec<Weak<Group>>>,
    /// Somebody counts the ejected ones, to eject one more.
    ejecting: AtomicBool,
    /// Ejections that did not happen because too many are ejected.
    spared: AtomicU64,
}

impl BackendState {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            load: Arc::default(),
            endpoints: Mutex::default(),
            groups: Mutex::default(),
            ejecting: AtomicBool::new(false),
            spared: AtomicU64::new(0),
        }
    }

    /// What is known of an endpoint.
    pub(super) fn endpoint(&self, name: &Arc<str>) -> Arc<EndpointState> {
        let mut endpoints = locked(&self.endpoints);
        let known = endpoints.entry(Arc::clone(name));
        let state = known.or_insert_with(|| Arc::new(EndpointState::new(self.workers)));
        Arc::clone(state)
    }

    /// The members in force: those of the group that was made last.
    pub(crate) fn group(&self) -> Option<Arc<Group>> {
        locked(&self.groups).iter().rev().find_map(Weak::upgrade)
    }

    fn is_used(&self) -> bool {
        locked(&self.groups)
            .iter()
            .any(|group| group.strong_count() > 0)
    }

    /// Forgets endpoints that no group has.
    pub(crate) fn forget_endpoints(&self) {
        locked(&self.endpoints).retain(|_, state| Arc::strong_count(state) > 1);
    }

    /// An endpoint was not ejected because too many are.
    pub(super) fn spare(&self) {
        self.spared.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was.
    pub(crate) fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }

    /// Runs `eject` while nobody else does. Whoever comes meanwhile is turned away; the next failure comes soon.
    pub(super) fn ejecting(&self, eject: impl FnOnce()) {
        if !self.ejecting.swap(true, Ordering::Acquire) {
            eject();
            self.ejecting.store(false, Ordering::Release);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the checks say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checked {
    /// There was none yet, or there are none: it is called.
    Unknown,
    /// It is called.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// Why an endpoint is as it is; for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    /// Since when, in milliseconds since 1970.
    pub(crate) since_unix_ms: u64,
    /// Why.
    pub(crate) cause: String,
}

/// What is known of an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointState {
    /// Calls in flight, a number for each core: only its core writes it.
    in_flight: Box<[Slot]>,
    /// Failed calls in a row.
    failures: AtomicU32,
    /// Until when it is ejected, by the monotonic clock; 0 = never was.
    ejected_until_ms: AtomicU64,
    /// How often in a row.
    ejections: AtomicU32,
    checked: AtomicU8,
    /// Checks in a row that said the same: those that succeeded as a positive number, those that failed as a negative one.
    checks: AtomicI32,
    /// One more than the time at which it was new or came back; 0 = it was there from the beginning.
    fresh_since_ms: AtomicU64,
    /// Why it is not called, or was not.
    note: ArcSwapOption<Note>,
}

/// A line of the cache for itself: the numbers of two cores do not get into each other's way.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot(AtomicU32);

impl EndpointState {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            in_flight: (0..workers.max(1)).map(|_| Slot::default()).collect(),
            failures: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            checked: AtomicU8::new(0),
            checks: AtomicI32::new(0),
            fresh_since_ms: AtomicU64::new(0),
            note: ArcSwapOption::empty(),
        }
    }

    /// One call more; `worker` is the one who asks.
    #[inline]
    pub(super) fn begin(&self, worker: usize) {
        let count = &self.in_flight[worker].0;
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One call less.
    #[inline]
    pub(super) fn end(&self, worker: usize) {
        let count = &self.in_flight[worker].0;
        let one_less = count.load(Ordering::Relaxed).saturating_sub(1);
        count.store(one_less, Ordering::Relaxed);
    }

    /// Calls in flight, of all cores.
    pub(crate) fn in_flight(&self) -> u64 {
        let counts = self.in_flight.iter();
        counts
            .map(|count| u64::from(count.0.load(Ordering::Relaxed)))
            .sum()
    }

    pub(crate) fn checked(&self) -> Checked {
        match self.checked.load(Ordering::Relaxed) {
            0 => Checked::Unknown,
            1 => Checked::Healthy,
            _ => Checked::Unhealthy,
        }
    }

    /// What a check found. So many in a row decide; the first one of all decides by itself. Tells whether anything changed.
    pub(crate) fn note_check(
        &self,
        found: Result<(), String>,
        health: &Health,
        (now_ms, unix_ms): (u64, u64),
    ) -> bool {
        let before = self.checks.load(Ordering::Relaxed);
        let run = match &found {
            Ok(()) => before.max(0).saturating_add(1),
            Err(_) => before.min(0).saturating_sub(1),
        };
        self.checks.store(run, Ordering::Relaxed);
        let was = self.checked();
        let enough = |count: u32| was == Checked::Unknown || run.unsigned_abs() >= count;
        let (is, cause) = match found {
            Ok(()) if enough(health.healthy_after) => {
                (Checked::Healthy, "the check succeeds".into())
            }
            Err(cause) if enough(health.unhealthy_after) => (Checked::Unhealthy, cause),
            _ => return false,
        };
        if is == was {
            return false;
        }
        if was == Checked::Unhealthy {
            self.start_slowly(now_ms);
        }
        let note = Note {
            since_unix_ms: unix_ms,
            cause,
        };
        self.note.store(Some(Arc::new(note)));
        self.checked.store(is as u8, Ordering::Relaxed);
        true
    }

    /// Whether no check has been made.
    pub(super) fn is_unchecked(&self) -> bool {
        self.checks.load(Ordering::Relaxed) == 0
    }

    /// There are no checks any more: what they said does not hold.
    pub(crate) fn forget_checks(&self) {
        self.checked
            .store(Checked::Unknown as u8, Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
    }

    /// From now on its share grows.
    pub(super) fn start_slowly(&self, now_ms: u64) {
        self.fresh_since_ms.store(now_ms + 1, Ordering::Relaxed);
    }

    /// Whether it is ejected.
    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until_ms.load(Ordering::Relaxed)
    }

    /// For how long it still is, in milliseconds.
    pub(crate) fn ejected_for_ms(&self, now_ms: u64) -> u64 {
        let until_ms = self.ejected_until_ms.load(Ordering::Relaxed);
        until_ms.saturating_sub(now_ms)
    }

    /// How often in a row it was ejected.
    fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Why it is not called, or was not.
    pub(crate) fn note(&self) -> Option<Arc<Note>> {
        self.note.load_full()
    }

    /// A call was answered.
    #[inline]
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A call failed; tells how many in a row did.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Not called for a while: as many times `for_ms` as it was ejected in a row.
    pub(super) fn eject(&self, now_ms: u64, for_ms: u64, note: Note) {
        let until_ms = self.ejected_until_ms.load(Ordering::Relaxed);
        let good_ms = now_ms.saturating_sub(until_ms);
        let forgiven = good_ms > for_ms.saturating_mul(EJECTED_TIMES_MAX.into());
        let times = if forgiven { 1 } else { self.ejections() + 1 };
        let times = times.min(EJECTED_TIMES_MAX);
        self.ejections.store(times, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.note.store(Some(Arc::new(note)));
        let until_ms = now_ms + for_ms.saturating_mul(times.into());
        self.ejected_until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// Its share in thousandths: less than all of it while it starts slowly.
    pub(super) fn share(&self, now_ms: u64, slow_start_ms: u64) -> u64 {
        if slow_start_ms == 0 {
            return WHOLE;
        }
        let fresh = self.fresh_since_ms.load(Ordering::Relaxed).checked_sub(1);
        let ejected = self.ejected_until_ms.load(Ordering::Relaxed);
        let ejected = (ejected != 0 && ejected <= now_ms).then_some(ejected);
        let Some(since_ms) = fresh.max(ejected) else {
            return WHOLE;
        };
        let elapsed_ms = now_ms.saturating_sub(since_ms);
        if elapsed_ms >= slow_start_ms {
            return WHOLE;
        }
        (WHOLE * elapsed_ms / slow_start_ms).max(SLOW_START_LEAST)
    }
}
