//! What people pass through: sessions, consents, grants, and the codes and refresh tokens that belong to grants.
//!
//! None of it is configuration: it makes no revision. What somebody allowed a client, and the end of a session, are in the
//! history all the same, and are written by [`crate::Write`]. Whether something may be used once more is decided
//! by the database, in the transaction that uses it, so that of any number of racing calls one wins, in whatever process.
//! Secrets come and are kept as digests: they hold at least 128 random bits, so a fast hash tells nothing about them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base::{ApplicationId, Digest, GrantId, Org, SessionId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, User};

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
    /// Where it began.
    pub place: Place,
}

impl Session {
    /// Whether it is good: not over, not unused for `idle_s` seconds, and its user is there with the password that it began
    /// with.
    #[must_use]
    pub fn is_live(&self, user: Option<&User>, now_unix_s: u64, idle_s: u64) -> bool {
        let same = user.is_some_and(|user| {
            user.id == self.user_id && user.password_stamp() == self.login.stamp
        });
        let unused_s = now_unix_s.saturating_sub(self.seen_unix_s);
        same && now_unix_s < self.expires_unix_s && unused_s < idle_s
    }
}

/// From where somebody logged in, as far as the request says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The address.
    pub address: Option<String>,
    /// What the browser calls itself (`User-Agent`), shortened.
    pub agent: Option<String>,
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
    /// When it was given, or changed last, in milliseconds since 1970.
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

impl Grant {
    /// What its client knows the user by: `sub`.
    #[must_use]
    pub fn subject(&self) -> String {
        let pairwise = self.terms.subject.clone();
        pairwise.unwrap_or_else(|| self.user_id.to_string())
    }
}

/// What a grant says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantTerms {
    /// The client's application.
    pub application: ApplicationId,
    /// The user's name when it was given.
    pub user: String,
    /// What the client knows the user by, where that is not the id (`subject_type` `pairwise`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
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

/// What a new grant goes by. It is looked at in the transaction that stores the grant: whoever ends it meanwhile finds the
/// grant and ends that too, or there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Basis {
    /// The session that the grant names.
    pub session: bool,
    /// What the user allowed the client, of which the grant is a part.
    pub consent: bool,
}

impl Basis {
    /// Nothing has to stand.
    pub const NOTHING: Self = Self {
        session: false,
        consent: false,
    };
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
    /// Those of a user that do not outlive their sessions.
    UserSessions(UserId),
    /// Those of a client.
    Client(String),
}

/// A part of a list, by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdPage<I> {
    /// Only ids after this one.
    pub after: Option<I>,
    /// At most so many.
    pub limit: u64,
}

impl<I> IdPage<I> {
    /// The first `limit`.
    #[must_use]
    pub fn first(limit: u64) -> Self {
        Self { after: None, limit }
    }
}

/// A client that has to be told that a session ended (OpenID Connect Back-Channel Logout).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitingLogout {
    /// Its id.
    pub id: Uuid,
    /// The session's organisation.
    pub org: Org,
    /// The client.
    pub client_id: String,
    /// Whose session it was.
    pub user_id: UserId,
    /// Which session.
    pub sid: SessionId,
    /// How often it was taken, this time included.
    pub attempts: u64,
    /// When the session ended, in milliseconds since 1970.
    pub created_unix_ms: u64,
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

    /// Sessions of an organisation, or of one user of it, that have not expired, by their public names; after the one
    /// named and at most `limit`. Whether one is good [`Session::is_live`] says.
    async fn session_list(
        &self,
        org: &Org,
        user: Option<UserId>,
        now_unix_s: u64,
        page: &IdPage<SessionId>,
    ) -> Result<Vec<Session>>;

    /// What a user allowed a client.
    async fn consent_get(&self, user: UserId, client_id: &str) -> Result<Option<Consent>>;

    /// All consents of a user, by client.
    async fn consent_list(&self, user: UserId) -> Result<Vec<Consent>>;

    /// Consents of all users of an organisation, by user and client; after the one named and at most `limit`.
    async fn consent_list_of(
        &self,
        org: &Org,
        after: Option<(UserId, String)>,
        limit: u64,
    ) -> Result<Vec<Consent>>;

    /// Stores a grant and the code for it, both or none. `false` when what it goes by does not stand any more.
    async fn code_put(&self, grant: &Grant, basis: Basis, code: &AuthorizationCode)
    -> Result<bool>;

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

    /// The grants that were given in these sessions and are not revoked, oldest first.
    async fn grants_of_sessions(&self, sids: &[SessionId]) -> Result<Vec<Grant>>;

    /// Revokes grants and returns those that were not revoked before.
    async fn grants_revoke(&self, filter: &GrantFilter, now_unix_ms: u64) -> Result<Vec<Grant>>;

    /// Stores a device that waits.
    ///
    /// # Errors
    /// [`crate::StoreError::Exists`] when the user code is taken.
    async fn device_put(&self, device: &DeviceCode) -> Result<()>;

    /// The device that shows this user code, while nobody has decided and it is not over.
    async fn device_find(&self, user_code: &str, now_unix_s: u64) -> Result<Option<DeviceCode>>;

    /// Decides, once: with a grant yes, without one no. `false` when it was decided before or is over, or when what the
    /// grant goes by does not stand any more.
    async fn device_decide(
        &self,
        user_code: &str,
        grant: Option<(&Grant, Basis)>,
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

    /// Takes clients that have to be told of a logout by now, at most `limit`, the longest due first. Each is due again
    /// after `lease_ms`, unless it is settled before: who takes one and dies leaves it to another process.
    async fn logouts_take(
        &self,
        now_unix_ms: u64,
        lease_ms: u64,
        limit: u64,
    ) -> Result<Vec<WaitingLogout>>;

    /// Settles one that was taken: it is due again at this time, or gone for good with `None`.
    async fn logout_settle(&self, id: Uuid, due_unix_ms: Option<u64>) -> Result<()>;

    /// How many clients have to be told of a logout still.
    async fn logouts_waiting(&self) -> Result<u64>;

    /// Forgets what is over, of each kind at most `limit` rows, and returns how many went. Again while it is not 0
    /// (req: T5).
    async fn grants_expire(&self, now_unix_s: u64, limit: u64) -> Result<u64>;
}
