//! The official JSON schemas (folder `schemas/`), and how a definition is held against them.
//!
//! The schemas say of many places "one of these". Which one was meant is nearly always to be seen: a mapping with
//! `$ref` is a reference, `in: path` makes a path parameter. [`choice`] writes these choices out as `if`/`then`/`else`
//! when a schema is loaded, so that a fault is reported where it is instead of "not valid under any of these", and so
//! that no part is looked at once for every branch and level: the work is linear in the size of the definition.

mod choice;
mod explain;

use std::sync::LazyLock;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};
use tree::Node;

use crate::model::Edition;
use crate::reader::Reader;

/// Bytes that one of the schemas' own patterns, or a `pattern` of a definition, may take when compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What one error takes beside its pointer.
const ERROR_BYTES: usize = 256;

/// What the errors of one definition may take; about 250,000 values with ways of usual length.
const ERRORS_BYTES_MAX: usize = 96 << 20;

/// A schema ready for use.
struct Official {
    /// With the choices written out; explanations look things up in it.
    schema: Value,
    validator: Validator,
}

static V2_0: LazyLock<Official> =
    LazyLock::new(|| Official::new(include_str!("../schemas/2.0.json")));
static V3_0: LazyLock<Official> =
    LazyLock::new(|| Official::new(include_str!("../schemas/3.0.json")));
static V3_1: LazyLock<Official> =
    LazyLock::new(|| Official::new(include_str!("../schemas/3.1.json")));
static V3_2: LazyLock<Official> =
    LazyLock::new(|| Official::new(include_str!("../schemas/3.2.json")));

/// The schema that `$defs/schema` of 3.1 and 3.2 leaves open: what a Schema Object must be.
const JSON_SCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";

impl Official {
    fn new(text: &str) -> Self {
        let mut schema: Value = serde_json::from_str(text).expect("a file of ours, tested");
        if let Some(object) = schema.pointer_mut("/$defs/schema") {
            *object = json!({"$ref": JSON_SCHEMA});
        } else {
            // `if` came with draft 7; what draft 4 writes otherwise, is rewritten with it.
            schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
            schema.as_object_mut().expect("a schema").remove("id");
            embed_draft_4(&mut schema);
        }
        choice::write_out(&mut schema);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
            .build(&schema)
            .expect("a schema, tested");
        Self { schema, validator }
    }

    fn of(edition: Edition) -> &'static Self {
        match edition {
            Edition::V2_0 => &V2_0,
            Edition::V3_0 => &V3_0,
            Edition::V3_1 => &V3_1,
            Edition::V3_2 => &V3_2,
        }
    }
}

/// 2.0 takes parts of the schema of draft 4: puts that schema among the definitions, and leads references there.
fn embed_draft_4(schema: &mut Value) {
    let text = include_str!("../schemas/draft-04.json");
    let mut draft_4: Value = serde_json::from_str(text).expect("a file of ours, tested");
    let map = draft_4.as_object_mut().expect("a schema");
    map.retain(|key, _| !matches!(key.as_str(), "id" | "$schema"));
    lead(&mut draft_4, "#", "#/definitions/draft-04");
    lead(
        schema,
        "http://json-schema.org/draft-04/schema#",
        "#/definitions/draft-04",
    );
    schema["definitions"]["draft-04"] = draft_4;
}

/// Writes another beginning to the references that begin so.
fn lead(schema: &mut Value, from: &str, to: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, from, to)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(rest) = reference.strip_prefix(from)
            {
                *reference = format!("{to}{rest}");
            }
            map.values_mut().for_each(|value| lead(value, from, to));
        }
        _ => {}
    }
}

/// Holds the definition against the schema of its edition. What the reader itself found stays as it said it.
pub(crate) fn check(reader: &mut Reader<'_>, edition: Edition) {
    let official = Official::of(edition);
    let instance = reader.root().to_json();
    if official.validator.is_valid(&instance) {
        return;
    }
    if outsize(reader.root()) {
        // To name every fault could take more memory than the definition is worth: the first one has to do.
        let mut violations = explain::Violations::new(&official.schema, reader.problems_max());
        if let Err(error) = official.validator.validate(&instance) {
            violations.add(&error);
        }
        return record(reader, violations);
    }
    let mut violations = explain::Violations::new(&official.schema, reader.problems_max());
    for error in official.validator.iter_errors(&instance) {
        if !violations.add(&error) {
            break;
        }
    }
    record(reader, violations);
}

fn record(reader: &mut Reader<'_>, violations: explain::Violations<'_>) {
    for violation in violations.into_diagnostics() {
        reader.report_new(violation);
    }
}

/// Whether an error at each value would take more than [`ERRORS_BYTES_MAX`], pointers included.
fn outsize(root: &Node) -> bool {
    let mut left = ERRORS_BYTES_MAX;
    let mut waiting = vec![(root, 0)];
    while let Some((node, way)) = waiting.pop() {
        let Some(rest) = left.checked_sub(ERROR_BYTES + way) else {
            return true;
        };
        left = rest;
        match &node.value {
            tree::Value::Array(items) => waiting.extend(items.iter().map(|item| (item, way + 4))),
            tree::Value::Object(object) => {
                let entries = object.iter();
                waiting.extend(entries.map(|entry| (&entry.node, way + entry.key.len() + 1)));
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles_and_takes_the_smallest_definition() {
        for (edition, smallest) in [
            (
                Edition::V2_0,
                json!({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}}),
            ),
            (
                Edition::V3_0,
                json!({"openapi": "3.0.4", "info": {"title": "t", "version": "v"}, "paths": {}}),
            ),
            (
                Edition::V3_1,
                json!({"openapi": "3.1.1", "info": {"title": "t", "version": "v"}, "paths": {}}),
            ),
            (
                Edition::V3_2,
                json!({"openapi": "3.2.0", "info": {"title": "t", "version": "v"}, "paths": {}}),
            ),
        ] {
            let official = Official::of(edition);
            assert!(official.validator.is_valid(&smallest), "{edition:?}");
            assert!(!official.validator.is_valid(&json!({})), "{edition:?}");
        }
    }
}
