//! Rule sets: what is read of them.

mod read;

use std::sync::Arc;

use base::Diagnostics;
use tree::Node;

use crate::Severity;
use crate::functions::Function;
use crate::path::Path;

/// The rules that `extends: spectral:oas` means.
const OAS: &str = include_str!("ruleset/oas.yaml");

/// Rules, in the order in which they are held.
#[derive(Clone, Debug)]
pub struct Ruleset {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it demands, for people.
    pub description: Option<String>,
    /// How much its findings matter; none where it is off.
    pub severity: Option<Severity>,
    /// The message of its findings, with words in double braces.
    pub(crate) message: Option<String>,
    /// What it is on when `extends` asks for `all`, and whether it is on without.
    pub(crate) usual: Severity,
    pub(crate) recommended: bool,
    /// The dialects that it is about; empty for all.
    pub(crate) formats: Vec<Format>,
    /// Whether `$ref` is looked through.
    pub(crate) resolved: bool,
    pub(crate) given: Vec<Given>,
    pub(crate) then: Vec<Then>,
}

/// Where a rule looks.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) path: Path,
    /// As in [`Rule::formats`]; aliases may differ by dialect.
    pub(crate) formats: Vec<Format>,
}

/// What must hold there.
#[derive(Clone, Debug)]
pub(crate) struct Then {
    pub(crate) field: Option<Field>,
    pub(crate) function: Arc<Function>,
}

/// Which part of what was found.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    /// `@key`: each key.
    Key,
    /// Names from one value to the next.
    Way(Vec<String>),
    /// A path of its own.
    Path(Path),
}

/// A dialect, or a family of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Swagger 2.0
    Oas2,
    /// OpenAPI 3
    Oas3,
    /// OpenAPI 3.0
    Oas30,
    /// OpenAPI 3.1, and 3.2 by the rules of 3.1
    Oas31,
    /// What is no OpenAPI; rules that are about nothing else never apply.
    Other,
}

impl Format {
    /// Reads a name; nothing for unknown ones.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "oas2" => Self::Oas2,
            "oas3" => Self::Oas3,
            "oas3.0" | "oas3_0" => Self::Oas30,
            "oas3.1" | "oas3_1" | "oas3.2" | "oas3_2" => Self::Oas31,
            name if name.starts_with("aas2") || name.starts_with("asyncapi") => Self::Other,
            name if name.starts_with("json-schema") || name.starts_with("arazzo") => Self::Other,
            _ => return None,
        })
    }

    /// The formats that a definition is of.
    pub(crate) fn of(root: &Node) -> &'static [Self] {
        let version = root.get("openapi").map(|node| node.to_json().to_string());
        match version.as_deref().map(|text| text.trim_matches('"')) {
            Some(text) if text.starts_with("3.0") => &[Self::Oas3, Self::Oas30],
            Some(_) => &[Self::Oas3, Self::Oas31],
            None if root.get("swagger").is_some() => &[Self::Oas2],
            None => &[Self::Other],
        }
    }
}

impl Ruleset {
    /// Reads a rule set, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it or lies outside of the subset, each with rule, pointer, line and column.
    pub fn read(text: &str, limits: &tree::Limits) -> Result<Self, Diagnostics> {
        read::ruleset(text, limits)
    }

    /// The built-in rules, those that are recommended switched on.
    ///
    /// # Panics
    /// Never: that they can be read is tested.
    #[must_use]
    pub fn built_in() -> Self {
        let rules = read::built_in().expect("the built-in rules are read by a test");
        Self { rules }
    }

    /// All rules, those that are off among them.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}
