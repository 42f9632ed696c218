//! The control role: the REST API over the documents, and the control plane's side of `sync`.
//!
//! A write runs through one pipeline, whatever endpoint it came by: read into documents, laid over those that are
//! stored, checked as a whole (references, life cycle, `compile`, conflicts), committed as one batch, pushed to the
//! nodes, answered when they have it. Nothing that would not compile is ever stored.
//!
//! Knows nothing of sockets, the database's kind, or how nodes serve; nodes meet it through [`sync::ControlPlane`] only.
//! Start reading at [`Control`], then `change` (the pipeline) and `hub` (the nodes' side).

pub mod api;
mod bootstrap;
mod catalogue;
mod change;
mod decisions;
mod definition;
pub mod expiring;
mod housekeeping;
mod http;
mod hub;
mod refusals;
mod terms;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base::Clock;
use credentials::{Acknowledged, NotAcknowledged, Passwords, SecretHashes, Tokens};
use store::{Batch, GrantStore, Store, UsageStore, Write};

pub use api::{openapi, router};
pub use bootstrap::bootstrap;
pub use housekeeping::{housekeeping, usage_compact};
pub use refusals::ImportRefusals;

use crate::http::{ApiResult, Caller};
use crate::hub::Hub;
pub use crate::hub::NodesSummary;

/// Who the history names when nobody asked for a change.
pub const SYSTEM: &str = "system";

/// Limits and times of the control role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlConfig {
    /// The longest body of a call in bytes; default 8 MiB.
    pub body_bytes_max: usize,
    /// What one definition may cost: length, values, depth, problems; defaults of [`tree::Limits`].
    pub definition_limits: tree::Limits,
    /// Items of one part of a list when the caller names no number; default 100.
    pub page_default: u64,
    /// The largest number a caller may name; default 500.
    pub page_max: u64,
    /// Documents of one bundle; default 10,000.
    pub bundle_documents_max: usize,
    /// Files of one definition; default 500.
    pub definition_files_max: usize,
    /// What an archive with a definition may hold.
    pub archive: archive::ArchiveLimits,
    /// How long an import may fetch, in milliseconds; default 30 seconds.
    pub import_ms: u64,
    /// Live API keys and clients of one application, together; default 100.
    pub credentials_max: usize,
    /// How long a write waits for the nodes, in milliseconds; default 10 seconds.
    pub acknowledge_ms: u64,
    /// The longest wait that a caller may ask for instead, in milliseconds; default 10 minutes.
    pub acknowledge_ms_max: u64,
    /// How long a node counts as alive after it spoke, in milliseconds; default 15 seconds.
    pub lease_ms: u64,
    /// Deleted objects that are remembered for nodes that come back; beyond it they get everything; default 100,000.
    pub deleted_max: usize,
    /// How long an answer of the change feed may be, in changes; default 10,000.
    pub feed_max: u64,
    /// Stored rows that one question about usage may read; default 1,000,000.
    pub usage_rows_max: u64,
    /// Groups that one answer about usage may have; default 10,000.
    pub usage_groups_max: usize,
    /// Clients that one registration token may register; default 10,000.
    pub registration_uses_max: u64,
    /// How long a registration token may work, in seconds; default a year.
    pub registration_s_max: u64,
    /// After how long without use a session is over, in seconds; default 2 hours, as the identity role has it.
    pub session_idle_s: u64,
    /// Decisions on refused and failed calls that are kept for operators to ask for; default 10,000.
    pub decisions_max: usize,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            definition_limits: tree::Limits::default(),
            page_default: 100,
            page_max: 500,
            bundle_documents_max: 10_000,
            definition_files_max: openapi::FILES_MAX,
            archive: archive::ArchiveLimits::default(),
            import_ms: 30_000,
            credentials_max: 100,
            acknowledge_ms: 10_000,
            acknowledge_ms_max: 600_000,
            lease_ms: 15_000,
            deleted_max: 100_000,
            feed_max: 10_000,
            usage_rows_max: 1_000_000,
            usage_groups_max: 10_000,
            registration_uses_max: 10_000,
            registration_s_max: 365 * 24 * 60 * 60,
            session_idle_s: 7_200,
            decisions_max: 10_000,
        }
    }
}

/// What the control role works with.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Sessions and consents of people.
    pub grants: Arc<dyn GrantStore>,
    /// Where usage is kept.
    pub usage: Arc<dyn UsageStore>,
    /// The issuer of tokens.
    pub tokens: Tokens,
    /// Makes client secrets and API keys.
    pub hashes: SecretHashes,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Fetches what callers name by URL.
    pub fetcher: fetch::Fetcher,
}

/// The control role. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    parts: Parts,
    config: ControlConfig,
    hub: Arc<Hub>,
    import_refusals: Arc<ImportRefusals>,
    notices: Arc<AtomicU64>,
    /// Held from the first look at what is stored to the commit: what was checked is what is written.
    writing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// The control role over these parts. What is stored is read at the first call.
    #[must_use]
    pub fn new(parts: Parts, config: ControlConfig) -> Self {
        let hub = Arc::new(Hub::new(parts.clone(), &config));
        Self(Arc::new(Inner {
            parts,
            config,
            hub,
            import_refusals: Arc::default(),
            notices: Arc::default(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// What nodes see of it.
    #[must_use]
    pub fn plane(&self) -> Arc<dyn sync::ControlPlane> {
        Arc::clone(&self.0.hub) as _
    }

    /// Tells other control processes on the same database that the nodes of this one stop with it: they no longer
    /// wait for them. To be called when the nodes have stopped; without it they wait until the leases end.
    ///
    /// # Errors
    /// The store's.
    pub async fn leave(&self) -> store::Result<()> {
        self.0.hub.leave().await
    }

    /// How the nodes keep up, for metrics.
    #[must_use]
    pub fn nodes(&self) -> NodesSummary {
        self.0.hub.nodes_summary()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.0.parts.store.as_ref()
    }

    pub(crate) fn grants(&self) -> &dyn GrantStore {
        self.0.parts.grants.as_ref()
    }

    pub(crate) fn usage(&self) -> &dyn UsageStore {
        self.0.parts.usage.as_ref()
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.parts.tokens
    }

    pub(crate) fn hashes(&self) -> &SecretHashes {
        &self.0.parts.hashes
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.parts.passwords
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.0.parts.clock.as_ref()
    }

    pub(crate) fn fetcher(&self) -> &fetch::Fetcher {
        &self.0.parts.fetcher
    }

    /// Refused imports by reason, for metrics.
    #[must_use]
    pub fn import_refusals(&self) -> Arc<ImportRefusals> {
        Arc::clone(&self.0.import_refusals)
    }

    /// Credentials that were found to end soon since the start, for metrics; counted by [`expiring::keep_noting`].
    #[must_use]
    pub fn notices(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.notices)
    }

    pub(crate) fn config(&self) -> &ControlConfig {
        &self.0.config
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// One writer at a time looks at what is stored and changes it, in all processes on one database.
    pub(crate) async fn writing(&self) -> ApiResult<Writing<'_>> {
        // Ours first: within this process nobody holds a connection only to wait.
        let here = self.0.writing.lock().await;
        Ok(Writing {
            _turn: self.store().turn().await?,
            _here: here,
        })
    }

    /// Writes a batch in the caller's name and tells the nodes that there is news.
    pub(crate) async fn commit(&self, caller: &Caller, writes: Vec<Write>) -> ApiResult<u64> {
        let revision = self
            .store()
            .commit(Batch {
                org: caller.org.clone(),
                actor: caller.user.clone(),
                at_unix_ms: self.clock().unix_ms(),
                request: Some(caller.request.clone()),
                writes,
            })
            .await?;
        self.hub().announce(revision);
        Ok(revision)
    }
}

/// A writer's turn; the next one comes when this is dropped.
pub(crate) struct Writing<'a> {
    // Dropped in this order.
    _turn: store::Turn,
    _here: tokio::sync::MutexGuard<'a, ()>,
}

/// Waits as long as [`ControlConfig::acknowledge_ms`] says.
#[async_trait::async_trait]
impl Acknowledged for Control {
    async fn acknowledged(&self, revision: u64) -> Result<(), NotAcknowledged> {
        let limit = Duration::from_millis(self.0.config.acknowledge_ms);
        let reached = self.hub().acknowledged(revision, None, limit).await;
        reached.map(drop).map_err(|behind| NotAcknowledged {
            revision: behind.revision,
        })
    }
}
