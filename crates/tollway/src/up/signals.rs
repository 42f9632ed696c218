//! When to stop, and when to read files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the platform follows. Handlers are installed at once, so that none during the start is lost.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// The next one that says to stop; others are passed over.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// What a signal wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}
