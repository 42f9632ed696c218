//! What is done to a database beside the platform: `migrate`, `backup`, `restore`, `database move`.

use std::path::Path;

use serde::Serialize;
use store_sql::{Backup, OpenOptions, Place, SqlStore};

use super::args::{self, DatabaseOf, Migrate};
use super::failure::Failure;
use super::output;
use crate::up::{DataDir, Options, UpError};

impl From<UpError> for Failure {
    fn from(error: UpError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn options(of: DatabaseOf) -> Result<Options, Failure> {
    let options = Options {
        config: of.config,
        data_dir: of.data_dir,
        database_url: of.database_url,
        database_url_file: of.database_url_file,
        ..Options::default()
    };
    Ok(options.with_file()?)
}

/// Keeps every process of the platform from the data folder, when the database is in it.
fn hold(options: &Options, database: &OpenOptions) -> Result<Option<DataDir>, Failure> {
    match &database.place {
        Place::Server(_) => Ok(None),
        Place::File(file) => {
            must_exist(file)?;
            Ok(Some(DataDir::open(&options.data_dir())?))
        }
    }
}

fn must_exist(file: &Path) -> Result<(), Failure> {
    match std::fs::metadata(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::file(file, error)),
    }
}

#[derive(Serialize)]
struct Step {
    migration: String,
    state: &'static str,
}

/// `tollway migrate`
pub(crate) async fn migrate(command: Migrate) -> Result<(), Failure> {
    let options = options(command.database)?;
    let database = options.database()?;
    if command.plan {
        let schema = SqlStore::schema(&database).await.map_err(refused)?;
        let steps = |names: Vec<String>, state| {
            let steps = names.into_iter();
            steps.map(move |migration| Step { migration, state })
        };
        let all: Vec<_> = steps(schema.applied, "applied")
            .chain(steps(schema.pending, "pending"))
            .collect();
        return output::list(&all, command.output, &["MIGRATION", "STATE"], |step| {
            vec![step.migration.clone(), step.state.to_owned()]
        });
    }
    let _alone = hold(&options, &database)?;
    let backup = match (command.backup, command.without_backup) {
        (Some(file), _) => Backup::To(file),
        (None, true) => Backup::Without,
        (None, false) => Backup::Into(options.data_dir()),
    };
    let done = SqlStore::migrate(&database, &backup).await;
    let done = done.map_err(refused)?;
    if let Some(copy) = done.backup {
        eprintln!("copied the database to {} before", copy.display());
    }
    match done.schema.pending.len() {
        0 => eprintln!("{}: nothing to do", done.schema.database),
        count => eprintln!("{}: {count} migrations done", done.schema.database),
    }
    Ok(())
}

/// `tollway backup`
pub(crate) async fn backup(command: args::Backup) -> Result<(), Failure> {
    let options = options(command.database)?;
    let file = embedded(&options, "backup")?;
    store_sql::back_up(&file, &command.file)
        .await
        .map_err(refused)?;
    eprintln!(
        "copied {} to {}; it is of no use without the key file {}",
        file.display(),
        command.file.display(),
        options.key_file().display()
    );
    Ok(())
}

/// `tollway restore`
pub(crate) async fn restore(command: args::Restore) -> Result<(), Failure> {
    let options = options(command.database)?;
    let file = embedded(&options, "restore")?;
    must_exist(&command.file)?;
    let _alone = DataDir::open(&options.data_dir())?;
    let aside = store_sql::restore(&command.file, &file)
        .await
        .map_err(refused)?;
    eprintln!(
        "put {} in place as {}",
        command.file.display(),
        file.display()
    );
    if let Some(aside) = aside {
        eprintln!("what was there is now {}", aside.display());
    }
    let key = options.key_file();
    if !key.exists() {
        eprintln!("put its key file to {} before the start", key.display());
    }
    Ok(())
}

fn embedded(options: &Options, command: &str) -> Result<std::path::PathBuf, Failure> {
    match options.database()?.place {
        Place::File(file) => Ok(file),
        Place::Server(url) => Err(Failure::Usage(format!(
            "`{command}` is for the embedded database; {url} is PostgreSQL, which brings pg_dump and pg_restore"
        ))),
    }
}

#[derive(Serialize)]
struct Moved {
    table: &'static str,
    rows: u64,
}

/// `tollway database move`
pub(crate) async fn move_database(command: args::DatabaseMove) -> Result<(), Failure> {
    let options = options(command.database)?;
    let target = options.database()?;
    if matches!(target.place, Place::File(_)) {
        return Err(Failure::Usage(
            "name the PostgreSQL database to move to: --database-url-file FILE, --database-url URL or \
             TOLLWAY_DATABASE_URL"
                .into(),
        ));
    }
    let file = options.embedded();
    must_exist(&file)?;
    let _alone = DataDir::open(&options.data_dir())?;
    let from = SqlStore::open(&OpenOptions::at(&file))
        .await
        .map_err(refused)?;
    let to = SqlStore::open(&target).await.map_err(refused)?;
    let moved = from.move_to(&to).await;
    to.close().await;
    from.close().await;
    let moved: Vec<_> = moved
        .map_err(refused)?
        .into_iter()
        .map(|moved| Moved {
            table: moved.table,
            rows: moved.rows,
        })
        .collect();
    std::fs::rename(&file, options.moved()).map_err(|error| Failure::file(&file, error))?;
    output::list(&moved, command.output, &["TABLE", "ROWS"], |moved| {
        vec![moved.table.to_owned(), moved.rows.to_string()]
    })?;
    eprintln!(
        "moved; the old database is {}; start with the same database URL and key file from now on",
        options.moved().display()
    );
    Ok(())
}

/// The error and what lies below it, in one line.
fn refused(error: impl std::error::Error) -> Failure {
    Failure::Usage(crate::up::one_line(&error))
}
