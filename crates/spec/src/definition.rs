//! Where an API's OpenAPI definition is, and how strictly it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The OpenAPI definition of an API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionSpec {
    /// Where it is.
    #[serde(flatten)]
    pub at: Definition,
    /// Rules that count otherwise than by default: `{duplicate-tag: warning}`. The rules, their severities and which
    /// of them may be weakened are in `docs/reference/rules.md`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    #[schemars(extend("maxProperties" = 100))]
    pub rules: BTreeMap<String, RuleSeverity>,
}

/// Where the OpenAPI definition is: one of the two.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Definition {
    /// A file, relative to the document's own.
    File(#[schemars(extend("format" = "tollway-file"))] String),
    /// The text itself.
    Inline(String),
}

impl From<Definition> for DefinitionSpec {
    fn from(at: Definition) -> Self {
        Self {
            at,
            rules: BTreeMap::new(),
        }
    }
}

/// How much the violation of a rule counts.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// Not looked at.
    Off,
    /// The definition is accepted, its author is told.
    Warning,
    /// The definition is refused.
    Error,
}

impl RuleSeverity {
    /// As documents and the command line write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for RuleSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a severity is `off`, `warning` or `error`")]
pub struct UnknownSeverity;

impl FromStr for RuleSeverity {
    type Err = UnknownSeverity;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Off, Self::Warning, Self::Error]
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or(UnknownSeverity)
    }
}
