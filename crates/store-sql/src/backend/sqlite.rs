//! SQLite: one file, one process, one writer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqlxSqliteConnector, Statement,
};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use store::Turn;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{Backend, Backup, Pool, backup_name, private_file};
use crate::news::News;
use crate::open::{OpenError, OpenOptions};

/// The first bytes of every SQLite database (SQLite file format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A database file of this process.
pub(super) struct Sqlite {
    path: PathBuf,
    options: OpenOptions,
    turn: Arc<Mutex<()>>,
}

impl Sqlite {
    pub(super) fn new(path: &Path, options: &OpenOptions) -> Self {
        Self {
            path: path.to_owned(),
            options: options.clone(),
            turn: Arc::default(),
        }
    }

    /// What every connection needs, and what changes nothing in the file.
    fn plain_settings(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.options.lock_timeout)
            // Statements hold hashes of secrets.
            .disable_statement_logging()
    }

    fn our_settings(&self) -> SqliteConnectOptions {
        self.plain_settings()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Negative: KiB instead of pages.
            .pragma("cache_size", format!("-{}", self.options.cache_kib))
            // A log that grew under load is cut to this many bytes when it is folded in.
            .pragma("journal_size_limit", "16777216")
    }

    fn failed(&self, step: &'static str) -> impl Fn(DbErr) -> OpenError {
        let database = self.database();
        move |cause| OpenError::Database {
            database: database.clone(),
            step,
            cause,
        }
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn database(&self) -> String {
        self.path.display().to_string()
    }

    /// Makes sure that the file can be read and written and looks like a database, and creates it for its owner alone.
    /// SQLite gives the files beside it the same mode.
    async fn check(&self) -> Result<(), OpenError> {
        let path = &self.path;
        let mut head = Vec::new();
        private_file(path, false)
            .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head))
            .map_err(|cause| OpenError::File {
                path: path.clone(),
                cause,
            })?;
        if head.is_empty() || head == MAGIC {
            return Ok(());
        }
        Err(OpenError::Foreign {
            database: self.database(),
            cause: "it is no SQLite database".to_owned(),
        })
    }

    fn exists(&self) -> bool {
        self.path.exists()
    }

    async fn connect(&self, pool: Pool) -> Result<DatabaseConnection, OpenError> {
        let settings = match pool {
            Pool::Inspect => self.plain_settings(),
            Pool::Write | Pool::Read => self.our_settings(),
        };
        // Connections to a file neither age nor break, so they are neither tested nor renewed.
        let pool = SqlitePoolOptions::new()
            .max_connections(self.connections_max(pool))
            .acquire_timeout(self.options.queue_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(settings)
            .await
            .map_err(|error| self.failed("open")(connection_error(error)))?;
        Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    }

    fn connections_max(&self, pool: Pool) -> u32 {
        match pool {
            Pool::Inspect | Pool::Write => 1,
            Pool::Read => self.options.read_connections.max(1),
        }
    }

    fn count(&self, pool: &DatabaseConnection) -> (u64, u64) {
        let pool = pool.get_sqlite_connection_pool();
        (u64::from(pool.size()), pool.num_idle() as u64)
    }

    async fn any_table(&self, db: &DatabaseConnection) -> Result<Option<String>, DbErr> {
        let any = "SELECT name FROM sqlite_master LIMIT 1";
        let row = db.query_one_raw(statement(db, any)).await?;
        row.map(|row| row.try_get("", "name")).transpose()
    }

    async fn tables(&self, db: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
        let all =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let rows = db.query_all_raw(statement(db, all)).await?;
        rows.iter().map(|row| row.try_get("", "name")).collect()
    }

    fn migrates_when_opened(&self) -> bool {
        true
    }

    /// Whoever opens the file holds its folder.
    async fn migrating(&self) -> Result<Turn, OpenError> {
        Ok(Turn::new(()))
    }

    async fn back_up(&self, from: &str, backup: &Backup) -> Result<Option<PathBuf>, OpenError> {
        let copy = match backup {
            Backup::Without => return Ok(None),
            Backup::Into(_) => backup_name(&self.path, from),
            Backup::To(path) => path.clone(),
        };
        let db = self.connect(Pool::Inspect).await?;
        let copied = copy_to(&db, &copy).await;
        db.close().await.map_err(self.failed("close"))?;
        copied.map_err(|cause| OpenError::Backup {
            path: copy.clone(),
            cause,
        })?;
        Ok(Some(copy))
    }

    async fn put_in_order(&self, _db: &DatabaseConnection) -> Result<(), OpenError> {
        Ok(())
    }

    async fn rows_moved_in(&self, _db: &DatabaseTransaction) -> Result<(), DbErr> {
        Ok(())
    }

    async fn turn(&self) -> store::Result<Turn> {
        let turn = Arc::clone(&self.turn).lock_owned();
        match tokio::time::timeout(self.options.queue_timeout, turn).await {
            Ok(turn) => Ok(Turn::new(turn)),
            Err(elapsed) => Err(store::StoreError::Database(Box::new(elapsed))),
        }
    }

    async fn announce(&self, _db: &DatabaseTransaction, _revision: u64) -> store::Result<()> {
        Ok(())
    }

    fn follow(&self, _news: &Arc<News>, _readers: &DatabaseConnection) -> Option<JoinHandle<()>> {
        None
    }

    async fn close(&self) {}
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()))
}

fn statement(db: &impl ConnectionTrait, sql: &str) -> Statement {
    Statement::from_string(db.get_database_backend(), sql)
}

/// Copies the database, with what is still in its log, as it is at one moment, while others write.
pub(crate) async fn copy_to(db: &DatabaseConnection, copy: &Path) -> Result<(), String> {
    let Some(target) = copy.to_str() else {
        return Err("its path is not UTF-8".to_owned());
    };
    // Created first, so that it gets our mode; SQLite fills an empty file but refuses one with content.
    private_file(copy, true).map_err(|error| error.to_string())?;
    let vacuum =
        Statement::from_sql_and_values(db.get_database_backend(), "VACUUM INTO ?", [target.into()]);
    let copied = db
        .execute_raw(vacuum)
        .await
        .map_err(|error| error.to_string());
    let synced = copied.and_then(|_| {
        let synced = File::open(copy).and_then(|file| file.sync_all());
        synced.map_err(|error| error.to_string())
    });
    if synced.is_err() {
        // Half a copy is none; the first failure is the one to tell of.
        let _ = std::fs::remove_file(copy);
    }
    synced
}

/// Lets SQLite read the whole file and look whether it is sound.
pub(crate) async fn verify(db: &DatabaseConnection) -> Result<(), String> {
    for check in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let rows = db
            .query_all_raw(statement(db, check))
            .await
            .map_err(|error| error.to_string())?;
        let found = rows.first().map(|row| {
            row.try_get_by_index::<String>(0)
                .unwrap_or_else(|_| "unreadable".to_owned())
        });
        match found.as_deref() {
            None | Some("ok") => {}
            Some(found) => return Err(format!("{check}: {found}")),
        }
    }
    Ok(())
}

/// Folds the log into the file, so that the file alone is the database once its connections are closed.
pub(crate) async fn fold_log(db: &DatabaseConnection) -> Result<(), DbErr> {
    let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
    db.query_all_raw(statement(db, fold)).await.map(|_| ())
}
