//! Backends, reduced.

use base::{Digest, Org};
use serde::{Deserialize, Serialize};

/// A backend, reduced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendModel {
    /// Its organisation.
    pub org: Org,
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub endpoints: Vec<EndpointModel>,
    /// Which endpoint gets a call.
    pub balance: BalanceModel,
    /// Which endpoints may be called.
    pub health: HealthModel,
    /// Names of the organisation's backends that take over, the first first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failover: Vec<String>,
    /// How long the share of an endpoint that is new or comes back grows, in milliseconds; 0 = it has all at once.
    pub slow_start_ms: u64,
    /// How to speak to them.
    pub protocol: Protocol,
    /// Until the head of the answer must be there, in milliseconds.
    pub timeout_ms: u64,
    /// How it is called.
    #[serde(skip_serializing_if = "crate::calls::CallRules::is_default", default)]
    pub calls: crate::calls::CallRules,
    /// Digest of everything above.
    pub digest: Digest,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TLS: what ALPN says; clear text: HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; on clear text with prior knowledge.
    Http2,
}

/// An entry of a backend's endpoints.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointModel {
    /// What it leads to.
    pub place: PlaceModel,
    /// Its share of the calls, at least 1.
    pub weight: u32,
    /// Lower numbers are called first.
    pub priority: u16,
}

/// What an entry leads to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceModel {
    /// One endpoint, at this base URL.
    Url(String),
    /// An endpoint for each address of a name.
    #[serde(rename_all = "camelCase")]
    Dns {
        /// The name.
        name: String,
        /// The port; none = the scheme's.
        port: Option<u16>,
        /// Whether TLS is spoken there.
        tls: bool,
        /// What stands before the rest of the path.
        path: String,
    },
    /// An endpoint for each SRV record of a name.
    #[serde(rename_all = "camelCase")]
    Srv {
        /// The name.
        name: String,
        /// Whether TLS is spoken there.
        tls: bool,
        /// What stands before the rest of the path.
        path: String,
    },
}

/// Which endpoint gets a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BalanceModel {
    /// One after the other, by weight.
    RoundRobin,
    /// The one of two with fewer calls in flight.
    LeastRequest,
    /// Equal values reach the same endpoint.
    #[serde(rename_all = "camelCase")]
    Hash {
        /// What is hashed.
        by: HashByModel,
        /// How far above its fair share an endpoint may go, in hundredths.
        bound_percent: u32,
    },
}

/// What is hashed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashByModel {
    /// A request header.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The client's address.
    Ip,
    /// The value of a CEL expression.
    Cel(String),
}

/// Which endpoints may be called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthModel {
    /// How endpoints are checked, where they are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub check: Option<CheckModel>,
    /// Checks in a row that make a failed endpoint healthy.
    pub healthy_after: u32,
    /// Checks in a row that make an endpoint unhealthy.
    pub unhealthy_after: u32,
    /// Failed calls in a row that eject an endpoint; 0 = none does.
    pub eject_after: u32,
    /// Which calls count as failed.
    pub eject_on: EjectOn,
    /// For how long the first time, in milliseconds.
    pub eject_for_ms: u64,
    /// How many hundredths of the endpoints may be ejected at a time.
    pub max_ejected_percent: u32,
    /// How many hundredths must be able to take calls before others are asked to.
    pub min_healthy_percent: u32,
    /// Below how many hundredths all are called.
    pub panic_below_percent: u32,
}

/// Which calls count as failed; each has the ones above it too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EjectOn {
    /// No answer at all.
    NoAnswer,
    /// 502, 503, 504.
    GatewayErrors,
    /// Every 5xx.
    ServerErrors,
}

/// How endpoints are checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckModel {
    /// What is asked.
    pub ask: CheckAskModel,
    /// How often, in milliseconds.
    pub every_ms: u64,
    /// Until the answer must be there, in milliseconds.
    pub timeout_ms: u64,
}

/// What a check asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckAskModel {
    /// A path.
    #[serde(rename_all = "camelCase")]
    Http {
        /// The path, with its query.
        target: String,
        /// `Host`, where it is not the endpoint's.
        host: Option<String>,
        /// The first and the last of each range of statuses of a healthy endpoint.
        expect: Vec<(u16, u16)>,
    },
    /// A connection.
    Tcp,
    /// The gRPC health service.
    Grpc {
        /// The service; empty = the server as a whole.
        service: String,
    },
}
