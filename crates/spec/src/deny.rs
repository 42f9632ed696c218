//! Rules that refuse callers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Extensions;

/// Refuses calls that meet all that it names. Of a list one is enough; what it does not name, it does not look at.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DenyRuleSpec {
    /// Addresses of clients, or networks such as `203.0.113.0/24`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000), extend("items" = {"type": "string", "format": "tollway-network"}))]
    pub clients: Vec<String>,
    /// Calling applications: the names of their documents.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000), extend("items" = {"type": "string", "format": "tollway-name"}))]
    pub applications: Vec<String>,
    /// Callers by their subject: the `sub` of a token, the name of a user, the subject of a certificate.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000))]
    pub users: Vec<String>,
    /// APIs that are called: the names of their documents, such as `orders-2.1.0`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000))]
    pub apis: Vec<String>,
    /// A condition (CEL). Where it has no answer for a call, the call is refused if all else is met.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub when: Option<String>,
    /// The moment from which on it refuses nothing any more (RFC 3339, such as `2027-06-30T12:00:00Z`); absent = never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "date-time"))]
    pub until: Option<String>,
    /// Why, for operators; callers are not told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 1000))]
    pub reason: Option<String>,
    /// `x-…` keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub extensions: Extensions,
}

impl DenyRuleSpec {
    /// [`Self::until`] in seconds since 1970, rounded up; `None` also for a text that is no moment, which the schema has
    /// refused.
    #[must_use]
    pub fn until_unix_s(&self) -> Option<u64> {
        let until: jiff::Timestamp = self.until.as_deref()?.parse().ok()?;
        let whole = until.subsec_nanosecond() == 0;
        let seconds = u64::try_from(until.as_second()).unwrap_or(0);
        Some(seconds + u64::from(!whole))
    }
}
