//! What a change of a definition means to those who call the API.
//!
//! Two definitions are compared as callers see them: parameters, bodies and answers are brought to one shape for all
//! dialects, `$ref` and `allOf` are looked through, and every difference is told by a [`Rule`] that says whether it
//! breaks callers. What a caller sends may become wider, what a caller gets may become narrower; the other way breaks.
//!
//! Invariants: `diff(x, x)` is empty; the work is bounded by [`Limits`], and where a limit cut the comparison the last
//! difference is one of [`rules::NOT_COMPARED`], which breaks: what was not looked at is not called harmless.
//!
//! Start reading at [`diff`], then `operations.rs`, `schemas.rs`.

mod messages;
mod operations;
mod place;
pub mod rules;
mod schemas;
mod security;
use serde::Serialize;
use tree::Node;

use crate::calls::Text;
use crate::diff::place::Places;
pub use crate::diff::rules::{RULES, Rule};
use crate::model::Method;

/// What one comparison may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pairs of parts that are compared.
    pub steps_max: usize,
    /// Differences that are told.
    pub differences_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_max: 2_000_000,
            differences_max: 10_000,
        }
    }
}

/// Which way something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The new definition has it, the old one not.
    Added,
    /// The old definition has it, the new one not.
    Removed,
    /// Both have it.
    Changed,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The rule that tells it; in JSON its id as `rule`, with `change` and `breaking` beside it.
    #[serde(flatten)]
    pub rule: &'static Rule,
    /// The operation that it concerns; none where it concerns the whole definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationRef>,
    /// What changed, in one sentence.
    pub message: String,
    /// Where the old definition has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Place>,
    /// Where the new definition has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Place>,
    /// What it was, cut to 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is, cut to 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Difference {
    /// Whether callers that keep to the old definition may fail.
    #[must_use]
    pub fn breaking(&self) -> bool {
        self.rule.breaking
    }

    /// Which way it changed.
    #[must_use]
    pub fn change(&self) -> Change {
        self.rule.change
    }
}

/// Names an operation: the path is that of the new definition, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationRef {
    /// The method, upper case. Empty where a path with all its operations is meant.
    pub method: &'static str,
    /// The path template.
    pub path: String,
}

impl OperationRef {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method: method.as_str(),
            path: path.to_owned(),
        }
    }
}

/// A place in one of the two texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Compares two definitions, in the order of the paths of the old one, then those that are new.
#[must_use]
pub fn diff(old: &Node, new: &Node, limits: &Limits) -> Vec<Difference> {
    let mut comparison = Comparison {
        old: Text::new(old),
        new: Text::new(new),
        places: (Places::new(old), Places::new(new)),
        limits: limits.clone(),
        steps: 0,
        cut: false,
        operation: None,
        found: Vec::new(),
        same: schemas::Same::default(),
    };
    operations::compare(&mut comparison);
    comparison.finish()
}

/// The two definitions, what was found so far, and the budget.
pub(crate) struct Comparison<'t> {
    old: Text<'t>,
    new: Text<'t>,
    places: (Places<'t>, Places<'t>),
    limits: Limits,
    steps: usize,
    cut: bool,
    operation: Option<OperationRef>,
    found: Vec<Difference>,
    same: schemas::Same,
}

/// What a difference is about: the nodes in the two texts, and their values in short.
#[derive(Clone, Default)]
struct About<'t> {
    old: Option<&'t Node>,
    new: Option<&'t Node>,
    before: Option<String>,
    after: Option<String>,
}

impl<'t> About<'t> {
    fn both(old: &'t Node, new: &'t Node) -> Self {
        Self {
            old: Some(old),
            new: Some(new),
            ..Self::default()
        }
    }

    fn old(node: &'t Node) -> Self {
        Self {
            old: Some(node),
            ..Self::default()
        }
    }

    fn new(node: &'t Node) -> Self {
        Self {
            new: Some(node),
            ..Self::default()
        }
    }

    fn values(mut self, before: impl Into<String>, after: impl Into<String>) -> Self {
        self.before = Some(before.into());
        self.after = Some(after.into());
        self
    }
}

impl<'t> Comparison<'t> {
    /// Pays for one step; false when nothing more may be compared.
    fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps > self.limits.steps_max || self.found.len() >= self.limits.differences_max {
            self.cut = true;
        }
        !self.cut
    }

    /// Keeps a difference.
    fn tell(&mut self, rule: &'static Rule, message: String, about: About<'t>) {
        if self.found.len() >= self.limits.differences_max {
            self.cut = true;
            return;
        }
        let About {
            old,
            new,
            before,
            after,
        } = about;
        self.found.push(Difference {
            rule,
            operation: self.operation.clone(),
            message,
            old: old.map(|node| self.places.0.of(node)),
            new: new.map(|node| self.places.1.of(node)),
            before: before.map(|text| short(&text)),
            after: after.map(|text| short(&text)),
        });
    }

    fn finish(mut self) -> Vec<Difference> {
        if self.cut {
            let message = format!(
                "the definitions differ in more than is compared ({} steps, {} differences at most)",
                self.limits.steps_max, self.limits.differences_max
            );
            self.found.push(Difference {
                rule: &rules::NOT_COMPARED,
                operation: None,
                message,
                old: None,
                new: None,
                before: None,
                after: None,
            });
        }
        self.found
    }
}

/// The first 200 characters.
fn short(text: &str) -> String {
    const MAX: usize = 200;
    if text.chars().nth(MAX).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(MAX - 1).collect();
    cut.push('…');
    cut
}
