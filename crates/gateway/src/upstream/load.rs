//! What is under way at one backend, of all cores: calls, further tries, connections, and its circuit breaker.
//!
//! Kept by the backend's key, so that an edit of its document changes the rules and not what is known. Counted only for
//! backends whose document has `retry` or `circuitBreaker`: the numbers are shared by all cores, and who does not need
//! them does not pay for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sync::calls::{BreakerRules, RetryRules};
use tokio::sync::Notify;

use super::breaker::Breaker;

/// What is under way at a backend.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) breaker: Breaker,
    calls: AtomicU32,
    retries: AtomicU32,
    pending: AtomicU32,
    connections: AtomicU32,
    /// Calls that wait because there are as many connections as there may be.
    waiting: AtomicU32,
    /// A connection went.
    freed: Notify,
    /// How often the circuit opened.
    opened: AtomicU64,
}

/// One of what is counted; it counts while it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    load: Arc<Load>,
    number: fn(&Load) -> &AtomicU32,
    frees: bool,
}

impl Counted {
    /// Whether somebody waits for one of these to go.
    pub(crate) fn is_wanted(&self) -> bool {
        self.load.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.number)(&self.load).fetch_sub(1, Ordering::AcqRel);
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
        })
    }

    /// A call begins; `None` = there are too many.
    pub(crate) fn call(self: &Arc<Self>, rules: Option<&BreakerRules>) -> Option<Counted> {
        self.enter(
            |load| &load.calls,
            rules.and_then(|rules| rules.requests_max),
        )
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
