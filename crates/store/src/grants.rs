//! What people pass through: sessions, consents, grants, and the codes and refresh tokens that belong to grants.
//!
//! None of it is configuration: it makes no revision and no history. Whether something may be used once more is decided
//! by the database, in the transaction that uses it, so that of any number of racing calls one wins, in whatever process.
//! Secrets come and are kept as digests: they hold at least 128 random bits, so a fast hash tells nothing about them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base::{ApplicationId, Digest, GrantId, Org, SessionId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;

/// A browser in which somebody logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The digest of the cookie's secret.
    pub hash: Digest,
    /// Its public name: `sid` in tokens. Never used again.
    pub sid: SessionId,
    /// The user's organisation.
    pub org: Org,
    /// Who.
    pub user_id: UserId,
    /// The name to log in with.
    pub user: String,
    /// When it was used last, in seconds since 1970; written now and then.
    pub seen_unix_s: u64,
    /// When it ends at the latest, in seconds since 1970.
    pub expires_unix_s: u64,
    /// How it began.
    pub login: Login,
}

/// How somebody proved who they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Login {
    /// When, in seconds since 1970 (`auth_time`).
    pub at_unix_s: u64,
    /// By what (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// How sure that is (`acr`).
    pub acr: String,
    /// The digest of what the password was kept as: a changed password ends the session.
    pub stamp: Digest,
}

/// What somebody allowed a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consent {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub client_id: String,
    /// The scopes.
    pub scopes: BTreeSet<String>,
    /// The resources (RFC 8707).
    pub resources: BTreeSet<String>,
    /// When it was given last, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// What one authorization gave. Every code, refresh token and access token of it names it, and ends with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The client's organisation.
    pub org: Org,
    /// To which client.
    pub client_id: String,
    /// Of which user.
    pub user_id: UserId,
    /// The session in which it was given.
    pub sid: Option<SessionId>,
    /// Outlives its session.
    pub offline: bool,
    /// When it was revoked, in milliseconds since 1970.
    pub revoked_unix_ms: Option<u64>,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it ends by itself, in seconds since 1970.
    pub expires_unix_s: u64,
    /// What it says.
    pub terms: GrantTerms,
}

/// What a grant says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantTerms {
    /// The client's application.
    pub application: ApplicationId,
    /// The user's name when it was given.
    pub user: String,
    /// How the user logged in.
    pub login: Login,
    /// The scopes.
    pub scopes: BTreeSet<String>,
    /// The resources (RFC 8707); empty = what the scopes belong to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    /// The parameter `claims` (OpenID Connect Core §5.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
}

/// An authorization code, good for one exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationCode {
    /// The digest of the code.
    pub hash: Digest,
    /// What it stands for.
    pub grant: GrantId,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: u64,
    /// What it is bound to.
    pub binding: CodeBinding,
}

/// What the exchange of a code is held against.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodeBinding {
    /// The `redirect_uri` of the request.
    pub redirect_uri: String,
    /// Whether the request named it (RFC 6749 §4.1.3 then wants it again).
    pub redirect_uri_named: bool,
    /// The S256 challenge (RFC 7636).
    pub challenge: Option<String>,
    /// Goes to the id token.
    pub nonce: Option<String>,
    /// The thumbprint of the key that must come with the exchange (RFC 9449 §10).
    pub dpop_jkt: Option<String>,
}

/// What became of a code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeUse {
    /// Nobody knows it, or it is over.
    Unknown,
    /// This call is the one that may use it.
    Granted,
    /// It was used before; its grant is revoked now.
    Replayed,
}

/// A refresh token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshToken {
    /// The digest of the token.
    pub hash: Digest,
    /// What it stands for: all refresh tokens of a grant are one family.
    pub grant: GrantId,
    /// The key or certificate that has to come with it: `jkt:…` or `x5t#S256:…`.
    pub binding: Option<String>,
    /// When it ends unless it is used, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// How a refresh token is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshRule {
    /// Now, in milliseconds since 1970.
    pub now_unix_ms: u64,
    /// The token that takes its place; `None` = it stays.
    pub next: Option<RefreshToken>,
    /// When one that stays ends unless it is used again, in seconds since 1970.
    pub stays_until_unix_s: u64,
    /// How long after its rotation a token may come once more, in milliseconds.
    pub grace_ms: u64,
    /// How many tokens can come of one.
    pub siblings_max: u64,
}

/// What became of a refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshUse {
    /// Nobody knows it, it is over, or its grant is.
    Unknown,
    /// It was taken; the next one is stored.
    Granted,
    /// It came too late or too often: its grant is revoked now (req: T4).
    Replayed,
}

/// A device that waits for somebody (RFC 8628).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceCode {
    /// The digest of the device code.
    pub hash: Digest,
    /// What people type, without its separator.
    pub user_code: String,
    /// The client's organisation.
    pub org: Org,
    /// Which client.
    pub client_id: String,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: u64,
    /// Seconds between two questions; grows when the device is too fast.
    pub interval_s: u64,
    /// What the device asked for.
    pub wish: DeviceWish,
}

/// What a device asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceWish {
    /// The client's application.
    pub application: ApplicationId,
    /// Scopes.
    pub scopes: BTreeSet<String>,
    /// Resources (RFC 8707).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
}

/// What a device is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DevicePoll {
    /// Nobody knows the code, it is another client's, or it was used.
    Unknown,
    /// It is over.
    Expired,
    /// Nobody has decided yet.
    Pending,
    /// As [`Self::Pending`], and the device asked too early: the interval is this many seconds from now on.
    SlowDown(u64),
    /// Somebody said no.
    Denied,
    /// Somebody said yes; this call is the one that may use it.
    Granted(Box<Grant>),
}

/// A pushed authorization request (RFC 9126).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushedRequest {
    /// The digest of the `request_uri`.
    pub hash: Digest,
    /// Whose.
    pub client_id: String,
    /// The parameters, in the writer's own form.
    pub parameters: Value,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// Which grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantFilter {
    /// This one.
    Id(GrantId),
    /// Those of a session that do not outlive it.
    Session(SessionId),
    /// Those that a user gave a client.
    Consent(UserId, String),
    /// Those of a user.
    User(UserId),
    /// Those of a client.
    Client(String),
}

/// Where sessions and grants are kept.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Begins a session and ends the one that the browser had, in one step.
    async fn session_put(&self, session: &Session, replaced: Option<&Digest>) -> Result<()>;

    /// The session of a cookie, over or not.
    async fn session_get(&self, hash: &Digest) -> Result<Option<Session>>;

    /// The session with this public name, over or not.
    async fn session_find(&self, sid: SessionId) -> Result<Option<Session>>;

    /// Notes that a session was used.
    async fn session_seen(&self, hash: &Digest, now_unix_s: u64) -> Result<()>;

    /// Ends a session and revokes its grants but those that outlive it. Returns all grants that were given in it, so that
    /// their clients can be told; empty when there was no such session.
    async fn session_end(&self, sid: SessionId, now_unix_ms: u64) -> Result<Vec<Grant>>;

    /// What a user allowed a client.
    async fn consent_get(&self, user: UserId, client_id: &str) -> Result<Option<Consent>>;

    /// Writes a consent in the place of an older one.
    async fn consent_put(&self, consent: &Consent) -> Result<()>;

    /// All consents of a user, by client.
    async fn consent_list(&self, user: UserId) -> Result<Vec<Consent>>;

    /// Takes a consent back; `false` when there is none. Its grants stay: see [`GrantStore::grants_revoke`].
    async fn consent_delete(&self, user: UserId, client_id: &str) -> Result<bool>;

    /// Stores a grant and the code for it, both or none.
    async fn code_put(&self, grant: &Grant, code: &AuthorizationCode) -> Result<()>;

    /// A code and its grant, whether used, over, revoked or not: for checks before [`GrantStore::code_use`].
    async fn code_get(&self, hash: &Digest) -> Result<Option<(AuthorizationCode, Grant)>>;

    /// Uses a code, once of all calls there are, and stores the refresh token that it gives. A second use revokes the
    /// grant.
    async fn code_use(
        &self,
        hash: &Digest,
        now_unix_ms: u64,
        refresh: Option<&RefreshToken>,
    ) -> Result<CodeUse>;

    /// A refresh token and its grant, usable or not: for checks before [`GrantStore::refresh_use`].
    async fn refresh_get(&self, hash: &Digest) -> Result<Option<(RefreshToken, Grant)>>;

    /// Stores the first refresh token of a family.
    async fn refresh_put(&self, token: &RefreshToken) -> Result<()>;

    /// Uses a refresh token.
    ///
    /// A token that stays may be used again and again. One that is rotated may come again within the grace while none of
    /// those that came of it was used: that gives a sibling. The use of one sibling ends the others. Anything else
    /// revokes the family (req: T4).
    async fn refresh_use(&self, hash: &Digest, rule: &RefreshRule) -> Result<RefreshUse>;

    /// A grant, whatever became of it.
    async fn grant_get(&self, id: GrantId) -> Result<Option<Grant>>;

    /// Revokes grants and returns those that were not revoked before.
    async fn grants_revoke(&self, filter: &GrantFilter, now_unix_ms: u64) -> Result<Vec<Grant>>;

    /// Stores a device that waits.
    ///
    /// # Errors
    /// [`crate::StoreError::Exists`] when the user code is taken.
    async fn device_put(&self, device: &DeviceCode) -> Result<()>;

    /// The device that shows this user code, while nobody has decided and it is not over.
    async fn device_find(&self, user_code: &str, now_unix_s: u64) -> Result<Option<DeviceCode>>;

    /// Decides, once: with a grant yes, without one no. `false` when it was decided before or is over.
    async fn device_decide(
        &self,
        user_code: &str,
        grant: Option<&Grant>,
        now_unix_s: u64,
    ) -> Result<bool>;

    /// A device asks. `slower_s` is added to its interval when it asks too early. The yes is given once.
    async fn device_poll(
        &self,
        hash: &Digest,
        client_id: &str,
        now_unix_ms: u64,
        slower_s: u64,
    ) -> Result<DevicePoll>;

    /// Stores a pushed request.
    async fn pushed_put(&self, request: &PushedRequest) -> Result<()>;

    /// Takes a pushed request: it is gone afterwards. `None` for one that is over, too.
    async fn pushed_take(&self, hash: &Digest, now_unix_s: u64) -> Result<Option<PushedRequest>>;

    /// Forgets what is over, of each kind at most `limit` rows, and returns how many went. Again while it is not 0
    /// (req: T5).
    async fn grants_expire(&self, now_unix_s: u64, limit: u64) -> Result<u64>;
}
