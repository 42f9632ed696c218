//! Texts (YAML 1.2 with the core schema, JSON) as one tree in which every value and key knows its line and column.
//!
//! Everything that strangers or people write comes through here: definitions, documents, bodies. So every reader is
//! bounded by [`Limits`], aliases are expanded within a budget, no depth overflows the stack, and every problem has a place.
//!
//! A text that begins with `{` or `[` is read as JSON (RFC 8259) first: YAML limits the length of keys and does not
//! join the surrogate pairs of `\u` escapes, JSON does. If it is not JSON, it is read as YAML's flow style.
//!
//! Knows nothing of documents, definitions, schemas or files.
//! Start reading at [`parse`], then [`Node`].

mod builder;
mod json;
mod node;
pub mod pointer;
mod repair;
mod scalar;
#[cfg(test)]
mod tests;
mod yaml;

use base::{Diagnostic, Diagnostics};

use crate::builder::Builder;
pub use crate::node::{Entry, Node, Object, Position, Value};

/// The deepest nesting that is accepted whatever [`Limits::depth_max`] says, so that recursion over a tree is safe.
pub const DEPTH_CEILING: usize = 512;

/// What one text may cost; the first excess refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text in bytes.
    pub bytes_max: usize,
    /// Values and keys written in the text, in all of its documents together.
    pub nodes_max: usize,
    /// Levels of nesting, aliases expanded; never more than [`DEPTH_CEILING`].
    pub depth_max: usize,
    /// Aliases of lists and mappings, in all documents together. People write few; the default is that of the YAML
    /// readers that most tools for definitions are built on.
    pub alias_collections_max: usize,
    /// Values that anchors keep and aliases add, in all documents together.
    pub alias_nodes_max: usize,
    /// Bytes of strings that anchors keep and aliases add, in all documents together.
    pub alias_bytes_max: usize,
    /// Problems after which reading stops; syntax errors stop it at once.
    pub problems_max: usize,
}

impl Limits {
    /// For a text that was accepted before, under limits that may have been others: only what keeps reading safe.
    #[must_use]
    pub fn accepted() -> Self {
        Self {
            bytes_max: usize::MAX,
            nodes_max: u32::MAX as usize,
            depth_max: DEPTH_CEILING,
            alias_collections_max: usize::MAX,
            alias_nodes_max: u32::MAX as usize,
            alias_bytes_max: usize::MAX,
            problems_max: Self::default().problems_max,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 10 * 1024 * 1024,
            nodes_max: 500_000,
            depth_max: 128,
            alias_collections_max: 50,
            alias_nodes_max: 100_000,
            alias_bytes_max: 8 * 1024 * 1024,
            problems_max: 100,
        }
    }
}

/// Reads a text that holds exactly one document.
///
/// # Errors
/// Every problem found, each with its position: syntax, duplicate keys, values that JSON cannot express, limits.
/// No document and more than one are errors too.
pub fn parse(text: &str, limits: &Limits) -> Result<Node, Diagnostics> {
    let mut documents = parse_all(text, limits)?.into_iter();
    let Some(document) = documents.next() else {
        let problem = Diagnostic::error("empty-text", "", "the text holds no document").at(1, 1);
        return Err(Diagnostics(vec![problem]));
    };
    match documents.next() {
        None => Ok(document),
        Some(second) => Err(Diagnostics(vec![
            Diagnostic::error(
                "several-documents",
                "",
                "the text holds more than one document, one is expected here",
            )
            .mend("keep one and drop the `---` line with what follows it")
            .at(second.position.line, second.position.column),
        ])),
    }
}

/// Reads a text of any number of documents, separated by `---`. Documents without content are left out.
///
/// # Errors
/// As [`parse`]; problems of all documents come together, pointers are relative to their document.
pub fn parse_all(text: &str, limits: &Limits) -> Result<Vec<Node>, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_characters(text, limits).map_err(|problem| Diagnostics(vec![*problem]))?;
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml::read(text, limits).map_err(Failure::into_diagnostics);
    }
    let json_problem = match json::read(text, Builder::new(limits)) {
        Ok(node) => return Ok(vec![node]),
        Err(Failure::Problems(problems)) => return Err(problems),
        Err(Failure::Syntax(problem)) => problem,
    };
    // Flow-style YAML, or broken JSON: whose first token inside the bracket JSON understands, that was meant as JSON.
    let inside = text.trim_start()[1..].trim_start();
    let mut start = Position::START;
    start.advance(&text[..text.len() - inside.len()]);
    let meant_as_json = (json_problem.line, json_problem.column) > (start.line, start.column);
    yaml::read(text, limits).map_err(|failure| match failure {
        Failure::Syntax(_) if meant_as_json => Diagnostics(vec![*json_problem]),
        other => other.into_diagnostics(),
    })
}

/// Why a reader gave up.
enum Failure {
    /// The text is not of the reader's language.
    Syntax(Box<Diagnostic>),
    /// The text is of the language, and its content is refused.
    Problems(Diagnostics),
}

impl Failure {
    fn into_diagnostics(self) -> Diagnostics {
        match self {
            Self::Syntax(problem) => Diagnostics(vec![*problem]),
            Self::Problems(problems) => problems,
        }
    }
}

/// Refuses texts that are too long, and control characters: the YAML scanner takes NUL for the end of the text.
fn check_characters(text: &str, limits: &Limits) -> Result<(), Box<Diagnostic>> {
    if text.len() > limits.bytes_max {
        let message = format!(
            "the text has {} bytes, at most {} are accepted",
            text.len(),
            limits.bytes_max
        );
        return Err(Box::new(
            Diagnostic::error("text-too-long", "", message).at(1, 1),
        ));
    }
    let Some(offset) = text
        .bytes()
        .position(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))
    else {
        return Ok(());
    };
    let mut position = Position::START;
    position.advance(&text[..offset]);
    let message = format!(
        "the control character U+{:04X} may not stand in a text",
        text.as_bytes()[offset]
    );
    let problem = Diagnostic::error("control-character", "", message);
    let mend = "remove it, or write it as an escape in a quoted string";
    Err(Box::new(
        problem.mend(mend).at(position.line, position.column),
    ))
}
