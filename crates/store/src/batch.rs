//! What one transaction writes.

use base::{
    ApplicationId, CredentialId, Digest, Org, RegistrationTokenId, SessionId, TokensOf, UserId,
};
use serde_json::Value;

use crate::clients::{Credential, RegistrationToken};
use crate::grants::Consent;
use crate::record::{Links, RecordKind, Revocation, SigningKeyRecord, User};

/// Writes that happen together, by one actor in one organisation.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The organisation of all documents in it.
    pub org: Org,
    /// Who writes: a user's name, or `system`. Goes to the history.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The call that it is done by: its trace id. Goes to the history; `None` where nobody called.
    pub request: Option<String>,
    /// The writes, done in this order.
    pub writes: Vec<Write>,
}

/// What the writer believes about an object; anything else refuses the whole batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It is not there ([`crate::StoreError::Exists`] otherwise).
    Absent,
    /// It is there, at this revision ([`crate::StoreError::Stale`] or [`crate::StoreError::Missing`] otherwise).
    Revision(u64),
}

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores a blob; the same content twice is stored once.
    BlobPut {
        /// SHA-256 of the content.
        digest: Digest,
        /// The content.
        content: std::sync::Arc<[u8]>,
    },
    /// Creates or replaces a document. A document equal to the stored one (same digest) changes nothing, keeps its
    /// revision and gives no change.
    RecordPut {
        /// Its kind.
        kind: RecordKind,
        /// Its name.
        name: String,
        /// The id it gets when it is created.
        new_id: uuid::Uuid,
        /// The document.
        document: Value,
        /// Its digest.
        digest: Digest,
        /// The definition's blob.
        blob: Option<Digest>,
        /// What it refers to.
        links: Links,
        /// What the writer believes.
        expect: Expect,
    },
    /// Deletes a document. An application takes its subscriptions and credentials along, an API and a plan nothing:
    /// whoever calls has checked that nothing refers to them.
    RecordDelete {
        /// Its kind.
        kind: RecordKind,
        /// Its name.
        name: String,
        /// What the writer believes; the object must be there in any case.
        expect: Expect,
    },
    /// Makes an API's next revision, unless the newest one has this digest. The API itself is written by a
    /// [`Write::RecordPut`] of the same batch.
    ApiRevisionPut {
        /// The API's document name.
        api: String,
        /// The digest of the content: of the document and its definition.
        digest: Digest,
        /// The content of the document.
        document: Value,
        /// The definition's blob.
        blob: Option<Digest>,
    },
    /// Creates a credential.
    CredentialPut(Credential),
    /// Replaces a credential of the same id, application, kind and client id, with its secrets; those that it names no
    /// more are deleted. The caller has read it in the same [`crate::Store::turn`].
    CredentialReplace(Credential),
    /// Deletes a credential of an application.
    CredentialDelete {
        /// Whose.
        application: ApplicationId,
        /// Which.
        id: CredentialId,
    },
    /// Revokes a token; twice is as good as once.
    RevocationPut(Revocation),
    /// Ends all tokens of something that were asked for before this batch.
    TokensEnd {
        /// Whose.
        of: TokensOf,
        /// When the last of them would expire by itself, in seconds since 1970.
        expires_unix_s: u64,
    },
    /// Ends a session of the organisation: its grants but those that outlive it, and its tokens, with it. All clients that
    /// were given something in it wait for being told ([`crate::GrantStore::logouts_take`]).
    /// [`crate::StoreError::Missing`] when there is no such session.
    SessionEnd {
        /// Its public name.
        sid: SessionId,
        /// When the last of its tokens would expire by itself, in seconds since 1970.
        expires_unix_s: u64,
    },
    /// As [`Self::SessionEnd`], all sessions of a user, also those whose browser has another one by now; none is fine.
    SessionsEnd {
        /// Whose.
        user: UserId,
        /// As above.
        expires_unix_s: u64,
    },
    /// Adds to what a user of the organisation allows a client: scopes and resources are those of before and these.
    ConsentAdd(Consent),
    /// Takes back what a user of the organisation allowed a client: all grants of it end, and their tokens.
    /// [`crate::StoreError::Missing`] when nothing was allowed.
    ConsentDelete {
        /// Who.
        user: UserId,
        /// Whom.
        client_id: String,
        /// When the last of the tokens would expire by itself, in seconds since 1970.
        expires_unix_s: u64,
    },
    /// Creates a user ([`Expect::Absent`]) or replaces it.
    UserPut(User, Expect),
    /// Deletes a user, and what it allowed clients.
    UserDelete(String),
    /// Adds a signing key, or changes the state of the one with its id.
    SigningKeyPut(SigningKeyRecord),
    /// Withdraws a signing key, by its id.
    SigningKeyDelete(String),
    /// Adds a registration token.
    RegistrationTokenPut(RegistrationToken),
    /// Takes one use of a registration token; [`crate::StoreError::Missing`] when it has none left.
    RegistrationTokenUse(RegistrationTokenId),
    /// Deletes a registration token.
    RegistrationTokenDelete(RegistrationTokenId),
}
