//! The store on SQL databases.
//!
//! One implementation of [`store::Store`] through sea-orm entities, on SQLite (one file) or PostgreSQL. All that is
//! peculiar to one of them (settings, checks, backups, locks, announcements) is in `backend`, behind one trait; nothing
//! else asks which one it is.
//!
//! How it keeps its promises:
//! - **One revision, one transaction.** A commit first moves the row of the table `counter`. Whoever else commits waits
//!   there, so revisions become visible in their order and a reader of the feed skips none.
//! - **Durable when acknowledged.** SQLite: WAL with `synchronous=FULL`, the log is on disk when a commit returns.
//!   PostgreSQL: `synchronous_commit` is switched on where the server has it off.
//! - **Who may write.** A file is for one process: one connection writes with `BEGIN IMMEDIATE`, a few others read and
//!   never wait for it. A server is for several: the counter's row orders their commits, [`store::Store::turn`] their
//!   looks before a commit, and notifications tell them of each other ([`store::Store::changed`]).
//! - **Nothing is lost by an upgrade.** A migration of a database that has data copies it first; opening migrates a file
//!   but refuses a server's older schema, since other processes may run on it. A newer schema is refused.
//!
//! Blobs that no document refers to any more stay, since history may.
//! Names are ordered by their bytes.
//!
//! Knows nothing of what documents mean. Start at [`SqlStore`].

mod backend;
mod copies;
mod database_url;
mod entity;
mod migration;
mod moving;
mod news;
mod open;
mod rows;

mod audit;
mod commit;
mod credentials;
mod feed;
mod grants;
mod nodes;
mod notices;
mod people;
mod read;
mod revisions;
mod tokens;
mod usage;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use store::{Batch, Changes, Result, Store, Turn};
use tokio::task::JoinHandle;

use backend::{Backend, Pool};
use news::News;

pub use backend::Backup;
pub use copies::{CopyError, back_up, restore};
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use moving::{MoveError, Moved};
pub use open::{Migrated, OpenError, OpenOptions, Place, Schema};

/// The store in one database.
pub struct SqlStore {
    /// For a file a pool of one.
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    backend: Box<dyn Backend>,
    news: Arc<News>,
    /// What listens for other processes.
    following: Option<JoinHandle<()>>,
    feed_rows_max: u64,
    /// Rows that this process added to the feed since it looked how long the feed is.
    feed_rows_added: AtomicU64,
}

/// The connections of a store at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connections {
    /// For reading: how many there are.
    pub read: u64,
    /// … and how many of them nobody uses.
    pub read_idle: u64,
    /// … and how many there can be.
    pub read_max: u64,
    /// For writing: how many there are.
    pub write: u64,
    /// … and how many of them nobody uses.
    pub write_idle: u64,
    /// … and how many there can be.
    pub write_max: u64,
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqlStore")
    }
}

impl SqlStore {
    /// Opens the database, fills it when it is new, and brings the schema of a file up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the database and what to do.
    pub async fn open(options: &OpenOptions) -> std::result::Result<Self, OpenError> {
        open::open::<migration::Migrator>(options).await
    }

    /// What the database has of the schema, and what it lacks; changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn schema(options: &OpenOptions) -> std::result::Result<Schema, OpenError> {
        open::schema::<migration::Migrator>(options).await
    }

    /// Brings the schema up to date, after a backup when there is data.
    ///
    /// # Errors
    /// See [`OpenError`]; without the backup nothing is changed.
    pub async fn migrate(
        options: &OpenOptions,
        backup: &Backup,
    ) -> std::result::Result<Migrated, OpenError> {
        open::migrate::<migration::Migrator>(options, backup).await
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let (read, read_idle) = self.backend.count(&self.readers);
        let (write, write_idle) = self.backend.count(&self.writer);
        Connections {
            read,
            read_idle,
            read_max: self.backend.connections_max(Pool::Read).into(),
            write,
            write_idle,
            write_max: self.backend.connections_max(Pool::Write).into(),
        }
    }

    /// Closes all connections after what they are doing; later calls fail. SQLite then folds its log into the file.
    pub async fn close(&self) {
        if let Some(following) = &self.following {
            following.abort();
        }
        self.backend.close().await;
        for pool in [&self.readers, &self.writer] {
            // All that can fail here is a connection that is closed already.
            if let Err(error) = pool.clone().close().await {
                tracing::warn!(%error, "the database did not close cleanly");
            }
        }
    }
}

impl Drop for SqlStore {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, batch: Batch) -> Result<u64> {
        let revision = commit::commit(self, batch).await?;
        self.news.tell(revision);
        Ok(revision)
    }

    async fn revision(&self) -> Result<u64> {
        Ok(feed::counter(&self.readers).await?.revision)
    }

    async fn changes_since(&self, since: u64, limit: u64) -> Result<Changes> {
        feed::changes_since(&self.readers, since, limit).await
    }

    async fn changed(&self, since: u64) {
        self.news.newer(since).await;
    }

    async fn turn(&self) -> Result<Turn> {
        self.backend.turn().await
    }

    async fn revocations_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64> {
        commit::revocations_expire(&self.writer, before_unix_s, limit).await
    }
}
