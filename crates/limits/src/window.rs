//! One sliding window: a ring of buckets under one atomic head.
//!
//! # How it counts
//! The window of W ms is divided into B buckets. `head` holds the bucket number ("epoch") of the latest call and
//! the number of calls that are still remembered; each ring slot holds the calls of one epoch. A bucket is
//! forgotten when its *whole* span has left the window, so a call is forgotten at most W/B late and never early.
//!
//! # Why it is exact on the strict side
//! *Invariant:* `head.count` ≥ the admitted calls whose bucket is live at `head.epoch`.
//! - A call charges its slot first and the head second, and only while the head still shows the slot's epoch.
//!   A thread that stalls between the two steps leaves a charge that nobody was admitted for: strict.
//! - A rotation (the head moves to a later epoch) computes the count anew from the slots. Whoever was admitted
//!   before the rotator read the head has its charge in the slots already; whoever is admitted after makes the
//!   rotator's compare-and-swap fail. A charge that is both in the rotator's sum and then added to the head is
//!   counted twice until the next rotation: strict, and it heals by itself within W/B.
//! - Within an epoch `head.count` never falls, so an unchanged head proves that nobody was admitted meanwhile.
//!   A charge taken back therefore leaves its slot only, and the head with the next rotation: strict for W/B.
//! - A thread whose time is older than the head's is counted in the head's epoch: forgotten later, strict.
//!   So every call counts at a moment between the reading of its clock and its answer, and over these moments
//!   no window of W ms holds more than the limit.
//! - A slot is taken over only by an epoch a whole ring later, when its calls are forgotten. Epochs are compared
//!   modulo 2³²: a slot that nobody used for exactly that long would count once more for one window, strict.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Buckets of a window unless stated otherwise: a call is forgotten at most 1/60 of the window late.
pub const BUCKETS_DEFAULT: u32 = 60;
/// The most buckets a window is divided into; a greater number is taken as this one.
pub const BUCKETS_MAX: u32 = 4096;
/// The greatest limit that can be counted; a greater one is taken as this one (strict side).
pub const LIMIT_MAX: u64 = (u32::MAX / 2) as u64;

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The call was counted and may pass.
    Admitted {
        /// What is left of the limit after this call.
        remaining: u64,
        /// Milliseconds until the oldest remembered calls are forgotten and `remaining` grows.
        reset_ms: u64,
    },
    /// The limit is used up; nothing was counted.
    Refused {
        /// Milliseconds until the same call passes if nobody else comes.
        /// The window's length for a call that costs more than the whole limit: no wait helps it.
        retry_after_ms: u64,
    },
}

/// Counts calls over the last `window_ms` milliseconds; shared by any number of threads, never blocks.
///
/// Times are milliseconds of a monotonic clock. The limit is an argument of every call, so that a live edit
/// changes it without touching what is counted: after a limit was lowered below what is used, calls are refused
/// until enough is forgotten.
///
/// A window that is not asked for 2³¹ buckets (more than a year at one second) cannot tell how much time has
/// passed; [`Quotas::sweep`](crate::Quotas::sweep) drops such windows long before.
#[derive(Debug)]
#[repr(align(64))]
pub struct SlidingWindow {
    head: AtomicU64,
    /// Epoch of the oldest remembered call; written by rotators, only for the waits that are told.
    oldest: AtomicU32,
    buckets: u32,
    window_ms: u64,
    /// Time of epoch zero.
    origin_ms: u64,
    ring: Box<[AtomicU64]>,
}

/// An epoch and a count in one atomic word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word {
    epoch: u32,
    count: u32,
}

impl Word {
    /// The head of a window that was taken out of its registry; no count reaches this value.
    const RETIRED: Self = Self {
        epoch: u32::MAX,
        count: u32::MAX,
    };

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the word"
    )]
    fn unpack(raw: u64) -> Self {
        Self {
            epoch: (raw >> 32) as u32,
            count: raw as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.count)
    }
}

/// A moment and the number of whole buckets since the start.
#[derive(Clone, Copy)]
struct Now {
    ms: u64,
    epoch_full: u64,
}

/// What one window says to a charge.
pub(crate) enum Charged {
    /// Counted in this epoch.
    Yes {
        epoch: u32,
        remaining: u64,
        reset_ms: u64,
    },
    /// Nothing counted.
    No { retry_after_ms: u64 },
    /// Nothing counted: the window was retired and its successor has to be asked.
    Retired,
}

impl SlidingWindow {
    /// An empty window of `window_ms` (at least 1) in `buckets` parts (1 to [`BUCKETS_MAX`], at most one per
    /// millisecond), whose time starts at `now_ms`.
    #[must_use]
    pub fn new(window_ms: u64, buckets: u32, now_ms: u64) -> Self {
        let window_ms = window_ms.max(1);
        let per_ms = u32::try_from(window_ms).unwrap_or(u32::MAX);
        let buckets = buckets.clamp(1, BUCKETS_MAX.min(per_ms));
        // One bucket more than the window has is live, so that the oldest leaves only as a whole.
        let slots = (buckets + 1).next_power_of_two();
        Self {
            head: AtomicU64::new(0),
            oldest: AtomicU32::new(0),
            buckets,
            window_ms,
            origin_ms: now_ms,
            ring: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The window's length in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// Counts a call of weight `cost` made at `now_ms`, if that keeps every window at or below `limit`.
    pub fn admit(&self, limit: u64, cost: u32, now_ms: u64) -> Decision {
        match self.charge(limit, cost, now_ms) {
            Charged::Yes {
                remaining,
                reset_ms,
                ..
            } => Decision::Admitted {
                remaining,
                reset_ms,
            },
            Charged::No { retry_after_ms } => Decision::Refused { retry_after_ms },
            Charged::Retired => Decision::Refused {
                retry_after_ms: self.window_ms,
            },
        }
    }

    /// What is counted at `now_ms`: the weight of all remembered calls.
    #[must_use]
    pub fn used(&self, now_ms: u64) -> u64 {
        self.settle(self.at(now_ms))
            .map_or(0, |head| u64::from(head.count))
    }

    pub(crate) fn charge(&self, limit: u64, cost: u32, now_ms: u64) -> Charged {
        let limit = count_of(limit);
        let now = self.at(now_ms);
        loop {
            let Some(mut head) = self.settle(now) else {
                return Charged::Retired;
            };
            let fits = |count: u32| count.checked_add(cost).is_some_and(|sum| sum <= limit);
            if !fits(head.count) {
                return Charged::No {
                    retry_after_ms: self.retry_after_ms(head, limit, cost, now),
                };
            }
            if !self.slot_charge(head.epoch, cost) {
                continue;
            }
            let epoch = head.epoch;
            while head.epoch == epoch && head != Word::RETIRED && fits(head.count) {
                let charged = Word {
                    epoch,
                    count: head.count + cost,
                };
                match self
                    .head
                    .compare_exchange_weak(head.pack(), charged.pack(), AcqRel, Acquire)
                {
                    Ok(_) => {
                        let remaining = u64::from(limit - charged.count);
                        return Charged::Yes {
                            epoch,
                            remaining,
                            reset_ms: self.leaves_in_ms(self.oldest(epoch), now),
                        };
                    }
                    Err(actual) => head = Word::unpack(actual),
                }
            }
            // Others filled the limit, turned the epoch or retired the window meanwhile: look again.
            self.slot_release(epoch, cost);
        }
    }

    /// Takes back a charge that was counted in `epoch`; the head shows it from its next rotation on.
    ///
    /// The head itself must not go down: were it to return to a value that a rotator has read, the rotator's
    /// exchange would succeed although its sum lacks a call admitted since.
    pub(crate) fn take_back(&self, epoch: u32, cost: u32) {
        self.slot_release(epoch, cost);
    }

    /// Whether a call of weight `cost` would pass; nothing is counted.
    pub(crate) fn wait_ms(&self, limit: u64, cost: u32, now_ms: u64) -> Option<u64> {
        let limit = count_of(limit);
        let now = self.at(now_ms);
        let head = self.settle(now)?;
        let fits = head.count.checked_add(cost).is_some_and(|sum| sum <= limit);
        (!fits).then(|| self.retry_after_ms(head, limit, cost, now))
    }

    /// Ends this window if it remembers nothing; whoever holds it is told to fetch its successor.
    pub(crate) fn retire(&self, now_ms: u64) -> bool {
        match self.settle(self.at(now_ms)) {
            None => true,
            Some(head) if head.count > 0 => false,
            Some(head) => self
                .head
                .compare_exchange(head.pack(), Word::RETIRED.pack(), AcqRel, Acquire)
                .is_ok(),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        Word::unpack(self.head.load(Acquire)) == Word::RETIRED
    }

    /// Brings the head to the epoch of `now`, if that is later, and reads it. Nothing when retired.
    fn settle(&self, now: Now) -> Option<Word> {
        let epoch = low_half(now.epoch_full);
        let mut head = Word::unpack(self.head.load(Acquire));
        loop {
            if head == Word::RETIRED {
                return None;
            }
            if later_by(epoch, head.epoch) <= 0 {
                return Some(head);
            }
            let (count, oldest) = self.remembered(epoch);
            let turned = Word { epoch, count };
            match self
                .head
                .compare_exchange(head.pack(), turned.pack(), AcqRel, Acquire)
            {
                Ok(_) => {
                    self.oldest.store(oldest, Release);
                    return Some(turned);
                }
                Err(actual) => head = Word::unpack(actual),
            }
        }
    }

    /// The weight of all calls that are live at `epoch`, and the epoch of the oldest.
    fn remembered(&self, epoch: u32) -> (u32, u32) {
        let mut count = 0_u32;
        let mut age_max = 0;
        for slot in &self.ring {
            let slot = Word::unpack(slot.load(Relaxed));
            let age = epoch.wrapping_sub(slot.epoch);
            if age <= self.buckets && slot.count > 0 {
                count = count.saturating_add(slot.count);
                age_max = age_max.max(age);
            }
        }
        // Never the retired mark, whatever is in flight.
        (count.min(u32::MAX - 1), epoch.wrapping_sub(age_max))
    }

    fn slot(&self, epoch: u32) -> &AtomicU64 {
        // The ring's length is a power of two.
        &self.ring[epoch as usize & (self.ring.len() - 1)]
    }

    /// False when the head has left this epoch, so the caller has to look again.
    fn slot_charge(&self, epoch: u32, cost: u32) -> bool {
        let slot = self.slot(epoch);
        let mut raw = slot.load(Acquire);
        loop {
            let word = Word::unpack(raw);
            let count = if word.epoch == epoch {
                word.count.checked_add(cost)
            } else if later_by(epoch, word.epoch) > 0 || self.shows(epoch) {
                // The slot's calls are forgotten. One that looks later while the head has not moved was last
                // used more than 2³¹ epochs ago: nobody charges an epoch that the head has not reached.
                Some(cost)
            } else {
                None
            };
            let Some(count) = count else { return false };
            match slot.compare_exchange_weak(raw, Word { epoch, count }.pack(), AcqRel, Acquire) {
                Ok(_) => return true,
                Err(actual) => raw = actual,
            }
        }
    }

    /// Whether the head is at this epoch.
    fn shows(&self, epoch: u32) -> bool {
        Word::unpack(self.head.load(Acquire)).epoch == epoch
    }

    fn slot_release(&self, epoch: u32, cost: u32) {
        let slot = self.slot(epoch);
        let mut raw = slot.load(Acquire);
        while Word::unpack(raw).epoch == epoch {
            // The low half is the count, and it holds the charge.
            match slot.compare_exchange_weak(raw, raw - u64::from(cost), AcqRel, Acquire) {
                Ok(_) => return,
                Err(actual) => raw = actual,
            }
        }
    }

    /// Bucket `e` spans from `e·W/B` to before `(e+1)·W/B` after the start.
    fn at(&self, ms: u64) -> Now {
        let passed_ms = ms.saturating_sub(self.origin_ms);
        Now {
            ms,
            epoch_full: passed_ms.saturating_mul(u64::from(self.buckets)) / self.window_ms,
        }
    }

    /// Milliseconds from `now` until the calls of `epoch` are forgotten.
    fn leaves_in_ms(&self, epoch: u32, now: Now) -> u64 {
        let gone = epoch.wrapping_add(self.buckets + 1);
        let ahead = later_by(gone, low_half(now.epoch_full));
        let gone_full = now.epoch_full.saturating_add_signed(i64::from(ahead));
        let start_ms = gone_full
            .saturating_mul(self.window_ms)
            .div_ceil(u64::from(self.buckets));
        self.origin_ms
            .saturating_add(start_ms)
            .saturating_sub(now.ms)
    }

    /// The oldest epoch that may be remembered at `epoch`: all before it are empty.
    fn oldest(&self, epoch: u32) -> u32 {
        let oldest = self.oldest.load(Relaxed);
        // A rotator that stalled before it told may leave an old hint; it is bounded by what is live at all.
        if epoch.wrapping_sub(oldest) <= self.buckets {
            oldest
        } else {
            epoch.wrapping_sub(self.buckets)
        }
    }

    /// How long until enough is forgotten: walks the live buckets from the oldest on. Exact unless other threads
    /// are at work on the window in this moment.
    fn retry_after_ms(&self, head: Word, limit: u32, cost: u32, now: Now) -> u64 {
        let Some(room) = limit.checked_sub(cost) else {
            return self.window_ms;
        };
        let mut held = head.count;
        let mut bucket = self.oldest(head.epoch);
        while bucket != head.epoch {
            let slot = Word::unpack(self.slot(bucket).load(Relaxed));
            if slot.epoch == bucket {
                held = held.saturating_sub(slot.count);
                if held <= room {
                    return self.leaves_in_ms(bucket, now);
                }
            }
            bucket = bucket.wrapping_add(1);
        }
        self.leaves_in_ms(head.epoch, now)
    }
}

/// The limit as the counters hold it.
fn count_of(limit: u64) -> u32 {
    u32::try_from(limit.min(LIMIT_MAX)).unwrap_or(u32::MAX / 2)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "epochs are compared modulo 2^32"
)]
fn low_half(epoch: u64) -> u32 {
    epoch as u32
}

/// How many epochs `a` lies after `b`; negative when before.
fn later_by(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

#[cfg(test)]
mod tests;
