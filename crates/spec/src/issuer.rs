//! Issuers of tokens outside of the platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Extensions;
use crate::units::Duration;

/// The name of the platform itself among issuers; no document has it.
pub const RESIDENT: &str = "resident";

/// Somebody else whose access tokens APIs may accept, by naming it in `security[].jwt.issuers`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenIssuerSpec {
    /// The `iss` of its tokens, byte for byte. Without `jwksUri` and `keys` its keys are found by discovery (OpenID
    /// Connect Discovery, RFC 8414) below this URL.
    #[schemars(extend("format" = "tollway-url"))]
    pub issuer: String,
    /// What the product behind it writes into tokens; what is said here beside it goes before it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub preset: Option<IssuerPreset>,
    /// Where its public keys (RFC 7517) are; absent = by discovery.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-url"))]
    pub jwks_uri: Option<String>,
    /// Its public keys (RFC 7517), where they are not fetched.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 64))]
    pub keys: Vec<Map<String, Value>>,
    /// What its tokens have to be for (`aud`, any one of these), where the API names no audience.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 100), inner(length(min = 1)))]
    pub audience: Vec<String>,
    /// Tokens for anybody are accepted, and those without `aud`: what they are for must be told by `require`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub any_audience: bool,
    /// By how much `exp`, `nbf` and `iat` may be missed, where the API does not say; at most `5m`; absent = `60s`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-duration"))]
    pub leeway: Option<Duration>,
    /// The values of the header `typ` that are accepted; absent = as the preset has it, or `at+jwt` alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub types: Vec<TokenType>,
    /// The signature algorithms that are accepted; absent = all of these.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub algorithms: Vec<TokenAlgorithm>,
    /// Conditions in CEL over `principal.claims`, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    pub require: Vec<String>,
    /// Which claim tells what; absent = as the preset has it.
    #[serde(default)]
    pub claims: ClaimNames,
    /// The application that all its tokens are of: the name of its document. Absent = that of the client that a token names, which has
    /// to be registered for this issuer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub application: Option<String>,
    /// How long its keys are good.
    #[serde(default)]
    pub refresh: KeyRefresh,
    /// How it is asked for what a token stands for; absent = never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introspection: Option<IntrospectionSpec>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A product whose tokens are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IssuerPreset {
    /// Keycloak.
    Keycloak,
    /// Okta, an authorization server of one's own.
    Okta,
    /// Microsoft Entra ID (Azure AD), tokens of version 1 and 2.
    Entra,
    /// Auth0.
    Auth0,
    /// WSO2 Identity Server, Asgardeo.
    Wso2,
}

/// A `typ` of a token's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum TokenType {
    /// An access token (RFC 9068 §2.1).
    #[serde(rename = "at+jwt")]
    AccessToken,
    /// Any JWT: it must not look like an ID token or a logout token.
    #[serde(rename = "JWT")]
    Jwt,
    /// A header that does not say; as `JWT`.
    #[serde(rename = "none")]
    None,
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
}

/// Which claim tells what. A claim inside another one is written with dots, as in `realm_access.roles`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimNames {
    /// The client that a token was issued to; absent and without a preset = `client_id`, or else `azp`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 256))]
    pub client: Option<String>,
    /// The scopes: a list, or one text with blanks between them; absent and without a preset = `scope`, or else `scp`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 256))]
    pub scopes: Option<String>,
    /// The roles of the user: a list, or one text with blanks between them; absent and without a preset = `roles`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 256))]
    pub roles: Option<String>,
    /// Whom the token is about; absent = `sub`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// How long fetched keys are good.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRefresh {
    /// When they are fetched again, unless the issuer allows for longer (`Cache-Control: max-age`).
    #[serde(default = "KeyRefresh::default_every")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub every: Duration,
    /// When they are fetched again, whatever the issuer allows for: a key that it has withdrawn is good for so long at most.
    #[serde(default = "KeyRefresh::default_at_most")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub at_most: Duration,
    /// For how long they are good while the issuer does not answer.
    #[serde(default = "KeyRefresh::default_keep")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub keep: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl KeyRefresh {
    fn default_every() -> Duration {
        Duration::from_s(300)
    }

    fn default_at_most() -> Duration {
        Duration::from_s(3600)
    }

    fn default_keep() -> Duration {
        Duration::from_s(24 * 3600)
    }
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self {
            every: Self::default_every(),
            at_most: Self::default_at_most(),
            keep: Self::default_keep(),
            extensions: Extensions::new(),
        }
    }
}

/// How an issuer is asked for what a token stands for (RFC 7662).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionSpec {
    /// Where; absent = by discovery.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-url"))]
    pub endpoint: Option<String>,
    /// For which tokens.
    #[serde(default)]
    pub tokens: IntrospectedTokens,
    /// The client of the issuer that the gateways are.
    #[schemars(length(min = 1, max = 256))]
    pub client_id: String,
    /// How they prove it.
    #[serde(default)]
    pub client_auth: IntrospectionAuth,
    /// The client's secret.
    pub secret: SecretSource,
    /// How long an answer may take; then the call is refused (503).
    #[serde(default = "IntrospectionSpec::default_timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// Questions of one node that wait at a time; more are refused (503).
    #[serde(default = "IntrospectionSpec::default_waiting_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub waiting_max: u32,
    /// What is remembered of the answers.
    #[serde(default)]
    pub cache: IntrospectionCache,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl IntrospectionSpec {
    fn default_timeout() -> Duration {
        Duration::from_s(2)
    }

    fn default_waiting_max() -> u32 {
        256
    }
}

/// Which tokens an issuer is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntrospectedTokens {
    /// Those that are no JWT.
    #[default]
    Opaque,
    /// All: also JWTs, that do not say enough by themselves or are revoked early.
    All,
}

/// How a client proves itself (RFC 6749 §2.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntrospectionAuth {
    /// HTTP Basic.
    #[default]
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

/// What is remembered of an issuer's answers, on each node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionCache {
    /// How long a token that is active is not asked for again; never beyond its `exp`. A token that is revoked works for so long.
    #[serde(default = "IntrospectionCache::default_ttl")]
    #[schemars(extend("format" = "tollway-duration"))]
    pub ttl: Duration,
    /// How long a token that is not active is not asked for again.
    #[serde(default = "IntrospectionCache::default_negative_ttl")]
    #[schemars(extend("format" = "tollway-duration"))]
    pub negative_ttl: Duration,
    /// Tokens that are remembered.
    #[serde(default = "IntrospectionCache::default_entries_max")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub entries_max: u32,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl IntrospectionCache {
    fn default_ttl() -> Duration {
        Duration::from_s(60)
    }

    fn default_negative_ttl() -> Duration {
        Duration::from_s(10)
    }

    fn default_entries_max() -> u32 {
        10_000
    }
}

impl Default for IntrospectionCache {
    fn default() -> Self {
        Self {
            ttl: Self::default_ttl(),
            negative_ttl: Self::default_negative_ttl(),
            entries_max: Self::default_entries_max(),
            extensions: Extensions::new(),
        }
    }
}

/// A secret, at one of these places of the node. It is read again when it has changed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// The folder under the node's `--secrets-dir`, as Kubernetes mounts a secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub secret_ref: Option<String>,
    /// The file in that folder; absent = `secret`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-file"))]
    pub key: Option<String>,
    /// A file under the node's `--secrets-dir`, as in `keycloak/client-secret`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-file"))]
    pub file: Option<String>,
    /// A variable of the node's environment, whose name begins with `TOLLWAY_SECRET_`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-secret-env"))]
    pub env: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}
