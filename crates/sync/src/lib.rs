//! The contract between the control plane and its nodes: what a node may know, and what it answers.
//!
//! Two feeds go down in one [`Update`]: *models* (reduced APIs, backends, plans, issuers; by digest, never the
//! OpenAPI text) and *entries* (applications, subscriptions, credentials, revocations). Both follow the store's
//! revision, so a node asks "what changed since N" and can resync from any N. Up go [`Ack`]s: what a node serves,
//! [`usage::Batch`]es: what was called, and [`Decision`]s: why calls were refused.
//! The same contract holds in one process and over a network; all types are serde.
//!
//! Knows nothing of documents, stores, policies or sockets. Start at [`ControlPlane`].

pub mod backend;
pub mod calls;
pub mod decision;
pub mod endpoints;
pub mod entry;
pub mod issuer;
pub mod model;
mod packed;
mod served;

use async_trait::async_trait;
use base::{Diagnostics, Digest, Org};
use serde::{Deserialize, Serialize};

pub use backend::{BackendModel, Protocol};
pub use decision::Decision;
pub use endpoints::BackendReport;
pub use entry::{DenyModel, Entry, EntryKey, KeyHash, api_audience};
pub use issuer::{IssuerReport, OutsideModel};
pub use model::{
    ApiModel, ClientCertificatesModel, ForwardedCertificateModel, Gate, IssuerModel, ListenerModel,
    Measure, OperationModel, PlanModel, PolicyUse, Quota,
};
pub use packed::PackedApi;
pub use served::{served_digest, served_mark};

/// The name of one node, unique among those alive.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

/// Who a node is and which gateway group it belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// The `Gateway` document whose APIs it serves.
    pub gateway: String,
}

/// Names one resource: (organisation, document name).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceKey {
    /// The organisation.
    pub org: Org,
    /// The document's `metadata.name`.
    pub name: String,
}

/// A resource is there with this content, or it is gone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change<T> {
    /// Which resource.
    pub key: ResourceKey,
    /// Its content; `None` when it was deleted or is no longer for this node.
    pub model: Option<T>,
}

/// Everything that changed between two revisions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The revision that the node is at once it has applied this.
    pub revision: u64,
    /// The update is complete: what it does not name does not exist. Sent to a new node and after a gap.
    pub reset: bool,
    /// The environment of the node's `Gateway` document; usage is counted under it.
    pub environment: String,
    /// Where clients reach the node's gateway: scheme, host and port; absent where its document does not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_url: Option<String>,
    /// APIs of the node's gateway group.
    pub apis: Vec<Change<std::sync::Arc<PackedApi>>>,
    /// Backends.
    pub backends: Vec<Change<std::sync::Arc<BackendModel>>>,
    /// Plans.
    pub plans: Vec<Change<std::sync::Arc<PlanModel>>>,
    /// Token issuers; the one of the platform itself is named `resident`.
    pub issuers: Vec<Change<std::sync::Arc<IssuerModel>>>,
    /// Ports that the node is to open beside its own; always complete.
    pub listeners: Vec<ListenerModel>,
    /// Applications, subscriptions, credentials and revocations.
    pub entries: Vec<(EntryKey, Option<Entry>)>,
}

/// What a node serves after an [`Update`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// Who.
    pub node: Node,
    /// Every change up to this revision is in force on the node.
    pub revision: u64,
    /// Over all APIs that the node has, broken ones too: [`served_digest`] of what it really holds.
    pub digest: Digest,
    /// APIs that the node refuses to serve, and why: they answer `API_BROKEN`, the others serve.
    pub broken: Vec<BrokenApi>,
    /// Ports that the node could not open. It tries again from time to time.
    pub listeners: Vec<ListenerFault>,
}

/// A port that a node cannot open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFault {
    /// The port.
    pub port: u16,
    /// Why, for people.
    pub cause: String,
}

/// An API that does not compile on a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenApi {
    /// Which.
    pub key: ResourceKey,
    /// Why.
    pub diagnostics: Diagnostics,
}

/// The control plane could not answer a node.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The control plane is away or its store is; the node keeps serving what it has and asks again.
    #[error("the control plane is not available: {0}")]
    Unavailable(String),
    /// The control plane can never take what it was given; to ask again is of no use.
    #[error("the control plane refuses: {0}")]
    Refused(String),
}

/// What a node sees of the control plane, and all that it sees.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// All changes after `since`, or everything (with [`Update::reset`]) when `since` is `None` or too old.
    async fn pull(&self, node: &Node, since: Option<u64>) -> Result<Update, SyncError>;

    /// Returns when there is a revision after `since`; may return early, so the caller pulls in a loop.
    async fn changed(&self, since: u64);

    /// Reports what the node serves. Writers that wait for their change are released by it.
    async fn acknowledge(&self, ack: Ack) -> Result<(), SyncError>;

    /// Hands usage over, which is kept for good when this returns `Ok`. The same batch again changes nothing.
    ///
    /// A node sends its batches one after the other, in their order: of an epoch, the control plane takes none that is
    /// older than one it has.
    async fn report(&self, batch: usage::Batch) -> Result<(), SyncError>;

    /// The claims that an opaque token of the platform stands for, by the SHA-256 of its text; `None` when there is no such
    /// token (any more). Whether it was revoked the entries say.
    async fn opaque_token(
        &self,
        node: &Node,
        digest: &Digest,
    ) -> Result<Option<serde_json::Value>, SyncError> {
        let _ = (node, digest);
        Ok(None)
    }

    /// Tells of calls that were refused or failed, for operators who ask why. Best effort: what is lost is lost.
    async fn decided(&self, node: &Node, decisions: Vec<Decision>) -> Result<(), SyncError>;

    /// Tells how the issuers outside of the platform fare. Takes the place of what was told before.
    async fn issuers(&self, node: &Node, issuers: Vec<IssuerReport>) -> Result<(), SyncError> {
        let _ = (node, issuers);
        Ok(())
    }

    /// Tells how the endpoints of backends fare, all that the node watches. Takes the place of what was told before.
    async fn endpoints(&self, node: &Node, backends: Vec<BackendReport>) -> Result<(), SyncError>;
}
