//! Who says what a node may admit: the node itself, or somebody who shares the limits out among several.
//!
//! Policies ask the [`Authority`] alone. Today it is the node's own counters; where a control plane leases shares of limits
//! to its nodes, it brings a [`Shares`], and no policy changes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::counter::{Limit, Quota};
use crate::flight::Concurrency;
use crate::quotas::{Claim, Key, Quotas};
use crate::window::{Decision, LIMIT_MAX};

/// Shares limits out among nodes: what of a limit this one may admit by its own counters.
///
/// *Contract:* the shares of all nodes together are at most the limit, at every time. An answer is there at once: whoever
/// has to ask over a network asks ahead of the calls. A share of 0 refuses.
pub trait Shares: Send + Sync {
    /// This node's share at `now_ms` of a monotonic clock.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no share that is still good.
    fn share(&self, key: Key, limit: Limit, now_ms: u64) -> Result<Limit, Unavailable>;
}

/// The authority cannot say what may be admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the authority over the limits does not answer")]
pub struct Unavailable;

/// What becomes of calls whose authority fails (req: R2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// They pass; they are counted, and not held against the limit.
    Open,
    /// They are refused.
    Closed,
    /// The node holds them against the whole limit, by its own counters.
    #[default]
    Local,
}

/// What policies ask. Without [`Shares`] it is the node's counters and costs nothing beside them.
pub struct Authority {
    local: Quotas,
    shares: Option<(Arc<dyn Shares>, OnFailure)>,
    degraded: AtomicU64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("local", &self.local)
            .field("degraded", &self.degraded())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// The node alone.
    #[must_use]
    pub fn local(counters: Quotas) -> Self {
        Self {
            local: counters,
            shares: None,
            degraded: AtomicU64::new(0),
        }
    }

    /// Limits that are shared among nodes.
    #[must_use]
    pub fn shared(counters: Quotas, shares: Arc<dyn Shares>, on_failure: OnFailure) -> Self {
        Self {
            shares: Some((shares, on_failure)),
            ..Self::local(counters)
        }
    }

    /// The node's own counters.
    #[must_use]
    pub fn counters(&self) -> &Quotas {
        &self.local
    }

    /// Decisions that were made without the authority, because it failed.
    #[must_use]
    pub fn degraded(&self) -> u64 {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Counts a call against its limits, all or none; see [`Quotas::admit_all`].
    ///
    /// # Errors
    /// [`Unavailable`] where the authority fails and calls are refused then.
    pub fn admit_all<C: AsRef<Claim>>(
        &self,
        claims: &[C],
        now_ms: u64,
    ) -> Result<(usize, Decision), Unavailable> {
        let Some((shares, on_failure)) = &self.shares else {
            return Ok(match claims {
                [one] => {
                    let Claim { key, limit, cost } = *one.as_ref();
                    (0, self.local.admit(key, limit, cost, now_ms))
                }
                several => self.local.admit_all(several, now_ms),
            });
        };
        let mut own: SmallVec<[Claim; 4]> = SmallVec::new();
        let mut index_of: SmallVec<[usize; 4]> = SmallVec::new();
        for (index, claim) in claims.iter().map(AsRef::as_ref).enumerate() {
            let limit = match shares.share(claim.key, claim.limit, now_ms) {
                Ok(share) => Some(share),
                Err(failed) => {
                    self.degraded.fetch_add(1, Ordering::Relaxed);
                    match on_failure {
                        OnFailure::Closed => return Err(failed),
                        OnFailure::Local => Some(claim.limit),
                        OnFailure::Open => boundless(claim.limit),
                    }
                }
            };
            if let Some(limit) = limit {
                own.push(Claim { limit, ..*claim });
                index_of.push(index);
            }
        }
        let (index, decision) = self.local.admit_all(&own, now_ms);
        Ok((index_of.get(index).copied().unwrap_or(0), decision))
    }

    /// Counts what has happened already; see [`Quotas::debit`].
    pub fn debit(&self, key: Key, limit: Limit, weight: u64, now_ms: u64) {
        self.local.debit(key, limit, weight, now_ms);
    }

    /// Whether anything is left of a limit: what is asked of a call that is open for long.
    pub fn has_room(&self, key: Key, limit: Limit, now_ms: u64) -> bool {
        let Some((shares, on_failure)) = &self.shares else {
            return self.local.has_room(key, limit, now_ms);
        };
        match (shares.share(key, limit, now_ms), on_failure) {
            (Ok(share), _) => self.local.has_room(key, share, now_ms),
            (Err(Unavailable), OnFailure::Closed) => false,
            (Err(Unavailable), OnFailure::Open) => true,
            (Err(Unavailable), OnFailure::Local) => self.local.has_room(key, limit, now_ms),
        }
    }

    /// A call that a [`Concurrency`] admitted has ended.
    pub fn give_back(&self, key: Key) {
        self.local.give_back(key, 1);
    }
}

/// The same kind of limit with nothing that it refuses, so that the same counter goes on counting. A rate has none: its
/// counter would run ahead of the time and refuse for long when the authority is back.
fn boundless(limit: Limit) -> Option<Limit> {
    match limit {
        Limit::Quota(quota) => Some(Limit::Quota(Quota {
            limit: LIMIT_MAX,
            ..quota
        })),
        Limit::Rate(_) => None,
        Limit::Concurrency(_) => Some(Limit::Concurrency(Concurrency {
            calls: u64::MAX / 4,
        })),
    }
}
