//! What goes by itself: revocations whose tokens have ended (req: T5).

use std::time::Duration;

use base::{Clock, Org};
use store::{Batch, Store, Write};

/// Forgets the revocations that have expired by now.
///
/// # Errors
/// The store's.
pub async fn forget_expired(store: &dyn Store, clock: &dyn Clock) -> store::Result<()> {
    let batch = Batch {
        org: Org::default_org(),
        actor: "system".to_owned(),
        at_unix_ms: clock.unix_ms(),
        request: None,
        writes: vec![Write::RevocationExpire(clock.unix_s())],
    };
    store.commit(batch).await.map(|_| ())
}

/// Does [`forget_expired`] again and again, until it is dropped. A batch is what has expired within one `period`, which
/// keeps it small. A failure is logged and the next turn tries again.
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
