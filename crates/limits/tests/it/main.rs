//! The counters against an exact model, and under threads.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it")]

mod interleavings;
mod model;
mod quotas;
mod rate;
mod threads;
