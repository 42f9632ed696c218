//! Limits that a call is held against. Policies of [`Phase::Limit`](crate::Phase::Limit) leave what they ask in a slot; all
//! is asked at once behind them, so that a call which one of them refuses is charged to none.

use std::sync::Arc;

use base::{ApplicationId, SubscriptionId};
use limits::{Authority, Claim, Decision, Key, Limit, LimitId};
use smallvec::SmallVec;

use crate::directory::Plan;

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Calls.
    #[default]
    Requests,
    /// Calls at the same time.
    Concurrency,
    /// Bytes of the bodies of requests and answers, and of what passes through tunnels. They are counted as they pass; a call
    /// begins while anything is left, and is not cut: each that is under way may go beyond the limit by its own length.
    Bytes,
    /// Messages of WebSockets, both ways, and events of `text/event-stream`. They are counted as they pass; a call begins
    /// while anything is left, and ends with the message that nothing was left for.
    Events,
}

impl Measure {
    /// The unit, as `RateLimit-Policy` tells it; calls are not told.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Requests => None,
            Self::Concurrency => Some("concurrent-requests"),
            Self::Bytes => Some("content-bytes"),
            Self::Events => Some("events"),
        }
    }

    /// What is counted, for people.
    #[must_use]
    pub fn things(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Concurrency => "requests at the same time",
            Self::Bytes => "bytes",
            Self::Events => "events",
        }
    }

    /// What a call is charged when it begins.
    fn cost(self) -> u32 {
        match self {
            Self::Requests | Self::Concurrency => 1,
            Self::Bytes | Self::Events => 0,
        }
    }
}

/// The windows of a plan, and those of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanWindow {
    /// The quota.
    Quota,
    /// The burst.
    Burst,
}

impl PlanWindow {
    /// The limit of a subscription's plan. Any constants with bits all over: they tell limits apart.
    #[must_use]
    pub fn of_plan(self, subscription: SubscriptionId) -> Key {
        let limit = match self {
            Self::Quota => LimitId::known(0x51a3_6f0d_97c4_2be8_0d6b_9e31_f4a8_7c25),
            Self::Burst => LimitId::known(0xc7e9_1b54_3d80_af62_86f1_2ad7_539b_e04c),
        };
        let value = subscription.0.as_u128();
        Key { limit, value }
    }

    /// The limit of an application across all APIs.
    #[must_use]
    pub fn of_application(self, application: ApplicationId) -> Key {
        let limit = match self {
            Self::Quota => LimitId::known(0x2d94_e8b1_60f7_5ca3_b17e_48d2_0c63_9af5),
            Self::Burst => LimitId::known(0xa86c_05f3_d21b_794e_5f0a_c3e8_716d_d2b9),
        };
        let value = application.0.as_u128();
        Key { limit, value }
    }
}

/// Who asks, for people.
#[derive(Clone, Debug)]
pub enum AskedBy {
    /// A plan.
    Plan(Arc<Plan>, PlanWindow),
    /// The document of the calling application; its windows have the shape of a plan's.
    Application(Arc<Plan>, PlanWindow),
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
    /// What it counts.
    pub measure: Measure,
}

/// One limit that a call is held against.
#[derive(Clone, Debug)]
pub struct Ask {
    /// As the authority over the limits is asked.
    pub claim: Claim,
    /// What it counts.
    pub measure: Measure,
    /// Who asks.
    pub by: AskedBy,
}

impl Ask {
    /// What a call is asked when it begins.
    #[must_use]
    pub fn new(key: Key, limit: Limit, measure: Measure, by: AskedBy) -> Self {
        let cost = measure.cost();
        Self {
            claim: Claim { key, limit, cost },
            measure,
            by,
        }
    }
}

impl AsRef<Claim> for Ask {
    fn as_ref(&self) -> &Claim {
        &self.claim
    }
}

/// What is counted while a call goes on, and what it gives back when it ends, in whichever way: a slot, which moves into
/// the answer's body or the tunnel.
pub struct Meter {
    authority: Arc<Authority>,
    asks: SmallVec<[(Measure, Key, Limit); 2]>,
}

impl Meter {
    /// The meter of a call that was admitted; `None` where there is nothing to count and nothing to give back.
    #[must_use]
    pub fn of(authority: &Arc<Authority>, asks: &[Ask]) -> Option<Self> {
        if asks.iter().all(|ask| ask.measure == Measure::Requests) {
            return None;
        }
        let lasting = asks.iter().filter(|ask| ask.measure != Measure::Requests);
        Some(Self {
            authority: Arc::clone(authority),
            asks: lasting
                .map(|ask| (ask.measure, ask.claim.key, ask.claim.limit))
                .collect(),
        })
    }

    /// Whether anything of this measure is counted.
    #[must_use]
    pub fn counts(&self, measure: Measure) -> bool {
        self.asks.iter().any(|(of, ..)| *of == measure)
    }

    /// So much has passed.
    pub fn debit(&self, measure: Measure, count: u64, now_ms: u64) {
        for (_, key, limit) in self.asks.iter().filter(|(of, ..)| *of == measure) {
            self.authority.debit(*key, *limit, count, now_ms);
        }
    }

    /// Whether so many may pass together; then they are counted, else none is.
    #[must_use]
    pub fn admit(&self, measure: Measure, count: u32, now_ms: u64) -> bool {
        let asks = self.asks.iter().filter(|(of, ..)| *of == measure);
        let claims: SmallVec<[Claim; 2]> = asks
            .map(|(_, key, limit)| Claim {
                key: *key,
                limit: *limit,
                cost: count,
            })
            .collect();
        matches!(
            self.authority.admit_all(&claims, now_ms),
            Ok((_, Decision::Admitted { .. }))
        )
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        for (measure, key, _) in &self.asks {
            if *measure == Measure::Concurrency {
                self.authority.give_back(*key);
            }
        }
    }
}

/// All that is asked of one call, and what came of it; a slot.
#[derive(Debug, Default)]
pub struct Asks {
    /// The limits.
    pub list: SmallVec<[Ask; 4]>,
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
            Self::Plan(plan, _) | Self::Application(plan, _) => &plan.name,
            Self::Policy(limit) => &limit.name,
        }
    }

    /// Whether it is the very same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plan(a, window), Self::Plan(b, other))
            | (Self::Application(a, window), Self::Application(b, other)) => {
                Arc::ptr_eq(a, b) && window == other
            }
            (Self::Policy(a), Self::Policy(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The number that a limit states, and the milliseconds in which they may come; 0 for calls at the same time.
#[must_use]
pub fn numbers(limit: Limit) -> (u64, u64) {
    match limit {
        Limit::Quota(quota) => (quota.limit, quota.window_ms),
        Limit::Rate(rate) => (rate.requests, rate.per_ms),
        Limit::Concurrency(concurrency) => (concurrency.calls, 0),
    }
}
