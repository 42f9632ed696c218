//! Messages: `{{error}}`, `{{path}}`, `{{property}}`, `{{value}}`, `{{description}}`.

use tree::{Node, Value};

/// The longest value that is shown.
const SHOWN_MAX: usize = 100;

/// What a message may name.
pub(crate) struct Words<'a> {
    pub(crate) error: &'a str,
    pub(crate) path: &'a str,
    pub(crate) property: &'a str,
    pub(crate) value: &'a str,
    pub(crate) description: &'a str,
}

/// The names that stand in double braces and mean nothing.
pub(crate) fn unknown(template: &str) -> Option<&str> {
    let known = ["error", "path", "property", "value", "description"];
    names(template).find(|name| !known.contains(name))
}

fn names(template: &str) -> impl Iterator<Item = &str> {
    let pieces = template.split("{{").skip(1);
    pieces.filter_map(|piece| piece.split_once("}}").map(|(name, _)| name.trim()))
}

/// The template with its words filled in.
pub(crate) fn filled(template: &str, words: &Words<'_>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            text.push_str("{{");
            rest = after;
            continue;
        };
        text.push_str(match name.trim() {
            "error" => words.error,
            "path" => words.path,
            "property" => words.property,
            "value" => words.value,
            "description" => words.description,
            _ => "",
        });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A value in short.
pub(crate) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Object(_) => "Object{}".to_owned(),
        Value::Array(_) => "Array[]".to_owned(),
        _ => cut(&node.to_json().to_string()),
    }
}

/// A text, cut where it is long.
pub(crate) fn cut(text: &str) -> String {
    if text.chars().nth(SHOWN_MAX).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(SHOWN_MAX - 1).collect();
    cut.push('…');
    cut
}
