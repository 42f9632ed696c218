//! The core functions.

use std::collections::HashSet;

use tree::{Node, Value};

use super::{Function, Options, Problem, Target};
use crate::path::Budget;
use crate::pattern::Pattern;
use crate::text::cut;

type Named = (String, Pattern);

pub(super) fn pattern<'t>(
    target: &Target<'t>,
    wanted: Option<&Named>,
    unwanted: Option<&Named>,
    budget: &mut Budget<'t>,
) -> Vec<Problem> {
    let Some(text) = target.text() else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if let Some((name, pattern)) = wanted
        && !budget.matches(pattern, text)
    {
        problems.extend(Problem::here(format!(
            "\"{}\" must match the pattern `{name}`",
            cut(text)
        )));
    }
    if let Some((name, pattern)) = unwanted
        && budget.matches(pattern, text)
    {
        problems.extend(Problem::here(format!(
            "\"{}\" must not match the pattern `{name}`",
            cut(text)
        )));
    }
    problems
}

pub(super) fn enumeration(target: &Target<'_>, values: &[serde_json::Value]) -> Vec<Problem> {
    let value = match target {
        Target::Missing => return Vec::new(),
        Target::Key(key) => serde_json::Value::String(key.clone()),
        Target::Node(Node {
            value: Value::Array(_) | Value::Object(_),
            ..
        }) => return Vec::new(),
        Target::Node(node) => node.to_json(),
    };
    if values.contains(&value) {
        return Vec::new();
    }
    let list: Vec<String> = values.iter().map(ToString::to_string).collect();
    Problem::here(format!(
        "{} must be one of {}",
        cut(&value.to_string()),
        cut(&list.join(", "))
    ))
}

pub(super) fn length(target: &Target<'_>, least: Option<f64>, most: Option<f64>) -> Vec<Problem> {
    let (length, what) = match target {
        Target::Missing => return Vec::new(),
        Target::Key(key) => (key.chars().count() as f64, "characters"),
        Target::Node(node) => match &node.value {
            Value::String(text) => (text.chars().count() as f64, "characters"),
            Value::Array(items) => (items.len() as f64, "items"),
            Value::Object(object) => (object.len() as f64, "keys"),
            Value::Number(number) => (number.as_f64().unwrap_or(0.0), "as its value"),
            Value::Null | Value::Bool(_) => return Vec::new(),
        },
    };
    if let Some(least) = least.filter(|least| length < *least) {
        return Problem::here(format!(
            "it has {length} {what}, at least {least} are wanted"
        ));
    }
    if let Some(most) = most.filter(|most| length > *most) {
        return Problem::here(format!("it has {length} {what}, at most {most} are wanted"));
    }
    Vec::new()
}

/// `casing`: flat, camel, pascal, kebab, cobol, snake, macro, with digits and a separator.
pub(super) fn casing(options: &Options<'_>) -> Result<Function, String> {
    let kind = options
        .get("type")
        .and_then(Node::as_str)
        .ok_or("`casing` needs `type`")?;
    let no_digits = options.get("disallowDigits").and_then(Node::as_bool) == Some(true);
    let d = if no_digits { "" } else { "0-9" };
    let base = match kind {
        "flat" => format!("[a-z][a-z{d}]*"),
        "camel" => format!("[a-z][a-z{d}]*(?:[A-Z{d}](?:[a-z{d}]+|$))*"),
        "pascal" => format!("[A-Z][a-z{d}]*(?:[A-Z{d}](?:[a-z{d}]+|$))*"),
        "kebab" => format!("[a-z][a-z{d}]*(?:-[a-z{d}]+)*"),
        "cobol" => format!("[A-Z][A-Z{d}]*(?:-[A-Z{d}]+)*"),
        "snake" => format!("[a-z][a-z{d}]*(?:_[a-z{d}]+)*"),
        "macro" => format!("[A-Z][A-Z{d}]*(?:_[A-Z{d}]+)*"),
        other => {
            return Err(format!(
                "`{other}` is no casing; known are flat, camel, pascal, kebab, cobol, snake, macro"
            ));
        }
    };
    let text = match options.get("separator") {
        None => format!("^{base}$"),
        Some(separator) => {
            let sign = separator
                .get("char")
                .and_then(Node::as_str)
                .unwrap_or_default();
            let mut characters = sign.chars();
            let (Some(one), None) = (characters.next(), characters.next()) else {
                return Err("the option `separator.char` is one character".to_owned());
            };
            let sign = format!("\\x{{{:x}}}", u32::from(one));
            let leading = separator.get("allowLeading").and_then(Node::as_bool) == Some(true);
            let leading = if leading {
                format!("{sign}?")
            } else {
                String::new()
            };
            // A word may end where the next separator stands, not only at the end.
            let word = base.replace("|$)", &format!("|(?={sign}|$))"));
            format!("^{leading}{word}(?:{sign}{word})*$")
        }
    };
    Ok(Function::Casing(Pattern::new(&text, "")?, kind.to_owned()))
}

pub(super) fn alphabetical(target: &Target<'_>, key: Option<&str>) -> Vec<Problem> {
    let Target::Node(node) = target else {
        return Vec::new();
    };
    let names: Vec<(String, String)> = match &node.value {
        Value::Object(object) => object
            .iter()
            .map(|entry| (entry.key.clone(), entry.key.clone()))
            .collect(),
        Value::Array(items) => {
            let word = |item: &Node| {
                let value = key.map_or(Some(item), |key| item.get(key));
                value.map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_json().to_string(), str::to_owned)
                })
            };
            let words = items
                .iter()
                .enumerate()
                .map(|(index, item)| (index.to_string(), word(item).unwrap_or_default()));
            words.collect()
        }
        _ => return Vec::new(),
    };
    let wrong = names.windows(2).find(|pair| pair[0].1 > pair[1].1);
    wrong.map_or_else(Vec::new, |pair| {
        let message = format!(
            "`{}` must stand before `{}`",
            cut(&pair[1].1),
            cut(&pair[0].1)
        );
        vec![Problem::below(message, vec![pair[1].0.clone()])]
    })
}

/// `xor` and `or`: how many of these keys a mapping has.
pub(super) fn count(
    target: &Target<'_>,
    names: &[String],
    right: fn(usize) -> bool,
    what: &str,
) -> Vec<Problem> {
    let Target::Node(node) = target else {
        return Vec::new();
    };
    let Some(object) = node.as_object() else {
        return Vec::new();
    };
    let count = names
        .iter()
        .filter(|name| object.get(name).is_some())
        .count();
    if right(count) {
        return Vec::new();
    }
    let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    Problem::here(format!("{what} of {} must be there", list.join(", ")))
}

/// The values of `enum` are of the `type` beside it.
pub(super) fn typed_enum(target: &Target<'_>) -> Vec<Problem> {
    let Target::Node(node) = target else {
        return Vec::new();
    };
    let Some(values) = node.get("enum").and_then(Node::as_array) else {
        return Vec::new();
    };
    let Some(kind) = node.get("type") else {
        return Vec::new();
    };
    let mut names: Vec<&str> = match &kind.value {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Node::as_str).collect(),
        _ => return Vec::new(),
    };
    let flag = |key| node.get(key).and_then(Node::as_bool) == Some(true);
    if flag("nullable") || flag("x-nullable") {
        names.push("null");
    }
    let fits = |value: &Node| {
        names.iter().any(|name| match (*name, &value.value) {
            ("integer", Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            ("null", Value::Null)
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_))
            | ("string", Value::String(_))
            | ("array", Value::Array(_))
            | ("object", Value::Object(_)) => true,
            _ => false,
        })
    };
    let wrong = values.iter().enumerate().filter(|(_, value)| !fits(value));
    wrong
        .map(|(index, value)| {
            let message = format!(
                "{} is not of the type {}",
                crate::text::shown(value),
                names.join(" or ")
            );
            Problem::below(message, vec!["enum".to_owned(), index.to_string()])
        })
        .collect()
}

/// Parts that nothing refers to.
pub(super) fn unreferenced<'t>(
    target: &Target<'t>,
    place: &str,
    budget: &mut Budget<'t>,
) -> Vec<Problem> {
    let Target::Node(node) = target else {
        return Vec::new();
    };
    let mut used: HashSet<String> = HashSet::new();
    let mut waiting = vec![budget.root];
    while let Some(node) = waiting.pop() {
        if !budget.pay(1) {
            return Vec::new();
        }
        match &node.value {
            Value::Object(object) => {
                used.extend(object.get("$ref").and_then(Node::as_str).map(str::to_owned));
                // Discriminators name schemas without `$ref`.
                let mapping = object
                    .get("mapping")
                    .and_then(Node::as_object)
                    .into_iter()
                    .flatten();
                used.extend(mapping.filter_map(|entry| entry.node.as_str().map(str::to_owned)));
                waiting.extend(object.iter().map(|entry| &entry.node));
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    let place = place.trim_end_matches('/');
    let used: HashSet<String> = used
        .into_iter()
        .filter_map(|reference| {
            let rest = reference.strip_prefix(place)?.strip_prefix('/')?;
            rest.split('/')
                .next()
                .map(|name| name.replace("~1", "/").replace("~0", "~"))
        })
        .collect();
    let unused = node
        .as_object()
        .into_iter()
        .flatten()
        .filter(|entry| !used.contains(&entry.key));
    unused
        .map(|entry| {
            Problem::below(
                format!("nothing refers to `{}`", entry.key),
                vec![entry.key.clone()],
            )
        })
        .collect()
}
