//! The tree itself.

use std::collections::BTreeSet;
use std::ops::Deref;

use base::Diagnostics;
use serde_json::Number;

use crate::pointer;

/// Where a value or key begins in its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Moves over the text that follows.
    pub(crate) fn advance(&mut self, text: &str) {
        for character in text.chars() {
            if character == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
    }
}

/// A value with its place. Aliased values keep the place where their anchor stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// A value as JSON knows it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A finite number: 64-bit integers are exact.
    Number(Number),
    /// A text; also what YAML 1.1 took for dates.
    String(String),
    /// A sequence.
    Array(Vec<Node>),
    /// A mapping.
    Object(Object),
}

/// One key of a mapping with its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key; other scalars than strings are keys by their spelling (`200`).
    pub key: String,
    /// Where the key begins.
    pub key_position: Position,
    /// The value.
    pub node: Node,
}

/// A mapping: its entries in the order of the text, found by key in logarithmic time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Object {
    entries: Vec<Entry>,
    /// Indices into `entries`, sorted by key.
    by_key: Vec<u32>,
}

impl Object {
    /// Orders the entries; the second value lists pairs (first, later) of entries with the same key.
    pub(crate) fn new(entries: Vec<Entry>) -> (Self, Vec<(usize, usize)>) {
        let count = u32::try_from(entries.len()).expect("the node limit lies below 2^32");
        let mut by_key: Vec<u32> = (0..count).collect();
        by_key.sort_by(|a, b| entries[*a as usize].key.cmp(&entries[*b as usize].key));
        let mut duplicates = Vec::new();
        for group in by_key.chunk_by(|a, b| entries[*a as usize].key == entries[*b as usize].key) {
            duplicates.extend(
                group[1..]
                    .iter()
                    .map(|later| (group[0] as usize, *later as usize)),
            );
        }
        duplicates.sort_by_key(|(_, later)| *later);
        (Self { entries, by_key }, duplicates)
    }

    /// The entry with this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let found = self
            .by_key
            .binary_search_by(|index| self.entries[*index as usize].key.as_str().cmp(key))
            .ok()?;
        Some(&self.entries[self.by_key[found] as usize])
    }

    /// The value with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entries, in the order of the text.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// A mapping made by a program. Of entries with the same key the first stays.
impl FromIterator<Entry> for Object {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let (object, duplicates) = Self::new(entries.into_iter().collect());
        if duplicates.is_empty() {
            return object;
        }
        let later: BTreeSet<usize> = duplicates.into_iter().map(|(_, later)| later).collect();
        let entries = object.entries.into_iter().enumerate();
        let first = entries.filter(|(index, _)| !later.contains(index));
        Self::new(first.map(|(_, entry)| entry).collect()).0
    }
}

/// The entries, in the order of the text.
impl Deref for Object {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl Node {
    /// The value with this key, where the node is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_object()?.get(key)
    }

    /// The value at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self, json_pointer: &str) -> Option<&Node> {
        if !json_pointer.is_empty() && !json_pointer.starts_with('/') {
            return None;
        }
        pointer::tokens(json_pointer).try_fold(self, |node, token| match &node.value {
            Value::Object(object) => object.get(&token),
            Value::Array(items) => items.get(array_index(&token)?),
            _ => None,
        })
    }

    /// Where a JSON pointer points: at the key for members of a mapping, at the value for items of a sequence.
    /// What does not exist is placed at its nearest ancestor that does.
    #[must_use]
    pub fn position_of(&self, json_pointer: &str) -> Position {
        let (mut node, mut position) = (self, self.position);
        for token in pointer::tokens(json_pointer) {
            let next = match &node.value {
                Value::Object(object) => object
                    .entry(&token)
                    .map(|entry| (&entry.node, entry.key_position)),
                Value::Array(items) => array_index(&token)
                    .and_then(|index| items.get(index))
                    .map(|item| (item, item.position)),
                _ => None,
            };
            let Some(next) = next else { break };
            (node, position) = next;
        }
        position
    }

    /// Fills line and column of those diagnostics that have none yet, by their pointers.
    pub fn locate(&self, diagnostics: &mut Diagnostics) {
        for diagnostic in diagnostics
            .0
            .iter_mut()
            .filter(|diagnostic| diagnostic.line == 0)
        {
            let position = self.position_of(&diagnostic.pointer);
            (diagnostic.line, diagnostic.column) = (position.line, position.column);
        }
    }

    /// The same value without positions.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::String(value) => serde_json::Value::String(value.clone()),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(object) => object
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }

    /// The text, where the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(value) = &self.value {
            Some(value)
        } else {
            None
        }
    }

    /// The truth value, where the value is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = &self.value {
            Some(*value)
        } else {
            None
        }
    }

    /// The number, where the value is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        if let Value::Number(value) = &self.value {
            Some(value)
        } else {
            None
        }
    }

    /// The items, where the value is a sequence.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Node]> {
        if let Value::Array(items) = &self.value {
            Some(items)
        } else {
            None
        }
    }

    /// The mapping, where the value is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = &self.value {
            Some(object)
        } else {
            None
        }
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What the value is, for messages: `a mapping`, `a string` …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        }
    }
}

/// RFC 6901 §4: digits without leading zeros.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0"
        || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { token.parse().ok() } else { None }
}
