//! Quotas: "at most N calls in any window of length W", counted without locks.
//!
//! Knows nothing of plans, HTTP, stores or threads' clocks: each call passes the time it was made at.
//! Start reading at [`SlidingWindow`] (one counter), then [`Quotas`] (all counters of a process, which
//! outlive every change of configuration).

mod quotas;
mod window;

pub use quotas::{Quota, Quotas, RegistryFull};
pub use window::{BUCKETS_DEFAULT, BUCKETS_MAX, Decision, LIMIT_MAX, SlidingWindow};
