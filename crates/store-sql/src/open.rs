//! Opening: which database, and bringing its schema up to date.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryOrder};
use sea_orm_migration::seaql_migrations;
use sea_orm_migration::{MigratorTrait, SchemaManager};

use crate::backend::{self, Backend, Backup, Pool};
use crate::database_url::DatabaseUrl;
use crate::news::News;
use crate::{SqlStore, feed};

/// Where a database is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this SQLite file; its folder must exist. SQLite keeps `-wal` and `-shm` files beside it.
    File(PathBuf),
    /// On a PostgreSQL server.
    Server(DatabaseUrl),
}

/// Where the database is and how much it may take.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where it is.
    pub place: Place,
    /// How long a write waits for another process that writes; default 10 seconds.
    pub lock_timeout: Duration,
    /// How long a call waits for a connection of this process; default 30 seconds.
    pub queue_timeout: Duration,
    /// How long a server may take to answer at the start; default 10 seconds. No meaning for a file.
    pub connect_timeout: Duration,
    /// Connections for reading; default 2 for a file, 8 for a server.
    pub read_connections: u32,
    /// Connections for writing: always 1 for a file; default 4 for a server. Commits go one by one in any case.
    pub write_connections: u32,
    /// Page cache of each connection to a file, in KiB; default 1024.
    pub cache_kib: u32,
    /// The change feed keeps at least the newest revisions that fit into so many rows, and an eighth more at most;
    /// default 100,000.
    pub feed_rows_max: u64,
    /// How long a revision of another process may stay unheard of when its notification got lost; default 1 second. No
    /// meaning for a file, which one process uses at a time.
    pub poll_interval: Duration,
    /// Whether a file of an older schema is migrated when it is opened; default yes. No meaning for a server, which never
    /// is.
    pub migrates: bool,
}

impl OpenOptions {
    /// The defaults for this SQLite file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::File(path.into()),
            lock_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            read_connections: 2,
            write_connections: 1,
            cache_kib: 1024,
            feed_rows_max: 100_000,
            poll_interval: Duration::from_secs(1),
            migrates: true,
        }
    }

    /// The defaults for this PostgreSQL database.
    #[must_use]
    pub fn on(url: DatabaseUrl) -> Self {
        Self {
            place: Place::Server(url),
            read_connections: 8,
            write_connections: 4,
            ..Self::at("")
        }
    }
}

/// Why the database could not be opened. None of these holds a password.
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
    /// The server does not answer, or takes no more connections.
    #[error("cannot reach the database {database}: {cause}")]
    Unreachable {
        /// Which.
        database: String,
        /// What the system or the server said.
        cause: String,
    },
    /// User or password are wrong, or the server lets this user not in.
    #[error(
        "the database {database} refuses the login: {cause}; check user and password of the database URL"
    )]
    Login {
        /// Which.
        database: String,
        /// What the server said.
        cause: String,
    },
    /// The server has no database of this name.
    #[error(
        "there is no database {database}: make it with `createdb`, or name another one in the database URL"
    )]
    Absent {
        /// Which.
        database: String,
    },
    /// No TLS as it is demanded.
    #[error(
        "no TLS connection to the database {database}: {cause}; see sslmode and sslrootcert of the database URL"
    )]
    Tls {
        /// Which.
        database: String,
        /// What failed.
        cause: String,
    },
    /// A setting of the database that cannot be.
    #[error("the database {database} cannot be used: {cause}")]
    Unfit {
        /// Which.
        database: String,
        /// What is wrong.
        cause: String,
    },
    /// It is another kind of file, or another program's database.
    #[error(
        "{database} is not a Tollway database: {cause}; name another one or move this one away"
    )]
    Foreign {
        /// Which.
        database: String,
        /// What is wrong with it.
        cause: String,
    },
    /// It was written by a newer version.
    #[error(
        "the database {database} has schema {found}, which is newer than this program's {known}: \
         start the newer program, or restore the backup that was made before its migration"
    )]
    Newer {
        /// Which.
        database: String,
        /// Its newest migration.
        found: String,
        /// The newest one known here.
        known: String,
    },
    /// It was written by an older version, and other processes may run on it.
    #[error(
        "the database {database} has schema {found}, which is older than this program's {known}: stop the processes \
         that use it and run `tollway migrate --run` (`--plan` shows what it would do)"
    )]
    Older {
        /// Which.
        database: String,
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
    #[error("cannot {step} the database {database}: {cause}")]
    Database {
        /// Which.
        database: String,
        /// What was being done.
        step: &'static str,
        /// What the database said.
        cause: DbErr,
    },
}

/// What a database has of the schema, and what it lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    /// The database, without its secrets.
    pub database: String,
    /// The migrations that it has seen, oldest first; none in a new database.
    pub applied: Vec<String>,
    /// Those that this program knows besides, oldest first.
    pub pending: Vec<String>,
}

/// What a migration did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// As it was before.
    pub schema: Schema,
    /// Where the database was copied to before.
    pub backup: Option<PathBuf>,
}

pub(crate) async fn open<M: MigratorTrait>(options: &OpenOptions) -> Result<SqlStore, OpenError> {
    let backend = backend::of(options);
    backend.check().await?;
    let schema = inspect::<M>(backend.as_ref()).await?;
    let is_new = schema.applied.is_empty();
    let migrates = options.migrates && backend.migrates_when_opened();
    if !schema.pending.is_empty() && !is_new && !migrates {
        return Err(OpenError::Older {
            database: schema.database,
            found: schema.applied.last().cloned().unwrap_or_default(),
            known: schema.pending.last().cloned().unwrap_or_default(),
        });
    }
    if !schema.pending.is_empty() {
        let beside = Backup::Into(PathBuf::new());
        let done = run::<M>(backend.as_ref(), &beside).await?;
        if let Some(copy) = done.backup {
            tracing::info!(backup = %copy.display(), "copied the database before its migration");
        }
    }
    let writer = backend.connect(Pool::Write).await?;
    backend.put_in_order(&writer).await?;
    let readers = backend.connect(Pool::Read).await?;
    let counter = feed::counter(&readers).await;
    let counter = counter.map_err(|error| OpenError::Database {
        database: backend.database(),
        step: "read",
        cause: DbErr::Custom(error.to_string()),
    })?;
    let news = Arc::new(News::new(counter.revision));
    let following = backend.follow(&news, &readers);
    Ok(SqlStore {
        writer,
        readers,
        backend,
        news,
        following,
        feed_rows_max: options.feed_rows_max,
        feed_rows_added: AtomicU64::new(0),
    })
}

/// What the database has and lacks; changes nothing and makes nothing.
pub(crate) async fn schema<M: MigratorTrait>(options: &OpenOptions) -> Result<Schema, OpenError> {
    let backend = backend::of(options);
    if !backend.exists() {
        return Ok(Schema {
            database: backend.database(),
            applied: Vec::new(),
            pending: names::<M>(),
        });
    }
    backend.check().await?;
    inspect::<M>(backend.as_ref()).await
}

/// Brings the schema up to date, after a backup of what is there.
pub(crate) async fn migrate<M: MigratorTrait>(
    options: &OpenOptions,
    backup: &Backup,
) -> Result<Migrated, OpenError> {
    let backend = backend::of(options);
    backend.check().await?;
    inspect::<M>(backend.as_ref()).await?;
    let done = run::<M>(backend.as_ref(), backup).await?;
    backend.close().await;
    Ok(done)
}

/// One process at a time; whoever waited finds nothing left to do.
async fn run<M: MigratorTrait>(
    backend: &dyn Backend,
    backup: &Backup,
) -> Result<Migrated, OpenError> {
    let _alone = backend.migrating().await?;
    let schema = inspect::<M>(backend).await?;
    let mut copy = None;
    if !schema.pending.is_empty() {
        if let Some(from) = schema.applied.last() {
            copy = backend.back_up(from, backup).await?;
        }
        let failed = |step| {
            move |cause| OpenError::Database {
                database: backend.database(),
                step,
                cause,
            }
        };
        // Connections of their own: statements are prepared once for a connection and a text, and migrations give
        // numbers of other types for the same texts.
        let db = backend.connect(Pool::Write).await?;
        M::up(&db, None).await.map_err(failed("migrate"))?;
        backend.put_in_order(&db).await?;
        db.close().await.map_err(failed("close"))?;
    }
    Ok(Migrated {
        schema,
        backup: copy,
    })
}

/// Looks into the database before anything in it is touched, for it may not be ours.
async fn inspect<M: MigratorTrait>(backend: &dyn Backend) -> Result<Schema, OpenError> {
    let db = backend.connect(Pool::Inspect).await?;
    let applied = applied_migrations(backend, &db).await;
    db.close().await.map_err(|cause| OpenError::Database {
        database: backend.database(),
        step: "close",
        cause,
    })?;
    let (applied, known) = (applied?, names::<M>());
    let database = backend.database();
    if let (Some(first), Some(ours)) = (applied.first(), known.first())
        && first != ours
    {
        return Err(OpenError::Foreign {
            database,
            cause: format!("its first migration is {first}"),
        });
    }
    if let Some(found) = applied.iter().rfind(|name| !known.contains(name)) {
        return Err(OpenError::Newer {
            database,
            found: found.clone(),
            known: known.last().cloned().unwrap_or_default(),
        });
    }
    let pending = known.into_iter().filter(|name| !applied.contains(name));
    Ok(Schema {
        database,
        pending: pending.collect(),
        applied,
    })
}

fn names<M: MigratorTrait>() -> Vec<String> {
    let migrations = M::migrations();
    let names = migrations
        .iter()
        .map(|migration| migration.name().to_owned());
    names.collect()
}

/// The names of the migrations that this database has seen, oldest first; none in a new one.
async fn applied_migrations(
    backend: &dyn Backend,
    db: &DatabaseConnection,
) -> Result<Vec<String>, OpenError> {
    let failed = |cause| OpenError::Database {
        database: backend.database(),
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
    match backend.any_table(db).await.map_err(failed)? {
        None => Ok(Vec::new()),
        Some(table) => Err(OpenError::Foreign {
            database: backend.database(),
            cause: format!("it has tables of another program ({table})"),
        }),
    }
}

#[cfg(test)]
mod tests;
