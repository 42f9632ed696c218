//! When to stop.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at the first SIGTERM or SIGINT. Handlers are installed at once, so that no signal during the start is lost.
///
/// # Errors
/// When the system refuses a handler.
pub(crate) fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
