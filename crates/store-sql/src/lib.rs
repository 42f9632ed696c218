//! The store on SQL databases.
//!
//! One implementation of [`store::Store`] through sea-orm entities; today on SQLite, in one file. All that is peculiar
//! to SQLite (pragmas, file checks, the backup) is in `open`; the rest speaks to whatever sea-orm is connected to.
//!
//! How it keeps its promises:
//! - **One revision, one transaction.** A commit first moves the row of the table `counter`. Whoever else commits waits
//!   there, so revisions become visible in their order and a reader of the feed skips none.
//! - **Durable when acknowledged.** WAL with `synchronous=FULL`: the log is on disk when a commit returns.
//! - **One writer.** Writes go through one connection with `BEGIN IMMEDIATE`, reads through a few others, which never
//!   wait for it. A second process may open the same file (its writes wait for ours, up to the busy timeout), but
//!   nothing tells it of our changes before it asks: one process for one data folder is what is meant.
//! - **Nothing is lost by an upgrade.** A migration of a file that has data copies it beside itself first; a file of a
//!   newer version is refused.
//!
//! Blobs that no document refers to any more stay, since history may.
//! Names are ordered by their bytes.
//!
//! Knows nothing of what documents mean. Start at [`SqlStore`].

mod entity;
mod migration;
mod open;
mod rows;

mod audit;
mod commit;
mod feed;
mod nodes;
mod read;
mod revisions;
mod usage;

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use store::{Batch, Changes, Result, Store};

pub use open::{OpenError, OpenOptions};

/// The store in one SQLite file.
pub struct SqlStore {
    /// A pool of one.
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    feed_rows_max: u64,
    /// Rows that this process added to the feed since it looked how long the feed is.
    feed_rows_added: AtomicU64,
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqlStore")
    }
}

impl SqlStore {
    /// Opens the database, creates it when it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the file and what to do.
    pub async fn open(options: &OpenOptions) -> std::result::Result<Self, OpenError> {
        open::open::<migration::Migrator>(options).await
    }

    /// Closes all connections after what they are doing; later calls fail. SQLite then folds its log into the file.
    pub async fn close(&self) {
        for pool in [&self.readers, &self.writer] {
            // All that can fail here is a connection that is closed already.
            if let Err(error) = pool.clone().close().await {
                tracing::warn!(%error, "the database did not close cleanly");
            }
        }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, batch: Batch) -> Result<u64> {
        commit::commit(self, batch).await
    }

    async fn revision(&self) -> Result<u64> {
        Ok(feed::counter(&self.readers).await?.revision)
    }

    async fn changes_since(&self, since: u64, limit: u64) -> Result<Changes> {
        feed::changes_since(&self.readers, since, limit).await
    }
}
