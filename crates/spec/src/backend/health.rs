//! Which endpoints may be called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::units::{Duration, Percent};

/// Which endpoints may be called: by checks of our own (`http`, `tcp` or `grpc`; none = no checks) and by how calls fare.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthSpec {
    /// Asks for a path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http: Option<HttpCheck>,
    /// Connects, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp: Option<TcpCheck>,
    /// Asks the gRPC health service (`grpc.health.v1.Health/Check`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grpc: Option<GrpcCheck>,
    /// Checks in a row that must succeed before an endpoint that failed is called again.
    #[serde(default = "HealthSpec::default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
    /// Checks in a row that must fail before an endpoint is no longer called.
    #[serde(default = "HealthSpec::default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// Calls in a row that must fail before an endpoint is ejected: not called for a while. 0 = none is ejected.
    #[serde(default = "HealthSpec::default_eject_after")]
    #[schemars(range(min = 0, max = 10_000))]
    pub eject_after: u32,
    /// Which calls count as failed.
    #[serde(default)]
    pub eject_on: EjectOn,
    /// For how long the first time; each further time in a row as much longer, at most ten times as long.
    #[serde(default = "HealthSpec::default_eject_for")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub eject_for: Duration,
    /// How many of the backend's endpoints may be ejected at a time, rounded down.
    #[serde(default = "HealthSpec::default_max_ejected")]
    #[schemars(extend("format" = "tollway-percent"))]
    pub max_ejected: Percent,
    /// How many of the endpoints must be able to take calls; with fewer, calls go to endpoints of the next priority, then
    /// to the `failover` backends, where these have enough.
    #[serde(default = "HealthSpec::default_min_healthy")]
    #[schemars(extend("format" = "tollway-percent"))]
    pub min_healthy: Percent,
    /// With fewer than these able to take calls, and nowhere else to go, calls go to all endpoints; 0% = when none is.
    #[serde(default = "HealthSpec::default_panic_below")]
    #[schemars(extend("format" = "tollway-percent"))]
    pub panic_below: Percent,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl HealthSpec {
    fn default_healthy_after() -> u32 {
        2
    }
    fn default_unhealthy_after() -> u32 {
        3
    }
    fn default_eject_after() -> u32 {
        5
    }
    fn default_eject_for() -> Duration {
        Duration::from_s(30)
    }
    fn default_max_ejected() -> Percent {
        Percent::new(50)
    }
    fn default_min_healthy() -> Percent {
        Percent::new(50)
    }
    fn default_panic_below() -> Percent {
        Percent::new(0)
    }
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            grpc: None,
            healthy_after: Self::default_healthy_after(),
            unhealthy_after: Self::default_unhealthy_after(),
            eject_after: Self::default_eject_after(),
            eject_on: EjectOn::default(),
            eject_for: Self::default_eject_for(),
            max_ejected: Self::default_max_ejected(),
            min_healthy: Self::default_min_healthy(),
            panic_below: Self::default_panic_below(),
            extensions: Extensions::new(),
        }
    }
}

/// Which calls count as failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EjectOn {
    /// No connection, no answer in time, or a connection that broke.
    NoAnswer,
    /// These, and 502, 503, 504.
    #[default]
    GatewayErrors,
    /// These, and every 5xx.
    ServerErrors,
}

fn every() -> Duration {
    Duration::from_s(10)
}

fn timeout() -> Duration {
    Duration::from_s(2)
}

/// Asks for a path.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The path, with or without a query; the endpoint's own path does not stand before it.
    #[schemars(extend("format" = "tollway-check-path"))]
    pub path: String,
    /// How often.
    #[serde(default = "every")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub every: Duration,
    /// Until the head of the answer must be there.
    #[serde(default = "timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// Statuses of a healthy endpoint, as `200`, `2xx` or `200-399`.
    #[serde(default = "HttpCheck::default_expect")]
    #[schemars(length(min = 1, max = 16), extend("items" = {"type": "string", "format": "tollway-statuses"}))]
    pub expect: Vec<String>,
    /// The `Host` that is asked for; absent = the endpoint's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-host"))]
    pub host: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl HttpCheck {
    fn default_expect() -> Vec<String> {
        vec!["2xx".to_owned()]
    }
}

/// Connects, and nothing else.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpCheck {
    /// How often.
    #[serde(default = "every")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub every: Duration,
    /// Until the connection must stand.
    #[serde(default = "timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// Asks the gRPC health service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcCheck {
    /// The service that is asked about; empty = the server as a whole.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub service: String,
    /// How often.
    #[serde(default = "every")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub every: Duration,
    /// Until the answer must be there.
    #[serde(default = "timeout")]
    #[schemars(extend("format" = "tollway-duration-positive"))]
    pub timeout: Duration,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}
