//! Where a backend listens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;

/// One place where a backend listens, or a name that leads to several: exactly one of `url`, `dns`, `srv`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// `http://` or `https://`, host, port and the path that stands before what callers ask for. One endpoint, at
    /// whichever of its host's addresses answers first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-url"))]
    pub url: Option<String>,
    /// A host name each address of which (A, AAAA) is an endpoint of its own; followed as its records change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-dns-name"))]
    pub dns: Option<String>,
    /// A name of SRV records (RFC 2782), as `_http._tcp.orders.internal`: each target is an endpoint, with the record's
    /// port, priority and weight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-dns-name"))]
    pub srv: Option<String>,
    /// With `dns`: the port; absent = 80, or 443 with `scheme: https`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// With `dns` and `srv`: clear text or TLS; absent = `http`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheme: Option<EndpointScheme>,
    /// With `dns` and `srv`: the path that stands before what callers ask for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-path"))]
    pub path: Option<String>,
    /// Its share of the calls beside those of the others.
    #[serde(skip_serializing_if = "is_one", default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// Endpoints of a higher number are called when those of lower ones cannot take the calls.
    #[serde(skip_serializing_if = "is_zero", default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u16,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(weight: &u32) -> bool {
    *weight == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(priority: &u16) -> bool {
    *priority == 0
}

impl EndpointSpec {
    /// One endpoint at a URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            weight: 1,
            ..Self::default()
        }
    }
}

/// Clear text or TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointScheme {
    /// Clear text.
    #[default]
    Http,
    /// TLS.
    Https,
}
