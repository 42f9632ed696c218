//! Limits that a call is held against. Policies of [`Phase::Limit`](crate::Phase::Limit) leave what they ask in a slot; all
//! is asked at once behind them, so that a call which one of them refuses is charged to none.

use std::sync::Arc;

use base::SubscriptionId;
use limits::{Decision, Limit};
use smallvec::SmallVec;

use crate::directory::Plan;

/// Names one counter of the [`crate::Runtime`], together with the shape of its limit: another length of the window is
/// another counter, another number of requests is not, so that a live edit keeps what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// Of a subscription's plan.
    Plan {
        /// Whose.
        subscription: SubscriptionId,
        /// Which of the plan's windows.
        window: PlanWindow,
    },
    /// Of a policy in a document.
    Policy {
        /// Whose: a digest of organisation, API and the limit's name.
        policy: u64,
        /// For what: a value of the limit's key, whole or as a digest.
        value: u128,
    },
}

/// The windows of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanWindow {
    /// [`Plan::quota`]
    Quota,
    /// [`Plan::burst`]
    Burst,
}

/// Who asks, for people.
#[derive(Clone, Debug)]
pub enum AskedBy {
    /// A plan.
    Plan(Arc<Plan>, PlanWindow),
    /// A policy in a document.
    Policy(Arc<NamedLimit>),
}

/// A limit of a policy, as answers tell it.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedLimit {
    /// Its name, unique in its API.
    pub name: String,
    /// The limit.
    pub limit: Limit,
}

/// One limit that a call is held against.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The counter.
    pub key: LimitKey,
    /// The limit.
    pub limit: Limit,
    /// Who asks.
    pub by: AskedBy,
}

/// All that is asked of one call, and what came of it; a slot.
#[derive(Debug, Default)]
pub struct Asks {
    /// The limits.
    pub list: SmallVec<[Ask; 2]>,
    /// The index of the limit that decided, and its answer: of those that admitted the one with the least remaining, else
    /// the one that refused.
    pub decided: Option<(usize, Decision)>,
}

impl Asks {
    /// The index of the limit that decided, what is left of it, and the milliseconds until there is more, or until a call that was
    /// refused would pass.
    #[must_use]
    pub fn told(&self) -> Option<(usize, u64, u64)> {
        let (index, decision) = self.decided?;
        let (left, wait_ms) = match decision {
            Decision::Admitted {
                remaining,
                reset_ms,
            } => (remaining, reset_ms),
            Decision::Refused { retry_after_ms } => (0, retry_after_ms),
        };
        Some((index, left, wait_ms))
    }
}

impl AskedBy {
    /// The name that answers tell: the plan's, or the limit's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Plan(plan, _) => &plan.name,
            Self::Policy(limit) => &limit.name,
        }
    }

    /// Whether it is the very same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plan(a, window), Self::Plan(b, other)) => Arc::ptr_eq(a, b) && window == other,
            (Self::Policy(a), Self::Policy(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The number of requests of a limit, and the milliseconds in which they may come.
#[must_use]
pub fn numbers(limit: Limit) -> (u64, u64) {
    match limit {
        Limit::Quota(quota) => (quota.limit, quota.window_ms),
        Limit::Rate(rate) => (rate.requests, rate.per_ms),
    }
}
