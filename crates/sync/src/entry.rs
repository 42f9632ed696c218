//! What changes by the second: applications, subscriptions, credentials, revocations.

use base::{
    ApplicationId, CredentialId, Digest, Environment, KeyLimits, Org, SubscriptionId, TokensOf,
};
use serde::{Deserialize, Serialize};

use crate::ResourceKey;
use crate::model::PlanModel;

/// The audience of one API's tokens, by the name of its document: what a resource indicator (RFC 8707) comes to.
#[must_use]
pub fn api_audience(org: &Org, api: &str) -> String {
    format!("urn:tollway:{org}:api:{api}")
}

/// Names one [`Entry`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryKey {
    /// An application.
    Application(ApplicationId),
    /// What an application may call all APIs together; where its document says anything.
    ApplicationLimits(ApplicationId),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A credential: OAuth client or API key.
    Credential(CredentialId),
    /// The `jti` of a revoked token.
    Revocation(String),
    /// All tokens of something.
    TokensEnd(TokensOf),
    /// A deny rule.
    DenyRule(ResourceKey),
    /// The key under which API keys are hashed; there is one.
    ApiKeyHashing,
}

/// The content of one entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// Something that can subscribe and hold credentials.
    Application {
        /// Its organisation.
        org: Org,
        /// Its document's name.
        name: String,
        /// The user whose it is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        owner: Option<String>,
    },
    /// What an application may call all APIs together: a plan with the application's name.
    ApplicationLimits(PlanModel),
    /// An application may call an API under a plan.
    Subscription {
        /// Who.
        application: ApplicationId,
        /// Which API: the name of its document.
        api: String,
        /// Under which plan: the name of its document.
        plan: String,
    },
    /// An OAuth client of an application: the `client_id` of its tokens.
    Client {
        /// Whose.
        application: ApplicationId,
        /// The public id, unique at its issuer.
        client_id: String,
        /// Which backends its calls go to.
        #[serde(default)]
        environment: Environment,
        /// The issuer whose client it is; `None` = the platform's own.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        issuer: Option<ResourceKey>,
    },
    /// An API key of an application.
    ApiKey {
        /// Whose.
        application: ApplicationId,
        /// The texts that it is presented by: one, or two while the older one is being replaced.
        keys: Vec<KeyHash>,
        /// Which backends its calls go to.
        #[serde(default)]
        environment: Environment,
        /// What it is limited to.
        #[serde(default)]
        limits: KeyLimits,
    },
    /// A token that is refused although its signature and times are good.
    Revocation {
        /// After this second since 1970 the token has expired anyway and the entry may be forgotten.
        expires_unix_s: u64,
    },
    /// All tokens of something are refused that were asked for before a revision.
    TokensEnd {
        /// The revision; see [`base::TokenMarks::ended_by`].
        revision: u64,
        /// From this second since 1970 on they have expired anyway and the entry may be forgotten.
        expires_unix_s: u64,
    },
    /// Calls that are refused.
    DenyRule(DenyModel),
    /// The secret key under which the platform hashes API keys. Nodes are trusted with it: they must hash what
    /// callers present.
    ApiKeyHashing {
        /// 32 bytes.
        key: Vec<u8>,
    },
}

/// A deny rule, reduced: a call that meets all of it is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DenyModel {
    /// Networks or addresses of clients; empty = all.
    pub clients: Vec<String>,
    /// Document names of applications; empty = all.
    pub applications: Vec<String>,
    /// Subjects of callers; empty = all.
    pub users: Vec<String>,
    /// Document names of APIs; empty = all.
    pub apis: Vec<String>,
    /// A condition (CEL).
    pub when: Option<String>,
    /// From this second since 1970 on it refuses nothing.
    pub until_unix_s: Option<u64>,
    /// Why, for operators.
    pub reason: String,
}

/// What a node knows of the text of an API key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyHash {
    /// HMAC-SHA-256 of the text under [`Entry::ApiKeyHashing`].
    pub hash: Digest,
    /// When it stops to work, in seconds since 1970; `None` = never.
    pub expires_unix_s: Option<u64>,
}

/// Without the hashing key: an update may be logged.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Application { org, name, .. } => write!(f, "Application({org}/{name})"),
            Self::ApplicationLimits(limits) => write!(f, "ApplicationLimits({limits:?})"),
            Self::Subscription {
                application,
                api,
                plan,
            } => write!(f, "Subscription({application}, {api}, {plan})"),
            Self::Client {
                application,
                client_id,
                ..
            } => write!(f, "Client({application}, {client_id})"),
            Self::ApiKey {
                application, keys, ..
            } => write!(f, "ApiKey({application}, {} keys)", keys.len()),
            Self::Revocation { expires_unix_s } => write!(f, "Revocation({expires_unix_s})"),
            Self::TokensEnd {
                revision,
                expires_unix_s,
            } => write!(f, "TokensEnd({revision}, {expires_unix_s})"),
            Self::DenyRule(rule) => write!(f, "DenyRule({rule:?})"),
            Self::ApiKeyHashing { .. } => f.write_str("ApiKeyHashing(***)"),
        }
    }
}
