//! A limit and its counter, of whichever kind.

use crate::quotas::Quota;
use crate::rate::{Pace, Rate};
use crate::window::{Charged, SlidingWindow};

/// What a call is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// At most so many in any window: strict, a ring of counts a key.
    Quota(Quota),
    /// Evenly spread with a burst: one word a key.
    Rate(Rate),
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

/// What a counter is made for: one of another shape begins anew when a limit is edited, one of the same goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Shape {
    /// A window of so many milliseconds.
    Window(u64),
    Pace,
}

impl Limit {
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Quota(quota) => Shape::Window(quota.window_ms),
            Self::Rate(_) => Shape::Pace,
        }
    }
}

/// The counter of one key. A window is large and stands apart, so that a pace stays small.
#[derive(Debug)]
pub(crate) enum Counter {
    Window(Box<SlidingWindow>),
    Pace(Pace),
}

impl Counter {
    pub(crate) fn new(shape: Shape, buckets: u32, now_ms: u64) -> Self {
        match shape {
            Shape::Window(window_ms) => {
                Self::Window(Box::new(SlidingWindow::new(window_ms, buckets, now_ms)))
            }
            Shape::Pace => Self::Pace(Pace::default()),
        }
    }

    /// Counters are filed under the shape of their limit, so the kinds agree.
    pub(crate) fn charge(&self, limit: Limit, cost: u32, now_ms: u64) -> Charged {
        match (self, limit) {
            (Self::Window(window), Limit::Quota(quota)) => window.charge(quota.limit, cost, now_ms),
            (Self::Pace(pace), Limit::Rate(rate)) => pace.charge(rate, cost, now_ms),
            _ => Charged::Retired,
        }
    }

    pub(crate) fn take_back(&self, limit: Limit, epoch: u32, cost: u32) {
        match (self, limit) {
            (Self::Window(window), _) => window.take_back(epoch, cost),
            (Self::Pace(pace), Limit::Rate(rate)) => pace.take_back(rate, cost),
            (Self::Pace(_), Limit::Quota(_)) => {}
        }
    }

    pub(crate) fn wait_ms(&self, limit: Limit, cost: u32, now_ms: u64) -> Option<u64> {
        match (self, limit) {
            (Self::Window(window), Limit::Quota(quota)) => {
                window.wait_ms(quota.limit, cost, now_ms)
            }
            (Self::Pace(pace), Limit::Rate(rate)) => pace.wait_ms(rate, cost, now_ms),
            _ => None,
        }
    }

    pub(crate) fn retire(&self, now_ms: u64) -> bool {
        match self {
            Self::Window(window) => window.retire(now_ms),
            Self::Pace(pace) => pace.retire(now_ms),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        match self {
            Self::Window(window) => window.is_retired(),
            Self::Pace(pace) => pace.is_retired(),
        }
    }
}
