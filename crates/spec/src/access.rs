//! Plans, applications, subscriptions and gateways.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::units::{Duration, Size};

/// What a subscription allows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// How much; absent = unlimited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quota: Option<Quota>,
    /// How much at once, in a second and shorter window; absent = no burst control.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burst: Option<Quota>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// At most so many requests, bytes or events in any window of this length.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Requests; at least 1. One of `requests`, `bytes` and `events` is needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub requests: Option<u64>,
    /// Bytes of requests, answers and WebSockets, at most `500Gi`. They are counted as they pass; a call begins while
    /// anything is left and is not cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<Size>,
    /// Messages of WebSockets and events of `text/event-stream`. A call begins while anything is left, and is ended by the
    /// event that nothing was left for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub events: Option<u64>,
    /// The window's length.
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub per: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Quota {
    /// So many requests in any window of this length.
    #[must_use]
    pub fn new(requests: u64, per: Duration) -> Self {
        Self {
            requests: Some(requests),
            bytes: None,
            events: None,
            per,
            extensions: Extensions::new(),
        }
    }
}

/// Who subscribes and holds credentials.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The user whose application it is; absent = who creates it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// How much it may call all APIs together, beside its plans; absent = unlimited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quota: Option<Quota>,
    /// How much at once, in a second and shorter window; absent = no burst control.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burst: Option<Quota>,
    /// The access tokens that it gets.
    #[serde(default)]
    pub tokens: Tokens,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// The access tokens of an application.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// How long a token is good.
    #[serde(default = "Tokens::default_lifetime")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub lifetime: Duration,
    /// What a token looks like, unless a client of the application says otherwise.
    #[serde(skip_serializing_if = "TokenFormat::is_default", default)]
    pub format: TokenFormat,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// What an access token looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenFormat {
    /// A signed JWT that says everything itself (RFC 9068).
    #[default]
    Jwt,
    /// A reference that tells nobody anything; gateways ask the platform what it stands for.
    Opaque,
}

impl TokenFormat {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Tokens {
    fn default_lifetime() -> Duration {
        Duration::from_s(3600)
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            lifetime: Self::default_lifetime(),
            format: TokenFormat::default(),
            extensions: Extensions::new(),
        }
    }
}

/// An application may call an API under a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionSpec {
    /// The application: the name of its document.
    #[schemars(extend("format" = "tollway-name"))]
    pub application: String,
    /// The API.
    pub api: ApiReference,
    /// The plan: the name of its document, one of those that the API offers.
    #[schemars(extend("format" = "tollway-plan-name"))]
    pub plan: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// One version of an API, as people name it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiReference {
    /// The API's `spec.name`.
    #[schemars(extend("format" = "tollway-name"))]
    pub name: String,
    /// The API's `spec.version`.
    #[schemars(extend("format" = "tollway-version"))]
    pub version: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A group of nodes that serve the same APIs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// The environment that it serves, for people.
    #[serde(default = "GatewaySpec::default_environment")]
    pub environment: String,
    /// Where clients reach it: scheme, host and port. Its nodes then tell them where the tokens of each API come from
    /// (RFC 9728); without it they do not. An API with hosts of its own is told of at these.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-public-url"))]
    pub public_url: Option<String>,
    /// Ports that its nodes open beside those of their own start options; one listener a port.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 20))]
    pub listeners: Vec<Listener>,
    /// How its nodes are laid out.
    #[serde(default)]
    pub pattern: Pattern,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// One port.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port, at the address of the node's `--gateway-http-listen`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// The certificate; absent = that of the node. With HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<ListenerTls>,
    /// Every connection begins with a header of the PROXY protocol (version 1 or 2), which says who the client is;
    /// one without it is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether clients are asked for a certificate; absent = they are not. With HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_certificates: Option<ClientCertificates>,
    /// Proxies that end TLS before this port and tell in a field which certificate their client has shown; absent = such
    /// fields are dropped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forwarded_certificate: Option<ForwardedCertificate>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// What a listener speaks; HTTP/1.1 and HTTP/2 either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerProtocol {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// Where a listener's certificate is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// The folder under the node's `--secrets-dir` that holds `tls.crt` and `tls.key` (PEM), as Kubernetes mounts a
    /// secret of type `kubernetes.io/tls`.
    #[schemars(extend("format" = "tollway-name"))]
    pub secret_ref: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// How clients are asked for a certificate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificates {
    /// What becomes of a client that shows none.
    #[serde(default)]
    pub mode: AskMode,
    /// Who vouches for certificates: others end the handshake. The folder under the node's `--secrets-dir` that holds
    /// `ca.crt` (PEM). Absent = every certificate is taken whose key the client holds; what it is good for each API's
    /// `security` says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-name"))]
    pub ca_secret_ref: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// What becomes of a client that shows no certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AskMode {
    /// It may go on.
    #[default]
    Request,
    /// The handshake fails.
    Require,
}

/// A certificate that a proxy forwards.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedCertificate {
    /// Networks of the proxies, such as `10.0.0.0/8`, or single addresses. They must drop what their clients send under
    /// this name.
    #[schemars(length(min = 1, max = 100), extend("items" = {"type": "string", "format": "tollway-network"}))]
    pub from: Vec<String>,
    /// The field.
    #[serde(default)]
    pub header: CertificateHeader,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// A field in which proxies forward certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum CertificateHeader {
    /// RFC 9440, with `Client-Cert-Chain`.
    #[default]
    #[serde(rename = "Client-Cert")]
    ClientCert,
    /// Envoy's list of `key=value`, of which `Cert` and `Chain` count; or PEM, percent-encoded.
    #[serde(rename = "X-Forwarded-Client-Cert")]
    XForwardedClientCert,
    /// PEM, percent-encoded, as nginx makes it of `$ssl_client_escaped_cert`.
    #[serde(rename = "SSL-Client-Cert")]
    SslClientCert,
    /// The same under another name.
    #[serde(rename = "X-SSL-Client-Cert")]
    XSslClientCert,
}

impl CertificateHeader {
    /// The field of this name, whatever its case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::ClientCert,
            Self::XForwardedClientCert,
            Self::SslClientCert,
            Self::XSslClientCert,
        ];
        let mut all = all.into_iter();
        all.find(|header| header.as_str().eq_ignore_ascii_case(name))
    }

    /// The field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCert => "Client-Cert",
            Self::XForwardedClientCert => "X-Forwarded-Client-Cert",
            Self::SslClientCert => "SSL-Client-Cert",
            Self::XSslClientCert => "X-SSL-Client-Cert",
        }
    }
}

/// From whom a header of the PROXY protocol is taken.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Networks of the load balancers, such as `10.0.0.0/8`, or single addresses. Others cannot connect to the port.
    #[schemars(length(min = 1, max = 100), extend("items" = {"type": "string", "format": "tollway-network"}))]
    pub from: Vec<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// How the nodes of a gateway are laid out. The platform itself runs all of them as `shared`; the others tell whoever
/// places nodes how to do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Pattern {
    /// Nodes serve many APIs.
    #[default]
    Shared,
    /// One API has nodes of its own.
    PrivateJet,
    /// A node stands beside each instance of the backend.
    Sidecar,
}

impl GatewaySpec {
    fn default_environment() -> String {
        "production".to_owned()
    }
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            environment: Self::default_environment(),
            public_url: None,
            listeners: Vec::new(),
            pattern: Pattern::default(),
            description: None,
            extensions: Extensions::new(),
        }
    }
}
