//! A control plane that is not there yet: its database is away. The node serves what it kept until it comes.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use base::Digest;
use sync::{Ack, BackendReport, ControlPlane, Decision, Node, SyncError, Update};
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(super) struct Late {
    plane: OnceLock<Arc<dyn ControlPlane>>,
    came: Notify,
}

impl Late {
    /// It is there.
    pub(super) fn comes(&self, plane: Arc<dyn ControlPlane>) {
        // It comes once.
        let _ = self.plane.set(plane);
        self.came.notify_waiters();
    }

    fn plane(&self) -> Result<&Arc<dyn ControlPlane>, SyncError> {
        self.plane
            .get()
            .ok_or_else(|| SyncError::Unavailable("the database has not answered yet".to_owned()))
    }
}

#[async_trait]
impl ControlPlane for Late {
    async fn pull(&self, node: &Node, since: Option<u64>) -> Result<Update, SyncError> {
        self.plane()?.pull(node, since).await
    }

    async fn changed(&self, since: u64) {
        let came = self.came.notified();
        match self.plane.get() {
            Some(plane) => plane.changed(since).await,
            None => came.await,
        }
    }

    async fn acknowledge(&self, ack: Ack) -> Result<(), SyncError> {
        self.plane()?.acknowledge(ack).await
    }

    async fn report(&self, batch: ::usage::Batch) -> Result<(), SyncError> {
        self.plane()?.report(batch).await
    }

    async fn opaque_token(
        &self,
        node: &Node,
        digest: &Digest,
    ) -> Result<Option<serde_json::Value>, SyncError> {
        self.plane()?.opaque_token(node, digest).await
    }

    async fn endpoints(&self, node: &Node, backends: Vec<BackendReport>) -> Result<(), SyncError> {
        self.plane()?.endpoints(node, backends).await
    }

    async fn decided(&self, node: &Node, decisions: Vec<Decision>) -> Result<(), SyncError> {
        self.plane()?.decided(node, decisions).await
    }
}
