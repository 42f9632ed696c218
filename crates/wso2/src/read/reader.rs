//! Typed access to the tree that records problems.

use base::{Diagnostic, Diagnostics, Severity};
use tree::{Node, Object, pointer};

/// What was found.
pub(crate) struct Reader {
    found: Diagnostics,
    found_max: usize,
}

impl Reader {
    pub(crate) fn new(found_max: usize) -> Self {
        Self {
            found: Diagnostics::default(),
            found_max: found_max.max(1),
        }
    }

    pub(crate) fn into_found(self) -> Diagnostics {
        self.found
    }

    /// Keeps a diagnostic. Once the list is full an error still takes the place of a warning: a definition with an error
    /// is never accepted because it has many warnings.
    pub(crate) fn record(&mut self, diagnostic: Diagnostic) {
        if self.found.0.len() < self.found_max {
            self.found.push(diagnostic);
            return;
        }
        if diagnostic.severity == Severity::Error {
            let mut kept = self.found.0.iter_mut().rev();
            if let Some(warning) = kept.find(|kept| kept.severity == Severity::Warning) {
                *warning = diagnostic;
            }
        }
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, place: String, expected: &str) {
        let message = format!("{expected} is expected, not {}", node.kind());
        let problem = Diagnostic::error("wso2-type", place, message);
        let quoted = expected == "a text"
            && matches!(node.value, tree::Value::Number(_) | tree::Value::Bool(_));
        self.record(if quoted {
            problem.mend("put it in quotes")
        } else {
            problem
        });
    }

    /// A member that is a text.
    pub(crate) fn text<'t>(
        &mut self,
        object: &'t Object,
        place: &str,
        key: &str,
    ) -> Option<&'t str> {
        let node = object.get(key)?;
        if node.as_str().is_none() {
            self.wrong_type(node, pointer::join(place, key), "a text");
        }
        node.as_str()
    }

    /// A member that is true or false.
    pub(crate) fn flag(&mut self, object: &Object, place: &str, key: &str) -> Option<bool> {
        let node = object.get(key)?;
        if node.as_bool().is_none() {
            self.wrong_type(node, pointer::join(place, key), "true or false");
        }
        node.as_bool()
    }

    /// A member that is a mapping, with its place.
    pub(crate) fn object<'t>(
        &mut self,
        object: &'t Object,
        place: &str,
        key: &str,
    ) -> Option<(&'t Object, String)> {
        let node = object.get(key)?;
        let place = pointer::join(place, key);
        let Some(object) = node.as_object() else {
            self.wrong_type(node, place, "a mapping");
            return None;
        };
        Some((object, place))
    }

    /// A member that is a list of texts, each with its place.
    pub(crate) fn texts<'t>(
        &mut self,
        object: &'t Object,
        place: &str,
        key: &str,
    ) -> Option<Vec<(&'t str, String)>> {
        let node = object.get(key)?;
        let place = pointer::join(place, key);
        let Some(items) = node.as_array() else {
            self.wrong_type(node, place, "a list");
            return None;
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}/{index}");
            match item.as_str() {
                Some(text) => texts.push((text, place)),
                None => self.wrong_type(item, place, "a text"),
            }
        }
        Some(texts)
    }

    /// One of some words; the error for another names them.
    pub(crate) fn word<T: Copy>(
        &mut self,
        written: &str,
        place: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == written);
        if let Some((_, meaning)) = found {
            return Some(*meaning);
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let message = format!("`{}` is none of {}", shortened(written), list.join(", "));
        let problem = Diagnostic::error("wso2-word", place, message);
        let near = spec::nearest(written, words.iter().map(|(word, _)| *word));
        self.record(match near {
            Some(near) => problem.mend(format!("did you mean `{near}`?")),
            None => problem,
        });
        None
    }

    /// Whether a text has one of the forms of documents; what is wrong with it is recorded.
    pub(crate) fn fits(&mut self, format: &str, text: &str, place: &str) -> bool {
        let Some(fault) = spec::names::fault(format, text) else {
            return true;
        };
        let problem = Diagnostic::error("wso2-value", place, fault.message);
        self.record(match fault.mend {
            Some(mend) => problem.mend(mend),
            None => problem,
        });
        false
    }

    /// Records that something is understood and not served.
    pub(crate) fn not_served(&mut self, place: impl Into<String>, what: &str, instead: &str) {
        let message = format!("`{what}` is not served: {instead}");
        self.record(Diagnostic::warning("wso2-not-served", place, message));
    }

    /// Warns about members that nobody reads.
    pub(crate) fn unknown_members(&mut self, object: &Object, place: &str, known: &[&str]) {
        for entry in object {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message = format!("unknown key `{}`: it has no effect", shortened(&entry.key));
            let place = pointer::join(place, &entry.key);
            let problem = Diagnostic::warning("wso2-unknown-key", place, message);
            self.record(match spec::nearest(&entry.key, known.iter().copied()) {
                Some(near) => problem.mend(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    }
}

/// The beginning of a long text: a message is no place for megabytes.
pub(crate) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN_MAX: usize = 100;
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}
