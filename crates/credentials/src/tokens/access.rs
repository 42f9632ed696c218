//! What a gateway token is minted for, and the claims that say so (RFC 9068 §2.2).

use std::collections::BTreeSet;

use base::{ApplicationId, GrantId, Org, SessionId, UserId};
use jose::Confirmation;
use serde_json::{Map, Value};
use store::SigningAlgorithm;

use super::gateway_audience;

/// What a gateway token is minted for. Begin with [`AccessGrant::new`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessGrant {
    /// Whose gateways take it.
    pub org: Org,
    /// The client it is issued to.
    pub client_id: String,
    /// Whom it is about.
    pub subject: Subject,
    /// Its scopes.
    pub scopes: BTreeSet<String>,
    /// Its lifetime in seconds; `None` = the configured one.
    pub lifetime_s: Option<u64>,
    /// Whom it is for; empty = all gateways of the organisation.
    pub audience: Vec<String>,
    /// The store's revision, read before anything was checked for this token: revocations of a later revision end it.
    /// With 0 every revocation of its client or user does.
    pub revision: u64,
    /// What the user allowed; `None` where nobody was asked.
    pub grant: Option<GrantId>,
    /// What its bearer has to prove beside having it.
    pub confirmation: Option<Confirmation>,
    /// Who acts for the subject: the claim `act` of RFC 8693 §4.1.
    pub actor: Option<Value>,
    /// What it came of by exchanges, nearest first: the claim `from`, entries with `jti` and `client_id`. The end of any of
    /// them is its end.
    pub from: Vec<Value>,
    /// What it is signed with.
    pub algorithm: SigningAlgorithm,
}

/// Whom a token is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The application itself (client_credentials).
    Application(ApplicationId),
    /// A user who logged in.
    User(UserSubject),
}

/// A user, and how the log-in went that a token comes of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserSubject {
    /// The user: `sub`, unless the client has another name for it.
    pub id: UserId,
    /// What the client knows the user by: `sub`; `None` = by the id. Then nothing in the token tells who it is.
    pub pairwise: Option<String>,
    /// The user's name: `username`, for clients that know the id.
    pub name: String,
    /// When the user last proved who it is, in seconds since 1970 (OpenID Connect Core §2).
    pub auth_time_unix_s: u64,
    /// How sure that is (`acr`); `None` where nothing is said.
    pub acr: Option<String>,
    /// By which means (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// The session; its end ends the token. `None` for what outlives sessions (`offline_access`).
    pub session: Option<SessionId>,
}

impl AccessGrant {
    /// A token for this subject and nothing else yet: no scopes, the configured lifetime, a bearer token.
    #[must_use]
    pub fn new(org: Org, client_id: impl Into<String>, subject: Subject) -> Self {
        Self {
            org,
            client_id: client_id.into(),
            subject,
            scopes: BTreeSet::new(),
            lifetime_s: None,
            audience: Vec::new(),
            revision: 0,
            grant: None,
            confirmation: None,
            actor: None,
            from: Vec::new(),
            algorithm: SigningAlgorithm::default(),
        }
    }

    /// The claims, without those that every token has (`iss`, `iat`, `exp`, `jti`).
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        match self.audience.as_slice() {
            [] => put("aud", gateway_audience(&self.org).into()),
            [one] => put("aud", one.as_str().into()),
            several => put("aud", several.into()),
        };
        put("client_id", self.client_id.as_str().into());
        put("org", self.org.as_str().into());
        if self.revision > 0 {
            put("rev", self.revision.into());
        }
        match &self.subject {
            Subject::Application(application) => {
                put("sub", application.to_string().into());
            }
            Subject::User(user) => {
                match &user.pairwise {
                    Some(name) => put("sub", name.as_str().into()),
                    None => {
                        put("sub", user.id.to_string().into());
                        put("username", user.name.as_str().into())
                    }
                };
                put("auth_time", user.auth_time_unix_s.into());
                if let Some(acr) = &user.acr {
                    put("acr", acr.as_str().into());
                }
                if !user.amr.is_empty() {
                    put("amr", user.amr.as_slice().into());
                }
                if let Some(session) = user.session {
                    put("sid", session.to_string().into());
                }
            }
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
            put("scope", scopes.join(" ").into());
        }
        if let Some(grant) = self.grant {
            put("grant_id", grant.to_string().into());
        }
        if let Some(confirmation) = &self.confirmation {
            put("cnf", confirmation.to_claim());
        }
        if let Some(actor) = &self.actor {
            put("act", actor.clone());
        }
        if !self.from.is_empty() {
            put("from", self.from.clone().into());
        }
        claims
    }
}
