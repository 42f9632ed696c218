//! Opening: what is peculiar to SQLite, and bringing the schema up to date.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, ConnectOptions};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryOrder, SqlxSqliteConnector,
    Statement,
};
use sea_orm_migration::seaql_migrations;
use sea_orm_migration::{MigratorTrait, SchemaManager};

use crate::SqlStore;

/// The first bytes of every SQLite database (SQLite file format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where the database is and how much it may take.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The database file; its folder must exist. SQLite keeps `-wal` and `-shm` files beside it.
    pub path: PathBuf,
    /// How long a write waits for another process that writes.
    pub busy_timeout: Duration,
    /// How long a call waits for a connection of this process: the queue of writes.
    pub queue_timeout: Duration,
    /// Connections for reading; there is one more for writing.
    pub read_connections: u32,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// The change feed keeps at least the newest revisions that fit into so many rows, and an eighth more at most.
    pub feed_rows_max: u64,
}

impl OpenOptions {
    /// The defaults for this file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(30),
            read_connections: 2,
            cache_kib: 1024,
            feed_rows_max: 100_000,
        }
    }
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be used.
    #[error("cannot open the database {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is another kind of file.
    #[error("{path} is not a Tollway database: {cause}; name another file or move this one away")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It was written by a newer version.
    #[error(
        "the database {path} has schema {found}, which is newer than this program's {known}: \
         start the newer program, or restore the backup that its migration left beside the database"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its newest migration.
        found: String,
        /// The newest one known here.
        known: String,
    },
    /// The copy before the migration could not be made; nothing was changed.
    #[error("cannot back the database up to {path} before its migration: {cause}")]
    Backup {
        /// The copy's name.
        path: PathBuf,
        /// What the database or the system said.
        cause: String,
    },
    /// The database refused.
    #[error("cannot {step} the database {path}: {cause}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the database said.
        cause: DbErr,
    },
}

pub(crate) async fn open<M: MigratorTrait>(options: &OpenOptions) -> Result<SqlStore, OpenError> {
    let path = &options.path;
    check_file(path)?;
    let applied = inspect(options).await?;
    check_known::<M>(path, &applied)?;
    let writer = connect(options, our_settings(options), 1).await?;
    migrate::<M>(&writer, path, &applied).await?;
    let connections = options.read_connections.max(1);
    let readers = connect(options, our_settings(options), connections).await?;
    Ok(SqlStore {
        writer,
        readers,
        feed_rows_max: options.feed_rows_max,
        feed_rows_added: AtomicU64::new(0),
    })
}

/// Makes sure that the file can be read and written and looks like a database, and creates it for its owner alone:
/// it holds password hashes and sealed keys. SQLite gives the files beside it the same mode.
fn check_file(path: &Path) -> Result<(), OpenError> {
    let cannot = |cause| OpenError::File {
        path: path.to_owned(),
        cause,
    };
    let mut head = Vec::new();
    private_file(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head))
        .map_err(cannot)?;
    if head.is_empty() || head == MAGIC {
        return Ok(());
    }
    Err(OpenError::Foreign {
        path: path.to_owned(),
        cause: "it is no SQLite database".to_owned(),
    })
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What every connection needs, and what changes nothing in the file.
fn plain_settings(options: &OpenOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&options.path)
        .busy_timeout(options.busy_timeout)
        // Statements hold hashes of secrets.
        .disable_statement_logging()
}

fn our_settings(options: &OpenOptions) -> SqliteConnectOptions {
    plain_settings(options)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Negative: KiB instead of pages.
        .pragma("cache_size", format!("-{}", options.cache_kib))
        // A log that grew under load is cut to this many bytes when it is folded in.
        .pragma("journal_size_limit", "16777216")
}

async fn connect(
    options: &OpenOptions,
    settings: SqliteConnectOptions,
    connections: u32,
) -> Result<DatabaseConnection, OpenError> {
    // Connections to a file neither age nor break, so they are neither tested nor renewed.
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.queue_timeout)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(settings)
        .await
        .map_err(|error| not_connected(&options.path, error))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

fn not_connected(path: &Path, error: sqlx::Error) -> OpenError {
    OpenError::Database {
        path: path.to_owned(),
        step: "open",
        cause: DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())),
    }
}

/// Looks into the file before anything in it is touched, for it may not be ours.
async fn inspect(options: &OpenOptions) -> Result<Vec<String>, OpenError> {
    let db = connect(options, plain_settings(options), 1).await?;
    let applied = applied_migrations(&db, &options.path).await;
    db.close().await.map_err(|cause| OpenError::Database {
        path: options.path.clone(),
        step: "close",
        cause,
    })?;
    applied
}

fn names<M: MigratorTrait>() -> Vec<String> {
    let migrations = M::migrations();
    let names = migrations
        .iter()
        .map(|migration| migration.name().to_owned());
    names.collect()
}

fn check_known<M: MigratorTrait>(path: &Path, applied: &[String]) -> Result<(), OpenError> {
    let known = names::<M>();
    match applied.iter().rfind(|name| !known.contains(name)) {
        None => Ok(()),
        Some(found) => Err(OpenError::Newer {
            path: path.to_owned(),
            found: found.clone(),
            known: known.last().cloned().unwrap_or_default(),
        }),
    }
}

/// Brings the schema up to date, after a copy of what was there.
async fn migrate<M: MigratorTrait>(
    db: &DatabaseConnection,
    path: &Path,
    applied: &[String],
) -> Result<(), OpenError> {
    if applied.len() == names::<M>().len() {
        return Ok(());
    }
    if let Some(from) = applied.last() {
        let copy = back_up(db, path, from).await?;
        tracing::info!(backup = %copy.display(), "copied the database before its migration");
    }
    M::up(db, None).await.map_err(|cause| OpenError::Database {
        path: path.to_owned(),
        step: "migrate",
        cause,
    })
}

/// The names of the migrations that this file has seen, oldest first; none in a new file.
async fn applied_migrations(
    db: &DatabaseConnection,
    path: &Path,
) -> Result<Vec<String>, OpenError> {
    let failed = |cause| OpenError::Database {
        path: path.to_owned(),
        step: "read",
        cause,
    };
    let manager = SchemaManager::new(db);
    if manager
        .has_table("seaql_migrations")
        .await
        .map_err(failed)?
    {
        let rows = seaql_migrations::Entity::find()
            .order_by_asc(seaql_migrations::Column::Version)
            .all(db)
            .await
            .map_err(failed)?;
        return Ok(rows.into_iter().map(|row| row.version).collect());
    }
    let tables = Statement::from_string(
        db.get_database_backend(),
        "SELECT name FROM sqlite_master LIMIT 1",
    );
    match db.query_one_raw(tables).await.map_err(failed)? {
        None => Ok(Vec::new()),
        Some(_) => Err(OpenError::Foreign {
            path: path.to_owned(),
            cause: "it has tables of another program".to_owned(),
        }),
    }
}

/// Copies the database, with what is still in its log, to `<file>.backup-<from>-<seconds since 1970>`.
async fn back_up(db: &DatabaseConnection, path: &Path, from: &str) -> Result<PathBuf, OpenError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".backup-{from}-{now}"));
    let copy = PathBuf::from(name);
    let failed = |cause: String| OpenError::Backup {
        path: copy.clone(),
        cause,
    };
    let Some(target) = copy.to_str() else {
        return Err(failed("its path is not UTF-8".to_owned()));
    };
    // Created first, so that it gets our mode; SQLite fills an empty file but refuses one with content.
    private_file(&copy).map_err(|error| failed(error.to_string()))?;
    let statement =
        Statement::from_sql_and_values(db.get_database_backend(), "VACUUM INTO ?", [target.into()]);
    db.execute_raw(statement)
        .await
        .map_err(|error| failed(error.to_string()))?;
    File::open(&copy)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed(error.to_string()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests;
