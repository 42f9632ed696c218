//! What a schema finds wrong, in words for people.

use base::{Diagnostic, Diagnostics};
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::names;
use crate::schema::{self, Compiled, resolved};
use crate::suggest::nearest;

/// Every way in which a value does not fit a schema, at most `max` of them.
pub(crate) fn find(compiled: &Compiled, value: &Value, max: usize) -> Diagnostics {
    let mut found = Diagnostics::default();
    for error in compiled.validator.iter_errors(value) {
        if found.0.len() >= max {
            break;
        }
        explain(&compiled.schema, &error, max - found.0.len(), &mut found);
    }
    found
}

/// Every way in which a value does not fit a schema of another part of the language (a policy's configuration), in the
/// words of this crate; at most `max`. Nothing where the schema is none.
#[must_use]
pub fn schema_faults(schema: &Value, value: &Value, max: usize) -> Diagnostics {
    match schema::validator(schema) {
        Ok(validator) => {
            let compiled = Compiled {
                schema: schema.clone(),
                validator,
            };
            find(&compiled, value, max)
        }
        Err(_) => Diagnostics::default(),
    }
}

/// Puts one error into words; there is room for `max` problems.
fn explain(root: &Value, error: &ValidationError<'_>, max: usize, found: &mut Diagnostics) {
    let pointer = error.instance_path().as_str();
    let instance = error.instance().as_ref();
    let schema = parent_schema(root, error);
    let problem = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            found.extend(
                unexpected
                    .iter()
                    .take(max)
                    .map(|key| unknown_key(root, schema, pointer, key)),
            );
            return;
        }
        ValidationErrorKind::AnyOf { context } => {
            choice(root, error, context, max, found);
            return;
        }
        ValidationErrorKind::Required { property } => missing_key(root, schema, pointer, property),
        ValidationErrorKind::Type { kind } => wrong_type(schema, pointer, instance, kind),
        ValidationErrorKind::Enum { options } => wrong_word(pointer, instance, options),
        ValidationErrorKind::Constant { expected_value } => {
            let message = format!(
                "{} is expected, not {}",
                quoted(expected_value),
                quoted(instance)
            );
            Diagnostic::error("wrong-value", pointer, message)
        }
        ValidationErrorKind::Format { format } => wrong_form(pointer, instance, format),
        ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MaxProperties { .. } => {
            not_one_key(schema, pointer)
        }
        ValidationErrorKind::MinItems { limit } => Diagnostic::error(
            "too-few",
            pointer,
            format!("the list needs {limit} or more entries"),
        ),
        ValidationErrorKind::MaxItems { limit } => Diagnostic::error(
            "too-many",
            pointer,
            format!("the list may have {limit} entries"),
        ),
        ValidationErrorKind::MinLength { .. } => {
            Diagnostic::error("empty", pointer, "the text is empty")
        }
        ValidationErrorKind::MaxLength { limit } => Diagnostic::error(
            "too-long",
            pointer,
            format!("the text may have {limit} characters"),
        ),
        ValidationErrorKind::Minimum { limit } => Diagnostic::error(
            "too-small",
            pointer,
            format!("{instance} is too small, at least {limit} is expected"),
        ),
        ValidationErrorKind::Maximum { limit } => Diagnostic::error(
            "too-large",
            pointer,
            format!("{instance} is too large, at most {limit} is accepted"),
        ),
        _ => Diagnostic::error("schema", pointer, error.to_string()),
    };
    found.push(problem);
}

/// The schema whose keyword was violated.
fn parent_schema<'s>(root: &'s Value, error: &ValidationError<'_>) -> &'s Value {
    let path = error.schema_path().as_str();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    root.pointer(parent)
        .map_or(&Value::Null, |schema| resolved(root, schema))
}

fn unknown_key(root: &Value, schema: &Value, pointer: &str, key: &str) -> Diagnostic {
    let pointer = tree::pointer::join(pointer, key);
    let problem = Diagnostic::error(
        "unknown-key",
        pointer,
        format!("unknown key `{}`", shortened(key)),
    );
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return problem;
    };
    if let Some(near) = nearest(key, properties.keys().map(String::as_str)) {
        return problem.mend(format!("did you mean `{near}`?"));
    }
    // A key of the document's spec that stands beside it, and the other way round, is a matter of indentation.
    let deeper = properties.iter().find(|(_, property)| {
        let target = resolved(root, property);
        target
            .get("properties")
            .is_some_and(|inner| inner.get(key).is_some())
    });
    match deeper {
        Some((parent, _)) => problem.mend(format!("it belongs into `{parent}`: indent it")),
        None => {
            let own = if schema.get("patternProperties").is_some() {
                "; keys of your own begin with `x-`"
            } else {
                ""
            };
            problem.mend(format!("known are {}{own}", list(properties.keys())))
        }
    }
}

fn missing_key(root: &Value, schema: &Value, pointer: &str, property: &Value) -> Diagnostic {
    let key = property.as_str().unwrap_or_default();
    let problem = Diagnostic::error(
        "missing-key",
        pointer,
        format!("the key `{key}` is missing"),
    );
    let about = schema
        .pointer(&tree::pointer::join("/properties", key))
        .and_then(|property| {
            let own = property.get("description");
            own.or_else(|| resolved(root, property).get("description"))?
                .as_str()
        });
    match about {
        Some(about) => problem.mend(format!("add `{key}`: {}", first_sentence(about))),
        None => problem.mend(format!("add `{key}`")),
    }
}

fn first_sentence(text: &str) -> &str {
    let text = text.lines().next().unwrap_or_default();
    text.trim_end_matches('.')
}

fn wrong_type(schema: &Value, pointer: &str, instance: &Value, kind: &TypeKind) -> Diagnostic {
    let format = schema
        .get("format")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let units = ["tollway-duration", "tollway-percent", "tollway-size"];
    let has_unit = units.iter().any(|unit| format.starts_with(unit));
    if let (Value::Number(number), true) = (instance, has_unit) {
        // A bare number: the unit's own message shows the right spelling.
        let fault = names::fault(format, &number.to_string());
        let message = fault.map_or_else(
            || "a value with a unit is expected".to_owned(),
            |fault| fault.message,
        );
        return Diagnostic::error("unit-missing", pointer, message);
    }
    let expected = expected_types(kind);
    let message = format!("{expected} is expected, not {}", kind_of(instance));
    let problem = Diagnostic::error("wrong-type", pointer, message);
    match instance {
        Value::Null => problem.mend("give it a value, or remove the key"),
        Value::Number(_) | Value::Bool(_) if expected == "a text" => {
            problem.mend("put it in quotes")
        }
        Value::String(_) if expected == "a list" => {
            problem.mend("put it in brackets, as in `[a, b]`")
        }
        _ => problem,
    }
}

fn expected_types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(single) => named_type(&single.to_string()).to_owned(),
        TypeKind::Multiple(several) => {
            let names: Vec<_> = several
                .iter()
                .map(|one| named_type(&one.to_string()).to_owned())
                .collect();
            names.join(" or ")
        }
    }
}

fn named_type(name: &str) -> &'static str {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "nothing",
    }
}

/// What a value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn wrong_word(pointer: &str, instance: &Value, options: &Value) -> Diagnostic {
    let words: Vec<&str> = options
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let message = format!("{} is none of {}", quoted(instance), list(&words));
    let problem = Diagnostic::error("unknown-word", pointer, message);
    match instance
        .as_str()
        .and_then(|written| nearest(written, words))
    {
        Some(near) => problem.mend(format!("did you mean `{near}`?")),
        None => problem,
    }
}

fn wrong_form(pointer: &str, instance: &Value, format: &str) -> Diagnostic {
    let text = instance.as_str().unwrap_or_default();
    let Some(fault) = names::fault(format, text) else {
        return Diagnostic::error(
            "wrong-form",
            pointer,
            format!("{} is no {format}", quoted(instance)),
        );
    };
    let problem = Diagnostic::error("wrong-form", pointer, fault.message);
    match fault.mend {
        Some(mend) => problem.mend(mend),
        None => problem,
    }
}

/// Our schemas count members only where exactly one is wanted.
fn not_one_key(schema: &Value, pointer: &str) -> Diagnostic {
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => {
            let message = format!(
                "exactly one of the keys {} is expected",
                list(properties.keys())
            );
            Diagnostic::error("one-key", pointer, message)
        }
        None => Diagnostic::error(
            "one-key",
            pointer,
            "exactly one policy is expected in one entry of the list",
        )
        .mend("begin each with `- `"),
    }
}

/// Of several choices the one that was meant: whose type fits.
fn choice(
    root: &Value,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'_>>],
    max: usize,
    found: &mut Diagnostics,
) {
    let pointer = error.instance_path().as_str();
    let meant = context.iter().find(|branch| {
        !branch.iter().any(|inner| {
            matches!(inner.kind(), ValidationErrorKind::Type { .. })
                && inner.instance_path().as_str() == pointer
        })
    });
    if let Some(branch) = meant {
        for inner in branch {
            explain(root, inner, max, found);
        }
        return;
    }
    let mut expected: Vec<String> = Vec::new();
    for inner in context.iter().flatten() {
        if let ValidationErrorKind::Type { kind } = inner.kind() {
            expected.push(expected_types(kind));
        }
    }
    let message = format!(
        "{} is expected, not {}",
        expected.join(" or "),
        kind_of(error.instance().as_ref())
    );
    found.push(Diagnostic::error("wrong-type", pointer, message));
}

/// The beginning of a long text: a message is no place for megabytes.
pub(crate) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN_MAX: usize = 100;
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        Value::Array(_) | Value::Object(_) | Value::Null => kind_of(value).to_owned(),
        other => format!("`{other}`"),
    }
}

fn list(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<_> = words
        .into_iter()
        .map(|word| format!("`{}`", word.as_ref()))
        .collect();
    words.join(", ")
}
