//! Walks the tree: typed access that records problems, references, and the budget.

use base::{Diagnostic, Diagnostics, Severity};
use percent_encoding::percent_decode_str;
use tree::{Limits, Node, Object, pointer};

use crate::model::Dialect;

/// A chain of `$ref`s longer than this is taken for a cycle.
const REFERENCES_MAX: usize = 32;

/// What one copied thing costs beside its texts, about the size of a `Parameter`.
const ITEM_BYTES: usize = 64;

/// Where the walk stands. The pointer is written out only when it is needed: keys can be long.
#[derive(Clone, Copy)]
pub(crate) enum Trail<'a> {
    /// A JSON pointer.
    Base(&'a str),
    /// A member.
    Key(&'a Trail<'a>, &'a str),
    /// An item.
    Item(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    pub(crate) fn pointer(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Base(base) => text.push_str(base),
            Self::Key(parent, key) => {
                parent.write(text);
                pointer::push(text, key);
            }
            Self::Item(parent, index) => {
                parent.write(text);
                pointer::push(text, &index.to_string());
            }
        }
    }
}

/// The tree being read, and what was found.
pub(crate) struct Reader<'t> {
    root: &'t Node,
    dialect: Dialect,
    found: Diagnostics,
    found_max: usize,
    budget: usize,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(root: &'t Node, limits: &Limits) -> Self {
        Self {
            root,
            dialect: Dialect::V3_1,
            found: Diagnostics::default(),
            found_max: limits.problems_max.max(1),
            budget: limits.bytes_max.saturating_mul(4),
        }
    }

    pub(crate) fn root(&self) -> &'t Node {
        self.root
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(crate) fn into_found(self) -> Diagnostics {
        self.found
    }

    /// Keeps a diagnostic; it is paid for like everything else. Once the list is full an error still takes the place
    /// of a warning: a definition with an error is never accepted because it has many warnings.
    pub(crate) fn record(&mut self, diagnostic: Diagnostic) {
        let cost = diagnostic.pointer.len() + diagnostic.message.len();
        self.keep(diagnostic);
        self.pay(cost);
    }

    fn keep(&mut self, diagnostic: Diagnostic) {
        if self.found.0.len() < self.found_max {
            self.found.push(diagnostic);
        } else if diagnostic.severity == Severity::Error
            && let Some(warning) = self
                .found
                .0
                .iter_mut()
                .rev()
                .find(|kept| kept.severity == Severity::Warning)
        {
            *warning = diagnostic;
        }
    }

    /// Pays for a step, and for the bytes of text copied by it; false when the budget is used up. Every loop over
    /// parts of the definition pays for each turn and ends when it cannot.
    pub(crate) fn pay(&mut self, text_bytes: usize) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget = self
            .budget
            .saturating_sub(text_bytes.saturating_add(ITEM_BYTES));
        if self.budget == 0 {
            let message =
                "operations, parameters and security requirements expand to more than is accepted";
            self.keep(
                Diagnostic::error("too-large", "", message)
                    .mend("use fewer references to large parts"),
            );
        }
        self.budget > 0
    }

    fn wrong_type(&mut self, node: &Node, trail: &Trail<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", node.kind());
        self.record(Diagnostic::error("wrong-type", trail.pointer(), message));
    }

    /// The node as a mapping.
    pub(crate) fn object(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t Object> {
        let object = node.as_object();
        if object.is_none() {
            self.wrong_type(node, trail, "a mapping");
        }
        object
    }

    /// The node as a list.
    pub(crate) fn array(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t [Node]> {
        let items = node.as_array();
        if items.is_none() {
            self.wrong_type(node, trail, "a list");
        }
        items
    }

    /// The node as a text.
    pub(crate) fn text(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t str> {
        let text = node.as_str();
        if text.is_none() {
            let quoted = matches!(node.value, tree::Value::Number(_) | tree::Value::Bool(_));
            let problem = Diagnostic::error(
                "wrong-type",
                trail.pointer(),
                format!("expected a string, found {}", node.kind()),
            );
            self.record(if quoted {
                problem.mend("put it in quotes")
            } else {
                problem
            });
        }
        text
    }

    /// A member that is a text, where it exists.
    pub(crate) fn string(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Option<&'t str> {
        let node = object.get(key)?;
        self.text(node, &Trail::Key(trail, key))
    }

    /// A member that is true or false; false where it does not exist.
    pub(crate) fn flag(&mut self, object: &'t Object, key: &str, trail: &Trail<'_>) -> bool {
        let Some(node) = object.get(key) else {
            return false;
        };
        if node.as_bool().is_none() {
            self.wrong_type(node, &Trail::Key(trail, key), "true or false");
        }
        node.as_bool().unwrap_or(false)
    }

    /// A member that is a mapping, where it exists.
    pub(crate) fn member(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Option<&'t Object> {
        let node = object.get(key)?;
        self.object(node, &Trail::Key(trail, key))
    }

    /// A member that is a list of texts, copied; empty where it does not exist.
    pub(crate) fn texts(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Vec<String> {
        let Some(node) = object.get(key) else {
            return Vec::new();
        };
        let trail = Trail::Key(trail, key);
        let items = self.array(node, &trail).unwrap_or_default();
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let text = self.text(item, &Trail::Item(&trail, index));
            if !self.pay(text.map_or(0, str::len)) {
                break;
            }
            texts.extend(text.map(str::to_owned));
        }
        texts
    }

    /// Follows the `$ref` of a mapping: the target and its pointer. Nothing where there is none, or where it leads
    /// nowhere, which is recorded. The pointer names the `$ref` itself.
    pub(crate) fn reference(
        &mut self,
        object: &'t Object,
        trail: &Trail<'_>,
    ) -> Option<(&'t Node, String)> {
        let text = self.string(object, "$ref", trail)?;
        let trail = Trail::Key(trail, "$ref");
        let shown: String = text.chars().take(200).collect();
        let Some(fragment) = text.strip_prefix('#') else {
            let message = format!("`{shown}` leads into another file, which is not read");
            let problem = Diagnostic::error("external-reference", trail.pointer(), message);
            self.record(problem.mend("bundle the definition into one file"));
            return None;
        };
        let target = percent_decode_str(fragment)
            .decode_utf8_lossy()
            .into_owned();
        let Some(node) = self.root.pointer(&target) else {
            let message = format!("`{shown}` leads nowhere in this definition");
            let problem = Diagnostic::error("reference", trail.pointer(), message);
            self.record(problem.mend(
                "write `#/` and the way to an existing part, as in `#/components/parameters/id`",
            ));
            return None;
        };
        Some((node, target))
    }

    /// Follows references from a node to what it stands for: that, and its pointer where it is elsewhere.
    pub(crate) fn resolve(
        &mut self,
        node: &'t Node,
        trail: &Trail<'_>,
    ) -> Option<(&'t Object, Option<String>)> {
        let mut object = self.object(node, trail)?;
        let mut place: Option<String> = None;
        for _ in 0..REFERENCES_MAX {
            if object.get("$ref").is_none() {
                return Some((object, place));
            }
            let (node, target) = match &place {
                Some(place) => self.reference(object, &Trail::Base(place))?,
                None => self.reference(object, trail)?,
            };
            object = self.object(node, &Trail::Base(&target))?;
            place = Some(target);
        }
        self.cycle(trail);
        None
    }

    /// Records that references never end.
    pub(crate) fn cycle(&mut self, trail: &Trail<'_>) {
        let message =
            format!("the references lead in a circle, or through more than {REFERENCES_MAX} steps");
        self.record(Diagnostic::error(
            "reference-cycle",
            Trail::Key(trail, "$ref").pointer(),
            message,
        ));
    }

    /// All mappings that a node with references is made of, the node itself first. In a path item what stands beside
    /// `$ref` counts too.
    pub(crate) fn layers(
        &mut self,
        node: &'t Node,
        trail: &Trail<'_>,
    ) -> Vec<(&'t Object, String)> {
        let Some(object) = self.object(node, trail) else {
            return Vec::new();
        };
        let mut layers = vec![(object, trail.pointer())];
        while let Some((object, place)) = layers.last().cloned() {
            if object.get("$ref").is_none() {
                return layers;
            }
            if layers.len() > REFERENCES_MAX {
                self.cycle(trail);
                break;
            }
            let Some((node, target)) = self.reference(object, &Trail::Base(&place)) else {
                break;
            };
            let Some(object) = self.object(node, &Trail::Base(&target)) else {
                break;
            };
            layers.push((object, target));
        }
        Vec::new()
    }
}
