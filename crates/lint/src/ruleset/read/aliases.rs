//! Aliases, and the lists of paths and formats that rules have too.

use tree::{Node, Object, Value, pointer};

use super::Reader;
use crate::ruleset::Format;

/// Aliases that name aliases.
const ALIASES_MAX: usize = 8;

/// A path with the formats it is for.
pub(super) type Target = (String, Vec<Format>);

impl Reader {
    pub(super) fn read_aliases(&mut self, object: &Object) {
        let Some(node) = object.get("aliases") else {
            return;
        };
        let Some(aliases) = node.as_object() else {
            return self.fault(
                "ruleset-alias",
                "/aliases",
                "`aliases` is a mapping from names to paths",
            );
        };
        for entry in aliases {
            let at = pointer::join("/aliases", &entry.key);
            let mut targets = Vec::new();
            if let Some(list) = entry.node.get("targets").and_then(Node::as_array) {
                for (index, target) in list.iter().enumerate() {
                    let at = format!("{at}/targets/{index}");
                    let formats = self.formats(target.get("formats"), &format!("{at}/formats"));
                    let given = self.texts(target.get("given"), &format!("{at}/given"));
                    targets.extend(given.into_iter().map(|path| (path, formats.clone())));
                }
            } else {
                let given = entry.node.get("given").unwrap_or(&entry.node);
                targets.extend(
                    self.texts(Some(given), &at)
                        .into_iter()
                        .map(|path| (path, Vec::new())),
                );
            }
            self.aliases.insert(entry.key.clone(), targets);
        }
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&mut self, node: Option<&Node>, at: &str) -> Vec<String> {
        let texts = match node.map(|node| &node.value) {
            Some(Value::String(text)) => Some(vec![text.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        texts.filter(|texts| !texts.is_empty()).unwrap_or_else(|| {
            self.fault("ruleset-path", at, "expected a path, or a list of paths");
            Vec::new()
        })
    }

    pub(super) fn formats(&mut self, node: Option<&Node>, at: &str) -> Vec<Format> {
        let Some(node) = node else { return Vec::new() };
        let mut formats = Vec::new();
        for item in node
            .as_array()
            .unwrap_or_else(|| std::slice::from_ref(node))
        {
            let name = item.to_json().to_string();
            let name = name.trim_matches('"');
            match Format::named(name) {
                Some(format) => formats.push(format),
                None => {
                    let message = format!(
                        "`{name}` is no known format; known are oas2, oas3, oas3.0, oas3.1"
                    );
                    self.fault("ruleset-format", at, message);
                }
            }
        }
        formats
    }

    /// `#Alias` and what follows it, made paths.
    pub(super) fn unaliased(
        &mut self,
        name: &str,
        text: &str,
        at: &str,
        depth: usize,
    ) -> Vec<Target> {
        let Some(rest) = text.strip_prefix('#') else {
            return vec![(text.to_owned(), Vec::new())];
        };
        let end = rest
            .find(|character: char| !character.is_alphanumeric() && !"_-".contains(character))
            .unwrap_or(rest.len());
        let (alias, suffix) = rest.split_at(end);
        let targets = self.aliases.get(alias).cloned();
        let Some(targets) = targets.filter(|_| depth < ALIASES_MAX) else {
            let why = if depth < ALIASES_MAX {
                "is not declared"
            } else {
                "leads in a circle"
            };
            self.fault(
                "ruleset-alias",
                at,
                format!("rule `{name}`: the alias `#{alias}` {why}"),
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (path, formats) in targets {
            for (path, inner) in self.unaliased(name, &path, at, depth + 1) {
                let formats = if inner.is_empty() {
                    formats.clone()
                } else {
                    inner
                };
                found.push((format!("{path}{suffix}"), formats));
            }
            if found.len() > 1000 {
                self.fault(
                    "ruleset-alias",
                    at,
                    format!("rule `{name}`: the alias `#{alias}` means too many paths"),
                );
                return Vec::new();
            }
        }
        found
    }
}
