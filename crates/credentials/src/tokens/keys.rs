//! The signing keys: sealed in the store, open in memory.

use base::{Org, Secret};
use jose::{KeySet, SigningKey};
use store::{Batch, KeyState, SigningAlgorithm, SigningKeyRecord, Store, Write};

use super::TokensError;
use crate::key_file::KeyFile;

/// The key that signs, and all that verify.
pub(super) struct KeyRing {
    /// The newest.
    pub(super) signing: SigningKey,
    /// The public half of every key.
    pub(super) public: KeySet,
}

impl KeyRing {
    /// The keys of the store; `None` when it has none.
    ///
    /// Public keys are derived from the sealed private ones and not taken from the row: who can write to the database
    /// but lacks the key file cannot add an issuer.
    pub(super) async fn load(
        store: &dyn Store,
        key_file: &KeyFile,
    ) -> Result<Option<Self>, TokensError> {
        let records = store.signing_key_list().await.map_err(TokensError::Store)?;
        let keys = records
            .iter()
            .map(|record| open(key_file, record))
            .collect::<Result<Vec<_>, _>>()?;
        let public = keys.iter().map(SigningKey::public_jwk).collect();
        let public = KeySet::from_keys(public).map_err(TokensError::Key)?;
        // The list has the newest first.
        Ok(keys
            .into_iter()
            .next()
            .map(|signing| Self { signing, public }))
    }

    /// The first key of a store.
    pub(super) async fn create(
        store: &dyn Store,
        key_file: &KeyFile,
        now_unix_ms: u64,
    ) -> Result<Self, TokensError> {
        let signing = SigningKey::generate_es256().map_err(TokensError::Key)?;
        let private: Secret<Vec<u8>> = signing.to_pkcs8().map_err(TokensError::Key)?;
        let kid = signing.kid().to_owned();
        let sealed =
            key_file
                .seal(&context(&kid), &private)
                .map_err(|source| TokensError::Seal {
                    kid: kid.clone(),
                    source,
                })?;
        let record = SigningKeyRecord {
            kid,
            algorithm: SigningAlgorithm::Es256,
            state: KeyState::Signing,
            sealed,
            public_jwk: signing.public_jwk().to_json(),
            created_unix_ms: now_unix_ms,
            since_unix_ms: now_unix_ms,
        };
        let batch = Batch {
            org: Org::default_org(),
            actor: "system".to_owned(),
            at_unix_ms: now_unix_ms,
            request: None,
            writes: vec![Write::SigningKeyPut(record)],
        };
        store.commit(batch).await.map_err(TokensError::Store)?;
        let public = KeySet::from_keys(vec![signing.public_jwk()]).map_err(TokensError::Key)?;
        Ok(Self { signing, public })
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
