//! Access tokens of the resident issuer: for the gateways of an organisation, and for the control API.
//!
//! Both are RFC 9068 JWTs signed by the same keys, with ES256 unless the client chose otherwise. What keeps them apart is the audience: a gateway takes
//! `urn:tollway:<organisation>:gateway`, the control API takes `urn:tollway:control`, and neither takes the other's.

mod access;
mod keys;
mod opaque;
mod rotation;
mod statements;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use base::{Clock, Code, Org, Secret, UserId, code};
use jose::{Claims, Expectation, JoseError, TYP_ACCESS_TOKEN};
use serde_json::{Value, json};
use store::{KeyState, Revocation, Role, SigningAlgorithm, Store, StoreError, User};

use crate::acknowledged::NotAcknowledged;
use crate::key_file::{KeyFile, SealError};
use crate::random::{NoRandomness, random_text};
pub use access::{AccessGrant, Subject, UserSubject};
use keys::{ALWAYS, KeyRing};
pub use keys::{By, KeyInfo};
pub use opaque::IssueError;
pub use rotation::RotationConfig;

/// The audience of the control API.
const CONTROL_AUDIENCE: &str = "urn:tollway:control";
/// The client of control tokens (RFC 9068 requires one): the platform's own log-in.
const CONTROL_CLIENT: &str = "tollway";
const JTI_BITS: usize = 128;

/// How long a revocation outlives its token's `exp`, in seconds. It must be longer than the leeway of any verifier:
/// else a revoked token would be good again between its `exp` and `exp` + leeway.
pub const REVOCATION_MARGIN_S: u64 = 300;

/// The audience of an organisation's gateways.
#[must_use]
pub fn gateway_audience(org: &Org) -> String {
    format!("urn:tollway:{org}:gateway")
}

/// The revocation of a token with these claims.
#[must_use]
pub fn revocation(jti: &str, exp_unix_s: u64) -> Revocation {
    Revocation {
        jti: jti.to_owned(),
        expires_unix_s: exp_unix_s.saturating_add(REVOCATION_MARGIN_S),
    }
}

/// How tokens are made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokensConfig {
    /// The public URL of the identity role: `iss` of every token and the beginning of every link.
    /// A trailing slash is dropped.
    pub issuer: String,
    /// Lifetime of a gateway token in seconds, unless the grant states one; default one hour.
    pub access_lifetime_s: u64,
    /// Lifetime of a control token in seconds; default eight hours.
    pub control_lifetime_s: u64,
    /// The longest lifetime of any token in seconds, whatever grants, applications and clients say; default 7 days. A
    /// signing key that was replaced stays published for so long.
    pub lifetime_max_s: u64,
    /// The longest list of scopes in a token, in bytes; default 4096. Servers refuse heads of more than about 8 KiB.
    pub scope_bytes_max: usize,
}

impl TokensConfig {
    /// The defaults for this issuer.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            access_lifetime_s: 60 * 60,
            control_lifetime_s: 8 * 60 * 60,
            lifetime_max_s: 7 * 24 * 60 * 60,
            scope_bytes_max: 4096,
        }
    }
}

/// A token that was minted.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token.
    pub token: Secret<String>,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// Its id.
    pub jti: String,
}

/// Who calls the control API. Organisation and roles are those of the stored user at the time of the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlCaller {
    /// The user's organisation.
    pub org: Org,
    /// The user's name.
    pub user: String,
    /// The user's id.
    pub user_id: UserId,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// The id of the token.
    pub jti: String,
    /// When the token ends, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// Why tokens cannot be minted.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The issuer is no absolute URL.
    #[error(
        "the public URL {0:?} is not `http://…` or `https://…` with a host and without query, fragment or blanks"
    )]
    Issuer(String),
    /// The store's.
    #[error("the signing keys could not be read or stored")]
    Store(#[source] StoreError),
    /// A signing key does not open under this key file.
    #[error("the signing key {kid} cannot be opened")]
    Seal {
        /// Which key.
        kid: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// No key signs with this algorithm.
    #[error("there is no key that signs with {}", .0.as_str())]
    NoKey(SigningAlgorithm),
    /// Not every gateway knows the next key.
    #[error("not every gateway knows the next key yet")]
    NotAcknowledged(#[source] NotAcknowledged),
    /// A signing key is unusable.
    #[error("the signing key failed")]
    Key(#[source] jose::KeyError),
    /// No id could be made.
    #[error("no token id could be made")]
    Random(#[source] NoRandomness),
}

/// Why a token is not accepted. The texts may be shown to its bearer.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Malformed, forged, over, or meant for somebody else.
    #[error("the token is not accepted: {0}")]
    Refused(JoseError),
    /// An opaque token that nobody knows (any more).
    #[error("the token is not known (any more)")]
    Unknown,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// Its user does not exist any more.
    #[error("the token's user does not exist any more")]
    UserGone,
    /// The store cannot say.
    #[error("the token cannot be checked at the moment")]
    Store(#[source] StoreError),
}

impl TokenError {
    /// The code that the control API answers.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::Unknown | Self::Revoked | Self::UserGone => {
                code::UNAUTHENTICATED
            }
            Self::Store(_) => code::STORE_UNAVAILABLE,
        }
    }
}

/// The resident issuer. Cheap to clone; all clones share the keys.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    config: TokensConfig,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    key_file: KeyFile,
    ring: ArcSwap<KeyRing>,
    /// Held from reading the keys to using them: what was read first is not used last.
    reloading: tokio::sync::Mutex<()>,
    rotation_failures: AtomicU64,
}

impl Tokens {
    /// Loads the signing keys, or creates the first ones.
    ///
    /// # Errors
    /// [`TokensError`].
    pub async fn open(
        store: Arc<dyn Store>,
        key_file: KeyFile,
        clock: Arc<dyn Clock>,
        mut config: TokensConfig,
    ) -> Result<Self, TokensError> {
        config.issuer = issuer(&config.issuer)?;
        let ring = KeyRing::load(store.as_ref(), &key_file).await?;
        let is_new = ring.told.is_empty();
        let tokens = Self(Arc::new(Inner {
            config,
            store,
            clock,
            key_file,
            ring: ArcSwap::from_pointee(ring),
            reloading: tokio::sync::Mutex::default(),
            rotation_failures: AtomicU64::new(0),
        }));
        if is_new {
            let mut writes = Vec::new();
            for algorithm in ALWAYS {
                writes.push(tokens.new_key(algorithm, KeyState::Signing).await?);
            }
            tokens.write_keys(writes, &By::system()).await?;
        }
        Ok(tokens)
    }

    /// Reads the signing keys again. To be called when the change feed says that they changed.
    ///
    /// # Errors
    /// [`TokensError`]; the present keys stay then.
    pub async fn reload(&self) -> Result<(), TokensError> {
        let _alone = self.0.reloading.lock().await;
        let ring = KeyRing::load(self.0.store.as_ref(), &self.0.key_file).await?;
        self.0.ring.store(Arc::new(ring));
        Ok(())
    }

    /// The issuer: the public URL of the identity role, without a trailing slash.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.config.issuer
    }

    /// How tokens are made.
    #[must_use]
    pub fn config(&self) -> &TokensConfig {
        &self.0.config
    }

    /// The public keys, as a JWK set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.0.ring.load().public.to_json()
    }

    /// Mints a token for the gateways of an organisation.
    ///
    /// # Errors
    /// [`TokensError::Key`], [`TokensError::Random`].
    ///
    /// Source: RFC 9068 §2.
    pub fn mint_access_token(&self, grant: &AccessGrant) -> Result<AccessToken, TokensError> {
        let (claims, minted) = self.claims_of(grant)?;
        let token = self.sign(grant.algorithm, TYP_ACCESS_TOKEN, &claims)?;
        Ok(AccessToken {
            token: Secret::new(token),
            ..minted
        })
    }

    /// Mints a token for the control API. It names the user and carries no roles: they are read at each call. `revision`
    /// is the store's before the user was looked at; see [`AccessGrant::revision`].
    ///
    /// # Errors
    /// [`TokensError::Key`], [`TokensError::Random`].
    pub fn mint_control_token(
        &self,
        user: &User,
        revision: u64,
    ) -> Result<AccessToken, TokensError> {
        let claims = json!({
            "rev": revision,
            "aud": CONTROL_AUDIENCE,
            "sub": user.id,
            "client_id": CONTROL_CLIENT,
            "org": user.org,
            "username": user.name,
        });
        let lifetime_s = self.0.config.control_lifetime_s;
        let (claims, minted) = self.completed(claims, lifetime_s)?;
        let token = self.sign(SigningAlgorithm::default(), TYP_ACCESS_TOKEN, &claims)?;
        Ok(AccessToken {
            token: Secret::new(token),
            ..minted
        })
    }

    /// The claims of an access token (JWT) of this organisation, whomever it is for and whether it was revoked or not. For
    /// opaque ones see [`Tokens::access_claims`].
    ///
    /// # Errors
    /// [`TokenError::Refused`].
    pub fn read_access(&self, org: &Org, token: &str) -> Result<Claims, TokenError> {
        self.of_org(org, self.claims(token, &self.any_audience())?)
    }

    /// The claims of an access token of this organisation, JWT or opaque, that was not revoked.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_access(&self, org: &Org, token: &str) -> Result<Claims, TokenError> {
        let claims = self.access_claims(org, token).await?;
        self.check_ended(&claims).await?;
        Ok(claims)
    }

    /// Who calls the control API with this token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_control(&self, token: &str) -> Result<ControlCaller, TokenError> {
        let control = vec![CONTROL_AUDIENCE.to_owned()];
        let expectation = Expectation::access_token(self.issuer(), control);
        let claims = self.claims(token, &expectation)?;
        self.check_ended(&claims).await?;
        let text = |claim: &str| claims.other.get(claim).and_then(Value::as_str);
        let (Some(org), Some(name)) = (text("org"), text("username")) else {
            return Err(TokenError::UserGone);
        };
        let user = self
            .0
            .store
            .user_get(&Org::new(org), name)
            .await
            .map_err(TokenError::Store)?
            // By id too: a new user of the same name is somebody else.
            .filter(|user| user.id.to_string() == claims.sub)
            .ok_or(TokenError::UserGone)?;
        Ok(ControlCaller {
            org: user.org,
            user: user.name,
            user_id: user.id,
            roles: user.roles,
            jti: claims.jti.unwrap_or_default(),
            expires_unix_s: claims.exp,
        })
    }

    /// Signs claims as they are, with the present key of an algorithm: for ID tokens, logout tokens and the like. They
    /// must not outlive [`TokensConfig::lifetime_max_s`].
    ///
    /// # Errors
    /// [`TokensError::NoKey`], [`TokensError::Key`].
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &Value,
    ) -> Result<String, TokensError> {
        let ring = self.0.ring.load();
        let key = ring.signing(algorithm)?;
        key.sign(typ, claims).map_err(TokensError::Key)
    }

    /// The claims of a token that is about to be made; of what is made of them all but the text.
    fn claims_of(&self, grant: &AccessGrant) -> Result<(Value, AccessToken), TokensError> {
        let lifetime_s = grant.lifetime_s.unwrap_or(self.0.config.access_lifetime_s);
        self.completed(grant.claims().into(), lifetime_s)
    }

    fn completed(
        &self,
        mut claims: Value,
        lifetime_s: u64,
    ) -> Result<(Value, AccessToken), TokensError> {
        let lifetime_s = lifetime_s.min(self.0.config.lifetime_max_s);
        let now = self.0.clock.unix_s();
        let jti = random_text("", JTI_BITS).map_err(TokensError::Random)?;
        claims["iss"] = self.issuer().into();
        claims["iat"] = now.into();
        claims["exp"] = now.saturating_add(lifetime_s).into();
        claims["jti"] = jti.as_str().into();
        let minted = AccessToken {
            token: Secret::new(String::new()),
            expires_in: lifetime_s,
            jti,
        };
        Ok((claims, minted))
    }

    fn claims(&self, token: &str, expectation: &Expectation) -> Result<Claims, TokenError> {
        let ring = self.0.ring.load();
        jose::verify(token, &ring.public, expectation, self.0.clock.unix_s())
            .map(|verified| verified.claims)
            .map_err(TokenError::Refused)
    }
}

/// Without the keys.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

fn issuer(url: &str) -> Result<String, TokensError> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let sound = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty()
            && !host.contains('@')
            && !rest.contains(|c: char| matches!(c, '?' | '#' | '"' | '<' | '>' | '\\') || c <= ' ')
            && !rest.contains(char::is_whitespace)
    });
    if !sound {
        return Err(TokensError::Issuer(url.to_owned()));
    }
    Ok(url.trim_end_matches('/').to_owned())
}
