//! What policies look up while they run: callers, subscriptions, plans, issuers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::{
    ApplicationId, CredentialId, Digest, Environment, KeyLimits, KeyMark, Org, SubscriptionId,
    TokenMarks,
};
use jose::Claims;

use crate::Identity;
use crate::denial::Denials;
use crate::limit::Measure;
use crate::outside::{Introspected, Outside};

/// The node's tables of what changes by the second. Look-ups neither block nor allocate beyond their answer.
pub trait Directory: Send + Sync {
    /// Grows with every change of any table, *after* the change is in force: what was derived from look-ups at one
    /// version may be kept while the version stands.
    fn version(&self) -> u64;

    /// The issuer that documents call by this name.
    fn issuer(&self, org: &Org, name: &str) -> Option<Arc<Issuer>>;

    /// The platform's OAuth client with this id.
    fn client(&self, client_id: &str) -> Option<ClientView>;

    /// The client that an issuer outside of the platform knows by this id.
    fn outside_client(&self, _org: &Org, _issuer: &str, _client_id: &str) -> Option<ClientView> {
        None
    }

    /// The API key that a caller presented, as presented; it is hashed inside.
    fn api_key(&self, presented: &str) -> Option<ApiKeyView>;

    /// The application of this name.
    fn application(&self, _org: &Org, _name: &str) -> Option<ApplicationId> {
        None
    }

    /// What an application's document says of it, for those whom it is told to.
    fn application_view(&self, _: ApplicationId) -> Option<ApplicationView> {
        None
    }

    /// The subscription of an application to an API (document name).
    fn subscription(&self, application: ApplicationId, api: &str) -> Option<SubscriptionView>;

    /// The deny rules; `None` where there is none.
    fn denials(&self) -> Option<Arc<Denials>> {
        None
    }

    /// What the document of an application allows it across all APIs, in the shape of a plan with the application's name;
    /// `None` = nothing of its own.
    fn application_limits(&self, _: ApplicationId) -> Option<Arc<Plan>> {
        None
    }

    /// Whether this token was revoked, by itself or with all tokens of something that it comes of.
    fn is_revoked(&self, token: &TokenMarks) -> bool;

    /// What an opaque token of the platform stands for, by the SHA-256 of its text; `None` when there is none. Whether it
    /// was revoked is [`Directory::is_revoked`]'s.
    fn opaque_token(&self, _: Digest) -> Asking<Option<Claims>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Waits until the tables are as new as the control plane's: for a token whose key is not known (yet). Too many of
    /// these in a short time are not answered.
    fn catch_up(&self) -> Asking<()> {
        Box::pin(std::future::ready(Err(NotAnswered::Unavailable)))
    }

    /// How many tokens and key ids that nobody knew a core remembers, so that they are not asked for again at once.
    fn not_known_max(&self) -> usize {
        4_096
    }

    /// One more was not remembered.
    fn not_remembered(&self) {}

    /// Waits until the keys of an issuer outside of the platform are as new as can be: for a token whose key is not known (yet).
    fn newer_keys(&self, _org: &Org, _issuer: &str) -> Asking<()> {
        Box::pin(std::future::ready(Err(NotAnswered::Unavailable)))
    }

    /// What an issuer outside of the platform says that a token stands for; `None` when it is not active.
    fn introspect(
        &self,
        _org: &Org,
        _issuer: &str,
        _token: &str,
    ) -> Asking<Option<Arc<Introspected>>> {
        Box::pin(std::future::ready(Err(NotAnswered::Unavailable)))
    }

    /// Uses what is good for one use on this node, and remembers that until this second since 1970.
    fn use_once(&self, _: Digest, _until_unix_s: u64) -> Once {
        Once::Full
    }
}

/// An answer that somebody else has to give.
pub type Asking<T> = Pin<Box<dyn Future<Output = Result<T, NotAnswered>> + Send>>;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAnswered {
    /// Too much is being asked already.
    TooMany,
    /// Nobody answers, or not in time.
    Unavailable,
}

/// Whether something may be used that is good for one use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Once {
    /// It is used now.
    First,
    /// It was used before.
    Again,
    /// Too much is remembered already to know.
    Full,
}

/// A directory of a gateway whose APIs are all open: nobody is known, no token is accepted.
#[derive(Clone, Copy, Debug)]
pub struct NobodyKnown;

impl Directory for NobodyKnown {
    fn version(&self) -> u64 {
        0
    }
    fn issuer(&self, _: &Org, _: &str) -> Option<Arc<Issuer>> {
        None
    }
    fn client(&self, _: &str) -> Option<ClientView> {
        None
    }
    fn api_key(&self, _: &str) -> Option<ApiKeyView> {
        None
    }
    fn subscription(&self, _: ApplicationId, _: &str) -> Option<SubscriptionView> {
        None
    }
    fn is_revoked(&self, _: &TokenMarks) -> bool {
        false
    }
}

/// Somebody whose tokens are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// Its name in documents.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The audience that a token of the platform needs where the API names none.
    pub audience: String,
    /// Its public keys.
    pub keys: jose::KeySet,
    /// What is known of it, where it is not the platform itself.
    pub outside: Option<Arc<Outside>>,
}

/// Whom an OAuth client belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// The organisation.
    pub org: Org,
    /// The application.
    pub application: ApplicationId,
    /// The credential.
    pub credential: CredentialId,
    /// What it is for.
    pub environment: Environment,
}

/// Whom an API key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyView {
    /// The organisation.
    pub org: Org,
    /// The application.
    pub application: ApplicationId,
    /// The credential.
    pub credential: CredentialId,
    /// Which of its texts was presented.
    pub mark: KeyMark,
    /// What it is for.
    pub environment: Environment,
    /// The second since 1970 from which it no longer works.
    pub expires_unix_s: Option<u64>,
    /// What it is limited to; `None` = nothing.
    pub limited: Option<Arc<LimitedKey>>,
}

/// The limits of an API key, and what they make of who calls. Made once for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitedKey {
    limits: Arc<KeyLimits>,
    identity: Arc<Identity>,
}

impl LimitedKey {
    /// `None` where there are no limits.
    #[must_use]
    pub fn of(limits: &KeyLimits) -> Option<Arc<Self>> {
        if limits.is_empty() {
            return None;
        }
        let scopes = limits.scopes.as_ref();
        let identity = Identity {
            scopes: scopes.map(|scopes| scopes.iter().cloned().collect()),
            ..Identity::default()
        };
        Some(Arc::new(Self {
            limits: Arc::new(limits.clone()),
            identity: Arc::new(identity),
        }))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Arc<KeyLimits> {
        &self.limits
    }

    /// Who calls: somebody with the scopes that the key stands for.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

/// What an application is called, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationView {
    /// Its document's name.
    pub name: String,
    /// The user whose it is.
    pub owner: Option<String>,
}

/// A subscription with its plan.
#[derive(Clone, Debug)]
pub struct SubscriptionView {
    /// Its id: quotas count under it.
    pub id: SubscriptionId,
    /// The plan; `None` when no plan of that name exists (any more).
    pub plan: Option<Arc<Plan>>,
}

/// A plan as the limit policy needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name, shown in `RateLimit-Policy`.
    pub name: String,
    /// The quota; none = unlimited.
    pub quota: Option<Window>,
    /// The burst window; none = no burst control.
    pub burst: Option<Window>,
}

/// At most so many requests in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Requests, or what `measure` counts.
    pub requests: u64,
    /// Length in milliseconds.
    pub window_ms: u64,
    /// What is counted.
    pub measure: Measure,
}
