//! The data folder: made with mode 0700, held by one process at a time.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::UpError;

/// A data folder that this process holds; the lock goes with the value, and with the process however it ends.
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Makes the folder where it is not there, and takes it.
    ///
    /// # Errors
    /// [`UpError::File`] when it cannot be made or written, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self, UpError> {
        let fault = |cause: String| UpError::File {
            path: path.to_owned(),
            cause,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| fault(error.to_string()))?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("tollway.lock"));
        let lock = lock.map_err(|error| fault(format!("is not writable: {error}")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(fault(
                "is in use by another tollway; stop it or choose another folder with --data-dir"
                    .into(),
            )),
            Err(TryLockError::Error(error)) => Err(fault(format!("cannot be locked: {error}"))),
        }
    }

    /// Takes a folder over together with its lock, which the process before still holds too.
    pub(crate) fn inherit(path: &Path, lock: File) -> Self {
        Self {
            path: path.to_owned(),
            lock,
        }
    }

    /// A second handle on the lock, to be handed on.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub(crate) fn lock(&self) -> std::io::Result<File> {
        self.lock.try_clone()
    }

    /// The folder.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        let message = DataDir::open(&path).err().unwrap().to_string();
        assert!(
            message.contains("is in use by another tollway"),
            "{message}"
        );
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let message = DataDir::open(&path).err().unwrap().to_string();
        assert!(
            message.starts_with(&path.display().to_string()),
            "{message}"
        );
    }
}
