//! Violations of a schema, in words.

use std::borrow::Cow;

use base::Diagnostic;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use serde_json::Value;
use spec::nearest;
use tree::pointer;

/// Characters of a text that a message shows.
const SHOWN_MAX: usize = 100;

/// Known keys that a message lists.
const LISTED_MAX: usize = 12;

/// The violations of one definition.
pub(super) struct Violations<'s> {
    schema: &'s Value,
    found: Vec<Diagnostic>,
    /// Where keys were taken for unknown because the part around them, or their value, has another fault.
    doubtful: Vec<Diagnostic>,
    max: usize,
}

impl<'s> Violations<'s> {
    pub(super) fn new(schema: &'s Value, max: usize) -> Self {
        Self {
            schema,
            found: Vec::new(),
            doubtful: Vec::new(),
            max,
        }
    }

    /// Adds what an error says; false when there is no more room.
    pub(super) fn add(&mut self, error: &ValidationError<'_>) -> bool {
        let place = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected.iter().take(self.max) {
                    let problem = self.unknown_key(error, place, key);
                    self.push(problem);
                }
            }
            ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let room = self.max.saturating_sub(self.doubtful.len());
                for key in unexpected.iter().take(room) {
                    let problem = self.unknown_key(error, place, key);
                    self.doubtful.push(problem);
                }
            }
            ValidationErrorKind::PropertyNames { error } => {
                self.add(error);
            }
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context } => self.choice(place, context),
            kind => {
                let problem = single(kind, place, error.instance());
                self.push(problem);
            }
        }
        self.found.len() < self.max
    }

    /// A key that no rule of 3.1 got to look at counts as unknown, also where the part around it or its own value is
    /// faulty otherwise: then that fault is enough.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        let known = |doubtful: &Diagnostic| {
            let (around, _) = doubtful.pointer.rsplit_once('/').unwrap_or_default();
            self.found.iter().any(|other| {
                (other.pointer == around && !around.is_empty())
                    || other
                        .pointer
                        .strip_prefix(&doubtful.pointer)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        self.doubtful.retain(|doubtful| !known(doubtful));
        self.found.append(&mut self.doubtful);
        self.found
    }

    fn push(&mut self, problem: Diagnostic) {
        if self.found.len() < self.max && !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Of several branches that which was meant: whose errors lie deepest, and are fewest.
    fn choice(&mut self, place: &str, branches: &[Vec<ValidationError<'static>>]) {
        let missing: Option<Vec<String>> = branches
            .iter()
            .map(|branch| match branch.as_slice() {
                [error] => missing(error.kind()),
                _ => None,
            })
            .collect();
        if let Some(keys) = missing.filter(|keys| !keys.is_empty()) {
            let keys = keys.join(" or ");
            let problem =
                Diagnostic::error("schema-missing-key", place, format!("{keys} is missing"));
            return self.push(problem.mend(format!("add {keys}")));
        }
        let own = |branch: &&Vec<ValidationError<'static>>| {
            let here = branch
                .iter()
                .filter(|error| error.instance_path().as_str() == place);
            (here.count(), branch.len())
        };
        for error in branches.iter().min_by_key(own).into_iter().flatten() {
            self.add(error);
        }
    }

    fn unknown_key(&self, error: &ValidationError<'_>, place: &str, key: &str) -> Diagnostic {
        let message = format!("the key `{}` means nothing here", shortened(key));
        let problem = Diagnostic::error("schema-unknown-key", pointer::join(place, key), message);
        let known = self.known_keys(error);
        if let Some(near) = nearest(key, known.iter().copied()) {
            return problem.mend(format!("did you mean `{near}`?"));
        }
        if known.is_empty() || known.len() > LISTED_MAX {
            return problem.mend("remove it; extensions begin with `x-`");
        }
        let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
        problem.mend(format!(
            "known are {}; extensions begin with `x-`",
            known.join(", ")
        ))
    }

    /// The keys that the schema around a violated keyword knows.
    fn known_keys(&self, error: &ValidationError<'_>) -> Vec<&'s str> {
        let keyword = error.schema_path().as_str();
        let around = keyword.rsplit_once('/').map_or("", |(around, _)| around);
        let properties = self
            .schema
            .pointer(around)
            .and_then(|schema| schema["properties"].as_object());
        properties
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect()
    }
}

fn missing(kind: &ValidationErrorKind) -> Option<String> {
    match kind {
        ValidationErrorKind::Required { property } => {
            property.as_str().map(|key| format!("`{key}`"))
        }
        _ => None,
    }
}

/// Errors that are about one place.
fn single(kind: &ValidationErrorKind, place: &str, instance: &Value) -> Diagnostic {
    match kind {
        ValidationErrorKind::Required { .. } => {
            let key = missing(kind).unwrap_or_default();
            Diagnostic::error("schema-missing-key", place, format!("{key} is missing"))
                .mend(format!("add {key}"))
        }
        ValidationErrorKind::Type { kind } => wrong_type(place, instance, kind),
        ValidationErrorKind::Enum { options } => wrong_word(place, instance, options),
        ValidationErrorKind::Constant { expected_value } => {
            let message = format!(
                "{} is expected, not {}",
                quoted(expected_value),
                quoted(instance)
            );
            Diagnostic::error("schema-value", place, message)
        }
        ValidationErrorKind::Pattern { pattern } => {
            let message = format!(
                "{} does not match `{}`",
                quoted(instance),
                shortened(pattern)
            );
            Diagnostic::error("schema-form", place, message)
        }
        ValidationErrorKind::Format { format } if format == "regex" => {
            let message = format!("{} is no regular expression (ECMA-262)", quoted(instance));
            Diagnostic::error("invalid-pattern", place, message)
        }
        ValidationErrorKind::Format { format } => {
            let message = format!("{} is no {format}", quoted(instance));
            Diagnostic::error("schema-format", place, message)
        }
        ValidationErrorKind::FalseSchema => {
            Diagnostic::error("schema-unknown-key", place, "this may not stand here")
                .mend("remove it")
        }
        ValidationErrorKind::Not { schema } => excluded(place, schema),
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            let message = "this says two things of which one is wanted";
            Diagnostic::error("schema-choice", place, message).mend("keep one of the two")
        }
        other => range(other, place),
    }
}

/// Too few, too many, too long.
fn range(kind: &ValidationErrorKind, place: &str) -> Diagnostic {
    let message = match kind {
        ValidationErrorKind::MinItems { limit } => format!("at least {limit} entries are wanted"),
        ValidationErrorKind::MaxItems { limit } => format!("at most {limit} entries are wanted"),
        ValidationErrorKind::MinProperties { limit } => format!("at least {limit} keys are wanted"),
        ValidationErrorKind::MaxProperties { limit } => format!("at most {limit} keys are wanted"),
        ValidationErrorKind::MinLength { limit } => {
            format!("at least {limit} characters are wanted")
        }
        ValidationErrorKind::MaxLength { limit } => {
            format!("at most {limit} characters are wanted")
        }
        ValidationErrorKind::Minimum { limit } => format!("at least {limit} is wanted"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit} is wanted"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit} is wanted"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit} is wanted"),
        ValidationErrorKind::UniqueItems => "an entry stands twice in this list".to_owned(),
        other => format!("this breaks the schema's `{}`", other.keyword()),
    };
    Diagnostic::error("schema-range", place, message)
}

fn excluded(place: &str, schema: &Value) -> Diagnostic {
    let keys: Vec<String> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|key| format!("`{key}`"))
        .collect();
    let (message, mend) = match keys.as_slice() {
        [] => ("this is what the schema excludes".to_owned(), None),
        [one] => (
            format!("{one} may not stand here"),
            Some(format!("remove {one}")),
        ),
        several => (
            format!("{} exclude each other", several.join(" and ")),
            Some("keep one of them".to_owned()),
        ),
    };
    let problem = Diagnostic::error("schema-choice", place, message);
    match mend {
        Some(mend) => problem.mend(mend),
        None => problem,
    }
}

fn wrong_type(place: &str, instance: &Value, kind: &TypeKind) -> Diagnostic {
    let expected = match kind {
        TypeKind::Single(single) => named_type(&single.to_string()).to_owned(),
        TypeKind::Multiple(several) => {
            let names: Vec<_> = several
                .iter()
                .map(|one| named_type(&one.to_string()))
                .collect();
            names.join(" or ")
        }
    };
    let message = format!("{expected} is expected, not {}", kind_of(instance));
    let problem = Diagnostic::error("schema-wrong-type", place, message);
    match instance {
        Value::Null => problem.mend("give it a value, or remove the key"),
        Value::Number(_) | Value::Bool(_) if expected == "a text" => {
            problem.mend("put it in quotes")
        }
        Value::String(text)
            if expected == "true or false" && matches!(text.as_str(), "true" | "false") =>
        {
            problem.mend("remove the quotes")
        }
        _ => problem,
    }
}

fn wrong_word(place: &str, instance: &Value, options: &Value) -> Diagnostic {
    let words: Vec<&str> = options
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let listed: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let message = if listed.is_empty() {
        let options: Vec<String> = options
            .as_array()
            .into_iter()
            .flatten()
            .map(quoted)
            .collect();
        format!(
            "{} is expected, not {}",
            options.join(" or "),
            quoted(instance)
        )
    } else {
        format!("{} is none of {}", quoted(instance), listed.join(", "))
    };
    let problem = Diagnostic::error("schema-value", place, message);
    match instance
        .as_str()
        .and_then(|written| nearest(written, words))
    {
        Some(near) => problem.mend(format!("did you mean `{near}`?")),
        None => problem,
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

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        Value::Array(_) | Value::Object(_) | Value::Null => kind_of(value).to_owned(),
        other => format!("`{other}`"),
    }
}

/// The beginning of a long text: a message is no place for megabytes.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}
