//! Whether a value fits a schema, as far as its author will want to know: types, words, bounds, properties. Choices
//! (`oneOf`, `anyOf`, `not`, `if`) and patterns are passed over: what is told here, is certain.

use tree::{Node, Object, Value};

use super::references::target;
use super::shown;
use crate::model::Dialect;

/// Steps that one value may take: a schema can lead back to itself.
const STEPS_MAX: usize = 10_000;

/// References and `allOf` that may be followed without a step into the value.
const DEPTH_MAX: usize = 200;

/// Holds one value against a schema.
pub(super) struct Fit<'t> {
    root: &'t Node,
    dialect: Dialect,
    steps: usize,
    depth: usize,
}

impl<'t> Fit<'t> {
    pub(super) fn new(root: &'t Node, dialect: Dialect) -> Self {
        Self {
            root,
            dialect,
            steps: 0,
            depth: 0,
        }
    }

    /// How many steps it took.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The first thing that does not fit.
    pub(super) fn fault(&mut self, schema: &'t Object, value: &'t Node) -> Option<String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let fault = self.fault_inner(schema, value);
        self.depth -= 1;
        fault
    }

    fn fault_inner(&mut self, schema: &'t Object, value: &'t Node) -> Option<String> {
        if let Some(reference) = schema.get("$ref").and_then(Node::as_str) {
            let target = target(self.root, reference).and_then(Node::as_object);
            let fault = target.and_then(|target| self.fault(target, value));
            if fault.is_some() || self.dialect != Dialect::V3_1 {
                return fault;
            }
        }
        if value.is_null() && nullable(schema) {
            return None;
        }
        for part in list(schema, "allOf").iter().filter_map(Node::as_object) {
            if let Some(fault) = self.fault(part, value) {
                return Some(fault);
            }
        }
        kind(schema, value)
            .or_else(|| word(schema, value))
            .or_else(|| bounds(schema, value))
            .or_else(|| self.members(schema, value))
    }

    fn members(&mut self, schema: &'t Object, value: &'t Node) -> Option<String> {
        let properties = schema.get("properties").and_then(Node::as_object);
        let property = |key: &str| properties.and_then(|all| all.get(key)?.as_object());
        match &value.value {
            Value::Object(object) => {
                // A property of one direction is missing in examples of the other.
                let one_way = |key: &str| {
                    property(key).is_some_and(|one| {
                        ["readOnly", "writeOnly"]
                            .iter()
                            .any(|word| one.get(word).and_then(Node::as_bool) == Some(true))
                    })
                };
                let required = list(schema, "required").iter().filter_map(Node::as_str);
                for key in required {
                    if object.get(key).is_none() && !one_way(key) {
                        return Some(format!("the required property `{}` is missing", shown(key)));
                    }
                }
                object.iter().find_map(|entry| {
                    let fault = self.fault(property(&entry.key)?, &entry.node)?;
                    Some(within(&entry.key, &fault))
                })
            }
            Value::Array(items) => {
                let schema = schema.get("items").and_then(Node::as_object)?;
                let mut items = items.iter().enumerate();
                items.find_map(|(index, item)| {
                    let fault = self.fault(schema, item)?;
                    Some(within(&index.to_string(), &fault))
                })
            }
            _ => None,
        }
    }
}

/// The way to a fault inside a value, cut where it gets long.
fn within(key: &str, fault: &str) -> String {
    if fault.len() > 300 {
        return fault.to_owned();
    }
    format!("in `{}` {fault}", key.chars().take(50).collect::<String>())
}

fn list<'t>(schema: &'t Object, key: &str) -> &'t [Node] {
    schema.get(key).and_then(Node::as_array).unwrap_or_default()
}

/// The words of `type`: one, or several since 3.1. `file` of Swagger 2.0 says nothing of values.
pub(super) fn types(schema: &Object) -> Vec<&str> {
    let known = |word: &&str| {
        matches!(
            *word,
            "string" | "number" | "integer" | "boolean" | "array" | "object" | "null"
        )
    };
    let Some(node) = schema.get("type") else {
        return Vec::new();
    };
    match &node.value {
        Value::Array(items) => items
            .iter()
            .filter_map(Node::as_str)
            .filter(known)
            .collect(),
        _ => node.as_str().into_iter().filter(known).collect(),
    }
}

/// Whether a value is of the type that JSON Schema calls so.
pub(super) fn is(value: &Node, kind: &str) -> bool {
    match &value.value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => {
            let whole = number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|float| float.fract() == 0.0);
            kind == "number" || kind == "integer" && whole
        }
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

fn nullable(schema: &Object) -> bool {
    let flag = |key| schema.get(key).and_then(Node::as_bool) == Some(true);
    flag("nullable") || flag("x-nullable")
}

fn kind(schema: &Object, value: &Node) -> Option<String> {
    let wanted = types(schema);
    if wanted.is_empty() || wanted.iter().any(|kind| is(value, kind)) {
        return None;
    }
    Some(format!("{} is no {}", value.kind(), wanted.join(" or ")))
}

fn word(schema: &Object, value: &Node) -> Option<String> {
    let words = list(schema, "enum");
    let fits = words.is_empty() || words.iter().any(|word| equal(word, value));
    (!fits).then(|| "the value is none of `enum`".to_owned())
}

/// Equal as JSON: places do not count.
fn equal(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => one.kind() == other.kind(),
        (one, other) => one == other,
    }
}

fn bounds(schema: &Object, value: &Node) -> Option<String> {
    let number = |key| schema.get(key).and_then(Node::as_number)?.as_f64();
    let flag = |key| schema.get(key).and_then(Node::as_bool) == Some(true);
    match &value.value {
        Value::Number(have) => {
            let have = have.as_f64()?;
            let low = number("minimum")
                .filter(|low| have < *low || have <= *low && flag("exclusiveMinimum"));
            let high = number("maximum")
                .filter(|high| have > *high || have >= *high && flag("exclusiveMaximum"));
            low.map(|low| format!("{have} is below the minimum {low}"))
                .or_else(|| high.map(|high| format!("{have} is above the maximum {high}")))
        }
        Value::String(text) => length(
            text.chars().count(),
            number("minLength"),
            number("maxLength"),
            "characters",
        ),
        Value::Array(items) => length(
            items.len(),
            number("minItems"),
            number("maxItems"),
            "entries",
        ),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn length(have: usize, min: Option<f64>, max: Option<f64>, what: &str) -> Option<String> {
    let size = have as f64;
    let low = min.filter(|min| size < *min);
    let high = max.filter(|max| size > *max);
    low.map(|min| format!("{have} {what} are fewer than {min}"))
        .or_else(|| high.map(|max| format!("{have} {what} are more than {max}")))
}
