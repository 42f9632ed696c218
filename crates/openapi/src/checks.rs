//! The rules that look at every part of a definition: references, schemas, servers, links, tags.
//!
//! [`each`] goes through the tree once, by [`Shape`]: what is data (an example, an extension) is not looked into. It does
//! not follow references, so its work is that of the tree, and a trail is written out only for a problem that is kept.

mod endless;
mod fit;
mod known;
pub(crate) mod passwords;
mod references;
mod schemas;
mod servers;

use std::collections::HashSet;

use tree::{Node, Object, Value};

use crate::model::Dialect;
use crate::reader::{Reader, Trail};
use crate::shape::{Part, Shape};
use known::Known;

/// Where the walk stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What stands here.
    shape: Shape,
    /// The way here.
    trail: Trail<'a>,
    /// The last key of the way.
    key: &'a str,
    /// Whether it is one of several schemas that are taken together.
    composed: bool,
}

/// Calls `visit` for every mapping that is a part of the definition, parents first.
fn each<'t>(node: &'t Node, place: Place<'_>, visit: &mut dyn FnMut(&'t Object, &Place<'_>)) {
    match &node.value {
        Value::Object(object) if place.shape != Shape::Data => {
            visit(object, &place);
            // What stands beside a reference means something in path items and schemas only.
            let alone = matches!(place.shape, Shape::Part(part) if !matches!(part, Part::PathItem | Part::Schema));
            if alone && object.get("$ref").is_some() {
                return;
            }
            for entry in object {
                let inner = Place {
                    shape: place.shape.member(&entry.key),
                    trail: Trail::Key(&place.trail, &entry.key),
                    key: &entry.key,
                    composed: place.shape == Shape::Part(Part::Schema)
                        && is_composition(&entry.key),
                };
                each(&entry.node, inner, visit);
            }
        }
        Value::Array(items) if place.shape != Shape::Data => {
            for (index, item) in items.iter().enumerate() {
                let inner = Place {
                    shape: place.shape.item(),
                    trail: Trail::Item(&place.trail, index),
                    ..place
                };
                each(item, inner, visit);
            }
        }
        _ => {}
    }
}

fn is_composition(key: &str) -> bool {
    matches!(
        key,
        "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas"
    )
}

fn top() -> Place<'static> {
    Place {
        shape: Shape::Definition,
        trail: Trail::Base(""),
        key: "",
        composed: false,
    }
}

/// Holds every part against the rules that look at parts. `whole` says that no file is missing or faulty: then a
/// reference that leads out of the tree is worth a word.
pub(crate) fn check(reader: &mut Reader<'_>, whole: bool) {
    let root = reader.root();
    let mut known = Known::of(root);
    known.whole = whole;
    each(root, top(), &mut |object, place| {
        visit(reader, &mut known, object, place);
    });
    references::unused_components(reader, &known);
}

fn visit<'t>(
    reader: &mut Reader<'t>,
    known: &mut Known<'t>,
    object: &'t Object,
    place: &Place<'_>,
) {
    if matches!(place.shape, Shape::Part(_)) {
        references::check(reader, known, object, place);
    }
    if matches!(
        place.shape,
        Shape::Definition | Shape::Operation | Shape::Part(Part::PathItem)
    ) {
        servers::check(reader, object, &place.trail);
        passwords::check(reader, object, &place.trail);
    }
    match place.shape {
        Shape::Definition => tags(reader, object),
        Shape::Components => component_names(reader, object, &place.trail),
        Shape::Operation => operation(reader, known, object, place),
        Shape::Mapping => references::mapping(reader, object, &place.trail),
        Shape::Part(Part::Link) => references::link(reader, known, object, &place.trail),
        Shape::Part(Part::Schema) => {
            schemas::check(reader, object, place);
            endless::check(reader, known, object, &place.trail);
        }
        Shape::Part(Part::Parameter | Part::Header) => {
            reserved_header(reader, object, place);
            schemas::parameter(reader, object, &place.trail);
        }
        Shape::Part(Part::Media) if place.key.to_ascii_lowercase().contains("json") => {
            schemas::examples(reader, object, &place.trail);
        }
        _ => {}
    }
}

/// The beginning of a text of the definition, for messages.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

fn tags<'t>(reader: &mut Reader<'t>, root: &'t Object) {
    let Some(tags) = root.get("tags").and_then(Node::as_array) else {
        return;
    };
    let top = Trail::Base("");
    let trail = Trail::Key(&top, "tags");
    let mut names = HashSet::new();
    for (index, tag) in tags.iter().enumerate() {
        let Some(name) = tag.get("name").and_then(Node::as_str) else {
            continue;
        };
        if !names.insert(name) {
            let words = || {
                let message = format!("the tag `{}` is declared before", shown(name));
                (message, Some("keep one of the two".to_owned()))
            };
            reader.report("duplicate-tag", &Trail::Item(&trail, index), words);
        }
    }
}

fn operation<'t>(
    reader: &mut Reader<'t>,
    known: &Known<'t>,
    object: &'t Object,
    place: &Place<'_>,
) {
    if matches!(place.key, "get" | "head" | "delete") && object.get("requestBody").is_some() {
        let words = || {
            let method = place.key.to_ascii_uppercase();
            let message = format!("the body of a {method} has no meaning in HTTP");
            (
                message,
                Some("use parameters, or another method".to_owned()),
            )
        };
        reader.report(
            "body-of-get",
            &Trail::Key(&place.trail, "requestBody"),
            words,
        );
    }
    let tags = object.get("tags").and_then(Node::as_array);
    let tags_trail = Trail::Key(&place.trail, "tags");
    for (index, tag) in tags.into_iter().flatten().enumerate() {
        if let Some(tag) = tag.as_str()
            && !known.tags.contains(tag)
        {
            let words = || {
                let message = format!("the tag `{}` is not declared", shown(tag));
                (message, Some("add it to `tags`".to_owned()))
            };
            reader.report("undeclared-tag", &Trail::Item(&tags_trail, index), words);
        }
    }
}

fn component_names<'t>(reader: &mut Reader<'t>, components: &'t Object, trail: &Trail<'_>) {
    let good = |name: &str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    for section in components {
        if Part::of_section(&section.key).is_none() {
            continue;
        }
        let trail = Trail::Key(trail, &section.key);
        for entry in section.node.as_object().into_iter().flatten() {
            if !good(&entry.key) {
                let words = || {
                    let message =
                        "names of components consist of letters, digits, `.`, `-` and `_`";
                    (message.to_owned(), Some("give it another name".to_owned()))
                };
                reader.report("component-name", &Trail::Key(&trail, &entry.key), words);
            }
        }
    }
}

/// OpenAPI 3.0.4 §4.7.12.2.1: such definitions shall be ignored. Swagger 2.0 does not say so.
fn reserved_header<'t>(reader: &mut Reader<'t>, object: &'t Object, place: &Place<'_>) {
    let text = |key| object.get(key).and_then(Node::as_str);
    let Some(name) = text("name").filter(|_| text("in") == Some("header")) else {
        return;
    };
    let reserved = ["accept", "content-type", "authorization"];
    if reader.dialect() != Dialect::V2 && reserved.contains(&name.to_ascii_lowercase().as_str()) {
        let words = || {
            let message = format!("a parameter for the header `{name}` is ignored");
            let mend = "say it by media types (`content`) or by `security`";
            (message, Some(mend.to_owned()))
        };
        reader.report("reserved-header", &place.trail, words);
    }
}
