//! The signing keys: sealed in the store, open in memory.

use std::collections::BTreeMap;

use base::{Org, Secret};
use jose::{Algorithm, KeySet, SigningKey};
use store::{Batch, KeyState, SigningAlgorithm, SigningKeyRecord, Store, Write};

use super::TokensError;
use crate::key_file::KeyFile;

/// What every platform has a key for.
pub(super) const ALWAYS: [SigningAlgorithm; 2] = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa];

/// The keys that sign, and all that verify.
#[derive(Default)]
pub(super) struct KeyRing {
    signing: BTreeMap<SigningAlgorithm, SigningKey>,
    /// The public half of every key.
    pub(super) public: KeySet,
    pub(super) told: Vec<KeyInfo>,
}

/// A signing key, as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInfo {
    /// Its id.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// How far it is in its life.
    pub state: KeyState,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
}

impl KeyRing {
    /// The keys of the store.
    ///
    /// Public keys are derived from the sealed private ones and not taken from the row: who can write to the database
    /// but lacks the key file cannot add an issuer.
    pub(super) async fn load(store: &dyn Store, key_file: &KeyFile) -> Result<Self, TokensError> {
        let mut records = store.signing_key_list().await.map_err(TokensError::Store)?;
        // Newest first, of each algorithm.
        records.sort_by_key(|record| record.algorithm);
        let mut ring = Self::default();
        let mut public = Vec::new();
        for record in &records {
            let key = open(key_file, record)?;
            if key.algorithm() != algorithm(record.algorithm) {
                return Err(TokensError::Key(jose::KeyError::Signing { step: "read" }));
            }
            public.push(key.public_jwk());
            ring.told.push(KeyInfo {
                kid: record.kid.clone(),
                algorithm: record.algorithm,
                state: record.state,
                since_unix_ms: record.since_unix_ms,
                created_unix_ms: record.created_unix_ms,
            });
            // The list has the newest first: of two that sign (processes that started at once) the newer one does.
            if record.state == KeyState::Signing {
                ring.signing.entry(record.algorithm).or_insert(key);
            }
        }
        ring.public = KeySet::from_keys(public).map_err(TokensError::Key)?;
        Ok(ring)
    }

    /// The key that signs with this algorithm now.
    pub(super) fn signing(&self, algorithm: SigningAlgorithm) -> Result<&SigningKey, TokensError> {
        self.signing
            .get(&algorithm)
            .ok_or(TokensError::NoKey(algorithm))
    }
}

/// A new key, sealed.
pub(super) fn create(
    key_file: &KeyFile,
    algorithm: SigningAlgorithm,
    state: KeyState,
    now_unix_ms: u64,
) -> Result<SigningKeyRecord, TokensError> {
    let key = SigningKey::generate(self::algorithm(algorithm)).map_err(TokensError::Key)?;
    let private: Secret<Vec<u8>> = key.to_pkcs8().map_err(TokensError::Key)?;
    let kid = key.kid().to_owned();
    let sealed = key_file
        .seal(&context(&kid), &private)
        .map_err(|source| TokensError::Seal {
            kid: kid.clone(),
            source,
        })?;
    Ok(SigningKeyRecord {
        kid,
        algorithm,
        state,
        sealed,
        public_jwk: key.public_jwk().to_json(),
        created_unix_ms: now_unix_ms,
        since_unix_ms: now_unix_ms,
    })
}

/// A batch of changes of keys.
pub(super) fn batch(writes: Vec<Write>, by: &By, now_unix_ms: u64) -> Batch {
    Batch {
        org: Org::default_org(),
        actor: by.actor.clone(),
        at_unix_ms: now_unix_ms,
        request: by.request.clone(),
        writes,
    }
}

/// Who changes the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct By {
    /// A user's name, or `system`.
    pub actor: String,
    /// The call that it is done by: its trace id.
    pub request: Option<String>,
}

impl By {
    /// The platform itself, because it is time.
    #[must_use]
    pub fn system() -> Self {
        Self {
            actor: "system".to_owned(),
            request: None,
        }
    }
}

fn algorithm(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Es256 => Algorithm::Es256,
        SigningAlgorithm::EdDsa => Algorithm::EdDsa,
        SigningAlgorithm::Rs256 => Algorithm::Rs256,
    }
}

fn open(key_file: &KeyFile, record: &SigningKeyRecord) -> Result<SigningKey, TokensError> {
    let private = key_file
        .unseal(&context(&record.kid), &record.sealed)
        .map_err(|source| TokensError::Seal {
            kid: record.kid.clone(),
            source,
        })?;
    SigningKey::from_pkcs8(&private).map_err(TokensError::Key)
}

/// A sealed key opens in its own row alone.
fn context(kid: &str) -> String {
    format!("signing-key:{kid}")
}
