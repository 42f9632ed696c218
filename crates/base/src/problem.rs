//! What is wrong with a call: RFC 9457 problem details.

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::diagnostic::Diagnostic;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Where the reference page of the codes stands; a problem's `type` is this plus the code.
pub const TYPE_BASE: &str = "https://tollway.dev/errors#";

/// One fault of a document inside a problem: the same as a [`Diagnostic`].
pub type FieldError = Diagnostic;

/// An RFC 9457 problem with our stable `code` and the `traceId` that logs carry too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// URI of the code's description.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What is wrong in this case; never an internal.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// The trace id (W3C Trace Context) of the call.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub trace_id: String,
    /// The faults of a document, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// Members that some codes have besides (RFC 9457 §3.2), as their help says.
    #[serde(flatten)]
    pub extensions: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem with this code and detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_BASE}{}", code.name),
            title: code.title.to_owned(),
            status: code.status,
            code: code.name.to_owned(),
            detail: detail.into(),
            trace_id: String::new(),
            errors: Vec::new(),
            extensions: serde_json::Map::new(),
        }
    }

    /// Adds the trace id.
    #[must_use]
    pub fn trace(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = trace_id.into();
        self
    }

    /// Adds a member of this code's own.
    #[must_use]
    pub fn extension(mut self, name: &str, value: serde_json::Value) -> Self {
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// Adds faults of a document.
    #[must_use]
    pub fn errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors = errors.into_iter().collect();
        self
    }
}
