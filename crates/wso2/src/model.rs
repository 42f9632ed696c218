//! What the keys of a definition say.

use spec::{CircuitBreaker, Http2, KeepAlive, Retry};
use std::sync::Arc;

use openapi::Method;
use tree::pointer;

/// All keys of a definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extensions {
    /// `x-wso2-basePath`, with its placeholders.
    pub base_path: Option<Placed<String>>,
    /// What the definition says of all operations.
    pub keys: Keys,
    /// `x-wso2-cors`
    pub cors: Option<Placed<Cors>>,
    /// `x-wso2-mutual-ssl`
    pub mutual_tls: Option<MutualTls>,
    /// `x-wso2-transports`; none = both.
    pub transports: Option<Vec<spec::Transport>>,
    /// `x-wso2-auth-header`
    pub auth_header: Option<String>,
    /// `x-wso2-http2-backend-enabled`
    pub http2_backend: bool,
    /// The operations of the definition that say something of their own, or whose path does.
    pub operations: Vec<Operation>,
}

/// A value with the place of its key, for diagnostics.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// A JSON pointer.
    pub pointer: String,
}

/// The keys that stand in a definition, a path item or an operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    /// `x-wso2-production-endpoints`
    pub production: Option<Arc<EndpointList>>,
    /// `x-wso2-sandbox-endpoints`
    pub sandbox: Option<Arc<EndpointList>>,
    /// `x-wso2-throttling-tier` or `x-throttling-tier`
    pub tier: Option<Placed<String>>,
    /// `x-wso2-disable-security`, or `x-auth-type: None`
    pub disable_security: Option<bool>,
    /// `x-wso2-application-security`
    pub application_security: Option<ApplicationSecurity>,
}

impl Keys {
    /// These, and of those around them what these leave out.
    #[must_use]
    pub(crate) fn within(self, outer: &Self) -> Self {
        Self {
            production: self.production.or_else(|| outer.production.clone()),
            sandbox: self.sandbox.or_else(|| outer.sandbox.clone()),
            tier: self.tier.or_else(|| outer.tier.clone()),
            disable_security: self.disable_security.or(outer.disable_security),
            application_security: self
                .application_security
                .or_else(|| outer.application_security.clone()),
        }
    }
}

/// What an operation says, alone or by its path item.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path template as in the definition.
    pub template: String,
    /// Its keys.
    pub keys: Keys,
    /// The scopes of `x-scope`.
    pub scopes: Vec<String>,
}

/// Where calls go.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointList {
    /// Base URLs; at least one. Of `etcd(key,URL)` the URL.
    pub urls: Vec<String>,
    /// What several URLs mean.
    pub kind: EndpointType,
    /// `advanceEndpointConfig`
    pub calls: Calls,
    /// `securityConfig`, where it is served.
    pub security: Option<EndpointSecurity>,
}

/// `securityConfig`: HTTP Basic. What is secret of it is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSecurity {
    /// The place of the list that it is of, as a JSON pointer.
    pub list: String,
    /// Whether the password is written out.
    pub written_password: bool,
}

impl EndpointSecurity {
    /// Its own place.
    pub(crate) fn place(&self) -> String {
        pointer::join(&self.list, "securityConfig")
    }
}

/// `advanceEndpointConfig`: how a backend is called, in the words of documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// `timeoutInMillis`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// `retryConfig`
    pub retry: Option<Retry>,
    /// `circuitBreaker`, `circuitBreakers`, `poolConfig.maxActiveConnections`
    pub breaker: Option<CircuitBreaker>,
    /// `poolConfig.maxIdleConnections`
    pub keep_alive: Option<KeepAlive>,
    /// `poolConfig.maxActiveStreamsPerConnection`
    pub http2: Option<Http2>,
}

/// `type` of an endpoint list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointType {
    /// `http`, `address`, or where the key is missing; several URLs are balanced.
    #[default]
    Http,
    /// `load_balance`
    LoadBalance,
    /// `failover`: the second is called when the first fails.
    Failover,
}

/// `x-wso2-cors`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `corsConfigurationEnabled`; true where it is missing.
    pub enabled: bool,
    /// Origins; those that no browser sends are left out.
    pub allow_origins: Vec<String>,
    /// Methods, where they are named.
    pub allow_methods: Option<Vec<String>>,
    /// Request headers, where they are named.
    pub allow_headers: Option<Vec<String>>,
    /// Answer headers, where they are named.
    pub expose_headers: Option<Vec<String>>,
    /// Whether pages may send credentials; never together with the origin `*`.
    pub allow_credentials: bool,
}

/// `x-wso2-application-security`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSecurity {
    /// The credentials that are taken.
    pub types: Vec<Credential>,
    /// Whether a certificate is enough.
    pub optional: bool,
}

/// `x-wso2-mutual-ssl`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutualTls {
    /// Every caller shows a certificate.
    Mandatory,
    /// A certificate may be shown.
    Optional,
}

/// Ways to authenticate that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `oauth2`
    OAuth2,
    /// `api_key`
    ApiKey,
    /// `basic_auth`
    Basic,
}
