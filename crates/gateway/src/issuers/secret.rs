//! A secret of the node that a document refers to, read again when it has changed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::Secret;
use policy::stamp::{LOOK_EVERY_MS, Stamp};
use sync::issuer::SecretModel;

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretFault {
    #[error("the secret {} cannot be read: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the secret {} is empty", .0.display())]
    Empty(PathBuf),
    #[error("the variable {0} is not set")]
    Env(String),
}

/// See the module.
pub(super) struct SecretOf {
    place: Place,
    read: Mutex<Option<Read>>,
}

enum Place {
    File(PathBuf),
    Env(String),
}

struct Read {
    text: Secret<String>,
    seen: Stamp,
    looked_ms: u64,
}

impl SecretOf {
    pub(super) fn new(model: &SecretModel, secrets_dir: &Path) -> Self {
        Self {
            place: match model {
                SecretModel::File(file) => Place::File(secrets_dir.join(file)),
                SecretModel::Env(name) => Place::Env(name.clone()),
            },
            read: Mutex::default(),
        }
    }

    /// The secret as it is now. Reads a file: not for a core's thread. One that cannot be read any more stays what it was.
    pub(super) fn get(&self, now_ms: u64) -> Result<Secret<String>, SecretFault> {
        let path = match &self.place {
            Place::File(path) => path,
            Place::Env(name) => {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                return value
                    .map(Secret::new)
                    .ok_or_else(|| SecretFault::Env(name.clone()));
            }
        };
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = known.as_mut() {
            if now_ms.saturating_sub(read.looked_ms) < LOOK_EVERY_MS {
                return Ok(read.text.clone());
            }
            read.looked_ms = now_ms;
            if Stamp::of(path) == read.seen {
                return Ok(read.text.clone());
            }
        }
        match fresh(path, now_ms) {
            Ok(read) => Ok(known.insert(read).text.clone()),
            Err(fault) => match known.as_ref() {
                Some(read) => {
                    tracing::warn!(%fault, "a secret has changed and cannot be read: the earlier one stays in force");
                    Ok(read.text.clone())
                }
                None => Err(fault),
            },
        }
    }
}

fn fresh(path: &Path, looked_ms: u64) -> Result<Read, SecretFault> {
    // Before it is read: a change in between is seen by the next look.
    let seen = Stamp::of(path);
    let text = std::fs::read_to_string(path).map_err(|source| SecretFault::File {
        path: path.to_owned(),
        source,
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(SecretFault::Empty(path.to_owned()));
    }
    Ok(Read {
        text: Secret::new(text.to_owned()),
        seen,
        looked_ms,
    })
}
