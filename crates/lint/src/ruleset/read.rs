//! From text to rules.

mod aliases;

use std::collections::HashMap;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use tree::{Limits, Node, Object, Value, pointer};

use super::{Field, Format, Given, OAS, Rule, Ruleset, Then};
use crate::Severity;
use crate::functions::Function;
use crate::path::Path;
use crate::text;

/// How much of what is extended is switched on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Recommended,
    All,
    Off,
}

/// What is being read, and what is wrong with it.
struct Reader {
    found: Diagnostics,
    found_max: usize,
    aliases: HashMap<String, Vec<aliases::Target>>,
}

pub(super) fn ruleset(text: &str, limits: &Limits) -> Result<Ruleset, Diagnostics> {
    let root = tree::parse(text, limits)?;
    let mut reader = Reader::new(limits);
    let rules = reader.top(&root);
    let mut found = reader.found;
    if found.is_empty() {
        return Ok(Ruleset { rules });
    }
    root.locate(&mut found);
    Err(found)
}

/// The built-in rules.
pub(super) fn built_in() -> Result<Vec<Rule>, Diagnostics> {
    let limits = Limits::default();
    let root = tree::parse(OAS, &limits)?;
    let mut reader = Reader::new(&limits);
    let rules = reader.top(&root);
    if reader.found.is_empty() {
        Ok(rules)
    } else {
        Err(reader.found)
    }
}

impl Reader {
    fn new(limits: &Limits) -> Self {
        Self {
            found: Diagnostics::default(),
            found_max: limits.problems_max.max(1),
            aliases: HashMap::new(),
        }
    }

    fn fault(&mut self, rule: &str, pointer: &str, message: impl Into<String>) {
        if self.found.0.len() < self.found_max {
            self.found.push(Diagnostic::error(rule, pointer, message));
        }
    }

    fn top(&mut self, root: &Node) -> Vec<Rule> {
        let Some(object) = root.as_object() else {
            self.fault(
                "ruleset",
                "",
                "a rule set is a mapping with `rules` or `extends`",
            );
            return Vec::new();
        };
        for entry in object {
            let at = pointer::join("", &entry.key);
            match entry.key.as_str() {
                "rules" | "extends" | "aliases" | "formats" | "description"
                | "documentationUrl" | "parserOptions" => {}
                "functions" | "functionsDir" => {
                    self.fault(
                        "ruleset-function",
                        &at,
                        "functions of one's own are not run here: only core functions are known",
                    );
                }
                "overrides" | "except" => {
                    let message = format!(
                        "`{}` is not known here: rules hold for every definition alike",
                        entry.key
                    );
                    self.fault("ruleset-key", &at, message);
                }
                other => self.fault(
                    "ruleset-key",
                    &at,
                    format!("`{other}` is no key of a rule set"),
                ),
            }
        }
        let formats = self.formats(object.get("formats"), "/formats");
        self.read_aliases(object);
        let mut rules = Vec::new();
        if let Some(node) = object.get("extends") {
            self.extends(node, "/extends", &mut rules);
        }
        match object.get("rules").map(|node| &node.value) {
            None => {}
            Some(Value::Object(entries)) => {
                for entry in entries {
                    self.rule(&entry.key, &entry.node, &formats, &mut rules);
                }
            }
            Some(_) => self.fault(
                "ruleset",
                "/rules",
                "`rules` is a mapping from names to rules",
            ),
        }
        if object.get("rules").is_none() && object.get("extends").is_none() {
            self.fault("ruleset", "", "a rule set has `rules` or `extends`");
        }
        rules
    }

    /// `spectral:oas`, alone, in a list, or as `[name, all | recommended | off]`.
    fn extends(&mut self, node: &Node, at: &str, rules: &mut Vec<Rule>) {
        let list: Vec<(&Node, String)> = match node.as_array() {
            None => vec![(node, at.to_owned())],
            Some(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (item, format!("{at}/{index}")))
                .collect(),
        };
        for (item, at) in list {
            let (name, extent) = match item.as_array() {
                Some([name, extent]) => (name.as_str(), extent.as_str()),
                Some(_) => (None, None),
                None => (item.as_str(), Some("recommended")),
            };
            let extent = match extent {
                Some("recommended") => Extent::Recommended,
                Some("all") => Extent::All,
                Some("off") => Extent::Off,
                _ => {
                    self.fault(
                        "ruleset-extends",
                        &at,
                        "expected a name, or a pair of a name and all, recommended or off",
                    );
                    continue;
                }
            };
            match name {
                Some("spectral:oas") => match built_in() {
                    Ok(built_in) => {
                        rules.extend(built_in.into_iter().map(|rule| switched(rule, extent)));
                    }
                    Err(found) => self.found.extend(found),
                },
                Some(name) => {
                    let message = format!(
                        "`{name}` cannot be extended: only spectral:oas is known here, nothing is loaded"
                    );
                    self.fault("ruleset-extends", &at, message);
                }
                None => self.fault("ruleset-extends", &at, "the name of a rule set is missing"),
            }
        }
    }

    /// Reads one rule: a new one, or a change of one that is there.
    fn rule(&mut self, name: &str, node: &Node, formats: &[Format], rules: &mut Vec<Rule>) {
        let at = pointer::join("/rules", name);
        let known = rules.iter().position(|rule| rule.name == name);
        if let Value::Object(object) = &node.value {
            let base = known.map(|index| &rules[index]);
            if let Some(rule) = self.definition(name, object, &at, formats, base) {
                match known {
                    Some(index) => rules[index] = rule,
                    None => rules.push(rule),
                }
            }
            return;
        }
        let Some(index) = known else {
            return self.fault(
                "ruleset-rule",
                &at,
                format!("rule `{name}`: there is no such rule to switch"),
            );
        };
        let rule = &mut rules[index];
        match (&node.value, node.as_str()) {
            (Value::Bool(true), _) | (_, Some("recommended" | "all")) => {
                rule.severity = Some(rule.usual);
            }
            (Value::Bool(false), _) => rule.severity = None,
            _ => match severity(node) {
                Some(severity) => rule.severity = severity,
                None => self.fault("ruleset-severity", &at, unknown_severity(name)),
            },
        }
    }

    fn definition(
        &mut self,
        name: &str,
        object: &Object,
        at: &str,
        formats: &[Format],
        base: Option<&Rule>,
    ) -> Option<Rule> {
        let before = self.found.0.len();
        let known = [
            "description",
            "message",
            "severity",
            "recommended",
            "formats",
            "given",
            "then",
            "resolved",
            "documentationUrl",
            "type",
            "tags",
            "enabled",
            "extensions",
        ];
        for entry in object
            .iter()
            .filter(|entry| !known.contains(&entry.key.as_str()))
        {
            let at = pointer::join(at, &entry.key);
            self.fault(
                "ruleset-key",
                &at,
                format!("rule `{name}`: `{}` is no key of a rule", entry.key),
            );
        }
        let mut rule = base.cloned().unwrap_or_else(|| Rule {
            name: name.to_owned(),
            description: None,
            severity: Some(Severity::Warn),
            message: None,
            usual: Severity::Warn,
            recommended: true,
            formats: formats.to_vec(),
            resolved: true,
            given: Vec::new(),
            then: Vec::new(),
        });
        let text = |key: &str| object.get(key).and_then(Node::as_str).map(str::to_owned);
        rule.description = text("description").or(rule.description);
        rule.message = text("message").or(rule.message);
        if let Some(unknown) = rule.message.as_deref().and_then(text::unknown) {
            let message = format!(
                "rule `{name}`: `{{{{{unknown}}}}}` means nothing; known are error, path, property, value, description"
            );
            self.fault("ruleset-message", &format!("{at}/message"), message);
        }
        if let Some(formats) = object.get("formats") {
            rule.formats = self.formats(Some(formats), &format!("{at}/formats"));
        }
        let flag = |key: &str| object.get(key).and_then(Node::as_bool);
        rule.resolved = flag("resolved").unwrap_or(rule.resolved);
        rule.recommended = flag("recommended").unwrap_or(rule.recommended);
        self.severity_of(&mut rule, object, at);
        if let Some(given) = object.get("given") {
            rule.given = self.given(name, given, &format!("{at}/given"));
        }
        if let Some(then) = object.get("then") {
            rule.then = self.thens(name, then, &format!("{at}/then"));
        }
        if base.is_none() {
            for key in ["given", "then"] {
                if object.get(key).is_none() {
                    self.fault(
                        "ruleset-rule",
                        at,
                        format!("rule `{name}`: `{key}` is missing"),
                    );
                }
            }
        }
        (self.found.0.len() == before).then_some(rule)
    }

    fn severity_of(&mut self, rule: &mut Rule, object: &Object, at: &str) {
        if let Some(node) = object.get("severity") {
            match severity(node) {
                Some(Some(severity)) => (rule.severity, rule.usual) = (Some(severity), severity),
                Some(None) => rule.severity = None,
                None => self.fault(
                    "ruleset-severity",
                    &format!("{at}/severity"),
                    unknown_severity(&rule.name),
                ),
            }
        }
        let off = !rule.recommended || object.get("enabled").and_then(Node::as_bool) == Some(false);
        if off
            && object
                .get("severity")
                .is_none_or(|_| object.get("recommended").is_some())
        {
            rule.severity = None;
        }
    }

    fn given(&mut self, name: &str, node: &Node, at: &str) -> Vec<Given> {
        let mut given = Vec::new();
        for text in self.texts(Some(node), at) {
            for (path, formats) in self.unaliased(name, &text, at, 0) {
                match Path::read(&path) {
                    Ok(path) => given.push(Given { path, formats }),
                    Err(error) => {
                        let message = format!(
                            "rule `{name}`: `{path}` is not understood after {} characters: {}",
                            error.at, error.message
                        );
                        self.fault("ruleset-path", at, message);
                    }
                }
            }
        }
        given
    }

    fn thens(&mut self, name: &str, node: &Node, at: &str) -> Vec<Then> {
        let items: Vec<(&Node, String)> = match node.as_array() {
            None => vec![(node, at.to_owned())],
            Some(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (item, format!("{at}/{index}")))
                .collect(),
        };
        items
            .into_iter()
            .filter_map(|(item, at)| self.then(name, item, &at))
            .collect()
    }

    fn then(&mut self, name: &str, node: &Node, at: &str) -> Option<Then> {
        for entry in node.as_object().into_iter().flatten() {
            if !matches!(entry.key.as_str(), "field" | "function" | "functionOptions") {
                let at = pointer::join(at, &entry.key);
                self.fault(
                    "ruleset-key",
                    &at,
                    format!("rule `{name}`: `{}` is no key of `then`", entry.key),
                );
            }
        }
        let field = match node.get("field").and_then(Node::as_str) {
            None => None,
            Some("@key") => Some(Field::Key),
            Some(text) if text.starts_with('$') => match Path::read(text) {
                Ok(path) => Some(Field::Path(path)),
                Err(error) => {
                    let message = format!(
                        "rule `{name}`: the field `{text}` is not understood: {}",
                        error.message
                    );
                    self.fault("ruleset-path", &format!("{at}/field"), message);
                    return None;
                }
            },
            Some(text) => Some(Field::Way(way(text))),
        };
        let Some(function) = node.get("function").and_then(Node::as_str) else {
            self.fault(
                "ruleset-function",
                at,
                format!("rule `{name}`: `then` has no `function`"),
            );
            return None;
        };
        match Function::read(function, node.get("functionOptions")) {
            Ok(function) => Some(Then {
                field,
                function: Arc::new(function),
            }),
            Err(message) => {
                self.fault(
                    "ruleset-function",
                    &format!("{at}/function"),
                    format!("rule `{name}`: {message}"),
                );
                None
            }
        }
    }
}

/// `a.b[0]['c']` as names.
fn way(text: &str) -> Vec<String> {
    let plain = text
        .replace("['", ".")
        .replace("[\"", ".")
        .replace("']", "")
        .replace("\"]", "");
    let plain = plain.replace('[', ".").replace(']', "");
    plain
        .split('.')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn switched(mut rule: Rule, extent: Extent) -> Rule {
    rule.severity = match extent {
        Extent::All => Some(rule.usual),
        Extent::Off => None,
        Extent::Recommended => rule.severity,
    };
    rule
}

/// A severity; nothing within for `off`, nothing at all for what is none.
fn severity(node: &Node) -> Option<Option<Severity>> {
    if let Some(number) = node.as_number() {
        return match number.as_i64()? {
            0 => Some(Some(Severity::Error)),
            1 => Some(Some(Severity::Warn)),
            2 => Some(Some(Severity::Info)),
            3 => Some(Some(Severity::Hint)),
            -1 => Some(None),
            _ => None,
        };
    }
    match node.as_str()? {
        "off" => Some(None),
        "warning" => Some(Some(Severity::Warn)),
        "information" => Some(Some(Severity::Info)),
        text => text.parse().ok().map(Some),
    }
}

fn unknown_severity(name: &str) -> String {
    format!(
        "rule `{name}`: unknown severity; known are error, warn, info, hint, off, and 0 to 3 with -1 for off"
    )
}
