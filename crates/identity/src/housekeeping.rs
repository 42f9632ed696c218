//! What goes by itself: revocations whose tokens have ended, opaque tokens, what was good for one use, and what people
//! passed through (req: T5).

use std::time::Duration;

use base::Clock;
use store::{GrantStore, Store};

/// Rows of one transaction: milliseconds, so that writers hardly wait.
const PART: u64 = 500;

/// Forgets what has expired by now, in small transactions.
///
/// # Errors
/// The store's.
pub async fn forget_expired(
    store: &dyn Store,
    grants: &dyn GrantStore,
    clock: &dyn Clock,
) -> store::Result<()> {
    let now = clock.unix_s();
    while grants.grants_expire(now, PART).await? > 0 {}
    while store.revocations_expire(now, PART).await? == PART {}
    while store.tokens_expire(now, PART).await? == PART {}
    Ok(())
}

/// Does [`forget_expired`] again and again, until it is dropped. A failure is logged and the next turn tries again.
pub async fn housekeeping(
    store: &dyn Store,
    grants: &dyn GrantStore,
    clock: &dyn Clock,
    period: Duration,
) {
    let mut turns = tokio::time::interval(period.max(Duration::from_secs(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = forget_expired(store, grants, clock).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what has expired was not removed"
            );
        }
    }
}
