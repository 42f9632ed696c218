//! Copies of the embedded database: made while it is in use, and put in its place again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::backend::{self, Pool};
use crate::migration::Migrator;
use crate::open::{self, OpenError, OpenOptions};

/// Why a copy was not made or not put in place. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database or the copy cannot be opened, or is none of ours.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system or the database said.
        cause: String,
    },
    /// The database found faults in it.
    #[error("{} is damaged: {cause}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The first fault.
        cause: String,
    },
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> CopyError {
    let path = path.to_owned();
    move |error| CopyError::File {
        path: path.clone(),
        cause: error.to_string(),
    }
}

/// Copies the embedded database `file` to `to`, which must not exist, as it is at one moment. Others may use and change
/// it meanwhile. The copy was read whole and found sound when this returns.
///
/// # Errors
/// [`CopyError`].
pub async fn back_up(file: &Path, to: &Path) -> Result<(), CopyError> {
    must_exist(file)?;
    open::schema::<Migrator>(&OpenOptions::at(file)).await?;
    let partial = beside(to, "partial");
    copy(file, &partial).await?;
    // Unlike a renaming this refuses a file that is there.
    let placed = fs::hard_link(&partial, to).map_err(file_error(to));
    fs::remove_file(&partial).map_err(file_error(&partial))?;
    placed?;
    sync_folder(to)
}

/// Puts the copy `from` in the place of the embedded database `file`, which nobody may have open, and returns where what
/// was there has been put. The copy is read whole before.
///
/// # Errors
/// [`CopyError`]; a copy of a newer schema is [`OpenError::Newer`].
pub async fn restore(from: &Path, file: &Path) -> Result<Option<PathBuf>, CopyError> {
    must_exist(from)?;
    open::schema::<Migrator>(&OpenOptions::at(from)).await?;
    verify(from).await?;
    let new = beside(file, "restoring");
    // What an attempt that was cut off left behind.
    let _ = fs::remove_file(&new);
    copy(from, &new).await?;
    let old = put_aside(file).await?;
    fs::rename(&new, file).map_err(file_error(file))?;
    sync_folder(file)?;
    Ok(old)
}

/// Keeps what is at `file` under another name as well, log and all.
async fn put_aside(file: &Path) -> Result<Option<PathBuf>, CopyError> {
    if !file.exists() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |elapsed| elapsed.as_secs());
    let aside = beside(file, &format!("before-restore-{seconds}"));
    // The log must not be taken for that of the new file. Folding it in is best; a file that is too broken for that
    // keeps its log beside it.
    if let Ok(db) = backend::of(&OpenOptions::at(file))
        .connect(Pool::Inspect)
        .await
    {
        let _ = backend::fold_log(&db).await;
        let _ = db.close().await;
    }
    for part in ["-wal", "-shm"] {
        let log = with_suffix(file, part);
        if log.exists() {
            fs::rename(&log, with_suffix(&aside, part)).map_err(file_error(&log))?;
        }
    }
    fs::hard_link(file, &aside).map_err(file_error(&aside))?;
    Ok(Some(aside))
}

/// A sound copy, or none.
async fn copy(file: &Path, to: &Path) -> Result<(), CopyError> {
    let db = backend::of(&OpenOptions::at(file))
        .connect(Pool::Inspect)
        .await?;
    let copied = backend::copy_to(&db, to).await;
    let closed = db.close().await;
    copied
        .and_then(|()| closed.map_err(|error| error.to_string()))
        .map_err(|cause| CopyError::File {
            path: to.to_owned(),
            cause,
        })?;
    let sound = verify(to).await;
    if sound.is_err() {
        // The fault is what there is to tell of.
        let _ = fs::remove_file(to);
    }
    sound
}

async fn verify(file: &Path) -> Result<(), CopyError> {
    let db = backend::of(&OpenOptions::at(file))
        .connect(Pool::Inspect)
        .await?;
    let found = backend::verify(&db).await;
    let closed = db.close().await.map_err(|error| error.to_string());
    found.and(closed).map_err(|cause| CopyError::Damaged {
        path: file.to_owned(),
        cause,
    })
}

/// Opening a database that is not there would make one.
fn must_exist(file: &Path) -> Result<(), CopyError> {
    fs::metadata(file).map(|_| ()).map_err(file_error(file))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn beside(path: &Path, what: &str) -> PathBuf {
    with_suffix(path, &format!(".{what}"))
}

/// A name is as durable as its folder.
fn sync_folder(path: &Path) -> Result<(), CopyError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(file_error(folder))
}
