//! The node's folder of secrets: what documents name and never hold.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::context::Core;
use crate::remembered::Memory;
use crate::stamp::{LOOK_EVERY_MS, Stamp};

/// The largest file that is read. It keeps mistakes out of memory: no secret, list of users or list of revoked certificates comes
/// near.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// The node's folder of secrets (`--secrets-dir`), kept by whoever runs the node.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    folder: Option<PathBuf>,
}

impl Secrets {
    /// This folder.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// No folder: nothing can be read.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

/// What one core has made of files of the folder of secrets, looked at again once a second at most and made anew when they
/// have changed. What cannot be read or used leaves in force what was; until there is something, there is nothing.
///
/// Files are read on the core: they are small, on the node's own disk, and read when they change.
pub struct FromFiles<T> {
    all: HashMap<Box<[PathBuf]>, Made<T>, foldhash::fast::RandomState>,
}

impl<T> Default for FromFiles<T> {
    fn default() -> Self {
        Self {
            all: HashMap::default(),
        }
    }
}

struct Made<T> {
    /// With a number that no other one of this core has.
    now: Option<(Rc<T>, u64)>,
    stamps: Vec<Stamp>,
    looked_ms: u64,
}

/// The number of the latest thing that a core has made of files.
#[derive(Default)]
struct Latest(u64);

/// What was made of these files below the folder of secrets, with a number that is another one when they were read anew.
/// `None` while there is nothing that could be used.
///
/// `make` gets the bytes of the files, in their order; what it gives as an error is logged, never a content.
pub fn from_files<T: 'static>(
    core: &Core,
    now_ms: u64,
    files: &[PathBuf],
    make: impl FnOnce(&[Vec<u8>]) -> Result<T, String>,
) -> Option<(Rc<T>, u64)> {
    let folder = core.runtime.secrets.folder.as_ref()?;
    let memory: Rc<RefCell<FromFiles<T>>> = core.memory();
    let mut memory = memory.borrow_mut();
    if let Some(made) = memory.all.get_mut(files) {
        if now_ms.saturating_sub(made.looked_ms) < LOOK_EVERY_MS {
            return made.now.clone();
        }
        made.looked_ms = now_ms;
        let stamps = stamps(folder, files);
        if made.now.is_some() && stamps == made.stamps {
            return made.now.clone();
        }
        made.stamps = stamps;
        if let Some(fresh) = read(core, folder, files, make) {
            made.now = Some(fresh);
        }
        return made.now.clone();
    }
    let limits = &core.runtime.remembered;
    limits.make_room(Memory::Secrets, &mut memory.all);
    let stamps = stamps(folder, files);
    let now = read(core, folder, files, make);
    let made = Made {
        now: now.clone(),
        stamps,
        looked_ms: now_ms,
    };
    memory.all.insert(files.into(), made);
    now
}

fn stamps(folder: &Path, files: &[PathBuf]) -> Vec<Stamp> {
    let of = |file: &PathBuf| Stamp::of(&folder.join(file));
    files.iter().map(of).collect()
}

fn read<T>(
    core: &Core,
    folder: &Path,
    files: &[PathBuf],
    make: impl FnOnce(&[Vec<u8>]) -> Result<T, String>,
) -> Option<(Rc<T>, u64)> {
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        match bytes(&folder.join(file)) {
            Ok(bytes) => texts.push(bytes),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a secret cannot be read");
                return None;
            }
        }
    }
    match make(&texts) {
        Ok(made) => {
            let latest = core.memory::<Latest>();
            let mut latest = latest.borrow_mut();
            latest.0 += 1;
            Some((Rc::new(made), latest.0))
        }
        Err(error) => {
            let file = files.first().map(|file| file.display().to_string());
            tracing::warn!(file, error, "a secret cannot be used");
            None
        }
    }
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read");
        return Err(std::io::Error::other(message));
    }
    std::fs::read(path)
}

#[cfg(test)]
mod tests;
