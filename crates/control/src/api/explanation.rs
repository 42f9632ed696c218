//! The answer to "why was this call refused?".

use serde::{Deserialize, Serialize};
use sync::Decision;
use utoipa::ToSchema;

/// What was decided about the calls of one trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The trace id.
    pub trace_id: String,
    /// The calls that were refused or failed, oldest first. A caller may give one trace id to many calls.
    pub calls: Vec<ExplainedCall>,
}

/// One call that was refused or failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCall {
    /// The node that it came to.
    pub node: String,
    /// The name of the application that called, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// The request, what it was matched to, the policies in their order, the caller, the quota, the tries to reach the
    /// backend, and the answer with the rule behind it.
    #[schema(value_type = Object)]
    pub decision: Decision,
}
