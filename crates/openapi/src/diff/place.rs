//! Where a node stands in its text. Asked only for what differs, so nothing is kept while comparing.

use std::cell::OnceCell;
use std::collections::HashMap;

use tree::{Node, Value, pointer};

use crate::calls::address;
use crate::diff::Place;

/// The way to a node: its parent, and its key or index there.
type Step<'t> = (&'t Node, usize);

/// Finds the places of the nodes of one tree.
pub(crate) struct Places<'t> {
    root: &'t Node,
    /// By the address of a node, made at the first question.
    parents: OnceCell<HashMap<usize, Step<'t>>>,
}

impl<'t> Places<'t> {
    pub(crate) fn new(root: &'t Node) -> Self {
        Self {
            root,
            parents: OnceCell::new(),
        }
    }

    /// The place of a node of this tree.
    pub(crate) fn of(&self, node: &'t Node) -> Place {
        let parents = self.parents.get_or_init(|| parents(self.root));
        let mut tokens = Vec::new();
        let mut position = node.position;
        let mut here = node;
        while let Some((parent, index)) = parents.get(&address(here)) {
            if let Some(entry) = parent.as_object().map(|object| &object[*index]) {
                if tokens.is_empty() {
                    position = entry.key_position;
                }
                tokens.push(entry.key.clone());
            } else {
                tokens.push(index.to_string());
            }
            here = parent;
        }
        let mut text = String::new();
        for token in tokens.iter().rev() {
            pointer::push(&mut text, token);
        }
        Place {
            pointer: text,
            line: position.line,
            column: position.column,
        }
    }
}

fn parents(root: &Node) -> HashMap<usize, Step<'_>> {
    let mut parents = HashMap::new();
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        match &node.value {
            Value::Object(object) => {
                for (index, entry) in object.iter().enumerate() {
                    parents.insert(address(&entry.node), (node, index));
                    waiting.push(&entry.node);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    parents.insert(address(item), (node, index));
                    waiting.push(item);
                }
            }
            _ => {}
        }
    }
    parents
}
