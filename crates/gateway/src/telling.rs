//! How a node tells the control plane of what it watches: all of it, when it has changed.

use std::time::Duration;

use sync::SyncError;

/// How often it is looked whether there is something to tell.
const EVERY: Duration = Duration::from_secs(1);
/// After how many looks all is told again although nothing changed: the control plane may have been started anew.
const AGAIN_AFTER: u32 = 30;

/// Tells until it is dropped. `what` names it in the log when that fails; it is tried again at the next look.
pub(crate) async fn changes<R, F>(
    what: &str,
    reports: impl Fn() -> Vec<R>,
    tell: impl Fn(Vec<R>) -> F,
) where
    R: Clone + PartialEq,
    F: Future<Output = Result<(), SyncError>>,
{
    let mut told = Vec::new();
    let mut looks = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let reports = reports();
        looks += 1;
        if reports == told && looks < AGAIN_AFTER {
            continue;
        }
        match tell(reports.clone()).await {
            Ok(()) => (told, looks) = (reports, 0),
            Err(error) => tracing::warn!(%error, what, "the control plane was not told"),
        }
    }
}
