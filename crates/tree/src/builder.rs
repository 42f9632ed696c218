//! Builds a tree from events and holds the limits; both readers feed it.

use std::collections::{HashMap, HashSet};

use base::{Diagnostic, Diagnostics};

use crate::node::{Entry, Node, Object, Position, Value};
use crate::{DEPTH_CEILING, Limits, pointer};

/// The reader must stop: a limit is exceeded. The problem is already recorded.
#[derive(Debug)]
pub(crate) struct Stop;

/// Reading stops when the problems take more than this to tell: a pointer can be as long as the text.
const PROBLEM_BYTES_MAX: usize = 1024 * 1024;

/// An anchor of YAML by the scanner's number; 0 is none.
pub(crate) type AnchorId = usize;

/// The tree under construction.
pub(crate) struct Builder<'l> {
    limits: &'l Limits,
    nodes: usize,
    alias_collections: usize,
    alias_nodes: usize,
    alias_bytes: usize,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<AnchorId, Anchored>,
    problems: Diagnostics,
    problem_bytes: usize,
}

/// A collection whose end has not come yet.
struct Open {
    position: Position,
    anchor: AnchorId,
    content: Content,
}

enum Content {
    Array(Vec<Node>),
    Object {
        entries: Vec<Entry>,
        key: Key,
        merge: Option<Merge>,
    },
}

/// What a mapping waits for.
enum Key {
    /// The next event is a key.
    Awaited,
    /// The next event is the value of this key.
    Given(String, Position),
    /// The next event is the value of `<<`.
    Merge(Position),
    /// The next event is the value of a key that was refused.
    Refused,
}

/// The mappings that `<<` names, the first one winning.
struct Merge {
    sources: Vec<Object>,
}

/// A value that aliases may repeat, and what a repetition costs.
struct Anchored {
    node: Node,
    cost: Cost,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
    height: usize,
}

impl<'l> Builder<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            nodes: 0,
            alias_collections: 0,
            alias_nodes: 0,
            alias_bytes: 0,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            problems: Diagnostics::default(),
            problem_bytes: 0,
        }
    }

    /// Whether the next event is a key of a mapping.
    pub(crate) fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Object {
                    key: Key::Awaited,
                    ..
                },
                ..
            })
        )
    }

    /// The end of a text or document: its tree.
    pub(crate) fn document(&mut self) -> Option<Node> {
        self.anchors.clear();
        self.root.take()
    }

    /// All problems so far.
    pub(crate) fn into_problems(self) -> Diagnostics {
        self.problems
    }

    /// Records a problem at the value that comes next.
    pub(crate) fn problem(
        &mut self,
        rule: &str,
        message: &str,
        mend: &str,
        position: Position,
    ) -> Result<(), Stop> {
        let problem = Diagnostic::error(rule, self.pointer(), message).mend(mend);
        self.record(problem.at(position.line, position.column))
    }

    fn record(&mut self, problem: Diagnostic) -> Result<(), Stop> {
        self.problem_bytes += problem.pointer.len() + problem.message.len();
        self.problems.push(problem);
        let full = self.problems.0.len() >= self.limits.problems_max
            || self.problem_bytes > PROBLEM_BYTES_MAX;
        if full { Err(Stop) } else { Ok(()) }
    }

    fn stop(&mut self, rule: &str, message: String, position: Position) -> Stop {
        let problem =
            Diagnostic::error(rule, self.pointer(), message).at(position.line, position.column);
        self.problems.push(problem);
        Stop
    }

    /// The pointer to the value that comes next.
    fn pointer(&self) -> String {
        let mut text = String::new();
        for open in &self.open {
            match &open.content {
                Content::Array(items) => pointer::push(&mut text, &items.len().to_string()),
                Content::Object {
                    key: Key::Given(key, _),
                    ..
                } => pointer::push(&mut text, key),
                Content::Object {
                    key: Key::Merge(_), ..
                } => pointer::push(&mut text, "<<"),
                Content::Object {
                    key: Key::Awaited | Key::Refused,
                    ..
                } => {}
            }
        }
        text
    }

    /// A key of the open mapping.
    pub(crate) fn key(&mut self, text: String, position: Position) -> Result<(), Stop> {
        self.count(position)?;
        self.set_key(Key::Given(text, position));
        Ok(())
    }

    /// A `<<` key: its value's entries join the open mapping (YAML 1.1 merge key, <https://yaml.org/type/merge.html>).
    pub(crate) fn merge_key(&mut self, position: Position) -> Result<(), Stop> {
        self.count(position)?;
        self.set_key(Key::Merge(position));
        Ok(())
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open {
            content: Content::Object { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = new;
        }
    }

    /// A value without parts.
    pub(crate) fn scalar(
        &mut self,
        value: Value,
        position: Position,
        anchor: AnchorId,
    ) -> Result<(), Stop> {
        self.count(position)?;
        self.place(Node { position, value }, anchor)
    }

    /// The start of a sequence.
    pub(crate) fn array(&mut self, position: Position, anchor: AnchorId) -> Result<(), Stop> {
        self.start(position, anchor, Content::Array(Vec::new()))
    }

    /// The start of a mapping.
    pub(crate) fn object(&mut self, position: Position, anchor: AnchorId) -> Result<(), Stop> {
        self.start(
            position,
            anchor,
            Content::Object {
                entries: Vec::new(),
                key: Key::Awaited,
                merge: None,
            },
        )
    }

    fn start(
        &mut self,
        position: Position,
        anchor: AnchorId,
        content: Content,
    ) -> Result<(), Stop> {
        self.count(position)?;
        self.check_depth(1, position)?;
        self.open.push(Open {
            position,
            anchor,
            content,
        });
        Ok(())
    }

    fn count(&mut self, position: Position) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            let message = format!("the text holds more than {} values", self.limits.nodes_max);
            return Err(self.stop("too-many-values", message, position));
        }
        Ok(())
    }

    fn check_depth(&mut self, height: usize, position: Position) -> Result<(), Stop> {
        let depth_max = self.limits.depth_max.min(DEPTH_CEILING);
        if self.open.len() + height > depth_max {
            let message = format!("values are nested deeper than {depth_max} levels");
            return Err(self.stop("too-deep", message, position));
        }
        Ok(())
    }

    /// The end of the innermost collection.
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::Array(items) => Value::Array(items),
            Content::Object {
                mut entries, merge, ..
            } => {
                if let Some(merge) = merge {
                    add_merged(&mut entries, merge);
                }
                let (object, duplicates) = Object::new(entries);
                self.record_duplicates(&object, &duplicates)?;
                Value::Object(object)
            }
        };
        self.place(
            Node {
                position: open.position,
                value,
            },
            open.anchor,
        )
    }

    fn record_duplicates(
        &mut self,
        object: &Object,
        duplicates: &[(usize, usize)],
    ) -> Result<(), Stop> {
        for (first, later) in duplicates {
            let (first, later) = (&object[*first], &object[*later]);
            let at = first.key_position;
            let shown: String = later.key.chars().take(200).collect();
            let message = format!(
                "duplicate key `{shown}`, first used at line {}, column {}",
                at.line, at.column
            );
            let problem = Diagnostic::error(
                "duplicate-key",
                pointer::join(&self.pointer(), &later.key),
                message,
            )
            .mend("keep one of the two");
            self.record(problem.at(later.key_position.line, later.key_position.column))?;
        }
        Ok(())
    }

    /// A repetition of an anchored value.
    pub(crate) fn alias(&mut self, anchor: AnchorId, position: Position) -> Result<(), Stop> {
        let Some(Anchored { cost, .. }) = self.anchors.get(&anchor) else {
            self.problem(
                "unknown-anchor",
                "the alias stands inside its own anchor, or the anchor is in another document",
                "write the value out",
                position,
            )?;
            return self.scalar(Value::Null, position, 0);
        };
        let cost = *cost;
        self.alias_collections += usize::from(cost.height > 0);
        if self.alias_collections > self.limits.alias_collections_max {
            let maximum = self.limits.alias_collections_max;
            let message = format!("more than {maximum} aliases of lists and mappings");
            return Err(self.stop("alias-expansion", message, position));
        }
        self.charge(cost, position)?;
        self.check_depth(cost.height, position)?;
        let node = self
            .anchors
            .get(&anchor)
            .expect("it was there above")
            .node
            .clone();
        self.place(node, 0)
    }

    /// Takes a copy of an anchored value out of the budget.
    fn charge(&mut self, cost: Cost, position: Position) -> Result<(), Stop> {
        self.alias_nodes = self.alias_nodes.saturating_add(cost.nodes);
        self.alias_bytes = self.alias_bytes.saturating_add(cost.bytes);
        if self.alias_nodes > self.limits.alias_nodes_max
            || self.alias_bytes > self.limits.alias_bytes_max
        {
            let message = format!(
                "anchors and aliases expand to more than {} values or {} bytes",
                self.limits.alias_nodes_max, self.limits.alias_bytes_max
            );
            return Err(self.stop("alias-expansion", message, position));
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, node: Node, anchor: AnchorId) -> Result<(), Stop> {
        if anchor != 0 {
            let cost = cost_of(&node);
            self.charge(cost, node.position)?;
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    cost,
                },
            );
        }
        let key = match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                self.root = Some(node);
                return Ok(());
            }
            Some(Content::Array(items)) => {
                items.push(node);
                return Ok(());
            }
            Some(Content::Object { key, .. }) => std::mem::replace(key, Key::Awaited),
        };
        match key {
            Key::Given(text, position) => {
                if let Some(Open {
                    content: Content::Object { entries, .. },
                    ..
                }) = self.open.last_mut()
                {
                    entries.push(Entry {
                        key: text,
                        key_position: position,
                        node,
                    });
                }
                Ok(())
            }
            Key::Awaited => self.node_as_key(node),
            Key::Merge(position) => self.merge(node, position),
            Key::Refused => Ok(()),
        }
    }

    /// A key that came as an alias or as a collection.
    fn node_as_key(&mut self, node: Node) -> Result<(), Stop> {
        let text = match node.value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => "null".to_owned(),
            Value::Array(_) | Value::Object(_) => {
                self.set_key(Key::Refused);
                return self.problem(
                    "complex-key",
                    "a key is a mapping or a list",
                    "use a string as key",
                    node.position,
                );
            }
        };
        self.set_key(Key::Given(text, node.position));
        Ok(())
    }

    fn merge(&mut self, node: Node, position: Position) -> Result<(), Stop> {
        let sources: Option<Vec<Object>> = match node.value {
            Value::Object(object) => Some(vec![object]),
            Value::Array(items) => items
                .into_iter()
                .map(|item| {
                    if let Value::Object(object) = item.value {
                        Some(object)
                    } else {
                        None
                    }
                })
                .collect(),
            _ => None,
        };
        let Some(sources) = sources else {
            let mend = "write `<<: *anchor` with the anchor of a mapping, or quote the key: \"<<\"";
            return self.problem(
                "merge-value",
                "`<<` merges mappings only",
                mend,
                node.position,
            );
        };
        let Some(Open {
            content: Content::Object { merge, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        if merge.is_some() {
            return self.problem(
                "duplicate-key",
                "duplicate key `<<`",
                "write one `<<: [*a, *b]`",
                position,
            );
        }
        *merge = Some(Merge { sources });
        Ok(())
    }
}

/// Appends what the merged mappings add: own keys win, then the earlier source.
fn add_merged(entries: &mut Vec<Entry>, merge: Merge) {
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for entry in merge.sources.into_iter().flat_map(Object::into_entries) {
        if known.insert(entry.key.clone()) {
            entries.push(entry);
        }
    }
}

/// Recursion is bounded: the depth of every node was checked before it was built.
fn cost_of(node: &Node) -> Cost {
    let parts = |cost: Cost, part: &Node| {
        let added = cost_of(part);
        Cost {
            nodes: cost.nodes + added.nodes,
            bytes: cost.bytes + added.bytes,
            height: cost.height.max(added.height + 1),
        }
    };
    match &node.value {
        Value::String(text) => Cost {
            nodes: 1,
            bytes: text.len(),
            height: 0,
        },
        Value::Array(items) => items.iter().fold(
            Cost {
                nodes: 1,
                bytes: 0,
                height: 1,
            },
            parts,
        ),
        Value::Object(object) => object.iter().fold(
            Cost {
                nodes: 1,
                bytes: 0,
                height: 1,
            },
            |cost, entry| {
                let cost = parts(cost, &entry.node);
                Cost {
                    bytes: cost.bytes + entry.key.len(),
                    ..cost
                }
            },
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => Cost {
            nodes: 1,
            ..Cost::default()
        },
    }
}
