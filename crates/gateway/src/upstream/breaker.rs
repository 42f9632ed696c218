//! The circuit breaker of one backend: a state machine over a clock, one for all cores, without a lock.
//!
//! Closed, it counts tries and failures in a sliding window of [`BUCKETS`] parts; when enough of enough tries have failed
//! it opens. Open, it refuses. When its time is over it is half-open: so many probes are let through; if all of them
//! succeed it closes, if one fails it is open again. A try that began before the state changed says nothing about the
//! new one.
//!
//! The state is one word, so that each change is one compare-and-swap: until when it is open (0 = closed), probes that
//! were let through, probes that succeeded.

use std::sync::atomic::{AtomicU64, Ordering};

use sync::calls::BreakerRules;

/// Parts of the window.
const BUCKETS: u8 = 10;
/// Bits of a number of probes.
const PROBE_BITS: u32 = 10;
const PROBE_MAX: u64 = (1 << PROBE_BITS) - 1;
/// Bits of a number of tries in a part of the window; what is beyond is not counted.
const COUNT_BITS: u32 = 21;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Bits of the number of a part: with parts of one second they repeat after 48 days.
const EPOCH_MASK: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// A breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    word: AtomicU64,
    buckets: [AtomicU64; BUCKETS as usize],
}

/// How a breaker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Circuit {
    Closed,
    /// For so many milliseconds more.
    Open(u64),
    HalfOpen,
}

/// Leave to try; how the try fared is told with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leave {
    /// Of a probe the time until which it was open; 0 = no probe.
    probe_of_ms: u64,
}

/// The word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct State {
    until_ms: u64,
    begun: u64,
    succeeded: u64,
}

impl State {
    fn of(word: u64) -> Self {
        Self {
            until_ms: word >> (2 * PROBE_BITS),
            begun: (word >> PROBE_BITS) & PROBE_MAX,
            succeeded: word & PROBE_MAX,
        }
    }

    fn word(self) -> u64 {
        (self.until_ms << (2 * PROBE_BITS)) | (self.begun << PROBE_BITS) | self.succeeded
    }
}

impl Breaker {
    /// Asks for leave to try.
    ///
    /// # Errors
    /// How long the circuit stays open, in milliseconds; 0 while all probes are under way.
    pub(crate) fn leave(&self, rules: &BreakerRules, now_ms: u64) -> Result<Leave, u64> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let state = State::of(word);
            if state.until_ms == 0 {
                return Ok(Leave { probe_of_ms: 0 });
            }
            if now_ms < state.until_ms {
                return Err(state.until_ms - now_ms);
            }
            if state.begun >= probes(rules) {
                return Err(0);
            }
            let next = State {
                begun: state.begun + 1,
                ..state
            };
            match self.swap(word, next) {
                Ok(()) => {
                    return Ok(Leave {
                        probe_of_ms: state.until_ms,
                    });
                }
                Err(found) => word = found,
            }
        }
    }

    /// How a try fared that had leave; `None` = nothing is known of it. Tells whether this opened the circuit.
    pub(crate) fn fared(
        &self,
        rules: &BreakerRules,
        leave: Leave,
        failed: Option<bool>,
        now_ms: u64,
    ) -> bool {
        if leave.probe_of_ms != 0 {
            return self.probed(rules, leave, failed, now_ms);
        }
        let Some(failed) = failed else { return false };
        if self.word.load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.count(rules, failed, now_ms);
        if !failed || !self.has_enough(rules, now_ms) {
            return false;
        }
        let open = State {
            until_ms: now_ms + rules.open_ms.max(1),
            ..State::default()
        };
        self.swap(0, open).is_ok()
    }

    fn probed(
        &self,
        rules: &BreakerRules,
        leave: Leave,
        failed: Option<bool>,
        now_ms: u64,
    ) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let state = State::of(word);
            if state.until_ms != leave.probe_of_ms {
                return false;
            }
            let next = match failed {
                None => State {
                    begun: state.begun.saturating_sub(1),
                    ..state
                },
                // Never the time that it was: late probes of this one shall not count for the next.
                Some(true) => State {
                    until_ms: (now_ms + rules.open_ms).max(state.until_ms + 1),
                    ..State::default()
                },
                Some(false) if state.succeeded + 1 >= probes(rules) => State::default(),
                Some(false) => State {
                    succeeded: state.succeeded + 1,
                    ..state
                },
            };
            match self.swap(word, next) {
                Ok(()) => {
                    if next.until_ms == 0 {
                        self.forget();
                    }
                    return failed == Some(true);
                }
                Err(found) => word = found,
            }
        }
    }

    fn swap(&self, current: u64, next: State) -> Result<(), u64> {
        self.word
            .compare_exchange(current, next.word(), Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    /// How it is now.
    pub(crate) fn circuit(&self, now_ms: u64) -> Circuit {
        match State::of(self.word.load(Ordering::Relaxed)).until_ms {
            0 => Circuit::Closed,
            until_ms if now_ms < until_ms => Circuit::Open(until_ms - now_ms),
            _ => Circuit::HalfOpen,
        }
    }

    /// Tries and failures within the window.
    pub(crate) fn counts(&self, rules: &BreakerRules, now_ms: u64) -> (u64, u64) {
        let epoch = now_ms / bucket_ms(rules);
        let (mut tries, mut failures) = (0, 0);
        for bucket in &self.buckets {
            let bucket = bucket.load(Ordering::Relaxed);
            let age = epoch.wrapping_sub(bucket >> (2 * COUNT_BITS)) & EPOCH_MASK;
            if age < u64::from(BUCKETS) {
                tries += (bucket >> COUNT_BITS) & COUNT_MAX;
                failures += bucket & COUNT_MAX;
            }
        }
        (tries, failures)
    }

    fn has_enough(&self, rules: &BreakerRules, now_ms: u64) -> bool {
        let Some(percent) = rules.error_percent else {
            return false;
        };
        let (tries, failures) = self.counts(rules, now_ms);
        tries >= u64::from(rules.requests_min) && failures * 100 >= tries * u64::from(percent)
    }

    fn count(&self, rules: &BreakerRules, failed: bool, now_ms: u64) {
        let epoch = (now_ms / bucket_ms(rules)) & EPOCH_MASK;
        let index = usize::try_from((now_ms / bucket_ms(rules)) % u64::from(BUCKETS)).unwrap_or(0);
        let counted = |bucket: u64| {
            let same = bucket >> (2 * COUNT_BITS) == epoch;
            let (tries, failures) = match same {
                true => ((bucket >> COUNT_BITS) & COUNT_MAX, bucket & COUNT_MAX),
                false => (0, 0),
            };
            let full = tries >= COUNT_MAX;
            let tries = tries + u64::from(!full);
            let failures = failures + u64::from(failed && !full);
            Some((epoch << (2 * COUNT_BITS)) | (tries << COUNT_BITS) | failures)
        };
        // It never refuses.
        let _ = self.buckets[index].fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    fn forget(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

fn bucket_ms(rules: &BreakerRules) -> u64 {
    (rules.window_ms / u64::from(BUCKETS)).max(1)
}

fn probes(rules: &BreakerRules) -> u64 {
    u64::from(rules.probes).clamp(1, PROBE_MAX)
}

#[cfg(test)]
mod tests;
