//! Fetched keys on the node's disk, in one sealed file: a node that starts serves without the issuers.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jose::{KeySet, KeySetRules};
use serde::{Deserialize, Serialize};
use sync::issuer::KeySource;
use sync::{IssuerModel, ResourceKey};

use super::keys::FetchedKeys;
use crate::last_good::Vault;

/// What the file is sealed for.
const PLACE: &str = "issuers";

/// The keys of one issuer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: ResourceKey,
    /// They are of no use when the document names another issuer or source now.
    issuer: String,
    source: KeySource,
    jwks: serde_json::Value,
    at_unix_ms: u64,
}

/// The file. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Kept(Arc<Inner>);

struct Inner {
    path: PathBuf,
    vault: Arc<dyn Vault>,
    entries: Mutex<BTreeMap<ResourceKey, Entry>>,
}

impl Kept {
    /// Reads the file; what cannot be read is fetched again.
    pub(super) fn load(path: PathBuf, vault: Arc<dyn Vault>) -> Self {
        let mut entries = BTreeMap::new();
        match std::fs::read(&path) {
            Ok(sealed) => {
                let plain = vault.open(PLACE, &sealed);
                let read =
                    plain.and_then(|plain| serde_json::from_slice::<Vec<Entry>>(&plain).ok());
                match read {
                    Some(read) => {
                        entries.extend(read.into_iter().map(|entry| (entry.key.clone(), entry)));
                    }
                    None => tracing::error!(
                        path = %path.display(),
                        "the kept keys of token issuers cannot be used; they are fetched again"
                    ),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the kept keys of token issuers cannot be read");
            }
        }
        Self(Arc::new(Inner {
            path,
            vault,
            entries: Mutex::new(entries),
        }))
    }

    /// What was kept of an issuer.
    pub(super) fn of(
        &self,
        key: &ResourceKey,
        model: &IssuerModel,
        rules: &KeySetRules,
    ) -> Option<FetchedKeys> {
        let entries = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key)?;
        let source = &model.outside.as_deref()?.keys;
        if entry.issuer != model.issuer || entry.source != *source {
            return None;
        }
        let keys = KeySet::from_json(&entry.jwks.to_string(), rules);
        Some(FetchedKeys {
            keys: keys.ok()?,
            at_unix_ms: entry.at_unix_ms,
        })
    }

    /// Keeps what was fetched.
    pub(super) fn put(&self, key: &ResourceKey, model: &IssuerModel, fetched: &FetchedKeys) {
        let Some(outside) = model.outside.as_deref() else {
            return;
        };
        let entry = Entry {
            key: key.clone(),
            issuer: model.issuer.clone(),
            source: outside.keys.clone(),
            jwks: fetched.keys.to_json(),
            at_unix_ms: fetched.at_unix_ms,
        };
        let mut entries = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        entries.insert(key.clone(), entry);
        drop(entries);
        self.write();
    }

    /// Forgets the others.
    pub(super) fn keep_only(&self, keep: impl Fn(&ResourceKey) -> bool) {
        let mut entries = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = entries.len();
        entries.retain(|key, _| keep(key));
        let changed = entries.len() != before;
        drop(entries);
        if changed {
            self.write();
        }
    }

    /// Writes beside the file and renames over it, on a thread that may wait. Who comes later writes what is newer: the
    /// entries are read under the lock that is held until the file stands.
    fn write(&self) {
        let kept = self.clone();
        tokio::task::spawn_blocking(move || {
            let inner = &kept.0;
            let entries = inner.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let all: Vec<&Entry> = entries.values().collect();
            let Ok(plain) = serde_json::to_vec(&all) else {
                return;
            };
            let Some(sealed) = inner.vault.seal(PLACE, plain) else {
                tracing::error!("the keys of token issuers cannot be sealed");
                return;
            };
            if let Err(error) = replace(&inner.path, &sealed) {
                tracing::error!(path = %inner.path.display(), %error, "the keys of token issuers cannot be kept");
            }
        });
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
