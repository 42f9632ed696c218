//! All counters of a process, by key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::counter::{Counter, Limit, Shape, Word};
use crate::registry::{self, Pinned, Place, Registry};
use crate::seats::{Room, Seats};
use crate::window::{Charged, Decision, SlidingWindow};

/// Names a limit across all that there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LimitId {
    pub(crate) digest: u128,
    pub(crate) chosen: bool,
}

impl LimitId {
    /// A limit whose keys are ours: subscriptions, applications, APIs. `digest`: of its name, all bits alike.
    #[must_use]
    pub const fn known(digest: u128) -> Self {
        Self {
            digest,
            chosen: false,
        }
    }

    /// A limit whose keys callers choose: addresses, headers. They get counters of a room of their own.
    #[must_use]
    pub const fn chosen(digest: u128) -> Self {
        Self {
            digest,
            chosen: true,
        }
    }
}

/// Names a counter: of which limit, for which value of its key. Together with the shape of the limit: another length of
/// a window is another counter, another number of calls is not, so that a live edit keeps what was counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// Of which limit.
    pub limit: LimitId,
    /// For what: a value of the limit's key, whole or as a digest.
    pub value: u128,
}

/// One limit that a call is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The counter.
    pub key: Key,
    /// The limit.
    pub limit: Limit,
    /// What is charged now; 0 needs room for 1 and charges nothing, for what is debited as it comes.
    pub cost: u32,
}

impl AsRef<Claim> for Claim {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// How often a full registry looks for idle counters by itself: a look goes through all of them, and a call pays for it.
const SWEEP_PAUSE_MS: u64 = 1000;

/// Counters by key; they outlive every swap of the configuration.
///
/// A counter belongs to a key and a kind of limit, of a quota also to its window's length: editing a limit goes on with
/// what is counted, editing the length begins anew. An idle counter, one that remembers no call, can be dropped at any time without any
/// call being forgotten.
pub struct Quotas {
    pub(crate) windows: Registry<SlidingWindow>,
    pub(crate) words: Registry<Word>,
    pub(crate) seats: Seats,
    /// How far the counters' time is ahead of the clock's: it goes on from where a process before this one was.
    pub(crate) ahead_ms: AtomicU64,
    swept_ms: AtomicU64,
}

/// How many counters there are, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Numbers {
    /// Counters of keys.
    pub counters: usize,
    /// Look-ups of counters for which there was no room: their calls are counted together with others, or refused.
    pub overflowed: u64,
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas")
            .field("numbers", &self.numbers())
            .finish_non_exhaustive()
    }
}

/// Both registries, for the time of one call.
struct Hands<'m> {
    windows: Pinned<'m, SlidingWindow>,
    words: Pinned<'m, Word>,
}

impl Quotas {
    /// An empty registry with room for so many counters.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            windows: Registry::new(),
            words: Registry::new(),
            seats: Seats::new(room),
            ahead_ms: AtomicU64::new(0),
            swept_ms: AtomicU64::new(0),
        }
    }

    /// Counts a call of weight `cost`, made at `now_ms` of a monotonic clock, against one limit.
    pub fn admit(&self, key: Key, limit: impl Into<Limit>, cost: u32, now_ms: u64) -> Decision {
        let limit = limit.into();
        let now_ms = self.time(now_ms);
        if let Limit::Quota(_) = limit {
            let windows = self.windows.pin();
            let find = || self.window(&windows, key, limit, now_ms);
            let forget = |place| registry::forget(&windows, place, &self.seats);
            self.admit_one(key, limit, cost, now_ms, find, forget)
        } else {
            let words = self.words.pin();
            let find = || self.word(&words, key, limit, now_ms);
            let forget = |place| registry::forget(&words, place, &self.seats);
            self.admit_one(key, limit, cost, now_ms, find, forget)
        }
    }

    fn admit_one<'g>(
        &self,
        key: Key,
        limit: Limit,
        cost: u32,
        now_ms: u64,
        find: impl Fn() -> Option<Counter<'g>>,
        forget: impl Fn(Place) -> bool,
    ) -> Decision {
        loop {
            let Some(counter) = find() else {
                return Decision::Refused {
                    retry_after_ms: SWEEP_PAUSE_MS,
                };
            };
            match counter.charge(limit, cost, now_ms) {
                Charged::Yes { mark, remaining } => {
                    return Decision::Admitted {
                        remaining,
                        reset_ms: counter.reset_ms(limit, mark, now_ms),
                    };
                }
                Charged::No { retry_after_ms } => return Decision::Refused { retry_after_ms },
                Charged::Retired => {
                    forget(Place::of(key, limit.shape()));
                }
            }
        }
    }

    /// Counts a call against several limits, all or none: every one is checked before any is charged.
    ///
    /// Answers the decision and the index of the limit it stems from: when refused the one with the longest
    /// wait (then the call passes all of them if nobody else comes), when admitted the one of which the least share
    /// is left. Without limits the call is admitted. When another thread uses up one of them between the
    /// check and the charge, what was charged to the others is taken back; of a window whose bucket has passed meanwhile
    /// it stays until it is forgotten.
    pub fn admit_all<C: AsRef<Claim>>(&self, claims: &[C], now_ms: u64) -> (usize, Decision) {
        let now_ms = self.time(now_ms);
        let hands = self.hands();
        loop {
            let mut refused: Option<(usize, u64)> = None;
            let mut counters = SmallVec::<[Counter<'_>; 4]>::new();
            for (index, claim) in claims.iter().map(AsRef::as_ref).enumerate() {
                let wait_ms = match self.counter(&hands, claim.key, claim.limit, now_ms) {
                    Some(counter) => {
                        counters.push(counter);
                        counter.wait_ms(claim.limit, claim.cost, now_ms)
                    }
                    None => Some(SWEEP_PAUSE_MS),
                };
                if let Some(wait_ms) = wait_ms
                    && refused.is_none_or(|(_, longest_ms)| wait_ms > longest_ms)
                {
                    refused = Some((index, wait_ms));
                }
            }
            if let Some((index, retry_after_ms)) = refused {
                return (index, Decision::Refused { retry_after_ms });
            }
            if let Some(answer) = self.charge_all(&hands, claims, &counters, now_ms) {
                return answer;
            }
        }
    }

    /// Counts what has happened already, whatever the limit: bytes and messages, which are known when they come.
    pub fn debit(&self, key: Key, limit: Limit, weight: u64, now_ms: u64) {
        let now_ms = self.time(now_ms);
        let hands = self.hands();
        while let Some(counter) = self.counter(&hands, key, limit, now_ms) {
            if counter.debit(limit, weight, now_ms) {
                return;
            }
            self.forget(&hands, key, limit.shape());
        }
    }

    /// Whether anything is left of a limit; nothing is counted.
    pub fn has_room(&self, key: Key, limit: Limit, now_ms: u64) -> bool {
        let now_ms = self.time(now_ms);
        let hands = self.hands();
        self.counter(&hands, key, limit, now_ms)
            .is_some_and(|counter| counter.wait_ms(limit, 0, now_ms).is_none())
    }

    /// Calls that were admitted by a [`Concurrency`](crate::Concurrency) have ended.
    pub fn give_back(&self, key: Key, calls: u32) {
        let words = self.words.pin();
        if let Some(Word::Flights { flights, .. }) = words.get(&Place::of(key, Shape::Flights)) {
            flights.give_back(calls.into());
        }
    }

    /// Drops every idle counter and answers how many; call it now and then, for example once a minute.
    pub fn sweep(&self, now_ms: u64) -> usize {
        self.sweep_at(self.time(now_ms))
    }

    fn sweep_at(&self, now_ms: u64) -> usize {
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        self.windows.sweep(&self.seats, now_ms) + self.words.sweep(&self.seats, now_ms)
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len() + self.words.len()
    }

    /// Whether there is no counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For metrics.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers {
            counters: self.seats.held(),
            overflowed: self.seats.overflowed.load(Ordering::Relaxed),
        }
    }

    /// The counters' time.
    pub(crate) fn time(&self, now_ms: u64) -> u64 {
        // Less than nothing, where the clock has run for longer than the counters.
        now_ms.wrapping_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Charges one limit after the other, each with its counter; takes all back and answers nothing when others came between.
    fn charge_all<C: AsRef<Claim>>(
        &self,
        hands: &Hands<'_>,
        claims: &[C],
        counters: &[Counter<'_>],
        now_ms: u64,
    ) -> Option<(usize, Decision)> {
        let claims = || claims.iter().map(AsRef::as_ref);
        let mut marks: SmallVec<[u64; 4]> = SmallVec::new();
        let (mut nearest, mut left) = (0, u64::MAX);
        let mut least = (1_u128, 0_u128);
        for (index, (claim, counter)) in std::iter::zip(claims(), counters).enumerate() {
            let answer = counter.charge(claim.limit, claim.cost, now_ms);
            if let Charged::Yes { mark, remaining } = answer {
                marks.push(mark);
                let share = (u128::from(remaining), u128::from(claim.limit.whole()));
                if share.0 * least.1 < least.0 * share.1 {
                    least = share;
                    (nearest, left) = (index, remaining);
                }
                continue;
            }
            for (mark, (claim, counter)) in
                std::iter::zip(&marks, std::iter::zip(claims(), counters))
            {
                counter.take_back(claim.limit, *mark, claim.cost);
            }
            if let Charged::Retired = answer {
                self.forget(hands, claim.key, claim.limit.shape());
            }
            return None;
        }
        let decided = std::iter::zip(claims(), std::iter::zip(counters, &marks)).nth(nearest);
        let reset_ms = decided.map_or(0, |(claim, (counter, mark))| {
            counter.reset_ms(claim.limit, *mark, now_ms)
        });
        let admitted = Decision::Admitted {
            remaining: left,
            reset_ms,
        };
        Some((nearest, admitted))
    }

    fn hands(&self) -> Hands<'_> {
        Hands {
            windows: self.windows.pin(),
            words: self.words.pin(),
        }
    }

    fn counter<'g>(
        &self,
        hands: &'g Hands<'_>,
        key: Key,
        limit: Limit,
        now_ms: u64,
    ) -> Option<Counter<'g>> {
        match limit {
            Limit::Quota(_) => self.window(&hands.windows, key, limit, now_ms),
            Limit::Rate(_) | Limit::Concurrency(_) => self.word(&hands.words, key, limit, now_ms),
        }
    }

    fn window<'g>(
        &self,
        windows: &'g Pinned<'_, SlidingWindow>,
        key: Key,
        limit: Limit,
        now_ms: u64,
    ) -> Option<Counter<'g>> {
        let shape = limit.shape();
        let found = windows.get(&Place::of(key, shape));
        let room = || self.make_room(now_ms);
        found
            .or_else(|| registry::begin(windows, key, shape, &self.seats, now_ms, room))
            .map(Counter::Window)
    }

    fn word<'g>(
        &self,
        words: &'g Pinned<'_, Word>,
        key: Key,
        limit: Limit,
        now_ms: u64,
    ) -> Option<Counter<'g>> {
        let shape = limit.shape();
        let found = words.get(&Place::of(key, shape));
        let room = || self.make_room(now_ms);
        found
            .or_else(|| registry::begin(words, key, shape, &self.seats, now_ms, room))
            .map(Counter::Word)
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
        mine && self.sweep_at(now_ms) > 0
    }

    /// Removes a counter that a sweep has retired but not removed yet, so that a new one takes its place.
    fn forget(&self, hands: &Hands<'_>, key: Key, shape: Shape) {
        let place = Place::of(key, shape);
        // Whether this call or the sweeper removes it makes no difference.
        let _removed_here = match shape {
            Shape::Window(_) => registry::forget(&hands.windows, place, &self.seats),
            Shape::Pace | Shape::Flights => registry::forget(&hands.words, place, &self.seats),
        };
    }
}
