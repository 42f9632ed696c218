//! Sends what lies in the spool, one batch after the other, and lets go of what the control plane has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sync::{ControlPlane, SyncError};
use tokio::sync::Notify;
use usage::Batch;

use super::spool::Spool;
use super::state::UsageState;

/// How long the sender waits after the control plane or the disk failed.
const RETRY: Duration = Duration::from_millis(500);
/// How often a stop looks whether everything is sent.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends until it is dropped.
pub(super) async fn run(
    plane: Arc<dyn ControlPlane>,
    spool: Arc<Mutex<Spool>>,
    state: Arc<UsageState>,
    news: Arc<Notify>,
) {
    let mut failing = false;
    loop {
        let Some(batch) = oldest(&spool, &state).await else {
            news.notified().await;
            continue;
        };
        let requests = batch.requests();
        match plane.report(batch).await {
            Ok(()) => {
                state.note_sent();
                failing = false;
            }
            Err(error @ SyncError::Refused(_)) => {
                tracing::error!(%error, requests, "usage is lost");
                state.note_lost(requests);
            }
            Err(error @ SyncError::Unavailable(_)) => {
                state.note_failure();
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "usage waits in the spool");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        lock(&spool).acknowledge();
    }
}

/// The oldest batch that is not acknowledged.
async fn oldest(spool: &Arc<Mutex<Spool>>, state: &Arc<UsageState>) -> Option<Batch> {
    loop {
        let (spool, state) = (Arc::clone(spool), Arc::clone(state));
        let read = tokio::task::spawn_blocking(move || {
            let mut spool = lock(&spool);
            let next = spool.next();
            state.note_spool(spool.damaged(), spool.waiting_bytes());
            next
        });
        match read.await {
            Ok(Ok(batch)) => return batch,
            Ok(Err(error)) => tracing::error!(%error, "the usage spool cannot be read"),
            // The process stops.
            Err(_) => return None,
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Returns when nothing is left to send.
pub(super) async fn emptied(spool: &Arc<Mutex<Spool>>, state: &Arc<UsageState>) {
    while oldest(spool, state).await.is_some() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
