//! From a path to an operation, within one API.
//!
//! A trie of segments. A literal goes before a mixed segment, a mixed one before a bare parameter (OpenAPI 3.1,
//! "Path Templating Matching": concrete paths first); among mixed segments the one with more literal text first.
//! Where the better branch ends in nothing the walk goes back, so the cost of a match is bounded by the number of
//! the API's templates. Own code because no kept router has partial segments together with overlapping names.

use std::cmp::Ordering;
use std::sync::Arc;

use http::Method;

use crate::api::Operation;
use crate::template::{Segment, TemplateError};

/// The operations of one API by path and method.
#[derive(Default)]
pub struct Router {
    root: Node,
}

/// Why an operation cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// The template is not one.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// Another template of the same shape has this method.
    #[error("another operation has this method at a path of the same shape")]
    Duplicate,
}

/// There are millions of them on a large node, and most have one or two children: lists, not tables.
#[derive(Default)]
struct Node {
    /// In the order of [`by_length`].
    literals: Vec<(Box<str>, Box<Node>)>,
    /// Those with more literal text first.
    mixed: Vec<(Segment, Node)>,
    parameter: Option<Box<Node>>,
    methods: Methods,
}

/// The operations at one path.
#[derive(Default)]
pub struct Methods(Vec<(Method, Arc<Operation>)>);

/// A set of methods, for `Allow`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MethodSet(Vec<Method>);

impl Router {
    /// Adds an operation.
    ///
    /// # Errors
    /// [`RouterError`]; the router is as before.
    pub fn insert(
        &mut self,
        template: &str,
        method: Method,
        operation: Arc<Operation>,
    ) -> Result<(), RouterError> {
        let mut node = &mut self.root;
        for segment in Segment::parse_all(template)? {
            node = node.child(segment);
        }
        if node.methods.0.iter().any(|(have, _)| *have == method) {
            return Err(RouterError::Duplicate);
        }
        // Most paths have one or two methods, and an allocator keeps what a list gives back of four.
        node.methods.0.reserve_exact(1);
        node.methods.0.push((method, operation));
        Ok(())
    }

    /// The operations at a path (empty, or with a leading slash). An empty path is the root.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Methods> {
        self.root.find(path.strip_prefix('/').unwrap_or(path))
    }

    /// Gives back the memory that further operations would have used.
    pub fn shrink(&mut self) {
        self.root.shrink();
    }

    /// Whether there is no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_leaf() && self.root.methods.0.is_empty()
    }
}

impl Node {
    fn child(&mut self, segment: Segment) -> &mut Self {
        match segment {
            Segment::Literal(text) => {
                let index = match self.literal(&text) {
                    Ok(index) => index,
                    Err(index) => {
                        self.literals.insert(index, (text.into(), Box::default()));
                        index
                    }
                };
                &mut self.literals[index].1
            }
            Segment::Parameter => self.parameter.get_or_insert_default(),
            Segment::Mixed(_) => {
                let mixed = &mut self.mixed;
                let index = match mixed.iter().position(|(have, _)| *have == segment) {
                    Some(index) => index,
                    None => {
                        let weight = literal_len(&segment);
                        let index = mixed.partition_point(|(have, _)| literal_len(have) >= weight);
                        mixed.insert(index, (segment, Self::default()));
                        index
                    }
                };
                &mut mixed[index].1
            }
        }
    }

    /// Where a literal stands, or would stand.
    fn literal(&self, text: &str) -> Result<usize, usize> {
        self.literals
            .binary_search_by(|(have, _)| by_length(have, text))
    }

    fn is_leaf(&self) -> bool {
        self.literals.is_empty() && self.mixed.is_empty() && self.parameter.is_none()
    }

    fn shrink(&mut self) {
        self.literals.shrink_to_fit();
        self.mixed.shrink_to_fit();
        self.methods.0.shrink_to_fit();
        for (_, node) in &mut self.literals {
            node.shrink();
        }
        for (_, node) in &mut self.mixed {
            node.shrink();
        }
        if let Some(node) = &mut self.parameter {
            node.shrink();
        }
    }

    /// `path` is without the slash that leads to this node's children. Recursion is as deep as the deepest template.
    fn find(&self, path: &str) -> Option<&Methods> {
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        self.literal(segment)
            .ok()
            .and_then(|index| self.literals[index].1.end_or_find(rest))
            .or_else(|| {
                self.mixed
                    .iter()
                    .filter(|(pattern, _)| pattern.matches(segment))
                    .find_map(|(_, node)| node.end_or_find(rest))
            })
            .or_else(|| {
                let node = self.parameter.as_deref().filter(|_| !segment.is_empty())?;
                node.end_or_find(rest)
            })
    }

    fn end_or_find(&self, rest: Option<&str>) -> Option<&Methods> {
        match rest {
            Some(rest) => self.find(rest),
            None => Some(&self.methods).filter(|methods| !methods.0.is_empty()),
        }
    }
}

/// The order of literals: most of them differ in length, so that few are compared byte by byte.
fn by_length(a: &str, b: &str) -> Ordering {
    a.len()
        .cmp(&b.len())
        .then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

fn literal_len(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(text) => text.len(),
        Segment::Parameter => 0,
        Segment::Mixed(literals) => literals.iter().map(String::len).sum(),
    }
}

impl Methods {
    /// The operation for a method; `HEAD` falls back to `GET` (RFC 9110 §9.3.2).
    #[must_use]
    pub fn get(&self, method: &Method) -> Option<&Arc<Operation>> {
        let exact = |wanted: &Method| {
            self.0
                .iter()
                .find(|(have, _)| have == wanted)
                .map(|(_, operation)| operation)
        };
        exact(method).or_else(|| {
            if *method == Method::HEAD {
                exact(&Method::GET)
            } else {
                None
            }
        })
    }

    /// The methods that are answered here: those of the definition, `HEAD` beside `GET`, and always `OPTIONS`.
    #[must_use]
    pub fn allowed(&self) -> MethodSet {
        let mut methods: Vec<Method> = self.0.iter().map(|(method, _)| method.clone()).collect();
        let mut add = |method: Method| {
            if !methods.contains(&method) {
                methods.push(method);
            }
        };
        if self.0.iter().any(|(method, _)| *method == Method::GET) {
            add(Method::HEAD);
        }
        add(Method::OPTIONS);
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        MethodSet(methods)
    }
}

impl std::fmt::Display for MethodSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, method) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(method.as_str())?;
        }
        Ok(())
    }
}
