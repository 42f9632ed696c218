//! What differs between the databases, behind one trait: nothing outside this module asks which one it is.

mod postgres;
mod sqlite;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use store::Turn;
use tokio::task::JoinHandle;

use crate::news::News;
use crate::open::{OpenError, OpenOptions, Place};

pub(crate) use sqlite::{copy_to, fold_log, verify};

/// What connections are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Looking into a database that may not be ours: changes nothing in it.
    Inspect,
    /// Commits and migrations.
    Write,
    /// Everything else.
    Read,
}

/// Where a backup before a migration goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backup {
    /// SQLite: beside the database, `<file>.backup-<schema>-<seconds since 1970>`. PostgreSQL: the same, in this folder.
    Into(PathBuf),
    /// To this file, which must not exist.
    To(PathBuf),
    /// Nowhere: there is another one.
    Without,
}

#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// How messages name the database; holds no secret.
    fn database(&self) -> String;

    /// Finds out whether the database can be used, before anything in it is touched; makes it where that is ours to do.
    async fn check(&self) -> Result<(), OpenError>;

    /// Whether there is anything to inspect.
    fn exists(&self) -> bool;

    /// A pool of connections.
    async fn connect(&self, pool: Pool) -> Result<DatabaseConnection, OpenError>;

    /// How many connections a pool can have.
    fn connections_max(&self, pool: Pool) -> u32;

    /// How many connections a pool has, and how many of them nobody uses.
    fn count(&self, pool: &DatabaseConnection) -> (u64, u64);

    /// The name of any table that is there.
    async fn any_table(&self, db: &DatabaseConnection) -> Result<Option<String>, DbErr>;

    /// The names of all tables that are there.
    async fn tables(&self, db: &DatabaseTransaction) -> Result<Vec<String>, DbErr>;

    /// Whether opening migrates a database that has data, after a backup. Not where other processes may run on it: there
    /// it is a step of its own.
    fn migrates_when_opened(&self) -> bool;

    /// Keeps other processes from migrating.
    async fn migrating(&self) -> Result<Turn, OpenError>;

    /// Copies everything before a migration.
    async fn back_up(&self, from: &str, backup: &Backup) -> Result<Option<PathBuf>, OpenError>;

    /// Brings into order what migrations cannot say for all databases alike. Called at every opening.
    async fn put_in_order(&self, db: &DatabaseConnection) -> Result<(), OpenError>;

    /// After rows were put in with their numbers: counters of the database's own go on after them.
    async fn rows_moved_in(&self, db: &DatabaseTransaction) -> Result<(), DbErr>;

    /// See [`store::Store::turn`].
    async fn turn(&self) -> store::Result<Turn>;

    /// Within the transaction that makes a revision: tells other processes of it when it commits.
    async fn announce(&self, db: &DatabaseTransaction, revision: u64) -> store::Result<()>;

    /// Follows what other processes announce; `None` where there are none.
    fn follow(&self, news: &Arc<News>, readers: &DatabaseConnection) -> Option<JoinHandle<()>>;

    /// Ends what [`Backend::turn`] keeps open.
    async fn close(&self);
}

/// The backend of a place.
pub(crate) fn of(options: &OpenOptions) -> Box<dyn Backend> {
    match &options.place {
        Place::File(path) => Box::new(sqlite::Sqlite::new(path, options)),
        Place::Server(url) => Box::new(postgres::Postgres::new(url, options)),
    }
}

/// The name of a backup that nobody named: `<stem>.backup-<schema>-<seconds since 1970>`.
fn backup_name(stem: &Path, from: &str) -> PathBuf {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |elapsed| elapsed.as_secs());
    let mut name = stem.as_os_str().to_owned();
    name.push(format!(".backup-{from}-{seconds}"));
    PathBuf::from(name)
}

/// Makes a file for its owner alone: it holds password hashes and sealed keys.
fn private_file(path: &Path, new: bool) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true);
    if new {
        options.create_new(true);
    } else {
        options.create(true).truncate(false);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
