//! Writers that wait for the nodes.

use std::time::Duration;

use ::http::StatusCode;
use base::code;

use super::{NodeItem, Waiting};
use crate::Control;
use crate::http::{ApiError, ApiResult};
use crate::hub::Alive;

impl Waiting {
    /// Waits until every live node has this revision, unless the caller does not want to.
    ///
    /// # Errors
    /// `NOT_ACKNOWLEDGED`: it is stored, and takes effect later.
    pub(crate) async fn acknowledged(&self, control: &Control, revision: u64) -> ApiResult<()> {
        self.reached(control, revision, None).await.map(drop)
    }

    /// [`Waiting::acknowledged`] by the nodes of these gateways, `None` = of all. Returns how many nodes they are; `None`
    /// when nobody waited.
    pub(super) async fn reached(
        &self,
        control: &Control,
        revision: u64,
        gateways: Option<&[String]>,
    ) -> ApiResult<Option<usize>> {
        if self.wait == Some(false) {
            return Ok(None);
        }
        let reached = control
            .hub()
            .acknowledged(revision, gateways, self.limit(control))
            .await;
        reached.map(Some).map_err(|behind| {
            let missing: Vec<NodeItem> = behind.missing.iter().map(node_item).collect();
            let names: Vec<&str> = missing.iter().map(|node| node.node.as_str()).collect();
            let detail = format!(
                "the change is stored as revision {}; not served yet by {}",
                behind.revision,
                if names.is_empty() {
                    "nodes that the store could not list".to_owned()
                } else {
                    names.join(", ")
                }
            );
            let missing = serde_json::to_value(missing).unwrap_or_default();
            ApiError::new(code::NOT_ACKNOWLEDGED, detail).extension("missing", missing)
        })
    }

    /// [`Waiting::acknowledged`] for answers with a secret, which must arrive: 202 says that it is stored and not yet
    /// served everywhere.
    pub(crate) async fn status(&self, control: &Control, revision: u64) -> StatusCode {
        match self.acknowledged(control, revision).await {
            Ok(()) => StatusCode::CREATED,
            Err(_) => StatusCode::ACCEPTED,
        }
    }

    /// The change is stored before anybody waits, so more than is allowed is no error: it is waited shorter.
    fn limit(&self, control: &Control) -> Duration {
        let config = control.config();
        let ms = self.timeout_ms.unwrap_or(config.acknowledge_ms);
        Duration::from_millis(ms.min(config.acknowledge_ms_max))
    }
}

/// A node with what it serves.
pub(super) fn node_item(node: &Alive) -> NodeItem {
    NodeItem {
        node: node.id.0.clone(),
        gateway: node.gateway.clone(),
        revision: node.revision,
        digest: node.digest.map(|digest| digest.to_string()),
    }
}
