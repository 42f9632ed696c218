//! What goes by itself: usage that becomes coarser and is forgotten.

use std::time::Duration;

use base::Clock;
use store::{Compacted, Retention, UsageStore};

/// Does all that is due by now, in small transactions.
///
/// # Errors
/// The store's; what was done until then stays done.
pub async fn usage_compact(
    usage: &dyn UsageStore,
    clock: &dyn Clock,
    keep: &Retention,
) -> store::Result<Compacted> {
    let mut all = Compacted::default();
    loop {
        let part = usage.usage_compact(clock.unix_ms(), keep).await?;
        if part.done() {
            return Ok(all);
        }
        all.merged += part.merged;
        all.expired += part.expired;
        // Batches of nodes get their turn in between.
        tokio::task::yield_now().await;
    }
}

/// Does [`usage_compact`] again and again, until it is dropped. A failure is logged and the next turn tries again.
pub async fn housekeeping(
    usage: &dyn UsageStore,
    clock: &dyn Clock,
    keep: &Retention,
    period: Duration,
) {
    let mut turns = tokio::time::interval(period.max(Duration::from_secs(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match usage_compact(usage, clock, keep).await {
            Ok(done) if done.done() => {}
            Ok(done) => tracing::debug!(done.merged, done.expired, "compacted usage"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "usage was not compacted"
            ),
        }
    }
}
