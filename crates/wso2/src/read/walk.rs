//! Looks at every key of the tree: none of the family is passed over in silence.

use base::Diagnostic;
use tree::{Entry, Node, Object, Value, pointer};

use super::Places;
use super::reader::{Reader, shortened};
use crate::keys::{KEYS, Key, Level, Meaning, find, is_family};

/// Members whose content is data of the author's, not part of the definition.
const DATA: &[&str] = &["example", "examples", "default", "enum", "const", "value"];

/// Members whose keys are names, not keywords.
const NAMES: &[&str] = &[
    "securitySchemes",
    "securityDefinitions",
    "requestBodies",
    "pathItems",
    "links",
    "variables",
    "properties",
    "patternProperties",
    "headers",
    "parameters",
    "schemas",
    "definitions",
    "responses",
    "callbacks",
    "mapping",
    "scopes",
];

/// Reports keys that are unknown, out of place or not served.
pub(super) fn check(reader: &mut Reader, root: &Node, places: &Places) {
    let mut walk = Walk {
        reader,
        places,
        place: String::new(),
    };
    walk.node(root, Keys::Keywords);
}

/// What the keys of a mapping are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Keywords,
    Names,
}

struct Walk<'a> {
    reader: &'a mut Reader,
    places: &'a Places,
    /// The pointer of what is looked at.
    place: String,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, keys: Keys) {
        match &node.value {
            Value::Object(object) => self.object(object, keys),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(&index.to_string(), item, Keys::Keywords);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, token: &str, node: &Node, keys: Keys) {
        let length = self.place.len();
        pointer::push(&mut self.place, token);
        self.node(node, keys);
        self.place.truncate(length);
    }

    fn object(&mut self, object: &Object, keys: Keys) {
        for entry in object {
            let key = entry.key.as_str();
            if keys == Keys::Names {
                self.step(key, &entry.node, Keys::Keywords);
            } else if is_family(key) {
                // What is inside is looked at by who reads the key.
                self.key(entry);
            } else if !DATA.contains(&key) {
                let names = NAMES.contains(&key);
                let inside = if names { Keys::Names } else { Keys::Keywords };
                self.step(key, &entry.node, inside);
            }
        }
    }

    fn key(&mut self, entry: &Entry) {
        let place = pointer::join(&self.place, &entry.key);
        let Some(key) = find(&entry.key) else {
            self.unknown(&entry.key, place);
            return;
        };
        match self.level().filter(|level| key.levels.contains(level)) {
            None => self.misplaced(key, place),
            Some(Level::Scheme) => self.bindings(&entry.node, &place),
            Some(_) => {
                if let Meaning::NotServed(instead) = key.meaning {
                    self.not_served(key, instead, &entry.node, place);
                }
            }
        }
    }

    /// Where the mapping stands whose keys are looked at.
    fn level(&self) -> Option<Level> {
        let place = self.place.as_str();
        if place.is_empty() {
            Some(Level::Api)
        } else if self.places.operations.contains(place) {
            Some(Level::Operation)
        } else if self.places.items.contains(place) {
            Some(Level::Path)
        } else if place.starts_with("/paths/") && place.matches('/').count() == 3 {
            // An operation that is not routed; the definition's reader has said so.
            Some(Level::Operation)
        } else if place.starts_with("/components/securitySchemes/")
            || place.starts_with("/securityDefinitions/")
        {
            Some(Level::Scheme)
        } else {
            None
        }
    }

    fn unknown(&mut self, key: &str, place: String) {
        let message = format!("unknown key `{}`: it has no effect", shortened(key));
        let problem = Diagnostic::warning("wso2-unknown-key", place, message);
        let meant = key.replacen("x-mgw-", "x-wso2-", 1);
        let near = spec::nearest(&meant, KEYS.iter().map(|key| key.name));
        self.reader.record(match near {
            Some(near) => problem.mend(format!("did you mean `{near}`?")),
            None => problem,
        });
    }

    fn misplaced(&mut self, key: &Key, place: String) {
        let levels: Vec<&str> = key.levels.iter().map(|level| level.named()).collect();
        let message = format!("`{}` has no effect here", key.name);
        let problem = Diagnostic::warning("wso2-misplaced", place, message);
        self.reader
            .record(problem.mend(format!("it is read {}", levels.join(", "))));
    }

    fn not_served(&mut self, key: &Key, instead: &str, node: &Node, place: String) {
        let off = |node: &Node| node.as_bool() == Some(false);
        match &node.value {
            Value::Null | Value::Number(_) => {
                let expected = "a text, a list or a mapping";
                self.reader.wrong_type(node, place, expected);
            }
            // What asks for nothing lacks nothing.
            Value::Bool(false) => {}
            Value::Object(object) if object.get("enabled").is_some_and(off) => {}
            _ => self.reader.not_served(place, key.name, instead),
        }
    }

    /// `x-scopes-bindings`: which roles a user needs to get a scope.
    fn bindings(&mut self, node: &Node, place: &str) {
        let Some(object) = node.as_object() else {
            self.reader.wrong_type(node, place.to_owned(), "a mapping");
            return;
        };
        for entry in object {
            let place = pointer::join(place, &entry.key);
            match entry.node.as_str() {
                None => self.reader.wrong_type(&entry.node, place, "a text"),
                Some(roles) if roles.trim().is_empty() => {}
                Some(_) => {
                    let instead = "scopes are granted by subscriptions, whatever the roles";
                    self.reader.not_served(place, "x-scopes-bindings", instead);
                }
            }
        }
    }
}
