//! Waiting until the gateways have a change.

use async_trait::async_trait;

/// The change is stored, but not every node said in time that it serves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not every node acknowledged revision {revision} in time")]
pub struct NotAcknowledged {
    /// The revision that was waited for.
    pub revision: u64,
}

/// Knows what the nodes serve. The control role implements it, from the nodes' acknowledgements.
#[async_trait]
pub trait Acknowledged: Send + Sync {
    /// Returns when every node with an unexpired lease serves this revision or a later one.
    ///
    /// # Errors
    /// [`NotAcknowledged`] when that takes longer than configured. The change stays stored and takes effect later.
    async fn acknowledged(&self, revision: u64) -> Result<(), NotAcknowledged>;
}
