//! How the endpoints of backends fare: what a node tells the control plane, for operators who ask.

use serde::{Deserialize, Serialize};

use crate::ResourceKey;

/// A backend as one node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendReport {
    /// The backend.
    pub key: ResourceKey,
    /// Its endpoints; those that are called first stand first.
    pub endpoints: Vec<EndpointReport>,
    /// Why a name of the backend could not be looked up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// How its circuit is; none where it has no circuit breaker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circuit: Option<CircuitReport>,
}

/// A circuit breaker as one node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitReport {
    /// Calls pass.
    Closed,
    /// A few calls pass, to see how they fare.
    HalfOpen,
    /// No call passes until then, in milliseconds since 1970, as exact as a second.
    Open {
        /// Until when.
        until_unix_ms: u64,
    },
}

/// An endpoint as one node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointReport {
    /// Its name, as a URL.
    pub endpoint: String,
    /// Its share beside the others'.
    pub weight: u32,
    /// Lower numbers are called first.
    pub priority: u16,
    /// Whether it is called.
    pub health: EndpointHealth,
    /// Until when it is ejected, in milliseconds since 1970, as exact as a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ejected_until_unix_ms: Option<u64>,
    /// Why it is as it is; empty where nothing ever happened.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cause: String,
    /// Since when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_unix_ms: Option<u64>,
}

/// Whether an endpoint is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointHealth {
    /// It is called; nobody checks it, or no check has been made yet.
    Unchecked,
    /// It is called; its checks succeed.
    Healthy,
    /// It is not called: its checks fail.
    Unhealthy,
    /// It is not called for a while: its calls failed.
    Ejected,
}

impl EndpointHealth {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::Unchecked,
        Self::Healthy,
        Self::Unhealthy,
        Self::Ejected,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
        }
    }

    /// Whether it is called.
    #[must_use]
    pub fn is_called(self) -> bool {
        matches!(self, Self::Unchecked | Self::Healthy)
    }
}
