//! What a node shows backends: its limits, and what is counted of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// One a process; its cores share it.
#[derive(Debug)]
pub struct BackendAuth {
    /// Backend JWTs that each core remembers; default 10,000. What is beyond it is signed again.
    pub jwts_max: usize,
    /// OAuth clients whose access tokens each core remembers; default 1,000. What is beyond it is looked up at the node again.
    pub tokens_max: usize,
    /// What happened.
    pub counts: BackendAuthCounts,
}

impl Default for BackendAuth {
    fn default() -> Self {
        Self {
            jwts_max: 10_000,
            tokens_max: 1_000,
            counts: BackendAuthCounts::default(),
        }
    }
}

/// What happened, for metrics. Nothing of it is counted for a call that needs nothing new.
#[derive(Debug, Default)]
pub struct BackendAuthCounts {
    /// Backend JWTs that were signed.
    pub jwts_signed: AtomicU64,
    /// Backend JWTs that were forgotten, since a core remembered too many.
    pub jwts_forgotten: AtomicU64,
    /// Access tokens that a core forgot, since it remembered too many.
    pub tokens_forgotten: AtomicU64,
    /// Calls refused, since what the backend has to be shown could not be made.
    pub refused: AtomicU64,
}

impl BackendAuthCounts {
    /// One more, or some more.
    pub fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }
}
