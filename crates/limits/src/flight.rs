//! Calls under way at the same time: one atomic word a counter.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::window::Charged;

/// At most so many calls at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Concurrency {
    /// Calls.
    pub calls: u64,
}

/// How long a caller is told to wait: when a call will end, nobody knows. It is no limit: who comes sooner is asked the same.
pub const RETRY_AFTER_MS: u64 = 1000;
/// The word of a counter that was taken out of its registry.
const RETIRED: u64 = u64::MAX;

/// One counter of a [`Concurrency`]: whoever was charged gives it back when the call ends.
///
/// *Invariant:* the word is the number of charges that were not given back, so it is at most the greatest limit that it
/// was ever asked with.
#[derive(Debug, Default)]
pub struct Flights {
    count: AtomicU64,
}

impl Flights {
    pub(crate) fn charge(&self, limit: Concurrency, cost: u32) -> Charged {
        let cost = u64::from(cost);
        let mut count = self.count.load(Acquire);
        loop {
            if count == RETIRED {
                return Charged::Retired;
            }
            if count.saturating_add(cost.max(1)) > limit.calls {
                return Charged::No {
                    retry_after_ms: RETRY_AFTER_MS,
                };
            }
            match self
                .count
                .compare_exchange_weak(count, count + cost, AcqRel, Acquire)
            {
                Ok(_) => {
                    return Charged::Yes {
                        mark: 0,
                        remaining: limit.calls - count - cost,
                    };
                }
                Err(actual) => count = actual,
            }
        }
    }

    /// Calls that have ended. A counter with calls under way is never retired, so it is this one.
    pub(crate) fn give_back(&self, calls: u64) {
        let mut count = self.count.load(Acquire);
        while count != RETIRED {
            let left = count.saturating_sub(calls);
            match self
                .count
                .compare_exchange_weak(count, left, AcqRel, Acquire)
            {
                Ok(_) => return,
                Err(actual) => count = actual,
            }
        }
    }

    pub(crate) fn wait_ms(&self, limit: Concurrency, cost: u32) -> Option<u64> {
        let count = self.count.load(Acquire);
        let full = count != RETIRED && count.saturating_add(u64::from(cost.max(1))) > limit.calls;
        full.then_some(RETRY_AFTER_MS)
    }

    pub(crate) fn retire(&self) -> bool {
        let retired = self.count.compare_exchange(0, RETIRED, AcqRel, Acquire);
        retired.is_ok() || retired == Err(RETIRED)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.count.load(Acquire) == RETIRED
    }
}
