//! Client secrets and API keys: 256 random bits, shown once, kept as keyed hashes.
//!
//! A fast hash is enough for them, because nobody guesses 256 bits; it is keyed so that a copy of the database alone
//! cannot even be tested against a secret that somebody overheard.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base::{
    ApplicationId, CredentialId, Digest, Environment, KeyLimits, Org, Secret, SecretId, key_text,
};
use store::{
    Client, ClientMetadata, ClientStore, Credential, CredentialKind, CredentialSecret,
    CredentialUse, LIVE_SECRETS_MAX, RESIDENT,
};

use crate::key_file::KeyFile;
use crate::random::{NoRandomness, random_text};

const SECRET_BITS: usize = 256;
/// A client id is public and only has to be unique.
const CLIENT_ID_BITS: usize = 128;
/// How much of an API key people see again: `twk_` and 8 characters of 52; 216 bits stay unknown.
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
    /// The secret, to be shown once; `None` for a client that proves itself otherwise.
    pub client_secret: Option<Secret<String>>,
}

/// A new API key. The key exists here and nowhere else.
#[derive(Debug)]
pub struct NewApiKey {
    /// The row to store.
    pub credential: Credential,
    /// The key, to be shown once.
    pub key: Secret<String>,
}

/// What a new credential is, apart from its kind.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The application's organisation.
    pub org: Org,
    /// Whose.
    pub application: ApplicationId,
    /// What people call it; may be empty.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// Seconds since 1970 at which it stops to work.
    pub expires_unix_s: Option<u64>,
}

impl Wish {
    /// A nameless credential for production that lasts.
    #[must_use]
    pub fn new(org: &Org, application: ApplicationId) -> Self {
        Self {
            org: org.clone(),
            application,
            name: String::new(),
            environment: Environment::default(),
            expires_unix_s: None,
        }
    }

    fn credential(
        self,
        kind: CredentialKind,
        secrets: Vec<CredentialSecret>,
        now_unix_ms: u64,
    ) -> Credential {
        Credential {
            id: CredentialId::generate(),
            org: self.org,
            application: self.application,
            name: self.name,
            kind,
            environment: self.environment,
            secrets,
            created_unix_ms: now_unix_ms,
            updated_unix_ms: now_unix_ms,
            expires_unix_s: self.expires_unix_s,
            used_unix_s: None,
        }
    }
}

/// Why a credential gets no new secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RotateError {
    /// As many secrets are live as may be.
    #[error(
        "{LIVE_SECRETS_MAX} secrets are live already; delete one of them, or wait until it ends"
    )]
    TooMany,
    /// A client that proves itself without a secret of ours.
    #[error("the client has no secret: it proves itself by other means")]
    NoSecret,
    /// See [`NoRandomness`].
    #[error(transparent)]
    Random(#[from] NoRandomness),
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

    /// A new client of an application: `twc_…`, with the secret `tws_…` where its metadata wants one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn client_create(
        &self,
        wish: Wish,
        metadata: ClientMetadata,
        now_unix_ms: u64,
    ) -> Result<NewClient, NoRandomness> {
        let client_id = random_text("twc_", CLIENT_ID_BITS)?;
        let secret = if metadata.token_endpoint_auth_method.has_secret() {
            Some(self.client_secret_create(now_unix_ms)?)
        } else {
            None
        };
        let (row, client_secret) = secret.unzip();
        let kind = CredentialKind::Client(Box::new(Client {
            client_id: client_id.clone(),
            issuer: RESIDENT.to_owned(),
            registration: None,
            metadata,
        }));
        Ok(NewClient {
            credential: wish.credential(kind, row.into_iter().collect(), now_unix_ms),
            client_id,
            client_secret,
        })
    }

    /// A new API key of an application: see [`base::key_text`] for its format.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn api_key_create(
        &self,
        wish: Wish,
        limits: KeyLimits,
        now_unix_ms: u64,
    ) -> Result<NewApiKey, NoRandomness> {
        let (row, key) = self.key_create(now_unix_ms)?;
        let kind = CredentialKind::ApiKey(limits);
        Ok(NewApiKey {
            credential: wish.credential(kind, vec![row], now_unix_ms),
            key,
        })
    }

    /// Gives a credential one more secret. Those that it has end at `old_until_unix_s` at the latest; those that have
    /// ended are dropped.
    ///
    /// # Errors
    /// [`RotateError`]; nothing is changed then.
    pub fn rotate(
        &self,
        credential: &mut Credential,
        old_until_unix_s: u64,
        now_unix_ms: u64,
    ) -> Result<Secret<String>, RotateError> {
        let now_unix_s = now_unix_ms / 1000;
        let until = |secret: &CredentialSecret| {
            let own = secret.expires_unix_s.unwrap_or(u64::MAX);
            own.min(old_until_unix_s)
        };
        let mut kept: Vec<CredentialSecret> = credential
            .secrets
            .iter()
            .filter(|secret| now_unix_s < until(secret))
            .cloned()
            .collect();
        if kept.len() >= LIVE_SECRETS_MAX {
            return Err(RotateError::TooMany);
        }
        let (row, text) = match &credential.kind {
            CredentialKind::ApiKey(_) => self.key_create(now_unix_ms)?,
            CredentialKind::Client(client)
                if client.metadata.token_endpoint_auth_method.has_secret() =>
            {
                self.client_secret_create(now_unix_ms)?
            }
            CredentialKind::Client(_) => return Err(RotateError::NoSecret),
        };
        for secret in &mut kept {
            secret.expires_unix_s = Some(until(secret));
        }
        kept.push(row);
        credential.secrets = kept;
        credential.updated_unix_ms = now_unix_ms;
        Ok(text)
    }

    /// A secret for a client, not stored yet.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn client_secret_create(
        &self,
        now_unix_ms: u64,
    ) -> Result<(CredentialSecret, Secret<String>), NoRandomness> {
        let text = Secret::new(random_text("tws_", SECRET_BITS)?);
        let hash = hash(&self.client_secret, text.expose());
        Ok((row(hash, None, now_unix_ms), text))
    }

    fn key_create(
        &self,
        now_unix_ms: u64,
    ) -> Result<(CredentialSecret, Secret<String>), NoRandomness> {
        let text = random_text(key_text::PREFIX, SECRET_BITS)?;
        let text = Secret::new(key_text::with_checksum(text));
        let prefix = text.expose()[..PREFIX_CHARS].to_owned();
        let hash = hash(&self.api_key, text.expose());
        Ok((row(hash, Some(prefix), now_unix_ms), text))
    }

    /// Which secret of a client this is; `None` when there is no such client, it or the secret has expired, or the
    /// secret is wrong. All of these cost the same: one hash, and one comparison for each secret that may be live.
    #[must_use]
    pub fn client_secret_of(
        &self,
        client: Option<&Credential>,
        client_secret: &Secret<String>,
        now_unix_s: u64,
    ) -> Option<SecretId> {
        let presented = hash(&self.client_secret, client_secret.expose());
        let mut live = client
            .filter(|credential| credential.client().is_some())
            .into_iter()
            .flat_map(|credential| credential.live_secrets(now_unix_s));
        let nobody = Digest::from_bytes([0; 32]);
        let mut found = None;
        for _ in 0..LIVE_SECRETS_MAX {
            let secret = live.next();
            let kept = secret.map_or(nobody, |secret| secret.hash);
            let matches = equal(presented.as_bytes(), kept.as_bytes());
            if let Some(secret) = secret.filter(|_| matches) {
                found = Some(secret.id);
            }
        }
        found
    }

    /// The client that proves itself with this secret, and which secret it was; `None` as in
    /// [`SecretHashes::client_secret_of`].
    ///
    /// # Errors
    /// The store's.
    pub async fn client_authenticate(
        &self,
        store: &dyn ClientStore,
        client_id: &str,
        client_secret: &Secret<String>,
        now_unix_s: u64,
    ) -> store::Result<Option<(Credential, SecretId)>> {
        let found = store.client_get(client_id).await?;
        let secret = self.client_secret_of(found.as_ref(), client_secret, now_unix_s);
        let proved = found.zip(secret);
        if let Some((credential, secret)) = &proved {
            note_use(store, credential, Some(*secret), now_unix_s).await;
        }
        Ok(proved)
    }

    /// A token for registrations: `twr_…`, and what is kept of it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn registration_token(&self) -> Result<(Secret<String>, Digest), NoRandomness> {
        let text = random_text("twr_", SECRET_BITS)?;
        let hash = self.registration_hash(&text);
        Ok((Secret::new(text), hash))
    }

    /// What is kept of a registration token, an initial one (RFC 7591 §3) or that of one client (RFC 7592 §3).
    #[must_use]
    pub fn registration_hash(&self, token: &str) -> Digest {
        hash(&self.client_secret, token)
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

/// How coarse the last use of a credential is, in seconds: it is written at most once in so many.
pub const USE_EVERY_S: u64 = 60;

/// Notes that a client was used, unless that was noted a moment ago. What cannot be written is not worth a refusal.
pub async fn note_use(
    store: &dyn ClientStore,
    credential: &Credential,
    secret: Option<SecretId>,
    now_unix_s: u64,
) {
    let row = credential.secrets.iter().find(|row| Some(row.id) == secret);
    let known = row.map_or(credential.used_unix_s, |row| row.used_unix_s);
    if known.is_some_and(|known| now_unix_s < known.saturating_add(USE_EVERY_S)) {
        return;
    }
    let used = CredentialUse {
        credential: credential.id,
        secret,
        at_unix_s: now_unix_s,
    };
    if let Err(error) = store.credentials_used(&[used]).await {
        tracing::warn!(%error, "the last use of a client was not noted");
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

fn row(hash: Digest, prefix: Option<String>, created_unix_ms: u64) -> CredentialSecret {
    CredentialSecret {
        id: SecretId::generate(),
        hash,
        prefix,
        created_unix_ms,
        expires_unix_s: None,
        used_unix_s: None,
    }
}

fn hash(key: &hmac::Key, text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(key, text.as_bytes()).as_ref());
    Digest::from_bytes(bytes)
}
