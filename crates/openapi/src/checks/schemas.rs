//! What schemas say that cannot be meant: defaults and examples that do not fit, properties that do not exist.

use tree::{Node, Object, Value};

use super::fit::{Fit, types};
use super::{Place, shown};
use crate::model::Dialect;
use crate::reader::{Reader, Trail};

/// Holds a schema against itself.
pub(super) fn check<'t>(reader: &mut Reader<'t>, schema: &'t Object, place: &Place<'_>) {
    // Beside a reference nothing counts before 3.1.
    if schema.get("$ref").is_some() && reader.dialect() != Dialect::V3_1 {
        return;
    }
    words(reader, schema, &place.trail);
    if let Some(example) = schema.get("example") {
        fits(
            reader,
            "example-mismatch",
            schema,
            example,
            &Trail::Key(&place.trail, "example"),
        );
    }
    let examples = schema.get("examples").and_then(Node::as_array);
    let examples_trail = Trail::Key(&place.trail, "examples");
    for (index, example) in examples.into_iter().flatten().enumerate() {
        fits(
            reader,
            "example-mismatch",
            schema,
            example,
            &Trail::Item(&examples_trail, index),
        );
    }
    let is_array = schema.get("type").and_then(Node::as_str) == Some("array");
    if is_array && schema.get("items").is_none() {
        let say = || {
            let message = "a list has to say what it is a list of".to_owned();
            (
                message,
                Some("add `items`; `items: {}` = anything".to_owned()),
            )
        };
        reader.report("array-items", &place.trail, say);
    }
    if !place.composed {
        required(reader, schema, &place.trail);
    }
}

/// `default` and `enum`, which parameters of Swagger 2.0 have too.
fn words<'t>(reader: &mut Reader<'t>, schema: &'t Object, trail: &Trail<'_>) {
    if let Some(default) = schema.get("default") {
        fits(
            reader,
            "default-mismatch",
            schema,
            default,
            &Trail::Key(trail, "default"),
        );
    }
    let wanted = types(schema);
    let list_trail = Trail::Key(trail, "enum");
    let list = schema.get("enum").and_then(Node::as_array);
    for (index, word) in list.into_iter().flatten().enumerate() {
        if wanted.is_empty()
            || wanted.iter().any(|kind| super::fit::is(word, kind))
            || word.is_null()
        {
            continue;
        }
        let say = || {
            let message = format!("{} is no {}", word.kind(), wanted.join(" or "));
            let quote =
                wanted == ["string"] && !matches!(word.value, Value::Array(_) | Value::Object(_));
            (message, quote.then(|| "put it in quotes".to_owned()))
        };
        reader.report("enum-mismatch", &Trail::Item(&list_trail, index), say);
    }
}

/// A parameter or header: of Swagger 2.0 a schema itself, later with a schema and examples.
pub(super) fn parameter<'t>(reader: &mut Reader<'t>, object: &'t Object, trail: &Trail<'_>) {
    if reader.dialect() == Dialect::V2 {
        words(reader, object, trail);
    } else {
        examples(reader, object, trail);
    }
}

/// `example` and `examples` beside a `schema`.
pub(super) fn examples<'t>(reader: &mut Reader<'t>, object: &'t Object, trail: &Trail<'_>) {
    let Some(schema) = object.get("schema").and_then(Node::as_object) else {
        return;
    };
    if let Some(example) = object.get("example") {
        fits(
            reader,
            "example-mismatch",
            schema,
            example,
            &Trail::Key(trail, "example"),
        );
    }
    let list_trail = Trail::Key(trail, "examples");
    let list = object.get("examples").and_then(Node::as_object);
    for entry in list.into_iter().flatten() {
        let trail = Trail::Key(&list_trail, &entry.key);
        if let Some(value) = entry.node.get("value") {
            fits(
                reader,
                "example-mismatch",
                schema,
                value,
                &Trail::Key(&trail, "value"),
            );
        }
    }
}

fn fits<'t>(
    reader: &mut Reader<'t>,
    rule: &str,
    schema: &'t Object,
    value: &'t Node,
    trail: &Trail<'_>,
) {
    if !reader.can_spend() || !reader.wants(rule) {
        return;
    }
    let mut fit = Fit::new(reader.root(), reader.dialect());
    let fault = fit.fault(schema, value);
    reader.spend(fit.steps());
    if let Some(fault) = fault {
        reader.report(rule, trail, || {
            (format!("this does not fit its schema: {fault}"), None)
        });
    }
}

/// Properties that are required and not defined. Where several schemas are taken together, another one may do so.
fn required<'t>(reader: &mut Reader<'t>, schema: &'t Object, trail: &Trail<'_>) {
    let open = [
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
        "patternProperties",
        "additionalProperties",
        "if",
        "not",
    ];
    let names = schema.get("required").and_then(Node::as_array);
    let properties = schema.get("properties").and_then(Node::as_object);
    let (Some(names), Some(properties)) = (names, properties) else {
        return;
    };
    if open.iter().any(|key| {
        schema
            .get(key)
            .is_some_and(|node| node.as_bool() != Some(false))
    }) {
        return;
    }
    let list_trail = Trail::Key(trail, "required");
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name.as_str().filter(|name| properties.get(name).is_none()) else {
            continue;
        };
        let say = || {
            let message = format!("the property `{}` is not defined", shown(name));
            let near = spec::nearest(
                name,
                properties.iter().take(200).map(|entry| entry.key.as_str()),
            );
            (message, near.map(|near| format!("did you mean `{near}`?")))
        };
        reader.report("undefined-required", &Trail::Item(&list_trail, index), say);
    }
}
