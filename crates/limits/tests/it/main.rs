//! The counters against an exact model, and under threads.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it")]

mod authority;
mod flights;
mod interleavings;
mod model;
mod quotas;
mod rate;
mod saved;
mod strangers;
mod threads;

use limits::{Claim, Key, Limit, LimitId};

/// A counter of one limit that is ours.
fn key(value: u128) -> Key {
    Key {
        limit: LimitId::known(0x1234_5678_9abc_def0_0fed_cba9_8765_4321),
        value,
    }
}

/// A claim of weight 1.
fn claim(value: u128, limit: impl Into<Limit>) -> Claim {
    Claim {
        key: key(value),
        limit: limit.into(),
        cost: 1,
    }
}
