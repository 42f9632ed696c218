//! What is under way at one backend, of all cores: calls, further tries, connections, and its circuit breaker.
//!
//! Kept by the backend's key, so that an edit of its document changes the rules and not what is known. Counted only for
//! backends whose document has `retry` or `circuitBreaker`: the numbers are shared by all cores, and who does not need
//! them does not pay for them.

mod queue;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sync::calls::{BreakerRules, RetryRules};
use tokio::sync::Notify;

use crate::timers;
use crate::worker::Worker;

use super::breaker::Breaker;
use queue::Queue;

/// What is under way at a backend.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) breaker: Breaker,
    calls: AtomicU32,
    /// Calls that there may be, as the rules said last.
    max: AtomicU32,
    retries: AtomicU32,
    pending: AtomicU32,
    connections: AtomicU32,
    /// Calls that wait because there are as many connections as there may be.
    waiting: AtomicU32,
    /// A connection went.
    freed: Notify,
    /// How often the circuit opened.
    opened: AtomicU64,
    /// Calls that wait for a place.
    queue: Queue,
}

/// One of what is counted; it counts while it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    load: Arc<Load>,
    number: fn(&Load) -> &AtomicU32,
    frees: bool,
    /// A call's place, which the next one that waits may get.
    is_place: bool,
    /// Another one stands for it.
    is_void: bool,
}

impl Counted {
    /// Gives the place to whose turn it is.
    fn hand_over(&self) -> bool {
        while let Some(next) = self.load.queue.next() {
            let place = Self {
                load: Arc::clone(&self.load),
                number: self.number,
                frees: self.frees,
                is_place: true,
                is_void: false,
            };
            match next.send(place) {
                Ok(()) => return true,
                // Whoever waited has gone; the place is still this one's, and counted once.
                Err(mut place) => place.is_void = true,
            }
        }
        false
    }

    /// Whether somebody waits for one of these to go.
    pub(crate) fn is_wanted(&self) -> bool {
        self.load.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.is_void || (self.is_place && self.load.queue.waiting() > 0 && self.hand_over()) {
            return;
        }
        (self.number)(&self.load).fetch_sub(1, Ordering::SeqCst);
        // Somebody may have found the backend full in between.
        if self.is_place && self.load.queue.waiting() > 0 {
            self.load.admit_next();
        }
        if self.frees {
            self.load.freed.notify_one();
        }
    }
}

impl Load {
    /// One more, unless there are `max`.
    fn enter(
        self: &Arc<Self>,
        number: fn(&Self) -> &AtomicU32,
        max: Option<u32>,
    ) -> Option<Counted> {
        let up = |count: u32| (count < max.unwrap_or(u32::MAX)).then_some(count + 1);
        number(self)
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, up)
            .ok()?;
        Some(Counted {
            load: Arc::clone(self),
            number,
            frees: false,
            is_place: false,
            is_void: false,
        })
    }

    /// A call begins; `None` = there are too many, or others wait.
    pub(crate) fn call(self: &Arc<Self>, rules: Option<&BreakerRules>) -> Option<Counted> {
        let queues = rules.is_some_and(|rules| rules.queue.is_some());
        if queues && self.queue.waiting() > 0 {
            return None;
        }
        self.place(rules)
    }

    fn place(self: &Arc<Self>, rules: Option<&BreakerRules>) -> Option<Counted> {
        let max = rules.and_then(|rules| rules.requests_max);
        self.max.store(max.unwrap_or(u32::MAX), Ordering::Relaxed);
        let mut counted = self.enter(|load| &load.calls, max)?;
        counted.is_place = rules.is_some_and(|rules| rules.queue.is_some());
        Some(counted)
    }

    /// A call of a client that found the backend full waits for its turn; `None` = as many wait as may, or somebody else's
    /// turn came first, or it took too long.
    pub(crate) async fn wait_turn(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
        rules: &BreakerRules,
        client: u128,
    ) -> Option<Counted> {
        let queue = rules.queue.as_ref()?;
        let mut ticket = self.queue.enter(client, queue.calls_max)?;
        // A call may have ended before it was seen that somebody waits.
        self.admit_next();
        let until_ms = worker.read_clock() + queue.wait_ms;
        let admitted = ticket.admitted();
        let admitted = timers::until(&worker.timers, &*worker.clock, until_ms, admitted).await;
        // A place that comes with the end of the time is given on.
        admitted?.ok()
    }

    /// Lets who is next in, where there is room.
    fn admit_next(self: &Arc<Self>) {
        let max = self.max.load(Ordering::Relaxed);
        while self.queue.waiting() > 0 {
            let Some(mut place) = self.enter(|load| &load.calls, Some(max)) else {
                return;
            };
            place.is_place = true;
            let Some(next) = self.queue.next() else {
                place.is_place = false;
                return;
            };
            match next.send(place) {
                Ok(()) => return,
                // Whoever waited has gone.
                Err(mut place) => place.is_place = false,
            }
        }
    }

    /// A call waits for a connection; `None` = too many do.
    pub(crate) fn pend(self: &Arc<Self>, rules: &BreakerRules) -> Option<Counted> {
        self.enter(|load| &load.pending, rules.pending_max)
    }

    /// A connection is made; `None` = there are too many.
    pub(crate) fn connect(self: &Arc<Self>, rules: &BreakerRules) -> Option<Counted> {
        let mut counted = self.enter(|load| &load.connections, rules.connections_max)?;
        counted.frees = true;
        Some(counted)
    }

    /// A further try begins; `None` = the budget does not allow it. The budget is a share of the calls under way, with
    /// a floor, as in Envoy and Linkerd: when everything fails, the backend gets so much more and not a multiple.
    pub(crate) fn retry(self: &Arc<Self>, rules: &RetryRules) -> Option<Counted> {
        let calls = u64::from(self.calls.load(Ordering::Relaxed));
        let share = calls * u64::from(rules.budget_percent) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        self.enter(|load| &load.retries, Some(share.max(rules.budget_floor)))
    }

    /// Waits until a connection has gone. Counted, so that other cores let go of what they do not use.
    pub(crate) async fn freed(self: &Arc<Self>) {
        let _waiting = self.enter(|load| &load.waiting, None);
        self.freed.notified().await;
    }

    /// The circuit has opened.
    pub(crate) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the circuit opened.
    pub(crate) fn times_opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Calls, those that wait for a connection, and connections.
    pub(crate) fn numbers(&self) -> [u32; 3] {
        [&self.calls, &self.pending, &self.connections].map(|number| number.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
