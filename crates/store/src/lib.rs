//! What is kept, how it changes, and the change feed: traits only.
//!
//! Everything is written by [`Store::commit`]: a [`Batch`] is one transaction, has one revision, and appears in the
//! change feed as a whole or not at all. Revisions come from one counter that the same transaction moves, so that a
//! reader of the feed never skips one. Usage ([`UsageStore`]) stands apart: it has no revision.
//!
//! Knows nothing of SQL, documents' meaning, or who asks. Start at [`Store`]; implementations prove themselves
//! with the suite in `suite` (feature `suite`).

pub mod batch;
pub mod clients;
pub mod grants;
pub mod history;
pub mod node;
pub mod notice;
pub mod record;
pub mod revision;
#[cfg(feature = "suite")]
pub mod suite;
pub mod token;
pub mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use base::{Digest, Org};

pub use self::usage::{
    Boot, Compacted, Dimension, End, GroupKey, Put, Retention, Step, UsageAnswer, UsageGroup,
    UsageQuery, UsageStore,
};
pub use batch::{Batch, Expect, Write};
pub use clients::{
    AuthMethod, Client, ClientMetadata, ClientStore, Credential, CredentialKind, CredentialSecret,
    CredentialUse, GrantType, LIVE_SECRETS_MAX, RESIDENT, RegistrationToken, SigningAlgorithm,
    SubjectType, TokenFormat,
};
pub use grants::GrantStore;
pub use history::{HistoryEntry, HistoryFilter, HistoryKind};
pub use node::{NodeRecord, NodeStore};
pub use notice::{Notice, NoticeStore};
pub use record::{
    Change, ChangeKey, Changes, KeyState, Record, RecordKind, Revocation, Role, SigningKeyRecord,
    User,
};
pub use revision::{ApiRevision, RevisionStore};
pub use token::{OpaqueToken, TokenStore, Watermark};

/// Why the store did not do what it was asked. After an error nothing was written, but see [`StoreError::Database`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object exists already, or a unique value (a name, a client id) is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// The object to change or delete is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// The object's revision is another one than expected.
    #[error("{what} is at revision {present}, not {expected}")]
    Stale {
        /// Which object.
        what: String,
        /// Its present revision.
        present: u64,
        /// The one that the caller knew.
        expected: u64,
    },
    /// The database refused or is away. The cause is for the log alone. Of a commit whose answer got lost with the
    /// connection nobody knows whether it was done; the feed tells.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row cannot be read back: it was damaged or written by a newer version.
    #[error("{0} cannot be read from the database")]
    Corrupt(String),
}

/// Result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A part of a list, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u64,
}

impl Page {
    /// Everything in one page.
    pub const ALL: Self = Self {
        after: None,
        limit: i64::MAX as u64,
    };
}

/// Which records a list holds; the default holds all of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Applications of this owner, and subscriptions of their applications.
    pub owner: Option<String>,
    /// Subscriptions of this application (document name).
    pub application: Option<String>,
    /// Subscriptions to this API (document name).
    pub api: Option<String>,
}

/// A turn at looking at what is stored and then changing it. It ends when this is dropped.
pub struct Turn {
    _held: Box<dyn Send + Sync>,
}

impl Turn {
    /// A turn that lasts as long as `held` is not dropped.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

/// The database.
#[async_trait]
pub trait Store:
    ResourceStore + RevisionStore + CredentialStore + ClientStore + NodeStore + NoticeStore + TokenStore
{
    /// Writes a batch, all or nothing, and returns its revision. It is durable when this returns.
    ///
    /// A batch that changes nothing (equal documents, tokens revoked before) returns the present revision. Blobs alone
    /// make no revision; a change of users makes one that the feed passes over in silence.
    async fn commit(&self, batch: Batch) -> Result<u64>;

    /// The newest revision; 0 on an empty database.
    async fn revision(&self) -> Result<u64>;

    /// What changed after `since`, oldest first, at most `limit` changes but never a part of a revision.
    async fn changes_since(&self, since: u64, limit: u64) -> Result<Changes>;

    /// Returns when there may be a revision after `since`, by whatever process; at once when one is known. A hint: the
    /// feed tells what there is. Between processes it takes a network round trip, or, while the database cannot be
    /// listened to, as long as the store waits between looks of its own.
    async fn changed(&self, since: u64);

    /// Waits for a turn that nobody else has, in no process on this database: for writers whose checks go beyond what
    /// [`Expect`] says of one object. Commits do not need it and do not wait for it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it takes too long, too.
    async fn turn(&self) -> Result<Turn>;

    /// Forgets at most `limit` revocations that expired before this second since 1970, the oldest first, and returns how
    /// many. Makes no revision. The limit keeps the transaction short; call again while it is reached.
    async fn revocations_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64>;
}

/// Documents and the blobs they refer to.
#[async_trait]
pub trait ResourceStore: Send + Sync {
    /// One document.
    async fn record_get(&self, org: &Org, kind: RecordKind, name: &str) -> Result<Option<Record>>;

    /// Documents of one kind, ordered by name.
    async fn record_list(
        &self,
        org: &Org,
        kind: RecordKind,
        filter: &Filter,
        page: &Page,
    ) -> Result<Vec<Record>>;

    /// What was changed in an organisation, newest first; also of what was deleted.
    async fn history_list(&self, org: &Org, filter: &HistoryFilter) -> Result<Vec<HistoryEntry>>;

    /// The organisations that have any document.
    async fn org_list(&self) -> Result<Vec<Org>>;

    /// A blob by its digest.
    async fn blob_get(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>>;
}

/// Users, signing keys and revocations.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// A user by name.
    async fn user_get(&self, org: &Org, name: &str) -> Result<Option<User>>;

    /// All users of an organisation, by name.
    async fn user_list(&self, org: &Org) -> Result<Vec<User>>;

    /// One revocation by the token's `jti`.
    async fn revocation_get(&self, jti: &str) -> Result<Option<Revocation>>;

    /// Revocations that have not expired at this second since 1970.
    async fn revocation_list(&self, now_unix_s: u64) -> Result<Vec<Revocation>>;

    /// Signing keys, newest first.
    async fn signing_key_list(&self) -> Result<Vec<SigningKeyRecord>>;
}
