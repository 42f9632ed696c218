//! What is wrong with a text that somebody wrote: place, cause and mend.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text is accepted; the reader should know this.
    Warning,
    /// The text is refused.
    Error,
}

/// One problem of one text. A checker returns all of them, not the first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Whether the text is refused for it.
    pub severity: Severity,
    /// Stable name of the rule, in kebab case (`unknown-key`).
    pub rule: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mend: Option<String>,
    /// Where in the document: a JSON pointer (RFC 6901), empty for the whole of it.
    pub pointer: String,
    /// The file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// Line, from 1; 0 where the text has no lines (a value made by a program).
    pub line: u32,
    /// Column in characters, from 1; 0 with line 0.
    pub column: u32,
}

impl Diagnostic {
    /// An error without a position yet.
    pub fn error(rule: &str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, rule, pointer.into(), message.into())
    }

    /// A warning without a position yet.
    pub fn warning(rule: &str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, pointer.into(), message.into())
    }

    fn new(severity: Severity, rule: &str, pointer: String, message: String) -> Self {
        Self {
            severity,
            rule: rule.to_owned(),
            message,
            mend: None,
            pointer,
            file: None,
            line: 0,
            column: 0,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Adds the position.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = line;
        self.column = column;
        self
    }

    /// Adds the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }
}

/// `file:line:column pointer message (mend)`, the form that editors and people jump by.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("-");
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{file}:{}:{} {pointer} ", self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.mend {
            Some(mend) => write!(f, " ({mend})"),
            None => Ok(()),
        }
    }
}

/// A list of diagnostics with the questions that callers ask of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds many.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(others);
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_cause_and_mend() {
        let diagnostic = Diagnostic::error("unknown-key", "/spec/contxt", "unknown key `contxt`")
            .mend("did you mean `context`?")
            .at(7, 3)
            .in_file("api.yaml");
        assert_eq!(
            diagnostic.to_string(),
            "api.yaml:7:3 /spec/contxt unknown key `contxt` (did you mean `context`?)"
        );
    }
}
