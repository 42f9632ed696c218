//! Paths: the JSONPath that rule sets use.
//!
//! RFC 9535 with the signs that Spectral adds: `~` for keys, `^` for parents, bare names in brackets (`[get,post]`),
//! `@property` and a few functions in filters. Everything else is refused. Paths are evaluated over [`tree::Node`],
//! with `$ref` followed where a step goes through it, and every value that is looked at is paid for.
//! Why not a library: docs/adr/0017-json-paths-of-our-own.md.

mod eval;
mod expression;
mod parse;

pub(crate) use eval::{Budget, Match, Step};
pub(crate) use expression::Expression;
pub(crate) use parse::ParseError;

/// A parsed path.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    /// Children: `.name`, `[…]`.
    Child(Vec<Selector>),
    /// The value itself and everything below, then children: `..name`, `..[…]`.
    Descend(Vec<Selector>),
    /// `^`
    Parent,
    /// `~`
    Key,
}

#[derive(Clone, Debug)]
enum Selector {
    Name(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Filter(Box<Expression>),
}

impl Path {
    /// Reads a path that begins with `$`.
    pub(crate) fn read(text: &str) -> Result<Self, ParseError> {
        parse::path(text)
    }
}
