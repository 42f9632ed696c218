//! The history of everything that people change: what `audit` shows and `undo` goes back by.

use base::Digest;
use serde_json::Value;

use crate::record::RecordKind;

/// What an entry of the history is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HistoryKind {
    /// A document.
    Record(RecordKind),
    /// A client or an API key of an application; its name is its id.
    Credential,
    /// A user.
    User,
    /// A token that was revoked; its name is its `jti`. All tokens of something: `client:…`, `user:…`, `grant:…`,
    /// `session:…`.
    Token,
    /// A key that tokens are signed with; its name is its `kid`.
    SigningKey,
    /// A token that clients may be registered with; its name is its id.
    RegistrationToken,
    /// A session that ended; its name is its `sid`.
    Session,
    /// What a user allows a client; its name is `USER/CLIENT_ID`.
    Consent,
}

impl HistoryKind {
    /// All kinds: those of documents, then the others.
    pub const ALL: [Self; 15] = [
        Self::Record(RecordKind::Gateway),
        Self::Record(RecordKind::Plan),
        Self::Record(RecordKind::Backend),
        Self::Record(RecordKind::TokenIssuer),
        Self::Record(RecordKind::Api),
        Self::Record(RecordKind::Application),
        Self::Record(RecordKind::Subscription),
        Self::Record(RecordKind::DenyRule),
        Self::Credential,
        Self::User,
        Self::Token,
        Self::SigningKey,
        Self::RegistrationToken,
        Self::Session,
        Self::Consent,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record(kind) => kind.as_str(),
            Self::Credential => "Credential",
            Self::User => "User",
            Self::Token => "Token",
            Self::SigningKey => "SigningKey",
            Self::RegistrationToken => "RegistrationToken",
            Self::Session => "Session",
            Self::Consent => "Consent",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One change of one thing. Secrets and hashes are never in it.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryEntry {
    /// The revision of the change.
    pub revision: u64,
    /// Its place among the changes of that revision.
    pub ordinal: u64,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who did it: a user's name, a client's id, or `system`.
    pub actor: String,
    /// The call that it was done by (its trace id); absent where there was none.
    pub request: Option<String>,
    /// What was changed.
    pub kind: HistoryKind,
    /// Which.
    pub name: String,
    /// What it was before; `None` when it was created.
    pub before: Option<Value>,
    /// What it is after; `None` when it was deleted.
    pub after: Option<Value>,
    /// The definition's blob before; unknown of changes that are older than schema `m0002_revisions`.
    pub before_blob: Option<Digest>,
    /// The definition's blob after; as above.
    pub after_blob: Option<Digest>,
}

/// Which entries of the history are wanted; the default wants all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryFilter {
    /// Only of these kinds; none = of every kind.
    pub kinds: Vec<HistoryKind>,
    /// Only of the thing with this name.
    pub name: Option<String>,
    /// Only what this one did.
    pub actor: Option<String>,
    /// Only from this time on, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// Only before this time, in milliseconds since 1970.
    pub until_unix_ms: Option<u64>,
    /// Only of this revision.
    pub revision: Option<u64>,
    /// Only of later revisions than this one.
    pub later_than: Option<u64>,
    /// Only what stands before this (revision, ordinal): the last one of the part of the list before.
    pub before: Option<(u64, u64)>,
    /// At most so many.
    pub limit: u64,
}

impl Default for HistoryFilter {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            name: None,
            actor: None,
            since_unix_ms: None,
            until_unix_ms: None,
            revision: None,
            later_than: None,
            before: None,
            limit: i64::MAX as u64,
        }
    }
}

impl HistoryFilter {
    /// Every change of one document.
    pub fn of(kind: RecordKind, name: impl Into<String>) -> Self {
        Self {
            kinds: vec![HistoryKind::Record(kind)],
            name: Some(name.into()),
            ..Self::default()
        }
    }
}
