//! Client secrets and API keys: 256 random bits, shown once, kept as keyed hashes.
//!
//! A fast hash is enough for them, because nobody guesses 256 bits; it is keyed so that a copy of the database alone
//! cannot even be tested against a secret that somebody overheard.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base::{ApplicationId, CredentialId, Digest, Environment, Org, Secret};
use store::{Credential, CredentialKind, CredentialStore};

use crate::key_file::KeyFile;
use crate::random::{NoRandomness, random_text};

const SECRET_BITS: usize = 256;
/// A client id is public and only has to be unique.
const CLIENT_ID_BITS: usize = 128;
/// How much of an API key people see again: `twk_` and 8 of 52 characters; 216 bits stay unknown.
const PREFIX_CHARS: usize = 12;

/// Makes and checks client secrets and API keys.
///
/// The hash is HMAC-SHA-256 over the whole text, prefix included, as UTF-8.
#[derive(Clone)]
pub struct SecretHashes {
    client_secret: hmac::Key,
    api_key: hmac::Key,
    api_key_hashing: Secret<[u8; 32]>,
}

/// A new OAuth client. The secret exists here and nowhere else.
#[derive(Debug)]
pub struct NewClient {
    /// The row to store.
    pub credential: Credential,
    /// The public id, as in the row.
    pub client_id: String,
    /// The secret, to be shown once.
    pub client_secret: Secret<String>,
}

/// A new API key. The key exists here and nowhere else.
#[derive(Debug)]
pub struct NewApiKey {
    /// The row to store.
    pub credential: Credential,
    /// The key, to be shown once.
    pub key: Secret<String>,
}

impl SecretHashes {
    /// Hashes under the keys of this file.
    #[must_use]
    pub fn new(keys: &KeyFile) -> Self {
        Self {
            client_secret: hmac::Key::new(hmac::HMAC_SHA256, keys.client_secret_hash().expose()),
            api_key: hmac::Key::new(hmac::HMAC_SHA256, keys.api_key_hash().expose()),
            api_key_hashing: keys.api_key_hash().clone(),
        }
    }

    /// A new client of an application: `twc_…` with the secret `tws_…`. It works until `expires_unix_s`, if given. It is
    /// for production, unless the caller writes another environment into the row.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn client_create(
        &self,
        org: &Org,
        application: ApplicationId,
        now_unix_ms: u64,
        expires_unix_s: Option<u64>,
    ) -> Result<NewClient, NoRandomness> {
        let client_id = random_text("twc_", CLIENT_ID_BITS)?;
        let client_secret = Secret::new(random_text("tws_", SECRET_BITS)?);
        let credential = Credential {
            id: CredentialId::generate(),
            org: org.clone(),
            application,
            kind: CredentialKind::Client {
                client_id: client_id.clone(),
            },
            hash: hash(&self.client_secret, client_secret.expose()),
            created_unix_ms: now_unix_ms,
            expires_unix_s,
            environment: Environment::default(),
        };
        Ok(NewClient {
            credential,
            client_id,
            client_secret,
        })
    }

    /// A new API key of an application: `twk_…`. It works until `expires_unix_s`, if given. It is for production, unless
    /// the caller writes another environment into the row.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn api_key_create(
        &self,
        org: &Org,
        application: ApplicationId,
        now_unix_ms: u64,
        expires_unix_s: Option<u64>,
    ) -> Result<NewApiKey, NoRandomness> {
        let key = Secret::new(random_text("twk_", SECRET_BITS)?);
        let credential = Credential {
            id: CredentialId::generate(),
            org: org.clone(),
            application,
            kind: CredentialKind::ApiKey {
                prefix: key.expose()[..PREFIX_CHARS].to_owned(),
            },
            hash: hash(&self.api_key, key.expose()),
            created_unix_ms: now_unix_ms,
            expires_unix_s,
            environment: Environment::default(),
        };
        Ok(NewApiKey { credential, key })
    }

    /// The client that proves itself with this secret; `None` when the id is unknown, the secret wrong, or the client
    /// has expired. The three cost the same hash.
    ///
    /// # Errors
    /// The store's.
    pub async fn client_authenticate(
        &self,
        store: &dyn CredentialStore,
        client_id: &str,
        client_secret: &Secret<String>,
        now_unix_s: u64,
    ) -> store::Result<Option<Credential>> {
        let found = store.client_get(client_id).await?;
        let kept = found
            .as_ref()
            .map_or_else(|| Digest::from_bytes([0; 32]), |credential| credential.hash);
        let presented = hash(&self.client_secret, client_secret.expose());
        let matches = equal(presented.as_bytes(), kept.as_bytes());
        Ok(found.filter(|credential| {
            matches
                && matches!(credential.kind, CredentialKind::Client { .. })
                && credential
                    .expires_unix_s
                    .is_none_or(|expires| now_unix_s < expires)
        }))
    }

    /// What is kept of an API key.
    #[must_use]
    pub fn api_key_hash(&self, key: &str) -> Digest {
        hash(&self.api_key, key)
    }

    /// The key of [`SecretHashes::api_key_hash`], for the nodes: they hash what callers present.
    #[must_use]
    pub fn api_key_hashing(&self) -> &Secret<[u8; 32]> {
        &self.api_key_hashing
    }
}

/// Without the keys.
impl std::fmt::Debug for SecretHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHashes(***)")
    }
}

/// Whether two secrets are equal. The time it takes tells their lengths at most.
#[must_use]
pub fn equal(presented: &[u8], kept: &[u8]) -> bool {
    verify_slices_are_equal(presented, kept).is_ok()
}

fn hash(key: &hmac::Key, text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(key, text.as_bytes()).as_ref());
    Digest::from_bytes(bytes)
}
