//! The rows, as the rest of the code sees them.

use base::{ApplicationId, CredentialId, Digest, Org, TokensOf, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clients::SigningAlgorithm;

/// The kinds of document that are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum RecordKind {
    /// `Api`
    Api,
    /// `Backend`
    Backend,
    /// `Plan`
    Plan,
    /// `Gateway`
    Gateway,
    /// `Application`: grows with use, a table of its own.
    Application,
    /// `Subscription`: grows with use, a table of its own.
    Subscription,
    /// `DenyRule`
    DenyRule,
    /// `TokenIssuer`
    TokenIssuer,
}

impl RecordKind {
    /// All kinds, in an order in which each refers only to those before it; an issuer may name an application, which is looked for by its
    /// name.
    pub const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Plan,
        Self::Backend,
        Self::TokenIssuer,
        Self::Api,
        Self::Application,
        Self::Subscription,
        Self::DenyRule,
    ];

    /// The kind's name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "Api",
            Self::Backend => "Backend",
            Self::Plan => "Plan",
            Self::Gateway => "Gateway",
            Self::Application => "Application",
            Self::Subscription => "Subscription",
            Self::DenyRule => "DenyRule",
            Self::TokenIssuer => "TokenIssuer",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One stored document.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its organisation.
    pub org: Org,
    /// Its kind.
    pub kind: RecordKind,
    /// Its `metadata.name`.
    pub name: String,
    /// An id that is never used again after deletion; of an application or subscription it is *the* id.
    pub id: uuid::Uuid,
    /// The document (`metadata`, `spec`), canonical, without `status`.
    pub document: Value,
    /// The document's digest.
    pub digest: Digest,
    /// The definition's blob, for an API.
    pub blob: Option<Digest>,
    /// Facts that queries and other records go by, taken from the document.
    pub links: Links,
    /// The revision that wrote it last: the value of `ETag`.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// What a document refers to; empty fields where the kind has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    /// Application: its owner (a user's name).
    pub owner: Option<String>,
    /// Subscription: the application's id.
    pub application: Option<ApplicationId>,
    /// Subscription: the API (document name).
    pub api: Option<String>,
    /// Subscription: the plan (document name).
    pub plan: Option<String>,
}

/// A role of a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in the organisation.
    Admin,
    /// APIs and backends.
    Publisher,
    /// Applications, subscriptions and credentials of one's own.
    Subscriber,
}

impl Role {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        }
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its organisation.
    pub org: Org,
    /// The name to log in with, unique in the organisation.
    pub name: String,
    /// PHC string (argon2id).
    pub password_hash: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
}

impl User {
    /// Tells one password from another, without saying anything of either: sessions keep it.
    #[must_use]
    pub fn password_stamp(&self) -> Digest {
        Digest::of(self.password_hash.as_bytes())
    }
}

/// Without the hash.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}/{}, {:?})", self.org, self.name, self.roles)
    }
}

/// A token that is refused before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// The token's `jti`.
    pub jti: String,
    /// The token's `exp`: afterwards the row may go.
    pub expires_unix_s: u64,
}

/// A key that tokens are signed with.
#[derive(Clone, PartialEq, Debug)]
pub struct SigningKeyRecord {
    /// Its id in JWK sets.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// How far it is in its life.
    pub state: KeyState,
    /// The private key, sealed under the key file.
    pub sealed: Vec<u8>,
    /// The public key (RFC 7517).
    pub public_jwk: Value,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Since when it is in its state, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// How far a signing key is in its life. Public halves of all of them are published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Published, so that everybody knows it before it signs.
    Next,
    /// Signs; one a moment and algorithm.
    Signing,
    /// Signs no more; its tokens are good until it is withdrawn.
    Retiring {
        /// When the last of its tokens has expired, in seconds since 1970.
        until_unix_s: u64,
    },
}

impl KeyState {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Signing => "signing",
            Self::Retiring { .. } => "retiring",
        }
    }
}

/// What a row of the change feed is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ChangeKey {
    /// A document was put or deleted. `id` is the record's id, so that a deleted application can still be named.
    Record {
        /// Its organisation.
        org: Org,
        /// Its kind.
        kind: RecordKind,
        /// Its name.
        name: String,
        /// Its id.
        id: uuid::Uuid,
    },
    /// A credential was put or deleted.
    Credential(CredentialId),
    /// A token was revoked.
    Revocation(String),
    /// All tokens of something ended.
    TokensEnd(TokensOf),
    /// The signing keys changed.
    SigningKeys,
}

/// One row of the change feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The revision that it belongs to.
    pub revision: u64,
    /// What changed; read the object to learn how.
    pub key: ChangeKey,
}

/// A part of the change feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// The reader is at this revision after them.
    pub upto: u64,
    /// `since` is older than what the feed keeps, or ahead of the store: read everything anew.
    pub reset: bool,
}
