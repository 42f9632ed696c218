//! Notices: what somebody should be told before it happens, for example that a credential is about to expire.

use async_trait::async_trait;
use base::Org;
use serde_json::Value;
use uuid::Uuid;

use crate::Result;

/// One notice. Of one kind, subject and time there is one, however often it is put.
#[derive(Clone, PartialEq, Debug)]
pub struct Notice {
    /// Its id; notices made later sort later.
    pub id: Uuid,
    /// Whose.
    pub org: Org,
    /// What it is about: `credential.expiring`.
    pub kind: String,
    /// Which thing: an id.
    pub subject: String,
    /// When it will happen, in seconds since 1970.
    pub due_unix_s: u64,
    /// When it was noted, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// More about it; no secret.
    pub body: Value,
}

/// The notices. They make no revision.
#[async_trait]
pub trait NoticeStore: Send + Sync {
    /// Notes what was not noted yet, and returns those that were new.
    async fn notice_put(&self, notices: Vec<Notice>) -> Result<Vec<Notice>>;

    /// The notices of an organisation after the one with this id, oldest first, at most `limit`.
    async fn notice_list(&self, org: &Org, after: Option<Uuid>, limit: u64) -> Result<Vec<Notice>>;

    /// Forgets at most `limit` notices of things that were due before this second since 1970, and returns how many.
    async fn notices_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64>;
}
