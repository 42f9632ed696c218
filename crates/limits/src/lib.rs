//! Limits: quotas ("at most N calls in any window of length W") and rates with a burst, counted without locks.
//!
//! Knows nothing of plans, HTTP, stores or threads' clocks: each call passes the time it was made at.
//! Start reading at [`SlidingWindow`] and [`Pace`] (one counter each), then [`Quotas`] (all counters of a process, which
//! outlive every change of configuration). [`guesses`] slows down who guesses passwords.

mod counter;
pub mod guesses;
mod quotas;
mod rate;
mod window;

pub use counter::Limit;
pub use guesses::{GuessLimits, Guesses};
pub use quotas::{Quota, Quotas, RegistryFull};
pub use rate::{Pace, Rate};
pub use window::{BUCKETS_DEFAULT, BUCKETS_MAX, Decision, LIMIT_MAX, SlidingWindow};
