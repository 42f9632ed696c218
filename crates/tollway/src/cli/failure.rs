//! Why a command failed, and with which exit code.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use base::{Problem, code};
use serde_json::Value;

/// A command that did not do what it was asked; the text is for people, on standard error.
#[derive(Debug)]
pub enum Failure {
    /// The answer is no: differences, invalid documents. What there is to say was said already.
    No,
    /// Wrong usage, or a local file or address cannot be used.
    Usage(String),
    /// The platform refused.
    Refused(Box<Problem>),
    /// The platform cannot be reached, or what answers there is not it.
    Unreachable(String),
}

impl Failure {
    /// A local file that cannot be used.
    pub(crate) fn file(path: &Path, cause: impl fmt::Display) -> Self {
        Self::Usage(format!("{}: {cause}", path.display()))
    }

    /// The documented exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::No => 1,
            // It is done, but the question was whether every gateway serves it.
            Self::Refused(problem) if problem.code == code::NOT_ACKNOWLEDGED.name => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => Ok(()),
            Self::Usage(text) | Self::Unreachable(text) => f.write_str(text),
            Self::Refused(problem) => {
                write!(f, "{}: {}", problem.code, problem.title)?;
                if !problem.detail.is_empty() {
                    write!(f, ": {}", problem.detail)?;
                }
                for error in &problem.errors {
                    write!(f, "\n{error}")?;
                }
                let missing = problem.extensions.get("missing").and_then(Value::as_array);
                for node in missing.into_iter().flatten() {
                    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
                    let serves = node["revision"].as_u64().map_or_else(
                        || "nothing yet".to_owned(),
                        |revision| format!("revision {revision}"),
                    );
                    let (name, gateway) = (text("node"), text("gateway"));
                    write!(f, "\n{name} of {gateway} serves {serves}")?;
                }
                if !problem.trace_id.is_empty() {
                    write!(f, "\ntrace id {}", problem.trace_id)?;
                }
                Ok(())
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Usage(error.to_string())
    }
}
