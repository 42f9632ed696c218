//! Holds API definitions against rule sets in the format of Spectral. The subset is stated in `docs/lint.md`; what lies
//! outside of it is an error that names rule and place, never silently left out.
//!
//! Rule sets are data: no code of theirs is run, nothing is loaded. The work is bounded by [`Limits`] whatever a rule set
//! says: steps are counted, patterns may look around but not for ever.
//!
//! Knows nothing of files, the network, or how definitions are read: it works on trees.
//! Start reading at [`Ruleset::read`], then [`lint`], then `path.rs` and `functions.rs`.

mod functions;
mod path;
mod pattern;
mod ruleset;
mod run;
mod text;

use std::fmt;
use std::str::FromStr;

use base::{Diagnostic, Diagnostics};
use serde::{Deserialize, Serialize};

pub use crate::functions::FUNCTIONS;
pub use crate::ruleset::{Format, Rule, Ruleset};
pub use crate::run::lint;

/// What one run may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Values that paths look at, all rules together.
    pub steps_max: usize,
    /// Findings after which the run ends.
    pub findings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_max: 20_000_000,
            findings_max: 10_000,
        }
    }
}

/// How much a finding matters, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Could be better.
    Hint,
    /// Good to know.
    Info,
    /// Should be mended.
    Warn,
    /// Must be mended.
    Error,
}

impl Severity {
    /// As rule sets write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownSeverity;

impl FromStr for Severity {
    type Err = UnknownSeverity;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Hint, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or(UnknownSeverity)
    }
}

/// What one rule found at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Rule, message and place; without line and column until [`locate`].
    pub diagnostic: Diagnostic,
}

/// Fills in lines, columns and files: `by` is [`tree::Node::locate`] of the definition, or what does the same for one
/// of several files.
pub fn locate(findings: &mut [Finding], by: impl FnOnce(&mut Diagnostics)) {
    let mut all = Diagnostics(
        findings
            .iter()
            .map(|finding| finding.diagnostic.clone())
            .collect(),
    );
    by(&mut all);
    for (finding, diagnostic) in findings.iter_mut().zip(all) {
        finding.diagnostic = diagnostic;
    }
}
