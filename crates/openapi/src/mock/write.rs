//! Values as they go over the wire (OpenAPI 3.1.1 §4.8.12.4, RFC 6570).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::calls::Field;
use crate::mock::{Parameter, is_json};
use crate::model::Location;
use crate::template::{Part, Template};

/// Everything but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// One value without structure.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Names and values of an object, or nothing and values of a list.
fn pairs(value: &Value) -> Option<Vec<(Option<&str>, String)>> {
    match value {
        Value::Array(items) => Some(items.iter().map(|item| (None, plain(item))).collect()),
        Value::Object(members) => Some(
            members
                .iter()
                .map(|(name, value)| (Some(name.as_str()), plain(value)))
                .collect(),
        ),
        _ => None,
    }
}

fn joined(value: &Value, separator: &str, explode: bool, write: fn(&str) -> String) -> String {
    let Some(pairs) = pairs(value) else {
        return write(&plain(value));
    };
    let glue = if explode { "=" } else { separator };
    let parts = pairs.into_iter().map(|(name, value)| match name {
        Some(name) => format!("{}{glue}{}", write(name), write(&value)),
        None => write(&value),
    });
    parts.collect::<Vec<_>>().join(separator)
}

/// A header: style `simple`, not encoded.
pub(super) fn simple(value: &Value) -> String {
    let text = joined(value, ",", false, str::to_owned);
    text.chars()
        .filter(|character| !character.is_control())
        .collect()
}

/// A parameter in its style.
pub(super) fn parameter(field: &Field<'_>, value: &Value) -> String {
    let (style, explode) = match field.style.strip_suffix("+explode") {
        Some(style) => (style, true),
        None => (field.style.as_str(), false),
    };
    let name = encoded(field.name);
    match (field.location, style) {
        (Location::Header, _) => simple(value),
        (Location::Path, "label") => {
            format!(
                ".{}",
                joined(value, if explode { "." } else { "," }, explode, encoded)
            )
        }
        (Location::Path, "matrix") if explode && matches!(value, Value::Object(_)) => {
            format!(";{}", joined(value, ";", true, encoded))
        }
        (Location::Path, "matrix") => format!(";{name}={}", joined(value, ",", false, encoded)),
        (Location::Path, _) => joined(value, ",", explode, encoded),
        (_, "deepObject") => {
            let parts = pairs(value)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| {
                    format!(
                        "{name}%5B{}%5D={}",
                        encoded(key.unwrap_or_default()),
                        encoded(&value)
                    )
                });
            parts.collect::<Vec<_>>().join("&")
        }
        (_, _) if explode => match value {
            Value::Object(_) => joined(value, "&", true, encoded),
            Value::Array(items) => {
                let parts = items
                    .iter()
                    .map(|item| format!("{name}={}", encoded(&plain(item))));
                parts.collect::<Vec<_>>().join("&")
            }
            other => format!("{name}={}", encoded(&plain(other))),
        },
        (_, style) => {
            let separator = match style {
                "spaceDelimited" => "%20",
                "pipeDelimited" => "%7C",
                "tabDelimited" => "%09",
                _ => ",",
            };
            format!("{name}={}", joined(value, separator, false, encoded))
        }
    }
}

/// The path with its parameters filled in.
pub(super) fn path(template: &str, parameters: &[Parameter]) -> String {
    let Ok(parsed) = Template::parse(template) else {
        return template.to_owned();
    };
    let mut text = String::new();
    for segment in parsed.segments() {
        text.push('/');
        for part in &segment.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Parameter(name) => {
                    let value = parameters.iter().find(|parameter| {
                        parameter.location == Location::Path && parameter.name == *name
                    });
                    text.push_str(value.map_or("value", |parameter| &parameter.text));
                }
            }
        }
    }
    text
}

/// The query: what is required, or has an example.
pub(super) fn query(parameters: &[Parameter]) -> String {
    let sent = parameters.iter().filter(|parameter| {
        matches!(parameter.location, Location::Query | Location::QueryString)
            && (parameter.required || parameter.written)
            && !parameter.text.is_empty()
    });
    sent.map(|parameter| parameter.text.as_str())
        .collect::<Vec<_>>()
        .join("&")
}

/// A body in its format.
pub(super) fn body(media_type: &str, value: &Value) -> Option<String> {
    if is_json(media_type) {
        return Some(value.to_string());
    }
    if media_type == "application/x-www-form-urlencoded" {
        let parts = value.as_object()?.iter().flat_map(|(name, value)| {
            let items = match value {
                Value::Array(items) => items.iter().map(plain).collect(),
                other => vec![plain(other)],
            };
            let name = encoded(name);
            items
                .into_iter()
                .map(move |item| format!("{name}={}", encoded(&item)))
        });
        return Some(parts.collect::<Vec<_>>().join("&"));
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) if media_type.starts_with("text/") => Some(plain(value)),
        _ => None,
    }
}
