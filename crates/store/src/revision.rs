//! Revisions of APIs: what an API was, for ever.

use async_trait::async_trait;
use base::{Digest, Org};
use serde_json::Value;

use crate::Result;

/// One state of an API's content. Written once, never changed, never deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiRevision {
    /// 1, 2, 3 …: counted for each document's name, on and on, also when the API is deleted and made again.
    pub number: u64,
    /// The digest of the content, definition and all.
    pub digest: Digest,
    /// The definition's blob.
    pub blob: Option<Digest>,
    /// When it was made, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who made it: a user's name, or `system`.
    pub actor: String,
    /// The store's revision that it was made in.
    pub revision: u64,
}

/// Reads the revisions of APIs; [`crate::Write::ApiRevisionPut`] makes them.
#[async_trait]
pub trait RevisionStore: Send + Sync {
    /// One revision with its content; also of an API that was deleted.
    async fn api_revision_get(
        &self,
        org: &Org,
        api: &str,
        number: u64,
    ) -> Result<Option<(ApiRevision, Value)>>;

    /// Revisions below `before` (all with `None`), newest first, at most `limit`; also of an API that was deleted.
    async fn api_revision_list(
        &self,
        org: &Org,
        api: &str,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<ApiRevision>>;
}
