//! Expressions over the attributes of a request, in CEL (the Common Expression Language).
//!
//! A strict part of the language, so that an expression that compiled costs little and always ends: no loops (`all`,
//! `exists`, `map`, `filter`), no names but those of [`VARIABLES`], no headers but those that are named by a literal, no
//! networks and patterns but those that are written out. What an expression costs is bounded by its size and that of the
//! values it looks at; a pattern takes a time that is linear in the text.
//!
//! Pure: knows nothing of sockets, time or documents. Start at [`Expr::compile`].

mod check;
mod eval;
mod network;
mod pattern;

use std::borrow::Cow;
use std::sync::Arc;

use cel::Program;
use pattern::Patterns;

pub use eval::EvalError;
pub use pattern::{PATTERN_BYTES_MAX, PATTERNS_MAX};

/// The longest expression in bytes.
pub const SOURCE_BYTES_MAX: usize = 2048;
/// Signs of an expression: operators, dots, commas.
pub const SIGNS_MAX: usize = 128;
/// How deep brackets may stand in each other.
pub const DEPTH_MAX: usize = 12;
/// How deep parts may stand in each other: `a + b + c` stands 3 deep.
pub const PARTS_DEPTH_MAX: usize = 32;

/// What an expression may name, and what it is; for people.
pub const VARIABLES: &[(&str, &str)] = &[
    ("request.method", "the method, in upper case"),
    (
        "request.path",
        "the canonical path, with context and version",
    ),
    (
        "request.query",
        "the query without its question mark; empty where there is none",
    ),
    (
        "request.headers['name']",
        "the first value of a header; test it with `'name' in request.headers`",
    ),
    ("client.ip", "the client's address"),
    (
        "request.parameters['name']",
        "the first value of a query parameter, decoded; test it with `'name' in request.parameters`",
    ),
    (
        "application.id",
        "the id of the calling application; test it with `has(application.id)`",
    ),
    (
        "principal.subject",
        "who calls: the `sub` of a token, the name of a user; test it with `has(principal.subject)`",
    ),
    (
        "principal.scopes",
        "the scopes of the caller, a list; test it with `has(principal.scopes)`",
    ),
    ("principal.roles", "the roles of the caller, a list"),
    (
        "principal.claims['name']",
        "what a token says of its bearer, of whatever type; test it with `'name' in principal.claims`",
    ),
];

/// Something of a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Attribute {
    /// The method.
    Method,
    /// The canonical path.
    Path,
    /// The query.
    Query,
    /// A header, by its name in lower case.
    Header(String),
    /// The client's address.
    ClientIp,
    /// The first value of a query parameter, by its name.
    Parameter(String),
    /// The id of the calling application.
    Application,
    /// Who calls, by name.
    Subject,
    /// The scopes of the caller.
    Scopes,
    /// The roles of the caller.
    Roles,
    /// What a token says under this name.
    Claim(String),
}

/// The value of an attribute, borrowed where that is possible.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// Several texts.
    Texts(&'a [String]),
    /// Anything.
    Json(&'a serde_json::Value),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A request, as far as expressions see it.
pub trait Attributes {
    /// Its value; `None` where the request has none.
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>>;
}

/// A compiled expression. Shared by all who evaluate it.
#[derive(Debug)]
pub struct Expr {
    source: String,
    program: Program,
    /// What has to be looked up of the request, each once.
    needs: Vec<Attribute>,
    /// It uses `inNetwork`.
    asks_networks: bool,
    /// What `matches` is called with.
    patterns: Arc<Patterns>,
}

/// Equal texts are equal expressions.
impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expr {}

/// Why a text is no expression, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct CompileError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Expr {
    /// Compiles a text.
    ///
    /// # Errors
    /// The first thing that is wrong: it is no CEL, has a part that is not served here, or is too large.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        let (program, needs, patterns) = check::compile(source)?;
        Ok(Self {
            source: source.to_owned(),
            program,
            needs,
            asks_networks: source.contains(network::NAME),
            patterns: Arc::new(patterns),
        })
    }

    /// The attribute whose value it is, where it is nothing else: that can be had for less than an evaluation costs.
    #[must_use]
    pub fn alone(&self) -> Option<&Attribute> {
        let name = match self.needs.as_slice() {
            [Attribute::Method] => "request.method",
            [Attribute::Path] => "request.path",
            [Attribute::Query] => "request.query",
            [Attribute::ClientIp] => "client.ip",
            [Attribute::Application] => "application.id",
            [Attribute::Subject] => "principal.subject",
            _ => return None,
        };
        (self.source.trim() == name).then(|| &self.needs[0])
    }

    /// What it looks at of a request, each once.
    #[must_use]
    pub fn needs(&self) -> &[Attribute] {
        &self.needs
    }

    /// The text that it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the condition holds for a request.
    ///
    /// # Errors
    /// The value is no truth value, or something of the request that it looks at is not there. A condition that protects
    /// something must take that for the answer that protects it.
    pub fn holds(&self, request: &dyn Attributes) -> Result<bool, EvalError> {
        eval::holds(self, request)
    }

    /// The value for a request, as a text: texts, numbers and truth values are.
    ///
    /// # Errors
    /// The value is something else, or something of the request that it looks at is not there.
    pub fn text(&self, request: &dyn Attributes) -> Result<String, EvalError> {
        eval::text(self, request)
    }
}

#[cfg(test)]
mod tests;
