//! PostgreSQL: a server that several processes of the platform share.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, Statement, Value,
};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use store::Turn;
use tokio::task::JoinHandle;

use super::{Backend, Backup, Pool, backup_name, private_file};
use crate::database_url::DatabaseUrl;
use crate::feed;
use crate::news::News;
use crate::open::{OpenError, OpenOptions};

/// Notifications of new revisions; their payload is the revision.
const CHANNEL: &str = "tollway_revision";

/// Advisory locks, by number: any that no other program in the same database uses.
const MIGRATING: i64 = 0x746f_6c6c_0001;
const TURN: i64 = 0x746f_6c6c_0002;

/// A transaction that stands still so long loses its connection and with it its locks: nobody waits for a process that
/// was stopped or cut off.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// A database of a PostgreSQL server.
pub(super) struct Postgres {
    url: DatabaseUrl,
    options: OpenOptions,
    /// For turns and migrations: one connection, made when it is needed.
    locks: PgPool,
}

impl Postgres {
    pub(super) fn new(url: &DatabaseUrl, options: &OpenOptions) -> Self {
        let locks = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(options.queue_timeout)
            .connect_lazy_with(settings(url, options));
        Self {
            url: url.clone(),
            options: options.clone(),
            locks,
        }
    }

    /// A connection that fails says why, other than a pool, which tries until its time is up.
    async fn try_out(&self) -> Result<(), OpenError> {
        if let Some(file) = self.url.root_certificate()
            && let Err(cause) = std::fs::metadata(file)
        {
            return Err(OpenError::Tls {
                database: self.database(),
                cause: format!("{file}: {cause}"),
            });
        }
        let settings = settings(&self.url, &self.options);
        let encoding = async {
            let mut connection = settings.connect().await?;
            let encoding: String = sqlx::query_scalar("SHOW server_encoding")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            Ok(encoding)
        };
        let encoding = match tokio::time::timeout(self.options.connect_timeout, encoding).await {
            Ok(found) => found.map_err(|error| self.not_connected(error))?,
            Err(_) => {
                let limit = self.options.connect_timeout;
                return Err(OpenError::Unreachable {
                    database: self.database(),
                    cause: format!("no answer within {limit:?}"),
                });
            }
        };
        if encoding == "UTF8" {
            return Ok(());
        }
        Err(OpenError::Unfit {
            database: self.database(),
            cause: format!("its encoding is {encoding}, not UTF8"),
        })
    }

    fn not_connected(&self, error: sqlx::Error) -> OpenError {
        use std::io::ErrorKind::InvalidData;
        let database = self.database();
        let unreachable = |cause: String| OpenError::Unreachable {
            database: database.clone(),
            cause,
        };
        let tls = |cause: String| OpenError::Tls {
            database: database.clone(),
            cause,
        };
        match error {
            sqlx::Error::Tls(cause) => tls(cause.to_string()),
            sqlx::Error::Io(cause) if cause.kind() == InvalidData => tls(cause.to_string()),
            sqlx::Error::Io(cause) => unreachable(cause.to_string()),
            sqlx::Error::Database(cause) => {
                let code = cause.code().unwrap_or_default().into_owned();
                match code.as_str() {
                    // SQLSTATE, PostgreSQL manual, appendix A.
                    "28P01" | "28000" => OpenError::Login {
                        database: self.database(),
                        cause: cause.message().to_owned(),
                    },
                    "3D000" => OpenError::Absent {
                        database: self.database(),
                    },
                    // cannot_connect_now, too_many_connections
                    "57P03" | "53300" => unreachable(cause.message().to_owned()),
                    _ => self.failed("open")(connection_error(sqlx::Error::Database(cause))),
                }
            }
            other => self.failed("open")(connection_error(other)),
        }
    }

    fn failed(&self, step: &'static str) -> impl Fn(DbErr) -> OpenError {
        let database = self.database();
        move |cause| OpenError::Database {
            database: database.clone(),
            step,
            cause,
        }
    }

    /// Takes an advisory lock that lasts as long as a transaction, and gives the transaction.
    async fn lock(
        &self,
        key: i64,
        idle: Duration,
    ) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        let mut transaction = self.locks.begin().await?;
        sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
            .bind(idle.as_millis().to_string())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(key)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}

#[async_trait]
impl Backend for Postgres {
    fn database(&self) -> String {
        self.url.to_string()
    }

    async fn check(&self) -> Result<(), OpenError> {
        self.try_out().await
    }

    fn exists(&self) -> bool {
        true
    }

    async fn connect(&self, pool: Pool) -> Result<DatabaseConnection, OpenError> {
        let options = &self.options;
        let mut made = PgPoolOptions::new()
            .max_connections(self.connections_max(pool))
            .acquire_timeout(options.queue_timeout);
        if pool == Pool::Write {
            // A server may be set not to wait for its disk; what is acknowledged here has to be on it.
            made = made.after_connect(|connection, _| {
                Box::pin(async move {
                    let durable = "SELECT set_config('synchronous_commit', 'on', false) \
                                   WHERE current_setting('synchronous_commit') = 'off'";
                    sqlx::query(durable).execute(connection).await.map(|_| ())
                })
            });
        }
        let pool = made
            .connect_with(settings(&self.url, options))
            .await
            .map_err(|error| self.not_connected(error))?;
        Ok(DatabaseConnection::from(pool))
    }

    fn connections_max(&self, pool: Pool) -> u32 {
        match pool {
            Pool::Inspect => 1,
            Pool::Write => self.options.write_connections.max(1),
            Pool::Read => self.options.read_connections.max(1),
        }
    }

    fn count(&self, pool: &DatabaseConnection) -> (u64, u64) {
        let pool = pool.get_postgres_connection_pool();
        (u64::from(pool.size()), pool.num_idle() as u64)
    }

    async fn any_table(&self, db: &DatabaseConnection) -> Result<Option<String>, DbErr> {
        let row = db.query_one_raw(statement(TABLES, [])).await?;
        row.map(|row| row.try_get("", "table_name")).transpose()
    }

    async fn tables(&self, db: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
        let rows = db.query_all_raw(statement(TABLES, [])).await?;
        let name = |row: &sea_orm::QueryResult| row.try_get("", "table_name");
        rows.iter().map(name).collect()
    }

    fn migrates_when_opened(&self) -> bool {
        false
    }

    async fn migrating(&self) -> Result<Turn, OpenError> {
        let lock = self.lock(MIGRATING, Duration::ZERO).await;
        let lock = lock.map_err(|error| self.failed("lock")(connection_error(error)))?;
        Ok(Turn::new(HeldLock(lock)))
    }

    /// By `pg_dump`, which must be at hand and not older than the server.
    async fn back_up(&self, from: &str, backup: &Backup) -> Result<Option<PathBuf>, OpenError> {
        let path = match backup {
            Backup::Without => return Ok(None),
            Backup::Into(folder) => backup_name(&folder.join("postgres"), from),
            Backup::To(path) => path.clone(),
        };
        let failed = |cause: String| OpenError::Backup {
            path: path.clone(),
            cause,
        };
        private_file(&path, true).map_err(|error| failed(error.to_string()))?;
        match dump(&self.url, &path).await {
            Ok(()) => Ok(Some(path)),
            Err(cause) => {
                // Half a dump is none; the failure is the one to tell of.
                let _ = std::fs::remove_file(&path);
                Err(failed(cause))
            }
        }
    }

    /// Names are ordered by their bytes, whatever the database's collation: every column of text says so.
    async fn put_in_order(&self, db: &DatabaseConnection) -> Result<(), OpenError> {
        let failed = self.failed("order");
        let columns = "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c \
             JOIN information_schema.tables t USING (table_schema, table_name) \
             WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
             AND c.data_type IN ('text', 'character varying') \
             AND c.collation_name IS DISTINCT FROM 'C' AND c.table_name <> 'seaql_migrations'";
        let rows = db.query_all_raw(statement(columns, [])).await;
        for row in rows.map_err(&failed)? {
            let (table, column): (String, String) = row.try_get_many_by_index().map_err(&failed)?;
            let (table, column) = (quoted(&table), quoted(&column));
            let order =
                format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE \"C\"");
            db.execute_unprepared(&order).await.map_err(&failed)?;
        }
        Ok(())
    }

    async fn rows_moved_in(&self, db: &DatabaseTransaction) -> Result<(), DbErr> {
        let columns = "SELECT table_name::text, column_name::text, \
             pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence \
             FROM information_schema.columns WHERE table_schema = current_schema() \
             AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL";
        for row in db.query_all_raw(statement(columns, [])).await? {
            let (table, column, sequence): (String, String, String) =
                row.try_get_many_by_index()?;
            let (table, column) = (quoted(&table), quoted(&column));
            let next = format!(
                "SELECT setval($1::regclass, coalesce((SELECT max({column}) FROM {table}), 0) + 1, false)"
            );
            db.query_one_raw(statement(&next, [sequence.into()]))
                .await?;
        }
        Ok(())
    }

    async fn turn(&self) -> store::Result<Turn> {
        let lock = self.lock(TURN, IDLE_IN_TRANSACTION).await;
        let lock = lock.map_err(|error| store::StoreError::Database(Box::new(error)))?;
        Ok(Turn::new(HeldLock(lock)))
    }

    async fn announce(&self, db: &DatabaseTransaction, revision: u64) -> store::Result<()> {
        let values = [CHANNEL.into(), revision.to_string().into()];
        db.query_one_raw(statement("SELECT pg_notify($1, $2)", values))
            .await
            .map_err(crate::rows::database)?;
        Ok(())
    }

    fn follow(&self, news: &Arc<News>, readers: &DatabaseConnection) -> Option<JoinHandle<()>> {
        let listeners = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.options.connect_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(settings(&self.url, &self.options));
        let follower = Follower {
            news: Arc::clone(news),
            readers: readers.clone(),
            listeners,
            every: self.options.poll_interval.max(Duration::from_millis(1)),
        };
        Some(tokio::spawn(async move {
            tokio::join!(follower.poll(), follower.listen());
        }))
    }

    async fn close(&self) {
        self.locks.close().await;
    }
}

/// All tables of the schema that ours are made in.
const TABLES: &str = "SELECT table_name::text FROM information_schema.tables \
                      WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";

/// A lock that goes with its transaction, which is rolled back when it is dropped.
struct HeldLock(
    #[expect(dead_code, reason = "held, not used")] sqlx::Transaction<'static, sqlx::Postgres>,
);

/// Hears of revisions of other processes: from their notifications, and by looking at the counter now and then, since
/// a notification is lost while nobody listens.
struct Follower {
    news: Arc<News>,
    readers: DatabaseConnection,
    listeners: PgPool,
    every: Duration,
}

impl Follower {
    async fn poll(&self) {
        loop {
            tokio::time::sleep(self.every).await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let heard = self.news.heard();
        match feed::counter(&self.readers).await {
            Ok(counter) => self.news.looked(heard, counter.revision),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the counter");
            }
        }
    }

    async fn listen(&self) {
        let mut is_told = false;
        loop {
            let mut listened = false;
            let Err(error) = self.hear(&mut listened).await;
            // Once for each time that it was lost: the polling goes on meanwhile.
            if listened || !is_told {
                is_told = true;
                tracing::warn!(%error, "the database cannot be listened to; looking at its counter instead");
            }
            tokio::time::sleep(self.every).await;
        }
    }

    async fn hear(&self, listened: &mut bool) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.listeners).await?;
        listener.listen(CHANNEL).await?;
        *listened = true;
        loop {
            // What was committed before we listened was not announced to us.
            self.look().await;
            while let Some(notification) = listener.try_recv().await? {
                if let Ok(revision) = notification.payload().parse() {
                    self.news.tell(revision);
                }
            }
        }
    }
}

/// What every connection is set to. Keep-alives end connections of machines that are gone, whose locks would stay.
fn settings(url: &DatabaseUrl, options: &OpenOptions) -> PgConnectOptions {
    let mut settings = url.options().clone();
    if settings.get_application_name().is_none() {
        settings = settings.application_name("tollway");
    }
    let idle_ms = IDLE_IN_TRANSACTION.as_millis().to_string();
    settings
        .options([
            (
                "lock_timeout",
                &*options.lock_timeout.as_millis().to_string(),
            ),
            ("idle_in_transaction_session_timeout", &*idle_ms),
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ])
        // Statements hold hashes of secrets.
        .disable_statement_logging()
}

async fn dump(url: &DatabaseUrl, path: &Path) -> Result<(), String> {
    let output = tokio::process::Command::new("pg_dump")
        .args(["--format=custom", "--no-password", "--file"])
        .arg(path)
        .envs(url.environment())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("`pg_dump` cannot be started: {error}"))?;
    if output.status.success() {
        let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
        return synced.map_err(|error| error.to_string());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.trim().replace('\n', " "))
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

fn statement<const N: usize>(sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, sql, values)
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
