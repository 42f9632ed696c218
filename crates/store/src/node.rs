//! What the nodes of all control processes said last, so that each process knows of those of the others.

use async_trait::async_trait;
use base::Digest;
use serde_json::Value;

use crate::Result;

/// One node, as the control process that it speaks to knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeRecord {
    /// The node's name, unique among those alive.
    pub id: String,
    /// The gateway group that it belongs to.
    pub gateway: String,
    /// The control process that wrote this: an id that each process makes for itself.
    pub control: String,
    /// When its lease ends unless it is renewed, in milliseconds since 1970.
    pub lease_until_unix_ms: u64,
    /// The revision that it acknowledged last.
    pub revision: Option<u64>,
    /// The digest over all that it serves, as it said with that acknowledgement.
    pub digest: Option<Digest>,
    /// What else it said then (what it refuses to serve, and why); in the writer's own form.
    pub report: Value,
}

/// The nodes' leases and acknowledgements.
///
/// They are no configuration: they make no revision, no history, and nothing is lost with them, since every node that
/// lives says it again.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// Writes nodes, each in the place of what was known of it; all or none.
    async fn node_put(&self, nodes: &[NodeRecord]) -> Result<()>;

    /// All nodes that are not expired yet, by id; the reader looks at their leases itself.
    async fn node_list(&self) -> Result<Vec<NodeRecord>>;

    /// Forgets nodes whose lease ended before this time, in milliseconds since 1970.
    async fn node_expire(&self, before_unix_ms: u64) -> Result<()>;
}
