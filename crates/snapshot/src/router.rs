//! From a path to an operation, within one API.
//!
//! A trie of segments. A literal goes before a mixed segment, a mixed one before a bare parameter (OpenAPI 3.1,
//! "Path Templating Matching": concrete paths first); among mixed segments the one with more literal text first.
//! Where the better branch ends in nothing the walk goes back, so the cost of a match is bounded by the number of
//! the API's templates. Own code because no kept router has partial segments together with overlapping names.
//!
//! [`RouterBuilder`] grows it, [`Router`] is flat: a node with many APIs finds each call's way in caches that hold
//! something else, and pays for every piece of memory that it has to look at.

mod builder;

use std::cmp::Ordering;
use std::ops::Range;

use http::Method;

pub use builder::{RouterBuilder, RouterError};

use crate::api::Operation;
use crate::template::Segment;

/// The operations of one API by path and method.
#[derive(Default)]
pub struct Router {
    /// The root first; empty when there is no operation.
    nodes: Box<[Node]>,
    literals: Box<[Literal]>,
    /// The texts of the literals, one behind the other.
    texts: Box<str>,
    mixed: Box<[(Segment, u32)]>,
    /// The method of each operation.
    verbs: Box<[Verb]>,
    /// Methods that have no [`Verb`] of their own.
    others: Box<[Method]>,
    operations: Box<[Operation]>,
}

/// Where a segment ends. Its lists are parts of the router's.
#[derive(Clone, Copy, Default)]
struct Node {
    /// In the order of [`by_length`].
    literals: Span,
    /// Those with more literal text first.
    mixed: Span,
    /// The child behind a parameter; 0, which is the root, stands for none.
    parameter: u32,
    operations: Span,
}

/// A literal segment, and the node behind it.
struct Literal {
    text: Span,
    node: u32,
}

/// A part of a list.
#[derive(Clone, Copy, Default)]
struct Span {
    from: u32,
    length: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        let from = self.from as usize;
        from..from + self.length as usize
    }
}

/// A method as a number: an index of [`VERBS`], or of the router's other methods behind those.
type Verb = u32;

/// The methods that OpenAPI 3.1 knows.
static VERBS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
    Method::TRACE,
];

/// The operations at one path.
#[derive(Clone, Copy)]
pub struct Methods<'r> {
    router: &'r Router,
    operations: Span,
}

/// A set of methods, for `Allow`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MethodSet(Vec<Method>);

impl Router {
    /// The operations at a path (empty, or with a leading slash). An empty path is the root.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Methods<'_>> {
        let root = self.nodes.first()?;
        let node = self.find_below(root, path.strip_prefix('/').unwrap_or(path))?;
        Some(Methods {
            router: self,
            operations: node.operations,
        })
    }

    /// Whether there is no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// `path` is without the slash that leads to the node's children. Recursion is as deep as the deepest template.
    fn find_below(&self, node: &Node, path: &str) -> Option<&Node> {
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let end = |node: u32| self.end_or_find(&self.nodes[node as usize], rest);
        self.literal(node, segment)
            .and_then(end)
            .or_else(|| {
                self.mixed[node.mixed.range()]
                    .iter()
                    .filter(|(pattern, _)| pattern.matches(segment))
                    .find_map(|(_, node)| end(*node))
            })
            .or_else(|| match node.parameter {
                0 => None,
                _ if segment.is_empty() => None,
                node => end(node),
            })
    }

    fn end_or_find<'r>(&'r self, node: &'r Node, rest: Option<&str>) -> Option<&'r Node> {
        match rest {
            Some(rest) => self.find_below(node, rest),
            None => Some(node).filter(|node| node.operations.length > 0),
        }
    }

    /// The node behind a literal segment.
    fn literal(&self, node: &Node, text: &str) -> Option<u32> {
        let literals = &self.literals[node.literals.range()];
        let index = literals
            .binary_search_by(|have| by_length(&self.texts[have.text.range()], text))
            .ok()?;
        Some(literals[index].node)
    }

    fn verb(&self, method: &Method) -> Option<Verb> {
        verb(method, &self.others)
    }

    fn method(&self, verb: Verb) -> &Method {
        let index = verb as usize;
        VERBS
            .get(index)
            .unwrap_or_else(|| &self.others[index - VERBS.len()])
    }
}

fn verb(method: &Method, others: &[Method]) -> Option<Verb> {
    let index = VERBS.iter().position(|have| have == method).or_else(|| {
        let other = others.iter().position(|have| have == method);
        other.map(|index| VERBS.len() + index)
    });
    index.and_then(|index| Verb::try_from(index).ok())
}

/// The order of literals: most of them differ in length, so that few are compared byte by byte.
fn by_length(a: &str, b: &str) -> Ordering {
    a.len()
        .cmp(&b.len())
        .then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl<'r> Methods<'r> {
    /// The operation for a method; `HEAD` falls back to `GET` (RFC 9110 §9.3.2).
    #[must_use]
    pub fn get(&self, method: &Method) -> Option<&'r Operation> {
        let exact = |wanted: &Method| {
            let wanted = self.router.verb(wanted)?;
            let range = self.operations.range();
            let index = self.router.verbs[range.clone()]
                .iter()
                .position(|have| *have == wanted)?;
            Some(&self.router.operations[range.start + index])
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
        let verbs = &self.router.verbs[self.operations.range()];
        let mut methods: Vec<Method> = verbs
            .iter()
            .map(|verb| self.router.method(*verb).clone())
            .collect();
        for (beside, method) in [(Some(Method::GET), Method::HEAD), (None, Method::OPTIONS)] {
            let wanted = beside.is_none_or(|beside| methods.contains(&beside));
            if wanted && !methods.contains(&method) {
                methods.push(method);
            }
        }
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
