//! Issuers outside of the platform: what a node needs to judge their tokens by itself, and how it fares with them.

use base::ApplicationId;
use serde::{Deserialize, Serialize};

use crate::ResourceKey;

/// What is known of an issuer that is not the platform itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutsideModel {
    /// Where its public keys come from.
    pub keys: KeySource,
    /// The audiences that a token may be for, where the API names none.
    pub audience: Vec<String>,
    /// Any audience will do.
    pub any_audience: bool,
    /// By how many seconds times may be missed; `None` = as the API has it.
    pub leeway_s: Option<u64>,
    /// The values of the header `typ` that are accepted.
    pub types: Vec<String>,
    /// Whether a header without `typ` is accepted.
    pub untyped: bool,
    /// The names of the algorithms that are accepted.
    pub algorithms: Vec<String>,
    /// Conditions in CEL, all of which must hold.
    pub require: Vec<String>,
    /// Which claims tell what.
    pub claims: ClaimPaths,
    /// What all its tokens are of; `None` = of the application whose client they name.
    pub application: Option<Application>,
    /// How long fetched keys are good.
    pub refresh: RefreshModel,
    /// How it is asked for what a token stands for; `None` = never.
    pub introspection: Option<IntrospectionModel>,
}

/// The application of all tokens of an issuer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Application {
    /// This one.
    Is(ApplicationId),
    /// One that is not there (any more): no token is accepted.
    Gone,
}

/// Where public keys come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeySource {
    /// They are in [`crate::IssuerModel::jwks`].
    Inline,
    /// They are fetched from this URL.
    At(String),
    /// They are fetched from where the issuer's metadata says.
    Discovery,
}

/// Claims, by their names; inside another one with dots. Of each list the first that a token has is taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimPaths {
    /// The client.
    pub client: Vec<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// The subject.
    pub subject: Vec<String>,
}

/// How long fetched keys are good, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshModel {
    /// Fetched again after this, unless the issuer allows for longer.
    pub every_ms: u64,
    /// … and after this, whatever it allows for.
    pub at_most_ms: u64,
    /// Good for so long while the issuer does not answer.
    pub keep_ms: u64,
}

/// How an issuer is asked for what a token stands for (RFC 7662). Times are in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionModel {
    /// Where; `None` = where the issuer's metadata says.
    pub endpoint: Option<String>,
    /// JWTs are asked for too.
    pub all: bool,
    /// The client that nodes are.
    pub client_id: String,
    /// The secret goes into the form instead of the `Authorization` header.
    pub in_form: bool,
    /// Its secret.
    pub secret: SecretModel,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Questions that wait at a time.
    pub waiting_max: usize,
    /// How long an active token is not asked for again.
    pub ttl_ms: u64,
    /// How long one that is not active is not asked for again.
    pub negative_ttl_ms: u64,
    /// Tokens that are remembered.
    pub entries_max: usize,
}

/// Where a node finds a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretModel {
    /// A file under its folder of secrets.
    File(String),
    /// A variable of its environment.
    Env(String),
}

/// How one issuer fares at one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerReport {
    /// Which.
    pub key: ResourceKey,
    /// The ids of the keys that its tokens are verified with.
    pub kids: Vec<String>,
    /// When its keys were fetched, in milliseconds since 1970; `None` = never, or they are not fetched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fetched_unix_ms: Option<u64>,
    /// Why the last fetch of its keys failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// Why it could not be asked for a token last; `None` since it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introspection_fault: Option<String>,
}
