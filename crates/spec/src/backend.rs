//! Backends: where calls go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::units::Duration;

/// Where calls go and how.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// Where it listens; taken in turn.
    #[schemars(length(min = 1, max = 256))]
    pub endpoints: Vec<EndpointSpec>,
    /// Until the head of the answer must be there.
    #[serde(default = "BackendSpec::default_timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// Which HTTP it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// How TLS endpoints are verified; absent = by the system's certificates and the URL's host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<BackendTls>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl BackendSpec {
    fn default_timeout() -> Duration {
        Duration::from_s(30)
    }

    /// A backend with one endpoint and all defaults.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            endpoints: vec![EndpointSpec {
                url: url.into(),
                extensions: Extensions::new(),
            }],
            timeout: Self::default_timeout(),
            protocol: Protocol::default(),
            tls: None,
            extensions: Extensions::new(),
        }
    }
}

/// One place where a backend listens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// `http://` or `https://`, host, port and the path that stands before what callers ask for.
    #[schemars(extend("format" = "tollway-url"))]
    pub url: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Which HTTP a backend speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Over TLS what both sides agree on, in clear text HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text with prior knowledge.
    Http2,
}

/// How a TLS endpoint is verified. There is no way to switch it off.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// Certificates that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca: Option<Ca>,
    /// The server's name, where it is not the URL's host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-host"))]
    pub sni: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Certificates.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ca {
    /// The text, in PEM.
    #[schemars(extend("format" = "tollway-pem"))]
    pub inline: String,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Where calls go, by the environment of the credential that they come with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backends {
    /// Of production credentials, and of calls without a credential: the name of a `Backend` document, or a backend for
    /// this API alone; absent = the servers of the definition, at an operation the API's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub production: Option<BackendRef>,
    /// Of sandbox credentials; absent = their calls are refused, at an operation the API's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sandbox: Option<BackendRef>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl Backends {
    /// The names of `Backend` documents, each under its key.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let both = [("production", &self.production), ("sandbox", &self.sandbox)];
        both.into_iter().filter_map(|(key, backend)| match backend {
            Some(BackendRef::Name(name)) => Some((key, name.as_str())),
            _ => None,
        })
    }

    /// These and nothing else.
    #[must_use]
    pub fn new(production: Option<BackendRef>, sandbox: Option<BackendRef>) -> Self {
        Self {
            production,
            sandbox,
            extensions: Extensions::new(),
        }
    }
}

/// A backend by name or in place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BackendRef {
    /// The name of a `Backend` document.
    Name(#[schemars(extend("format" = "tollway-name"))] String),
    /// A backend for this API alone.
    Inline(Box<BackendSpec>),
}
