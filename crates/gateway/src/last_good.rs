//! What a node serves, on its disk, so that it can start and serve while the control plane is away.
//!
//! Two files in a folder of the node's own, mode 0600: `base` is a complete update, `deltas` are the updates that came
//! after it, in order. A base is written beside the old one and renamed over it; deltas are appended. When the deltas
//! have grown larger than the base, a new base takes the place of both. `seen` says when the control plane answered last.
//!
//! Everything is sealed (the entries hold the key under which API keys are hashed), record by record, for its place in
//! its file: what was damaged, cut off, moved or put there by another does not open. Of deltas everything before the
//! damage counts, since each brings the node from one revision to the next; a damaged base counts nothing.
//!
//! Start at [`Keeper`] for writing, [`load`] for reading.

mod file;
mod full;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sync::Update;

pub use writer::{Keeper, KeeperState};

/// Seals what is written, for one place, and opens it again.
pub trait Vault: Send + Sync {
    /// Encrypts for a place; `None` when the cryptography fails.
    fn seal(&self, place: &str, plain: Vec<u8>) -> Option<Vec<u8>>;
    /// Decrypts what was sealed for this place; `None` for anything else.
    fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>>;
}

/// Where and how a node keeps what it serves.
#[derive(Clone)]
pub struct Settings {
    /// The folder; made when it is not there.
    pub folder: PathBuf,
    /// What seals the files.
    pub vault: Arc<dyn Vault>,
    /// Bytes of base and deltas together. What is larger is not kept.
    pub bytes_max: u64,
    /// How long a node serves without having heard of its control plane; then it refuses calls until it has.
    pub age_max_ms: u64,
}

/// What was on the disk.
#[derive(Debug)]
pub struct Loaded {
    /// A complete update.
    pub update: Update,
    /// When the control plane last answered, in milliseconds since 1970.
    pub seen_unix_ms: u64,
    /// What of it could not be read, for the log; empty when all could.
    pub damage: Vec<Damage>,
}

/// A place where a file cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("{}: from byte {offset} on it cannot be read: {cause}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// How much of it can be read.
    pub offset: u64,
    /// Why not more.
    pub cause: String,
}

/// Reads what is on the disk; `Ok(None)` where nothing was kept.
///
/// # Errors
/// [`Damage`] of the base: nothing of it counts.
pub fn load(settings: &Settings) -> Result<Option<Loaded>, Damage> {
    let vault = settings.vault.as_ref();
    let path = settings.folder.join(BASE);
    if !path.exists() {
        return Ok(None);
    }
    let base = file::read(&path, file::Kind::Base, None, vault, settings.bytes_max);
    if let Some(damage) = base.damage {
        return Err(damage);
    }
    let mut full = full::Full::default();
    let mut seen_unix_ms = 0;
    let complete = base.parts.last().is_some_and(|part| !part.more);
    if !complete {
        return Err(Damage {
            offset: base.length,
            path,
            cause: "it ends in the middle".to_owned(),
        });
    }
    for part in base.parts {
        seen_unix_ms = part.at_unix_ms;
        full.put(part.update);
    }
    let mut damage = Vec::new();
    let path = settings.folder.join(DELTAS);
    if path.exists() {
        let kind = file::Kind::Deltas;
        let deltas = file::read(&path, kind, Some(base.id), vault, settings.bytes_max);
        damage.extend(deltas.damage);
        for part in deltas.parts {
            seen_unix_ms = seen_unix_ms.max(part.at_unix_ms);
            full.put(part.update);
        }
    }
    let seen = file::read_seen(&settings.folder.join(SEEN), vault);
    // Of another base it says nothing of this one; and after damage what is left is as old as it is.
    if let Some(seen) = seen.filter(|seen| seen.base == base.id.to_string() && damage.is_empty()) {
        seen_unix_ms = seen_unix_ms.max(seen.at_unix_ms);
    }
    Ok(Some(Loaded {
        update: full.into_update(),
        seen_unix_ms,
        damage,
    }))
}

/// The files' names.
const BASE: &str = "base";
const DELTAS: &str = "deltas";
const SEEN: &str = "seen";

/// The same folder's file under another name, for writing beside.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

#[cfg(test)]
pub(crate) mod tests;
