//! All counters of a process, by key.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use papaya::HashMap;

use crate::counter::{Counter, Limit, Shape};
use crate::window::{Charged, Decision};

/// A limit over a window, as a plan states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// The most calls (or units) in any window; above [`LIMIT_MAX`](crate::LIMIT_MAX) it counts as that.
    pub limit: u64,
    /// The window's length in milliseconds; 0 counts as 1.
    pub window_ms: u64,
}

/// The registry holds as many counters as it may and none of them is idle: the call cannot be counted and must
/// not pass (fail closed).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("all {keys_max} quota counters are in use")]
pub struct RegistryFull {
    /// How many counters the registry may hold.
    pub keys_max: usize,
}

/// How often a full registry looks for idle counters by itself.
const SWEEP_PAUSE_MS: u64 = 1000;

type Counters<K> = HashMap<(K, Shape), Counter, foldhash::fast::RandomState>;

/// Counters by key; they outlive every swap of the configuration.
///
/// A counter belongs to a key and a kind of limit, of a quota also to its window's length: editing a limit goes on with
/// what is counted, editing the length begins anew. An idle counter, one that remembers no call, can be dropped at any time without any
/// call being forgotten.
pub struct Quotas<K> {
    counters: Counters<K>,
    keys_max: usize,
    buckets: u32,
    swept_ms: AtomicU64,
}

impl<K: Copy + Eq + Hash> fmt::Debug for Quotas<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas")
            .field("len", &self.len())
            .field("keys_max", &self.keys_max)
            .finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash> Quotas<K> {
    /// An empty registry of at most `keys_max` counters (threads that add at the same moment may exceed it by
    /// their number), whose windows have `buckets` parts.
    #[must_use]
    pub fn new(keys_max: usize, buckets: u32) -> Self {
        let counters = HashMap::builder()
            .hasher(foldhash::fast::RandomState::default())
            .build();
        Self {
            counters,
            keys_max,
            buckets,
            swept_ms: AtomicU64::new(0),
        }
    }

    /// Counts a call of weight `cost`, made at `now_ms` of a monotonic clock, against one limit.
    ///
    /// # Errors
    /// [`RegistryFull`] for a key that has no counter yet while none can be made; refuse the call.
    pub fn admit(
        &self,
        key: K,
        limit: impl Into<Limit>,
        cost: u32,
        now_ms: u64,
    ) -> Result<Decision, RegistryFull> {
        let limit = limit.into();
        let key = (key, limit.shape());
        let counters = self.counters.pin();
        loop {
            let counter = self.counter(&counters, key, now_ms)?;
            match counter.charge(limit, cost, now_ms) {
                Charged::Yes {
                    remaining,
                    reset_ms,
                    ..
                } => {
                    return Ok(Decision::Admitted {
                        remaining,
                        reset_ms,
                    });
                }
                Charged::No { retry_after_ms } => return Ok(Decision::Refused { retry_after_ms }),
                Charged::Retired => self.forget_retired(&counters, key),
            }
        }
    }

    /// Counts a call against several limits, all or none: every one is checked before any is charged.
    ///
    /// Answers the decision and the index of the limit it stems from: when refused the one with the longest
    /// wait (then the call passes all of them if nobody else comes), when admitted the one with the least
    /// remaining. Without limits the call is admitted. When another thread uses up one of them between the
    /// check and the charge, what was charged to the others is taken back and shows there for one bucket at most.
    ///
    /// # Errors
    /// [`RegistryFull`] as for [`Quotas::admit`].
    pub fn admit_all(
        &self,
        limits: &[(K, Limit)],
        cost: u32,
        now_ms: u64,
    ) -> Result<(usize, Decision), RegistryFull> {
        let counters = self.counters.pin();
        loop {
            let mut refused: Option<(usize, u64)> = None;
            for (index, (key, limit)) in limits.iter().enumerate() {
                let counter = self.counter(&counters, (*key, limit.shape()), now_ms)?;
                if let Some(wait_ms) = counter.wait_ms(*limit, cost, now_ms)
                    && refused.is_none_or(|(_, longest_ms)| wait_ms > longest_ms)
                {
                    refused = Some((index, wait_ms));
                }
            }
            if let Some((index, retry_after_ms)) = refused {
                return Ok((index, Decision::Refused { retry_after_ms }));
            }
            if let Some(answer) = self.charge_all(&counters, limits, cost, now_ms)? {
                return Ok(answer);
            }
        }
    }

    /// Drops every idle counter and answers how many; call it now and then, for example once a minute.
    pub fn sweep(&self, now_ms: u64) -> usize {
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        let counters = self.counters.pin();
        let mut dropped = 0;
        for (key, counter) in &counters {
            if counter.retire(now_ms)
                && counters.remove_if(key, |_, held| held.is_retired()).is_ok()
            {
                dropped += 1;
            }
        }
        dropped
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether there is no counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Charges one limit after the other; takes all back and answers nothing when others came between.
    fn charge_all(
        &self,
        counters: &Pinned<'_, K>,
        limits: &[(K, Limit)],
        cost: u32,
        now_ms: u64,
    ) -> Result<Option<(usize, Decision)>, RegistryFull> {
        let mut charged: Vec<(&Counter, Limit, u32)> = Vec::with_capacity(limits.len());
        let mut tightest = (
            0,
            Decision::Admitted {
                remaining: u64::MAX,
                reset_ms: 0,
            },
        );
        let mut least = u64::MAX;
        let take_back = |charged: &[(&Counter, Limit, u32)]| {
            for (counter, limit, epoch) in charged {
                counter.take_back(*limit, *epoch, cost);
            }
        };
        for (index, (key, limit)) in limits.iter().enumerate() {
            let key = (*key, limit.shape());
            let counter = self
                .counter(counters, key, now_ms)
                .inspect_err(|_| take_back(&charged))?;
            match counter.charge(*limit, cost, now_ms) {
                Charged::Yes {
                    epoch,
                    remaining,
                    reset_ms,
                } => {
                    charged.push((counter, *limit, epoch));
                    if remaining < least {
                        least = remaining;
                        tightest = (
                            index,
                            Decision::Admitted {
                                remaining,
                                reset_ms,
                            },
                        );
                    }
                }
                refused => {
                    take_back(&charged);
                    if matches!(refused, Charged::Retired) {
                        self.forget_retired(counters, key);
                    }
                    return Ok(None);
                }
            }
        }
        Ok(Some(tightest))
    }

    fn counter<'g>(
        &self,
        counters: &'g Pinned<'_, K>,
        key: (K, Shape),
        now_ms: u64,
    ) -> Result<&'g Counter, RegistryFull> {
        if let Some(counter) = counters.get(&key) {
            return Ok(counter);
        }
        if counters.len() >= self.keys_max && !self.make_room(now_ms) {
            return Err(RegistryFull {
                keys_max: self.keys_max,
            });
        }
        Ok(counters.get_or_insert_with(key, || Counter::new(key.1, self.buckets, now_ms)))
    }

    /// Sweeps a full registry, at most once in [`SWEEP_PAUSE_MS`], since it walks all counters.
    fn make_room(&self, now_ms: u64) -> bool {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(swept_ms) < SWEEP_PAUSE_MS {
            return false;
        }
        let mine = self
            .swept_ms
            .compare_exchange(swept_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        mine && self.sweep(now_ms) > 0
    }

    /// Removes a counter that a sweep has retired but not removed yet, so that a new one takes its place.
    fn forget_retired(&self, counters: &Pinned<'_, K>, key: (K, Shape)) {
        // Whether this call or the sweeper removes it makes no difference.
        let _removed_here = counters.remove_if(&key, |_, held| held.is_retired());
    }
}

type Pinned<'m, K> = papaya::HashMapRef<
    'm,
    (K, Shape),
    Counter,
    foldhash::fast::RandomState,
    papaya::LocalGuard<'m>,
>;
