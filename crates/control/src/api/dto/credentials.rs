//! Clients and API keys.

use base::{AllowedOperation, KeyLimits};
use serde::{Deserialize, Serialize};
use store::ClientMetadata;
use utoipa::{IntoParams, ToSchema};

use super::Environment;

/// A new OAuth client of an application, or a new secret of one. The secret is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewClient {
    /// The credential's id, to change and delete it by.
    pub id: String,
    /// The public id.
    pub client_id: String,
    /// The secret; kept as a keyed hash only. Absent for a client that proves itself without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_secret: Option<String>,
}

/// What a new OAuth client is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientRequest {
    /// By default production.
    #[serde(default)]
    pub environment: Environment,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// How long it works, in seconds; by default for ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
    /// What it is registered with, under the names of RFC 7591; by default a client with a secret that gets tokens for
    /// itself.
    #[serde(default)]
    pub metadata: ClientMetadata,
    /// The name of the `TokenIssuer` that knows the client already, under `clientId`; by default it is a new one of the
    /// platform itself. Admins alone may name one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<String>,
    /// Its id at that issuer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
}

/// A change of an OAuth client; what is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientChange {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// How long it works from now on, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
    /// All that it is registered with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<ClientMetadata>,
}

/// What a new API key is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyRequest {
    /// How long it works, in seconds; by default for ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
    /// What it is for; by default production.
    #[serde(default)]
    pub environment: Environment,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// What it is limited to; by default nothing.
    #[serde(default)]
    pub limits: ApiKeyLimits,
}

/// A change of an API key; what is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyChange {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// How long it works from now on, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
    /// All that it is limited to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<ApiKeyLimits>,
}

/// What an API key is limited to, beyond the subscriptions of its application.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyLimits {
    /// Addresses and networks (`192.0.2.0/24`) that calls may come from; none = from everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ip_ranges: Vec<String>,
    /// What may be called; none = everything that the application is subscribed to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub operations: Vec<AllowedCall>,
    /// The scopes that it stands for; absent = it is not limited by scopes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<Vec<String>>,
}

/// An operation of an API, or all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedCall {
    /// The API: its document's name.
    pub api: String,
    /// The `operationId`, or method and path template as in the definition (`GET /pets/{id}`); absent = all operations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
}

/// A text is no address and no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no address and no network such as 192.0.2.0/24")]
pub struct NoNetwork(String);

impl TryFrom<ApiKeyLimits> for KeyLimits {
    type Error = NoNetwork;

    fn try_from(limits: ApiKeyLimits) -> Result<Self, NoNetwork> {
        let network = |text: &String| {
            let address = || text.parse::<std::net::IpAddr>().ok().map(Into::into);
            let net = text.parse::<ipnet::IpNet>().ok().or_else(address);
            net.map(|net| net.trunc())
                .ok_or_else(|| NoNetwork(text.chars().take(100).collect()))
        };
        Ok(Self {
            ip_ranges: limits
                .ip_ranges
                .iter()
                .map(network)
                .collect::<Result<_, _>>()?,
            operations: limits
                .operations
                .into_iter()
                .map(|call| AllowedOperation {
                    api: call.api,
                    operation: call.operation,
                })
                .collect(),
            scopes: limits.scopes.map(|scopes| scopes.into_iter().collect()),
        })
    }
}

impl From<&KeyLimits> for ApiKeyLimits {
    fn from(limits: &KeyLimits) -> Self {
        Self {
            ip_ranges: limits.ip_ranges.iter().map(ToString::to_string).collect(),
            operations: limits
                .operations
                .iter()
                .map(|allowed| AllowedCall {
                    api: allowed.api.clone(),
                    operation: allowed.operation.clone(),
                })
                .collect(),
            scopes: limits
                .scopes
                .as_ref()
                .map(|scopes| scopes.iter().cloned().collect()),
        }
    }
}

/// A new API key of an application, or a new text of one, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKey {
    /// The credential's id, to change and delete it by.
    pub id: String,
    /// The key; kept as a keyed hash only.
    pub key: String,
    /// When it stops to work, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_unix_s: Option<u64>,
}

/// How a new secret or key comes into use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the present one works on, in seconds; by default 7 days, 0 = it ends now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_for: Option<u64>,
}

/// A credential without its secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialItem {
    /// Its id.
    pub id: String,
    /// The application that it is of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// An OAuth client's public id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// The `TokenIssuer` whose client it is; absent = the platform's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<String>,
    /// The first characters of an API key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefix: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it was changed last, in milliseconds since 1970.
    #[serde(default)]
    pub updated_unix_ms: u64,
    /// When it stops to work, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_unix_s: Option<u64>,
    /// When it was used last, in seconds since 1970, within minutes; absent = never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_unix_s: Option<u64>,
    /// What it is for.
    #[serde(default)]
    pub environment: Environment,
    /// Its secrets or keys, oldest first; two while the older one is being replaced.
    #[serde(default)]
    pub secrets: Vec<SecretItem>,
    /// What a client is registered with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<ClientMetadata>,
    /// What an API key is limited to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<ApiKeyLimits>,
}

/// What is known of a secret or key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretItem {
    /// Its id.
    pub id: String,
    /// The first characters of an API key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefix: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it stops to work, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_unix_s: Option<u64>,
    /// When it was used last, in seconds since 1970, within minutes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_unix_s: Option<u64>,
}

/// Which credentials are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExpiringParams {
    /// Only those that end, or one of whose secrets ends, within so many seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expiring_in: Option<u64>,
}

/// Something that is going to happen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoticeItem {
    /// Its id: pass it as `after` for those that come later.
    pub id: String,
    /// What it is about: `credential.expiring`.
    pub kind: String,
    /// Which thing: an id.
    pub subject: String,
    /// When it happens, in seconds since 1970.
    pub due_unix_s: u64,
    /// When it was noted, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// More about it.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}
