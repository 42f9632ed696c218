//! Why a call was refused or failed: what a node tells the control plane, so that an operator can ask by trace id.
//!
//! Texts are bounded by whoever makes a decision; none of them is a credential.

use base::{ApplicationId, CredentialId, Org, SubscriptionId};
use serde::{Deserialize, Serialize};

/// One call that was refused, or that failed on its way to the backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The trace id, 32 hexadecimal digits; several calls of one caller may share it.
    pub trace_id: String,
    /// When the call began, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Until the answer's head was made, in microseconds.
    pub took_us: u64,
    /// What was asked.
    pub request: AskedFor,
    /// What it was matched to, or why to nothing.
    pub matched: Matched,
    /// The policies of the chain in their order; empty when none was reached.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub policies: Vec<Step>,
    /// Who called, as far as authentication came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub caller: Option<Caller>,
    /// How the limit that decided stood, where one was looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quota: Option<Quota>,
    /// The backend, where the call came as far as that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<Upstream>,
    /// The answer.
    pub answer: Answer,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedFor {
    /// The method.
    pub method: String,
    /// The host, as the client named it.
    pub host: String,
    /// The canonical path; of a path that was refused, the path as it came.
    pub path: String,
    /// The query, its values masked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query: Option<String>,
    /// The client's address.
    pub client_ip: String,
    /// Header fields of the list of those that may be told; absent once the request was on its way to the backend.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub headers: Vec<(String, String)>,
}

/// What a call was matched to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matched {
    /// The API; `None` when no API is served at that host and path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api: Option<MatchedApi>,
    /// The operation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<MatchedOperation>,
    /// Why there is no operation; empty when there is one.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub missing: String,
}

/// The API that a call was matched to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchedApi {
    /// Its organisation.
    pub org: Org,
    /// Its document's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the life cycle says: `serve`, `not-published`, `blocked`, `retired`, `broken`.
    pub gate: String,
}

/// The operation that a call was matched to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchedOperation {
    /// `operationId`, or `METHOD template`.
    pub name: String,
    /// The path template, below the API's mount.
    pub template: String,
}

/// One policy of the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name in documents.
    pub policy: String,
    /// What it decided.
    pub outcome: StepOutcome,
}

/// What a policy decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// The call went on.
    Passed,
    /// The call was refused here.
    Rejected,
    /// The call had ended before.
    NotReached,
}

/// Who called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The application; `None` for a caller that is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<ApplicationId>,
    /// The credential that proved it, where it is one that the platform keeps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<CredentialId>,
    /// The scopes of its token; `None` for an API key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<Vec<String>>,
    /// The subscription that was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subscription: Option<SubscriptionId>,
    /// The subscription's plan.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
}

/// How the limit that decided stood.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Whose it is: the plan, or the policy's own name.
    pub name: String,
    /// `quota` or `burst` of a plan, or `policy`.
    pub window: String,
    /// Requests that the window allows.
    pub limit: u64,
    /// Requests that were counted.
    pub used: u64,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// Milliseconds until more are allowed.
    pub reset_ms: u64,
}

/// The way to the backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// The backend's name.
    pub name: String,
    /// What was tried, in order.
    pub tries: Vec<Try>,
}

/// One try to get an answer of a backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Try {
    /// Host and port.
    pub endpoint: String,
    /// `reused`, `new`, or `connecting` when there was no connection yet.
    pub connection: String,
    /// When it began, in microseconds since the call began.
    pub begun_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The status, where a head came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// What the caller was told, and the rule behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The error code.
    pub code: String,
    /// The problem's detail.
    pub detail: String,
    /// The rule that was broken; empty where the code says it all.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub rule: String,
    /// What the rule compared.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub facts: Vec<Fact>,
}

/// One comparison that did not come out as it had to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// What was looked at: `claim exp`, `application`.
    pub name: String,
    /// What was there.
    pub found: String,
    /// What would have passed.
    pub expected: String,
}

impl Decision {
    /// The organisation whose API was called; `None` when there is no such API.
    #[must_use]
    pub fn org(&self) -> Option<&Org> {
        self.matched.api.as_ref().map(|api| &api.org)
    }
}
