//! Models: documents reduced to what a node needs. A model is equal to another when their digests are.

use base::{Digest, Org};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::BackendModel;
use crate::issuer::OutsideModel;

/// One version of an API, reduced.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiModel {
    /// Its organisation.
    pub org: Org,
    /// Its document's name (`metadata.name`), unique in the organisation.
    pub name: String,
    /// The API's name, shared by its versions.
    pub api: String,
    /// The version, as it stands in the path.
    pub version: String,
    /// The context, with a leading and without a trailing slash.
    pub context: String,
    /// Whether it is served at the bare context too.
    pub default_version: bool,
    /// The hosts it is served at, lower case, without port; none = every host.
    pub vhosts: Vec<String>,
    /// Whether and how it serves.
    pub gate: Gate,
    /// Ways to authenticate, any of which is enough; each is a policy of the phase `authenticate`. None = open.
    pub security: Vec<PolicyUse>,
    /// Whether a caller's application must hold a subscription.
    pub subscription_required: bool,
    /// Configuration of the policy `cors`.
    pub cors: Option<Value>,
    /// Configuration of the policy `transports`; none = served in clear text and over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transports: Option<Value>,
    /// Policies of all operations, in the document's order.
    pub policies: Vec<PolicyUse>,
    /// The operations; none for a tombstone.
    pub operations: Vec<OperationModel>,
    /// Backends that exist for this API alone: written inline, or taken from the definition's `servers`.
    pub backends: Vec<BackendModel>,
    /// Digest of everything above.
    pub digest: Digest,
}

/// What the life cycle means to a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Calls pass.
    Serve {
        /// `Deprecation` and `Sunset` are added to answers.
        deprecation: Option<Deprecation>,
    },
    /// State Created: `API_NOT_PUBLISHED`.
    NotPublished,
    /// State Blocked: `API_BLOCKED`.
    Blocked,
    /// State Retired: `API_RETIRED`.
    Retired,
    /// It did not reduce: `API_BROKEN`.
    Broken,
}

/// The service signals of a deprecated API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deprecation {
    /// When it became deprecated, in seconds since 1970 (`Deprecation`, RFC 9745).
    pub since_unix_s: u64,
    /// When it will go away, in seconds since 1970 (`Sunset`, RFC 8594).
    pub sunset_unix_s: Option<u64>,
}

/// One operation, reduced.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationModel {
    /// HTTP method, upper case.
    pub method: String,
    /// The path template as in the definition.
    pub template: String,
    /// `operationId`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// Alternatives of scope sets: the token must hold all scopes of one of them. None = no scope needed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes: Vec<Vec<String>>,
    /// Overrides [`ApiModel::security`]; `Some(vec![])` = open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub security: Option<Vec<PolicyUse>>,
    /// The backend's name: first among [`ApiModel::backends`], then the organisation's. None: calls of production
    /// credentials, and those without a credential, are refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
    /// The same for sandbox credentials. None: their calls are refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sandbox: Option<String>,
    /// Policies of this operation alone, after those of the API.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub policies: Vec<PolicyUse>,
}

/// A policy by name with its configuration, as the document has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyUse {
    /// The `PolicyKind::NAME`.
    pub policy: String,
    /// Its configuration.
    pub config: Value,
    /// Where it stands in the document (JSON pointer), for diagnostics.
    pub pointer: String,
}

/// A plan, reduced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanModel {
    /// Its organisation.
    pub org: Org,
    /// Its name.
    pub name: String,
    /// The quota; none = unlimited.
    pub quota: Option<Quota>,
    /// A second, shorter window; none = no burst control.
    pub burst: Option<Quota>,
}

/// At most so many requests in any window of this length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Requests, or what `measure` counts.
    pub requests: u64,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// What is counted.
    #[serde(default)]
    pub measure: Measure,
}

/// What a quota counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// Calls.
    #[default]
    Requests,
    /// Bytes of bodies.
    Bytes,
    /// Messages of WebSockets, events of answers.
    Events,
}

/// Somebody whose tokens are accepted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerModel {
    /// The organisation whose APIs accept it.
    pub org: Org,
    /// The name that documents use; `resident` is the platform itself.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that a token needs where the API names none: the organisation's gateway audience.
    pub audience: String,
    /// The public keys, as a JWK set (RFC 7517); empty where nodes fetch them.
    pub jwks: Value,
    /// What is known of it, where it is not the platform itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outside: Option<Box<OutsideModel>>,
}

/// A port that a node opens because its `Gateway` document says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerModel {
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// The certificate's folder under the node's folder of secrets; `None` = the node's own certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// Networks whose connections begin with a header of the PROXY protocol, and which alone may connect; empty = the
    /// protocol is not spoken there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub proxy_protocol_from: Vec<String>,
    /// How clients are asked for a certificate; `None` = they are not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_certificates: Option<ClientCertificatesModel>,
    /// From whom certificates are taken that are forwarded in a field; `None` = from nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forwarded_certificate: Option<ForwardedCertificateModel>,
}

/// How a listener asks clients for a certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificatesModel {
    /// Whether a client has to show one.
    pub required: bool,
    /// The folder of `ca.crt` under the node's folder of secrets; `None` = any certificate is taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_secret: Option<String>,
}

/// Whose word is taken for a client's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedCertificateModel {
    /// Networks of proxies.
    pub from: Vec<String>,
    /// The field.
    pub header: String,
}
