//! Limits: quotas ("at most N calls in any window of length W"), rates with a burst, calls at the same time; counted
//! without locks.
//!
//! Knows nothing of plans, HTTP, stores or threads' clocks: each call passes the time it was made at.
//! Start reading at [`SlidingWindow`], [`Pace`] and [`Flights`] (one counter each), then [`Quotas`] (all counters of a process,
//! which outlive every change of configuration), then [`Authority`], which is what policies ask. [`guesses`] slows down who
//! guesses passwords.

mod authority;
mod counter;
mod flight;
pub mod guesses;
mod quotas;
mod rate;
mod registry;
mod saved;
mod seats;
mod window;

pub use authority::{Authority, OnFailure, Shares, Unavailable};
pub use counter::{Limit, Quota};
pub use flight::{Concurrency, Flights, RETRY_AFTER_MS};
pub use guesses::{GuessLimits, Guesses};
pub use quotas::{Claim, Key, LimitId, Numbers, Quotas};
pub use rate::{Pace, Rate};
pub use saved::Damaged;
pub use seats::Room;
pub use window::{BUCKETS, Decision, LIMIT_MAX, SlidingWindow};
