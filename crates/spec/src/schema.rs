//! The JSON schema of each kind, made of the types; what people are shown of it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::{ApplicationSpec, GatewaySpec, PlanSpec, SubscriptionSpec};
use crate::api::ApiSpec;
use crate::backend::BackendSpec;
use crate::document::Metadata;
use crate::issuer::TokenIssuerSpec;
use crate::kind::Kind;
use crate::{API_VERSION, names};

/// A kind's schema, ready for use.
pub(crate) struct Compiled {
    pub(crate) schema: Value,
    pub(crate) validator: Validator,
}

/// The JSON schema (2020-12) of a kind's documents. Formats that begin with `tollway-` are ours; what they accept, is
/// in their messages.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    compiled(kind).schema.clone()
}

/// The schema of a kind, made once.
pub(crate) fn compiled(kind: Kind) -> &'static Compiled {
    static ALL: OnceLock<Vec<(Kind, Compiled)>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        Kind::ALL
            .into_iter()
            .map(|kind| (kind, compile(kind)))
            .collect()
    });
    let found = all.iter().find(|(have, _)| *have == kind);
    &found.expect("all kinds are there").1
}

fn compile(kind: Kind) -> Compiled {
    let schema = generate(kind);
    let validator = validator(&schema).expect("made of types, so it is a schema");
    Compiled { schema, validator }
}

/// A validator that knows our formats.
pub(crate) fn validator(
    schema: &Value,
) -> Result<Validator, Box<jsonschema::ValidationError<'static>>> {
    let mut options = jsonschema::options().should_validate_formats(true);
    for (format, _) in names::FORMATS {
        options = options.with_format(*format, |text: &str| names::fault(format, text).is_none());
    }
    options.build(schema).map_err(Box::new)
}

fn generate(kind: Kind) -> Value {
    let mut generator = SchemaGenerator::default();
    let (spec, about) = match kind {
        Kind::Api => part::<ApiSpec>(&mut generator),
        Kind::Backend => part::<BackendSpec>(&mut generator),
        Kind::Plan => part::<PlanSpec>(&mut generator),
        Kind::Gateway => part::<GatewaySpec>(&mut generator),
        Kind::Application => part::<ApplicationSpec>(&mut generator),
        Kind::Subscription => part::<SubscriptionSpec>(&mut generator),
        Kind::DenyRule => part::<crate::deny::DenyRuleSpec>(&mut generator),
        Kind::TokenIssuer => part::<TokenIssuerSpec>(&mut generator),
    };
    let (metadata, _) = part::<Metadata>(&mut generator);
    let definitions = generator.take_definitions(true);
    let mut schema: Schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "description": about,
        "type": "object",
        "required": ["kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"description": "The version of this language.", "const": API_VERSION, "default": API_VERSION},
            "kind": {"description": "What the document describes.", "const": kind.as_str()},
            "metadata": metadata,
            "spec": spec,
        },
        "$defs": definitions,
    })
    .try_into()
    .expect("an object is a schema");
    RecursiveTransform(strict).transform(&mut schema);
    let mut schema = schema.to_value();
    if kind == Kind::Plan {
        schema["$defs"]["Metadata"]["properties"]["name"]["format"] = "tollway-plan-name".into();
    }
    schema
}

/// The schema of a part, and what its type's documentation says.
fn part<T: JsonSchema>(generator: &mut SchemaGenerator) -> (Schema, String) {
    let schema = generator.subschema_for::<T>();
    let definition = generator.definitions().get(T::schema_name().as_ref());
    let about = definition.and_then(|schema| schema["description"].as_str());
    (schema, about.unwrap_or_default().to_owned())
}

/// Brings what the derive makes of Rust types into the form that documents want: no null for what may be left out, no
/// unknown keys but `x-…`, choices that give one clear message.
fn strict(schema: &mut Schema) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    not_null(map);
    if let Some(choices) = map.remove("oneOf") {
        match merged_choice(&choices) {
            Some(merged) => merge_choice(map, merged),
            None => drop(map.insert("oneOf".to_owned(), choices)),
        }
    } else if map.contains_key("properties") {
        map.insert("additionalProperties".to_owned(), false.into());
        map.insert("patternProperties".to_owned(), json!({"^x-": true}));
    }
}

/// Puts a choice into the mapping that it stands in. Where that has keys of its own, they stand beside the one that is
/// chosen, and `check` sees to it that it is one.
fn merge_choice(map: &mut Map<String, Value>, mut choice: Map<String, Value>) {
    if let Some(Value::Object(own)) = map.remove("properties") {
        choice.remove("minProperties");
        choice.remove("maxProperties");
        if let Some(Value::Object(properties)) = choice.get_mut("properties") {
            properties.extend(own);
        }
    }
    map.extend(choice);
}

/// `Option<T>`: what may be absent is still never null.
fn not_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    let null = json!({"type": "null"});
    if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
        choices.retain(|choice| *choice != null);
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
}

/// Enums: of plain words as `enum`, of mappings with one key each as one mapping of which exactly one key is wanted.
fn merged_choice(choices: &Value) -> Option<Map<String, Value>> {
    let choices = choices.as_array()?;
    let constants: Option<Vec<_>> = choices.iter().map(|choice| choice.get("const")).collect();
    if let Some(constants) = constants {
        let describe = |choice: &Value| {
            let name = choice["const"].as_str()?.to_owned();
            Some(format!("{name}: {}", choice["description"].as_str()?))
        };
        let about: Vec<_> = choices.iter().filter_map(describe).collect();
        let merged = json!({"type": "string", "enum": constants, "x-values": about});
        return merged.as_object().cloned();
    }
    let mut properties = Map::new();
    for choice in choices {
        for (key, value) in choice.get("properties")?.as_object()? {
            let mut value = value.clone();
            if let (Some(member), Some(about)) = (value.as_object_mut(), choice.get("description"))
            {
                member.insert("description".to_owned(), about.clone());
            }
            properties.insert(key.clone(), value);
        }
    }
    let merged = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    });
    merged.as_object().cloned()
}

/// The schema that a `$ref` of the same text leads to, or the schema itself.
pub(crate) fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// The fields of a kind, one a line: where, type, default, what for.
#[must_use]
pub fn explain(kind: Kind) -> String {
    let root = &compiled(kind).schema;
    let mut text = format!(
        "{kind}: {}\n\n",
        root["description"].as_str().unwrap_or_default()
    );
    describe(&mut text, root, root, "");
    text
}

fn describe(text: &mut String, root: &Value, schema: &Value, path: &str) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required = schema.get("required").and_then(Value::as_array);
    for (key, property) in properties {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let mut target = resolved(root, property);
        let mut kind = type_name(root, target);
        let mut suffix = "";
        if let Some(items) = target.get("items") {
            target = resolved(root, items);
            kind = format!("list of {}", type_name(root, target));
            suffix = "[]";
        }
        let note = if required.is_some_and(|keys| keys.iter().any(|have| have == key)) {
            ", required".to_owned()
        } else {
            property
                .get("default")
                .map_or_else(String::new, |default| format!(", default {default}"))
        };
        let about = property
            .get("description")
            .or_else(|| target.get("description"));
        let about = about.and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "{path}  ({kind}{note})\n    {about}");
        for value in target
            .get("x-values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let _ = writeln!(text, "    - {}", value.as_str().unwrap_or_default());
        }
        let inner = format!("{path}{suffix}");
        describe(text, root, target, &inner);
        for choice in target
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            describe(text, root, resolved(root, choice), &inner);
        }
    }
}

fn type_name(root: &Value, schema: &Value) -> String {
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let names: Vec<_> = choices
            .iter()
            .map(|choice| type_name(root, resolved(root, choice)))
            .collect();
        return names.join(" or ");
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        let format = format.strip_prefix("tollway-").unwrap_or(format);
        if schema["type"] == "string" {
            return format.trim_end_matches("-positive").replace('-', " ");
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => "mapping".to_owned(),
        Some("array") => "list".to_owned(),
        Some(other) => other.to_owned(),
        None if schema.get("const").is_some() => schema["const"].to_string(),
        None => "anything".to_owned(),
    }
}
