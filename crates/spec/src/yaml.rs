//! Documents as YAML for people.

use serde_json::{Map, Value};

use crate::document::Document;
use crate::schema::{compiled, resolved};

/// Writes a document without what is default.
pub(crate) fn write(document: &Document) -> String {
    let compiled = compiled(document.kind());
    let mut value = document.to_json();
    prune(&compiled.schema, &compiled.schema, &mut value);
    to_text(&value)
}

/// Writes any value as documents are written: blocks for multi-line texts, nothing folded.
#[must_use]
pub fn to_text(value: &Value) -> String {
    let mut options = serde_saphyr::SerializerOptions::default();
    // Never fold: a reader could not tell which line ends were the author's.
    options.folded_wrap_chars = usize::MAX;
    serde_saphyr::to_string_with_options(value, options).expect("JSON values have a form in YAML")
}

/// Removes members that the schema would fill in just so.
fn prune(root: &Value, schema: &Value, value: &mut Value) {
    let schema = resolved(root, schema);
    match value {
        Value::Object(map) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
                prune_choice(root, schema, map);
                return;
            };
            prune_members(root, properties, map);
        }
        Value::Array(items) => {
            if let Some(of_items) = schema.get("items") {
                for item in items {
                    prune(root, of_items, item);
                }
            }
        }
        _ => {}
    }
}

fn prune_members(root: &Value, properties: &Map<String, Value>, map: &mut Map<String, Value>) {
    map.retain(|key, value| {
        let Some(property) = properties.get(key) else {
            return true;
        };
        // The language's version stays: it says what the file is.
        if key != "apiVersion" && property.get("default") == Some(value) {
            return false;
        }
        prune(root, property, value);
        true
    });
}

/// A mapping where a text would do as well: the choice that describes a mapping.
fn prune_choice(root: &Value, schema: &Value, map: &mut Map<String, Value>) {
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let chosen = choices
        .into_iter()
        .flatten()
        .find_map(|choice| resolved(root, choice).get("properties")?.as_object());
    if let Some(properties) = chosen {
        prune_members(root, properties, map);
    }
}
