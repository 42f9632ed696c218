//! A limit and its counter, of whichever kind.

use crate::flight::{Concurrency, Flights, RETRY_AFTER_MS};
use crate::rate::{Pace, Rate};
use crate::registry::Filed;
use crate::window::{Charged, SlidingWindow};

/// A limit over a window, as a plan states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// The most calls (or units) in any window; above [`LIMIT_MAX`](crate::LIMIT_MAX) it counts as that.
    pub limit: u64,
    /// The window's length in milliseconds; 0 counts as 1.
    pub window_ms: u64,
}

/// What a call is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// At most so many in any window: strict, 48 bytes a key.
    Quota(Quota),
    /// Evenly spread with a burst: one word a key.
    Rate(Rate),
    /// So many at the same time: one word a key.
    Concurrency(Concurrency),
}

impl From<Quota> for Limit {
    fn from(quota: Quota) -> Self {
        Self::Quota(quota)
    }
}

impl From<Rate> for Limit {
    fn from(rate: Rate) -> Self {
        Self::Rate(rate)
    }
}

impl From<Concurrency> for Limit {
    fn from(concurrency: Concurrency) -> Self {
        Self::Concurrency(concurrency)
    }
}

/// What a counter is made for: one of another shape begins anew when a limit is edited, one of the same goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Shape {
    /// A window of so many milliseconds.
    Window(u64),
    Pace,
    Flights,
}

impl Shape {
    /// Sets the counters of one key apart by their shapes.
    pub(crate) fn mark(self) -> u128 {
        // Any odd number with bits all over: different lengths give different marks.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        match self {
            Self::Window(window_ms) => u128::from(window_ms.wrapping_add(3)).wrapping_mul(SPREAD),
            Self::Pace => SPREAD,
            Self::Flights => SPREAD.wrapping_mul(2),
        }
    }
}

impl Limit {
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Quota(quota) => Shape::Window(quota.window_ms),
            Self::Rate(_) => Shape::Pace,
            Self::Concurrency(_) => Shape::Flights,
        }
    }

    /// The most that can be left of it.
    #[must_use]
    pub fn whole(self) -> u64 {
        match self {
            Self::Quota(quota) => quota.limit,
            Self::Rate(rate) => rate.burst.max(1),
            Self::Concurrency(concurrency) => concurrency.calls,
        }
    }

    /// Milliseconds in which it applies; a concurrency has none.
    #[must_use]
    pub fn window_ms(self) -> u64 {
        match self {
            Self::Quota(quota) => quota.window_ms,
            Self::Rate(rate) => rate.per_ms,
            Self::Concurrency(_) => 0,
        }
    }
}

/// A counter of one word.
#[derive(Debug)]
pub(crate) enum Word {
    Pace { pace: Pace, tag: u16 },
    Flights { flights: Flights, tag: u16 },
}

impl Filed for SlidingWindow {
    fn make(shape: Shape, tag: u16, now_ms: u64) -> Self {
        let window_ms = match shape {
            Shape::Window(window_ms) => window_ms,
            Shape::Pace | Shape::Flights => 1,
        };
        Self::filed(window_ms, tag, now_ms)
    }

    fn tag(&self) -> u16 {
        self.tag
    }

    fn retire(&self, now_ms: u64) -> bool {
        Self::retire(self, now_ms)
    }

    fn is_retired(&self) -> bool {
        Self::is_retired(self)
    }
}

impl Filed for Word {
    fn make(shape: Shape, tag: u16, _: u64) -> Self {
        match shape {
            Shape::Flights => Self::Flights {
                flights: Flights::default(),
                tag,
            },
            Shape::Pace | Shape::Window(_) => Self::Pace {
                pace: Pace::default(),
                tag,
            },
        }
    }

    fn tag(&self) -> u16 {
        match self {
            Self::Pace { tag, .. } | Self::Flights { tag, .. } => *tag,
        }
    }

    fn retire(&self, now_ms: u64) -> bool {
        match self {
            Self::Pace { pace, .. } => pace.retire(now_ms),
            Self::Flights { flights, .. } => flights.retire(),
        }
    }

    fn is_retired(&self) -> bool {
        match self {
            Self::Pace { pace, .. } => pace.is_retired(),
            Self::Flights { flights, .. } => flights.is_retired(),
        }
    }
}

/// The counter of one key, wherever it is filed.
#[derive(Clone, Copy)]
pub(crate) enum Counter<'g> {
    Window(&'g SlidingWindow),
    Word(&'g Word),
}

impl Counter<'_> {
    /// Counters are filed under the shape of their limit, so the kinds agree.
    pub(crate) fn charge(self, limit: Limit, cost: u32, now_ms: u64) -> Charged {
        match (self, limit) {
            (Self::Window(window), Limit::Quota(quota)) => window.charge(quota.limit, cost, now_ms),
            (Self::Word(Word::Pace { pace, .. }), Limit::Rate(rate)) => {
                pace.charge(rate, cost, now_ms)
            }
            (Self::Word(Word::Flights { flights, .. }), Limit::Concurrency(concurrency)) => {
                flights.charge(concurrency, cost)
            }
            _ => Charged::No { retry_after_ms: 1 },
        }
    }

    /// Answers `false` when the counter was retired.
    pub(crate) fn debit(self, limit: Limit, weight: u64, now_ms: u64) -> bool {
        match (self, limit) {
            (Self::Window(window), Limit::Quota(_)) => window.debit(weight, now_ms),
            (Self::Word(Word::Pace { pace, .. }), Limit::Rate(rate)) => {
                pace.debit(rate, weight, now_ms)
            }
            _ => true,
        }
    }

    /// Milliseconds until there is more than was left when it stood at `mark`, as [`Charged::Yes`] told.
    pub(crate) fn reset_ms(self, limit: Limit, mark: u64, now_ms: u64) -> u64 {
        match (self, limit) {
            (Self::Window(window), _) => window.reset_ms(mark, now_ms),
            (Self::Word(Word::Pace { .. }), Limit::Rate(rate)) => rate.reset_ms(mark, now_ms),
            (Self::Word(_), _) => RETRY_AFTER_MS,
        }
    }

    /// Takes back a charge that left it at `mark`.
    pub(crate) fn take_back(self, limit: Limit, mark: u64, cost: u32) {
        match (self, limit) {
            (Self::Window(window), _) => window.take_back(mark, cost),
            (Self::Word(Word::Pace { pace, .. }), Limit::Rate(rate)) => pace.take_back(rate, cost),
            (Self::Word(Word::Flights { flights, .. }), _) => flights.give_back(cost.into()),
            (Self::Word(Word::Pace { .. }), _) => {}
        }
    }

    pub(crate) fn wait_ms(self, limit: Limit, cost: u32, now_ms: u64) -> Option<u64> {
        match (self, limit) {
            (Self::Window(window), Limit::Quota(quota)) => {
                window.wait_ms(quota.limit, cost, now_ms)
            }
            (Self::Word(Word::Pace { pace, .. }), Limit::Rate(rate)) => {
                pace.wait_ms(rate, cost, now_ms)
            }
            (Self::Word(Word::Flights { flights, .. }), Limit::Concurrency(concurrency)) => {
                flights.wait_ms(concurrency, cost)
            }
            _ => None,
        }
    }
}
