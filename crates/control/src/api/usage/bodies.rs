//! Parameters and bodies of the usage endpoints.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use store::{Dimension, Step};
use utoipa::{IntoParams, ToSchema};

use crate::http::{ApiError, ApiResult};

/// Which usage, and how it is put together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageParams {
    /// Of this API: its document's name, or `NAME:VERSION`; `-` = calls that matched no API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api: Option<String>,
    /// Of this operation: `operationId`, or `METHOD template`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// Of this application (name; one that is gone: its id).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// Under this plan.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
    /// Answered so: `1xx` to `5xx`; `none` = the client went away before the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
    /// In this environment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// What groups differ in, with commas: `api`, `operation`, `application`, `plan`, `status`, `environment`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group_by: Option<String>,
    /// Groups differ in time too, by this step. What is kept by longer steps only stays in those.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<Step>,
    /// From so long before the end, such as `90m` or `7d`; by default 1h.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// From this time on (RFC 3339); the minute, hour or day that it lies in counts whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// Before this time (RFC 3339); by default now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
}

impl UsageParams {
    pub(super) fn group_by(&self) -> ApiResult<BTreeSet<Dimension>> {
        let names = self.group_by.as_deref().unwrap_or_default();
        names
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| {
                serde_json::from_value(name.into()).map_err(|_| {
                    ApiError::bad_request(format!(
                        "`groupBy`: `{name}` is none of api, operation, application, plan, status, environment"
                    ))
                })
            })
            .collect()
    }
}

/// What was called.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// From when, in milliseconds since 1970.
    pub from_unix_ms: u64,
    /// Before when, in milliseconds since 1970.
    pub to_unix_ms: u64,
    /// All groups together.
    pub total: UsageItem,
    /// The groups, ordered by time and then by what they are of.
    pub items: Vec<UsageItem>,
}

/// The calls of one group. What was not grouped by is absent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageItem {
    /// The beginning of the step, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_unix_ms: Option<u64>,
    /// The API's document name; `-` for calls that matched no API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api: Option<String>,
    /// The operation; empty where the path or method is none of the API's, `overflow` where there was no room for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// The application's name, or its id when it is gone; empty where nobody was authenticated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// The application's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application_id: Option<String>,
    /// The plan; empty where no subscription was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
    /// The class of the status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
    /// The environment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// Calls.
    pub requests: u64,
    /// Calls that were answered 4xx.
    pub client_errors: u64,
    /// Calls that were answered 5xx.
    pub server_errors: u64,
    /// The share of both among all calls, 0 to 1.
    pub error_share: f64,
    /// Bytes of request bodies that were passed on.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// From a request's head to the end of its answer.
    pub gateway: Latency,
    /// Until the head of the backend's answer; of calls that asked a backend.
    pub backend: Latency,
}

/// Times in microseconds, within 1% of the exact ones; absent without calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Calls whose time was taken.
    pub count: u64,
    /// Half of the calls took no longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p50_us: Option<u64>,
    /// 95% took no longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p95_us: Option<u64>,
    /// 99% took no longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p99_us: Option<u64>,
    /// The longest one, exactly.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_us: Option<u64>,
}

/// What nodes sent and what is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// Requests that nodes sent.
    pub sent_requests: u64,
    /// Requests that are stored.
    pub stored_requests: u64,
    /// Sent and not stored; 0 = nothing is missing.
    pub difference: i64,
    /// Requests that nodes could not keep: their spool was full or could not be written.
    pub lost_requests: u64,
    /// Starts that ended without stopping; each may have lost what its last flush interval counted.
    pub unclean_boots: u64,
    /// The starts of nodes, the latest ones first; at most 1000.
    pub items: Vec<BootItem>,
}

/// One start of one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootItem {
    /// The node's name.
    pub node: String,
    /// Names the start; later ones are greater.
    pub epoch: String,
    /// When its first batch came, in milliseconds since 1970.
    pub first_unix_ms: u64,
    /// When its latest batch came, in milliseconds since 1970.
    pub latest_unix_ms: u64,
    /// How it ended.
    pub end: BootEnd,
    /// After an unclean end: the last sequence that the next start found on the node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub found_sequence: Option<u64>,
    /// The greatest sequence that is stored; batches are numbered from 1.
    pub sequence: u64,
    /// Batches that are stored.
    pub stored_batches: u64,
    /// Sequences below the greatest one that are not stored.
    pub missing_batches: u64,
    /// Requests that the node sent, as it says itself.
    pub sent_requests: u64,
    /// Requests that are stored.
    pub stored_requests: u64,
    /// Sent and not stored.
    pub difference: i64,
    /// Batches that the node could not keep.
    pub lost_batches: u64,
    /// Requests that the node could not keep.
    pub lost_requests: u64,
}

/// How a start of a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BootEnd {
    /// It runs, or nobody knows.
    Open,
    /// It stopped, and everything is stored.
    Clean,
    /// It was killed, crashed or lost its power.
    Unclean,
}
