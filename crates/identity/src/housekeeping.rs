//! What goes by itself: revocations whose tokens have ended (req: T5).

use std::time::Duration;

use base::Clock;
use store::Store;

/// Rows of one transaction: milliseconds, so that writers hardly wait.
const PART: u64 = 500;

/// Forgets the revocations that have expired by now, in small transactions.
///
/// # Errors
/// The store's.
pub async fn forget_expired(store: &dyn Store, clock: &dyn Clock) -> store::Result<()> {
    let now = clock.unix_s();
    while store.revocations_expire(now, PART).await? == PART {}
    Ok(())
}

/// Does [`forget_expired`] again and again, until it is dropped. A failure is logged and the next turn tries again.
pub async fn housekeeping(store: &dyn Store, clock: &dyn Clock, period: Duration) {
    let mut turns = tokio::time::interval(period.max(Duration::from_secs(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = forget_expired(store, clock).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "expired revocations were not removed"
            );
        }
    }
}
