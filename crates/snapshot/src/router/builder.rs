//! A router while it grows, and how it is laid out.

use http::Method;

use super::{Literal, Node, Router, Span, VERBS, Verb, by_length, verb};
use crate::api::Operation;
use crate::template::{Segment, TemplateError};

/// A router that operations are added to.
#[derive(Default)]
pub struct RouterBuilder {
    root: Branch,
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

#[derive(Default)]
struct Branch {
    /// In the order of [`by_length`].
    literals: Vec<(String, Self)>,
    /// Those with more literal text first.
    mixed: Vec<(Segment, Self)>,
    parameter: Option<Box<Self>>,
    operations: Vec<(Method, Operation)>,
}

impl RouterBuilder {
    /// Adds an operation.
    ///
    /// # Errors
    /// [`RouterError`]; the router is as before.
    pub fn insert(
        &mut self,
        template: &str,
        method: Method,
        operation: Operation,
    ) -> Result<(), RouterError> {
        let mut branch = &mut self.root;
        for segment in Segment::parse_all(template)? {
            branch = branch.child(segment);
        }
        if branch.operations.iter().any(|(have, _)| *have == method) {
            return Err(RouterError::Duplicate);
        }
        branch.operations.push((method, operation));
        Ok(())
    }

    /// The router of the operations that were added.
    #[must_use]
    pub fn build(self) -> Router {
        let mut layout = Layout::with_room(&self.root);
        layout.lay(self.root);
        if layout.operations.is_empty() {
            return Router::default();
        }
        Router {
            nodes: layout.nodes.into(),
            literals: layout.literals.into(),
            texts: layout.texts.into(),
            mixed: layout.mixed.into(),
            verbs: layout.verbs.into(),
            others: layout.others.into(),
            operations: layout.operations.into(),
        }
    }
}

impl Branch {
    fn child(&mut self, segment: Segment) -> &mut Self {
        match segment {
            Segment::Literal(text) => {
                let literals = &mut self.literals;
                let index = match literals.binary_search_by(|(have, _)| by_length(have, &text)) {
                    Ok(index) => index,
                    Err(index) => {
                        literals.insert(index, (text, Self::default()));
                        index
                    }
                };
                &mut literals[index].1
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
}

fn literal_len(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(text) => text.len(),
        Segment::Parameter => 0,
        Segment::Mixed(literals) => literals.iter().map(String::len).sum(),
    }
}

/// How long the lists of a router become.
#[derive(Default)]
struct Lengths {
    nodes: usize,
    literals: usize,
    texts: usize,
    mixed: usize,
    operations: usize,
}

impl Lengths {
    fn add(&mut self, branch: &Branch) {
        self.nodes += 1;
        self.literals += branch.literals.len();
        self.mixed += branch.mixed.len();
        self.operations += branch.operations.len();
        for (text, below) in &branch.literals {
            self.texts += text.len();
            self.add(below);
        }
        for (_, below) in &branch.mixed {
            self.add(below);
        }
        if let Some(below) = &branch.parameter {
            self.add(below);
        }
    }
}

/// The lists of a [`Router`] while they grow.
struct Layout {
    nodes: Vec<Node>,
    literals: Vec<Literal>,
    texts: String,
    mixed: Vec<(Segment, u32)>,
    verbs: Vec<Verb>,
    others: Vec<Method>,
    operations: Vec<Operation>,
}

impl Layout {
    /// With room for exactly what comes: an allocator keeps what a list gives back of its room.
    fn with_room(root: &Branch) -> Self {
        let mut lengths = Lengths::default();
        lengths.add(root);
        Self {
            nodes: Vec::with_capacity(lengths.nodes),
            literals: Vec::with_capacity(lengths.literals),
            texts: String::with_capacity(lengths.texts),
            mixed: Vec::with_capacity(lengths.mixed),
            verbs: Vec::with_capacity(lengths.operations),
            others: Vec::new(),
            operations: Vec::with_capacity(lengths.operations),
        }
    }

    /// Lays out a branch with all below it; gives its node. A node's lists stand together, so they are filled before
    /// those of its children, whose numbers are put in afterwards.
    fn lay(&mut self, branch: Branch) -> u32 {
        let Branch {
            literals,
            mixed,
            parameter,
            operations,
        } = branch;
        let at = self.nodes.len();
        self.nodes.push(Node::default());
        let mut node = Node {
            literals: span(self.literals.len(), literals.len()),
            mixed: span(self.mixed.len(), mixed.len()),
            parameter: 0,
            operations: span(self.operations.len(), operations.len()),
        };
        for (method, operation) in operations {
            let verb = self.verb(method);
            self.verbs.push(verb);
            self.operations.push(operation);
        }
        let mut below = Vec::with_capacity(literals.len());
        for (text, branch) in literals {
            let text_at = self.texts.len();
            self.texts.push_str(&text);
            self.literals.push(Literal {
                text: span(text_at, text.len()),
                node: 0,
            });
            below.push(branch);
        }
        let mut below_mixed = Vec::with_capacity(mixed.len());
        for (segment, branch) in mixed {
            self.mixed.push((segment, 0));
            below_mixed.push(branch);
        }
        for (index, branch) in node.literals.range().zip(below) {
            self.literals[index].node = self.lay(branch);
        }
        for (index, branch) in node.mixed.range().zip(below_mixed) {
            self.mixed[index].1 = self.lay(branch);
        }
        if let Some(branch) = parameter {
            node.parameter = self.lay(*branch);
        }
        self.nodes[at] = node;
        number(at)
    }

    fn verb(&mut self, method: Method) -> Verb {
        if let Some(verb) = verb(&method, &self.others) {
            return verb;
        }
        self.others.push(method);
        number(VERBS.len() + self.others.len() - 1)
    }
}

fn span(from: usize, length: usize) -> Span {
    Span {
        from: number(from),
        length: number(length),
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a definition is bounded in bytes, far below 2^32")
}
