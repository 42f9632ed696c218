//! Which endpoint gets a call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;
use crate::units::Percent;

/// Which endpoint gets a call: a word, or `hash` with what is hashed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Balance {
    /// By a rule that looks at the endpoints alone.
    Rule(BalanceRule),
    /// By something of the call: equal values reach the same endpoint.
    Hash(Box<BalanceHash>),
}

/// Rules that look at the endpoints alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BalanceRule {
    /// One after the other, by weight.
    RoundRobin,
    /// Of two that are drawn by weight, the one with fewer calls in flight.
    LeastRequest,
}

/// By something of the call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceHash {
    /// What is hashed.
    pub hash: HashSpec,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

/// What is hashed: exactly one of `header`, `cookie`, `ip`, `cel`. A call that has none of it goes to an endpoint by turn.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashSpec {
    /// The value of this request header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-header"))]
    pub header: Option<String>,
    /// The value of this cookie.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "tollway-header"))]
    pub cookie: Option<String>,
    /// `true`: the client's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<bool>,
    /// The value of a CEL expression over the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1, max = 4096))]
    pub cel: Option<String>,
    /// How far above its fair share of the calls in flight an endpoint may go before calls move on to the next one.
    #[serde(default = "HashSpec::default_bound")]
    #[schemars(extend("format" = "tollway-percent-over"))]
    pub bound: Percent,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl HashSpec {
    fn default_bound() -> Percent {
        Percent::new(150)
    }
}
