//! A rate with a burst, by the generic cell rate algorithm: one atomic word a counter.
//!
//! # How it counts
//! Calls come `T = per / requests` apart. The word holds the *theoretical arrival time*: when the next call would come if
//! all so far had kept that distance. A call may come ahead of it by `burst − 1` distances. So `burst` calls pass at once,
//! and any stretch of time `t` holds at most `burst + t / T` of them.
//!
//! *Invariant:* the word never falls, but for a charge taken back by whoever made it, and by no more than that charge.
//! A thread whose time is older than another's sees the word further ahead: strict.
//!
//! Source: ITU-T I.371, virtual scheduling algorithm.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::window::{Charged, Decision};

/// At most so many calls in a stretch of time, evenly spread, and some of them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Calls (or units) in `per_ms`; 0 admits nothing.
    pub requests: u64,
    /// Milliseconds; 0 counts as 1.
    pub per_ms: u64,
    /// How many may come at once; 0 counts as 1.
    pub burst: u64,
}

/// The word of a counter that was taken out of its registry; no time reaches it.
const RETIRED: u64 = u64::MAX;
const NS: u64 = 1_000_000;

/// One counter of a [`Rate`]; shared by any number of threads, never blocks.
///
/// Times are milliseconds of a monotonic clock. The rate is an argument of every call: a live edit changes what later
/// calls find, and leaves the time that was reached.
#[derive(Debug, Default)]
pub struct Pace {
    /// The theoretical arrival time in nanoseconds.
    due_ns: AtomicU64,
}

impl Rate {
    /// The distance between two calls in nanoseconds, rounded up: strict.
    fn distance_ns(self) -> Option<u64> {
        let per_ns = self.per_ms.max(1).saturating_mul(NS);
        (self.requests > 0).then(|| per_ns.div_ceil(self.requests))
    }

    /// How far ahead of the clock the word may be after a call.
    fn ahead_ns_max(self, distance_ns: u64) -> u64 {
        distance_ns.saturating_mul(self.burst.max(1))
    }

    /// What a call of weight `cost` at `now_ms` needs; `None` for one that never passes.
    fn step(self, cost: u32, now_ms: u64) -> Option<Step> {
        let distance_ns = self.distance_ns()?;
        let max_ns = self.ahead_ns_max(distance_ns);
        let cost_ns = distance_ns.saturating_mul(u64::from(cost));
        // What costs nothing now needs room for 1.
        let room_ns = cost_ns.max(distance_ns);
        (room_ns <= max_ns).then_some(Step {
            now_ns: now_ms.saturating_mul(NS),
            distance_ns,
            cost_ns,
            room_ns,
            max_ns,
        })
    }

    /// Milliseconds until one call more may come at once than when the word stood at `due_ns`.
    pub(crate) fn reset_ms(self, due_ns: u64, now_ms: u64) -> u64 {
        let Some(distance_ns) = self.distance_ns() else {
            return self.per_ms;
        };
        let ahead_ns = due_ns.saturating_sub(now_ms.saturating_mul(NS));
        let free_ns = self.ahead_ns_max(distance_ns).saturating_sub(ahead_ns);
        (distance_ns - free_ns % distance_ns).div_ceil(NS)
    }
}

/// A call against a rate, in nanoseconds.
#[derive(Clone, Copy)]
struct Step {
    now_ns: u64,
    distance_ns: u64,
    cost_ns: u64,
    room_ns: u64,
    max_ns: u64,
}

impl Step {
    /// From when the call counts, where the word stands at `due_ns`.
    ///
    /// # Errors
    /// Milliseconds until there is room.
    fn begin_ns(self, due_ns: u64) -> Result<u64, u64> {
        let begin_ns = due_ns.max(self.now_ns);
        let filled_ns = begin_ns.saturating_add(self.room_ns) - self.now_ns;
        match filled_ns.checked_sub(self.max_ns) {
            Some(over_ns @ 1..) => Err(over_ns.div_ceil(NS)),
            _ => Ok(begin_ns),
        }
    }
}

impl Pace {
    /// Counts a call of weight `cost` made at `now_ms`, if the rate allows it.
    pub fn admit(&self, rate: Rate, cost: u32, now_ms: u64) -> Decision {
        match self.charge(rate, cost, now_ms) {
            Charged::Yes { mark, remaining } => Decision::Admitted {
                remaining,
                reset_ms: rate.reset_ms(mark, now_ms),
            },
            Charged::No { retry_after_ms } => Decision::Refused { retry_after_ms },
            Charged::Retired => Decision::Refused {
                retry_after_ms: rate.per_ms,
            },
        }
    }

    pub(crate) fn charge(&self, rate: Rate, cost: u32, now_ms: u64) -> Charged {
        let Some(step) = rate.step(cost, now_ms) else {
            return Charged::No {
                retry_after_ms: rate.per_ms,
            };
        };
        let mut due_ns = self.due_ns.load(Acquire);
        loop {
            if due_ns == RETIRED {
                return Charged::Retired;
            }
            let begin_ns = match step.begin_ns(due_ns) {
                Ok(begin_ns) => begin_ns,
                Err(retry_after_ms) => return Charged::No { retry_after_ms },
            };
            let next_ns = begin_ns.saturating_add(step.cost_ns);
            match self
                .due_ns
                .compare_exchange_weak(due_ns, next_ns, AcqRel, Acquire)
            {
                Ok(_) => {
                    let free_ns = step.max_ns - (next_ns - step.now_ns);
                    return Charged::Yes {
                        mark: next_ns,
                        remaining: free_ns / step.distance_ns,
                    };
                }
                Err(actual) => due_ns = actual,
            }
        }
    }

    /// Counts what has happened already, whatever the rate allows. Answers `false` when the counter was retired.
    pub(crate) fn debit(&self, rate: Rate, weight: u64, now_ms: u64) -> bool {
        let cost_ns = rate
            .distance_ns()
            .map_or(0, |distance_ns| distance_ns.saturating_mul(weight));
        let now_ns = now_ms.saturating_mul(NS);
        let mut due_ns = self.due_ns.load(Acquire);
        while due_ns != RETIRED {
            let next_ns = due_ns.max(now_ns).saturating_add(cost_ns).min(RETIRED - 1);
            match self
                .due_ns
                .compare_exchange_weak(due_ns, next_ns, AcqRel, Acquire)
            {
                Ok(_) => return true,
                Err(actual) => due_ns = actual,
            }
        }
        false
    }

    /// The word as it is saved; `None` for a counter that was retired.
    pub(crate) fn save(&self) -> Option<u64> {
        let due_ns = self.due_ns.load(Acquire);
        (due_ns != RETIRED).then_some(due_ns)
    }

    /// A counter as it was saved.
    pub(crate) fn restore(due_ns: u64) -> Self {
        Self {
            due_ns: AtomicU64::new(due_ns.min(RETIRED - 1)),
        }
    }

    /// Takes back a charge that was counted under this rate.
    pub(crate) fn take_back(&self, rate: Rate, cost: u32) {
        let cost_ns = rate
            .distance_ns()
            .map_or(0, |distance_ns| distance_ns.saturating_mul(u64::from(cost)));
        let mut due_ns = self.due_ns.load(Acquire);
        // A counter that was retired since remembers nothing that could be taken back.
        while due_ns != RETIRED {
            let back_ns = due_ns.saturating_sub(cost_ns);
            match self
                .due_ns
                .compare_exchange_weak(due_ns, back_ns, AcqRel, Acquire)
            {
                Ok(_) => return,
                Err(actual) => due_ns = actual,
            }
        }
    }

    /// How long a call of weight `cost` would have to wait; nothing is counted.
    pub(crate) fn wait_ms(&self, rate: Rate, cost: u32, now_ms: u64) -> Option<u64> {
        let due_ns = self.due_ns.load(Acquire);
        if due_ns == RETIRED {
            return None;
        }
        match rate.step(cost, now_ms) {
            Some(step) => step.begin_ns(due_ns).err(),
            None => Some(rate.per_ms),
        }
    }

    /// Ends this counter if it remembers nothing.
    pub(crate) fn retire(&self, now_ms: u64) -> bool {
        let due_ns = self.due_ns.load(Acquire);
        due_ns == RETIRED
            || (due_ns <= now_ms.saturating_mul(NS)
                && self
                    .due_ns
                    .compare_exchange(due_ns, RETIRED, AcqRel, Acquire)
                    .is_ok())
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.due_ns.load(Acquire) == RETIRED
    }
}
