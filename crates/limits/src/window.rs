//! One sliding window: a ring of small counts under one atomic head.
//!
//! # How it counts
//! The window of W ms is divided into B buckets. `head` holds the bucket number ("epoch") of the latest call and the
//! weight of all calls that are still remembered. The ring holds the weight of each bucket before it; what the head has
//! more than the ring belongs to the bucket of now. A bucket is forgotten when its *whole* span has left the window, so a
//! call is forgotten at most W/B late and never early.
//!
//! A place of the ring is one byte, a number with four significant bits: weights up to 15 are exact, of a greater one at
//! most a ninth is carried over to the next bucket, which is forgotten after it. So all that a key needs stands in 48
//! bytes, whatever its limit is.
//!
//! # Why it is exact on the strict side
//! *Invariant:* the head's weight ≥ that of the admitted calls whose bucket is live at the head's epoch.
//! - A call is charged to the head alone, with one compare-and-swap.
//! - The head moves to a later epoch only together with its mark `turns`. Whoever set the mark is the only one to touch the
//!   ring; others go on to charge the head meanwhile, which still holds what will be forgotten: strict. When the ring is
//!   right, what was forgotten is taken off the head together with the mark.
//! - A thread that comes in a still later bucket while the mark is set cannot be counted rightly, and is refused. That takes
//!   a turner who is held up for a whole bucket between two steps of some ten nanoseconds.
//! - What is carried over is forgotten later than it might be, never earlier: strict.
//! - A thread whose time is older than the head's is counted in the head's epoch: forgotten later, strict.
//!   So every call counts at a moment between the reading of its clock and its answer, and over these moments
//!   no window of W ms holds more than the limit.
//! - Epochs are compared modulo 2²³. A window that nobody asked or swept for 2²² buckets (36 hours at one second) holds on
//!   to what it counts until it can tell the time again: strict.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Buckets of a window: a call is forgotten at most 1/32 of the window late.
pub const BUCKETS: u8 = 32;
/// The greatest limit that can be counted; a greater one is taken as this one (strict side).
pub const LIMIT_MAX: u64 = (1 << 39) - 1;
/// The greatest weight that the head can hold; forced charges stop there.
const WEIGHT_MAX: u64 = (1 << WEIGHT_BITS) - 1;
const WEIGHT_BITS: u32 = 40;
const EPOCH_BITS: u32 = 23;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// Words of the ring; each has eight places.
const WORDS: usize = BUCKETS as usize / 8;

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
#[derive(Debug)]
pub struct SlidingWindow {
    head: AtomicU64,
    ring: [AtomicU64; WORDS],
    length: Length,
    buckets: u8,
    /// Whatever its owner files with it.
    pub(crate) tag: u16,
}

/// A window's length in four bytes: milliseconds, beyond 24 days seconds, rounded up (strict).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Length(u32);

impl Length {
    const SECONDS: u32 = 1 << 31;

    fn of(ms: u64) -> Self {
        let ms = ms.max(1);
        match u32::try_from(ms) {
            Ok(ms) if ms < Self::SECONDS => Self(ms),
            _ => {
                let s = u32::try_from(ms.div_ceil(1000)).unwrap_or(Self::SECONDS - 1);
                Self(s.min(Self::SECONDS - 1) | Self::SECONDS)
            }
        }
    }

    fn ms(self) -> u64 {
        match self.0 & Self::SECONDS {
            0 => u64::from(self.0),
            _ => u64::from(self.0 & !Self::SECONDS) * 1000,
        }
    }
}

/// The head, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Head {
    /// Somebody makes the ring right.
    turns: bool,
    epoch: u64,
    weight: u64,
}

impl Head {
    /// The head of a window that was taken out of its registry: nobody turns with this weight.
    const RETIRED: Self = Self {
        turns: true,
        epoch: EPOCH_MASK,
        weight: WEIGHT_MAX,
    };

    fn of(word: u64) -> Self {
        Self {
            turns: word >> 63 == 1,
            epoch: (word >> WEIGHT_BITS) & EPOCH_MASK,
            weight: word & WEIGHT_MAX,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.turns) << 63 | self.epoch << WEIGHT_BITS | self.weight
    }
}

/// A moment and the number of whole buckets since the start.
#[derive(Clone, Copy)]
struct Now {
    ms: u64,
    epoch_full: u64,
}

/// What one counter says to a charge.
pub(crate) enum Charged {
    /// Counted.
    Yes {
        /// Where the counter stands: a window's epoch, a rate's time.
        mark: u64,
        remaining: u64,
    },
    /// Nothing counted.
    No { retry_after_ms: u64 },
    /// Nothing counted: the counter was retired and its successor has to be asked.
    Retired,
}

/// A head at the epoch of now or later.
enum Settled {
    At(Head),
    /// Somebody else is about to move the head, and to an earlier epoch than now's.
    Busy,
    Retired,
}

impl SlidingWindow {
    /// An empty window of `window_ms` (at least 1) in `buckets` parts (1 to [`BUCKETS`]), asked first at `now_ms`.
    #[must_use]
    pub fn new(window_ms: u64, buckets: u8, now_ms: u64) -> Self {
        let window = Self::tagged(window_ms, buckets, 0);
        window.begin(now_ms);
        window
    }

    fn tagged(window_ms: u64, buckets: u8, tag: u16) -> Self {
        Self {
            head: AtomicU64::new(0),
            ring: Default::default(),
            length: Length::of(window_ms),
            buckets: buckets.clamp(1, BUCKETS),
            tag,
        }
    }

    /// The counter of a registry that has none yet.
    pub(crate) fn filed(window_ms: u64, tag: u16, now_ms: u64) -> Self {
        let window = Self::tagged(window_ms, BUCKETS, tag);
        window.begin(now_ms);
        window
    }

    /// Epochs are compared modulo 2²³: it must not begin too far from now.
    fn begin(&self, now_ms: u64) {
        let head = Head {
            turns: false,
            epoch: self.at(now_ms).epoch_full & EPOCH_MASK,
            weight: 0,
        };
        self.head.store(head.word(), Relaxed);
    }

    /// The window's length in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.length.ms()
    }

    /// Counts a call of weight `cost` made at `now_ms`, if that keeps every window at or below `limit`. One of weight 0
    /// needs room for 1.
    pub fn admit(&self, limit: u64, cost: u32, now_ms: u64) -> Decision {
        match self.charge(limit, cost, now_ms) {
            Charged::Yes { mark, remaining } => Decision::Admitted {
                remaining,
                reset_ms: self.reset_ms(mark, now_ms),
            },
            Charged::No { retry_after_ms } => Decision::Refused { retry_after_ms },
            Charged::Retired => Decision::Refused {
                retry_after_ms: self.window_ms(),
            },
        }
    }

    /// What is counted at `now_ms`: the weight of all remembered calls.
    #[must_use]
    pub fn used(&self, now_ms: u64) -> u64 {
        match self.settle(self.at(now_ms)) {
            Settled::At(head) => head.weight,
            Settled::Busy => Head::of(self.head.load(Acquire)).weight,
            Settled::Retired => 0,
        }
    }

    pub(crate) fn charge(&self, limit: u64, cost: u32, now_ms: u64) -> Charged {
        let limit = limit.min(LIMIT_MAX);
        let now = self.at(now_ms);
        loop {
            let head = match self.settle(now) {
                Settled::At(head) => head,
                Settled::Busy => return Charged::No { retry_after_ms: 1 },
                Settled::Retired => return Charged::Retired,
            };
            if !fits(head.weight, limit, cost) {
                return Charged::No {
                    retry_after_ms: self.retry_after_ms(head, limit, cost, now),
                };
            }
            let charged = Head {
                weight: head.weight + u64::from(cost),
                ..head
            };
            if cost == 0 || self.swap(head, charged) {
                return Charged::Yes {
                    mark: charged.epoch,
                    remaining: limit - charged.weight,
                };
            }
        }
    }

    /// Milliseconds until the oldest calls are forgotten that are remembered at `epoch`.
    pub(crate) fn reset_ms(&self, epoch: u64, now_ms: u64) -> u64 {
        self.leaves_in_ms(self.oldest(epoch), self.at(now_ms))
    }

    /// Counts what has happened already, whatever the limit. Answers `false` when the window was retired.
    pub(crate) fn debit(&self, weight: u64, now_ms: u64) -> bool {
        let now = self.at(now_ms);
        loop {
            let head = match self.settle(now) {
                Settled::At(head) => head,
                // At most a bucket too early: this must be counted somewhere.
                Settled::Busy => Head::of(self.head.load(Acquire)),
                Settled::Retired => return false,
            };
            if head == Head::RETIRED {
                return false;
            }
            // Never the retired mark.
            let sum = head.weight.saturating_add(weight).min(WEIGHT_MAX - 1);
            if self.swap(
                head,
                Head {
                    weight: sum,
                    ..head
                },
            ) {
                return true;
            }
        }
    }

    /// Takes back a charge that was counted in `epoch`. While somebody else makes the ring right it stays, until it is
    /// forgotten: strict.
    pub(crate) fn take_back(&self, epoch: u64, cost: u32) {
        loop {
            let head = Head::of(self.head.load(Acquire));
            let age = later_by(head.epoch, epoch);
            let own = age == 0;
            let gone = age < 0 || age > i64::from(self.buckets);
            if head == Head::RETIRED || gone || (head.turns && !own) {
                return;
            }
            let taken = if own {
                let weight = head.weight.saturating_sub(u64::from(cost));
                self.swap(head, Head { weight, ..head })
            } else {
                let turning = Head {
                    turns: true,
                    ..head
                };
                let marked = self.swap(head, turning);
                if marked {
                    let held = weight_of(self.place(epoch));
                    let back = held.min(u64::from(cost));
                    self.place_set(epoch, code_of(held - back));
                    self.turned(turning, back);
                }
                marked
            };
            if taken {
                return;
            }
        }
    }

    /// How long a call of weight `cost` would have to wait; nothing is counted.
    pub(crate) fn wait_ms(&self, limit: u64, cost: u32, now_ms: u64) -> Option<u64> {
        let limit = limit.min(LIMIT_MAX);
        let now = self.at(now_ms);
        match self.settle(now) {
            Settled::At(head) => (!fits(head.weight, limit, cost))
                .then(|| self.retry_after_ms(head, limit, cost, now)),
            Settled::Busy => Some(1),
            Settled::Retired => None,
        }
    }

    /// Ends this window if it remembers nothing; whoever holds it is told to fetch its successor.
    pub(crate) fn retire(&self, now_ms: u64) -> bool {
        match self.settle(self.at(now_ms)) {
            Settled::Retired => true,
            Settled::Busy => false,
            Settled::At(head) if head.weight > 0 || head.turns => false,
            Settled::At(head) => self.swap(head, Head::RETIRED),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        Head::of(self.head.load(Acquire)) == Head::RETIRED
    }

    /// Head and ring, as they are saved. A ring that is being turned in this moment is not: `None`.
    pub(crate) fn save(&self) -> Option<[u64; 1 + WORDS]> {
        let head = self.head.load(Acquire);
        if Head::of(head).turns {
            return None;
        }
        let mut saved = [head; 1 + WORDS];
        for (place, word) in std::iter::zip(&mut saved[1..], &self.ring) {
            *place = word.load(Relaxed);
        }
        // The same epoch, and nobody turned: the ring is of this head.
        let after = Head::of(self.head.load(Acquire));
        (!after.turns && after.epoch == Head::of(head).epoch).then_some(saved)
    }

    /// A window as it was saved; `None` for what no window is.
    pub(crate) fn restore(
        window_ms: u64,
        buckets: u8,
        tag: u16,
        saved: [u64; 1 + WORDS],
    ) -> Option<Self> {
        let window = Self::tagged(window_ms, buckets, tag);
        let head = Head::of(saved[0]);
        for (word, saved) in std::iter::zip(&window.ring, &saved[1..]) {
            word.store(*saved, Relaxed);
        }
        if head.turns || head.weight < window.ring_weight() {
            return None;
        }
        window.head.store(saved[0], Relaxed);
        Some(window)
    }

    fn swap(&self, from: Head, to: Head) -> bool {
        self.head
            .compare_exchange(from.word(), to.word(), AcqRel, Acquire)
            .is_ok()
    }

    /// Brings the head to the epoch of `now`, if that is later, and reads it.
    fn settle(&self, now: Now) -> Settled {
        let epoch = now.epoch_full & EPOCH_MASK;
        loop {
            let head = Head::of(self.head.load(Acquire));
            if head == Head::RETIRED {
                return Settled::Retired;
            }
            if later_by(epoch, head.epoch) <= 0 {
                return Settled::At(head);
            }
            if head.turns {
                return Settled::Busy;
            }
            let turning = Head {
                turns: true,
                epoch,
                ..head
            };
            if self.swap(head, turning) {
                return Settled::At(self.turn(head, turning));
            }
        }
    }

    /// Makes the ring right for the epoch that the head has been moved to. Only who set the mark comes here.
    fn turn(&self, before: Head, head: Head) -> Head {
        let steps = head.epoch.wrapping_sub(before.epoch) & EPOCH_MASK;
        let buckets = u64::from(self.buckets);
        let forgotten = if steps > buckets {
            for word in &self.ring {
                word.store(0, Relaxed);
            }
            before.weight
        } else {
            let mut own = before.weight.saturating_sub(self.ring_weight());
            let mut forgotten = 0;
            for step in 0..steps {
                let gone = before.epoch.wrapping_sub(buckets).wrapping_add(step);
                forgotten += weight_of(self.place(gone));
                self.place_set(gone, 0);
            }
            for step in 0..steps {
                let code = code_of(own);
                own -= weight_of(code);
                self.place_set(before.epoch.wrapping_add(step), code);
            }
            forgotten
        };
        self.turned(head, forgotten)
    }

    /// The ring is right: takes what it has lost off the head, and the mark with it.
    fn turned(&self, mut head: Head, lost: u64) -> Head {
        loop {
            let turned = Head {
                turns: false,
                weight: head.weight.saturating_sub(lost),
                ..head
            };
            if self.swap(head, turned) {
                return turned;
            }
            // Others were charged, or took back: the mark and the epoch are ours.
            head = Head::of(self.head.load(Acquire));
        }
    }

    fn ring_weight(&self) -> u64 {
        let words = self.ring.iter().map(|word| word.load(Relaxed));
        words.flat_map(u64::to_le_bytes).map(weight_of).sum()
    }

    /// The code of an epoch's weight.
    fn place(&self, epoch: u64) -> u8 {
        let place = place_of(epoch);
        self.ring[place / 8].load(Relaxed).to_le_bytes()[place % 8]
    }

    fn place_set(&self, epoch: u64, code: u8) {
        let place = place_of(epoch);
        let word = &self.ring[place / 8];
        let mut bytes = word.load(Relaxed).to_le_bytes();
        bytes[place % 8] = code;
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }

    /// Bucket `e` spans from `e·W/B` to before `(e+1)·W/B` after the start.
    fn at(&self, ms: u64) -> Now {
        Now {
            ms,
            epoch_full: ms.saturating_mul(u64::from(self.buckets)) / self.window_ms(),
        }
    }

    /// Milliseconds from `now` until the calls of `epoch` are forgotten.
    fn leaves_in_ms(&self, epoch: u64, now: Now) -> u64 {
        let gone = epoch.wrapping_add(u64::from(self.buckets) + 1);
        let ahead = later_by(gone, now.epoch_full);
        let gone_full = now.epoch_full.saturating_add_signed(ahead);
        gone_full
            .saturating_mul(self.window_ms())
            .div_ceil(u64::from(self.buckets))
            .saturating_sub(now.ms)
    }

    /// The oldest epoch that is remembered at `epoch`.
    fn oldest(&self, epoch: u64) -> u64 {
        let oldest = epoch.wrapping_sub(u64::from(self.buckets));
        let mut found = oldest;
        while found != epoch {
            let place = place_of(found);
            // Eight places at once, from this one on.
            let word = self.ring[place / 8].load(Relaxed) >> (8 * (place % 8));
            let left = epoch.wrapping_sub(found).min(8 - (place % 8) as u64);
            let empty = u64::from(word.trailing_zeros()) / 8;
            if empty < left {
                return found.wrapping_add(empty);
            }
            found = found.wrapping_add(left);
        }
        epoch
    }

    /// How long until enough is forgotten: walks the live buckets from the oldest on. Exact unless other threads
    /// are at work on the window in this moment, or weights above 15 are carried over: then it may be a bucket too long.
    fn retry_after_ms(&self, head: Head, limit: u64, cost: u32, now: Now) -> u64 {
        let Some(room) = limit.checked_sub(u64::from(cost.max(1))) else {
            return self.window_ms();
        };
        let mut held = head.weight;
        let mut own = head.weight.saturating_sub(self.ring_weight());
        let mut bucket = head.epoch.wrapping_sub(u64::from(self.buckets));
        while bucket != head.epoch {
            held = held.saturating_sub(weight_of(self.place(bucket)));
            if held <= room {
                return self.leaves_in_ms(bucket, now);
            }
            bucket = bucket.wrapping_add(1);
        }
        for _ in 0..BUCKETS {
            let part = weight_of(code_of(own));
            (held, own) = (held.saturating_sub(part), own - part);
            if held <= room {
                break;
            }
            bucket = bucket.wrapping_add(1);
        }
        self.leaves_in_ms(bucket, now)
    }
}

fn fits(weight: u64, limit: u64, cost: u32) -> bool {
    weight + u64::from(cost.max(1)) <= limit
}

/// The greatest number with four significant bits that is not above this weight, as a byte: five bits of exponent, three of
/// the digits behind the leading one.
fn code_of(weight: u64) -> u8 {
    if weight < 8 {
        return u8::try_from(weight).unwrap_or(7);
    }
    let shift = 60 - weight.leading_zeros();
    let digits = (weight >> shift) & 7;
    u8::try_from(u64::from(shift + 1) << 3 | digits).unwrap_or(u8::MAX)
}

fn weight_of(code: u8) -> u64 {
    let digits = u64::from(code & 7);
    match code >> 3 {
        0 => digits,
        exponent => (8 + digits) << (exponent - 1),
    }
}

/// Where the ring keeps an epoch.
fn place_of(epoch: u64) -> usize {
    usize::try_from(epoch % u64::from(BUCKETS)).unwrap_or(0)
}

/// How many epochs `a` lies after `b`, modulo 2²³; negative when before.
fn later_by(a: u64, b: u64) -> i64 {
    let unused = u64::BITS - EPOCH_BITS;
    (a.wrapping_sub(b) << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests;
