//! Whether a credential calls the real backends or the ones for trying out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a credential is for: an API may have a backend of its own for each.
///
/// Not to be mistaken for the `environment` of a `Gateway` document, which names a group of nodes.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Calls go to the production backend.
    #[default]
    Production,
    /// Calls go to the sandbox backend, and never to another.
    Sandbox,
}

impl Environment {
    /// As documents, the REST API and the database write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an environment is `production` or `sandbox`")]
pub struct UnknownEnvironment;

impl FromStr for Environment {
    type Err = UnknownEnvironment;
    fn from_str(text: &str) -> Result<Self, UnknownEnvironment> {
        match text {
            "production" => Ok(Self::Production),
            "sandbox" => Ok(Self::Sandbox),
            _ => Err(UnknownEnvironment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for environment in [Environment::Production, Environment::Sandbox] {
            assert_eq!(environment.to_string().parse(), Ok(environment));
        }
        assert_eq!("Sandbox".parse::<Environment>(), Err(UnknownEnvironment));
    }
}
