//! What rules demand of what they find: the core functions of Spectral, and those of its OpenAPI rules that the
//! built-in rules need (`oas.rs`).

mod core;
mod oas;
mod schema;

use jsonschema::Validator;
use tree::{Node, Value};

use crate::path::{Budget, Step};
use crate::pattern::Pattern;

/// The names that `function` may have.
pub const FUNCTIONS: &[&str] = &[
    "alphabetical",
    "casing",
    "defined",
    "enumeration",
    "falsy",
    "length",
    "or",
    "pattern",
    "schema",
    "truthy",
    "typedEnum",
    "undefined",
    "unreferencedReusableObject",
    "xor",
    "oasOpIdUnique",
    "oasOpParams",
    "oasOpSecurityDefined",
    "oasOpSuccessResponse",
    "oasPathParam",
    "oasTagDefined",
    "refSiblings",
];

/// What a function is applied to.
pub(crate) enum Target<'t> {
    /// Nothing is there.
    Missing,
    /// A key of a mapping.
    Key(String),
    /// A value.
    Node(&'t Node),
}

impl Target<'_> {
    /// The text, where it is one; keys are.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Missing => None,
            Self::Key(key) => Some(key),
            Self::Node(node) => node.as_str(),
        }
    }

    /// As JavaScript sees it.
    fn truthy(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Key(key) => !key.is_empty(),
            Self::Node(node) => match &node.value {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(_) | Value::Object(_) => true,
            },
        }
    }
}

/// One fault that a function found.
pub(crate) struct Problem {
    pub(crate) message: String,
    /// Where, below what the function was applied to.
    pub(crate) below: Vec<String>,
}

impl Problem {
    fn here(message: impl Into<String>) -> Vec<Self> {
        vec![Self::below(message, Vec::new())]
    }

    fn below(message: impl Into<String>, below: Vec<String>) -> Self {
        Self {
            message: message.into(),
            below,
        }
    }
}

/// A function with its options.
#[derive(Debug)]
pub(crate) enum Function {
    Alphabetical(Option<String>),
    Casing(Pattern, String),
    Defined,
    Enumeration(Vec<serde_json::Value>),
    Falsy,
    Length(Option<f64>, Option<f64>),
    Or(Vec<String>),
    Pattern(Option<(String, Pattern)>, Option<(String, Pattern)>),
    Schema(Box<Validator>, bool),
    Truthy,
    TypedEnum,
    Undefined,
    Unreferenced(String),
    Xor(Vec<String>),
    Oas(oas::Check),
}

/// `functionOptions`.
struct Options<'a>(Option<&'a Node>);

impl<'a> Options<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.0?.get(key)
    }

    /// Refuses options that the function does not have.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        let entries = self.0.and_then(Node::as_object).into_iter().flatten();
        match entries
            .map(|entry| entry.key.as_str())
            .find(|key| !known.contains(key))
        {
            Some(key) => Err(format!("the function has no option `{key}`")),
            None => Ok(()),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(node) => match node.as_number().and_then(serde_json::Number::as_f64) {
                Some(number) => Ok(Some(number)),
                None => Err(format!("the option `{key}` is a number")),
            },
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let items = self.get(key).and_then(Node::as_array).unwrap_or_default();
        let texts: Option<Vec<String>> = items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect();
        texts
            .filter(|texts| !texts.is_empty())
            .ok_or_else(|| format!("the option `{key}` is a list of texts"))
    }

    fn pattern(&self, key: &str) -> Result<Option<(String, Pattern)>, String> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let text = node
            .as_str()
            .ok_or_else(|| format!("the option `{key}` is a text"))?;
        Ok(Some((text.to_owned(), Pattern::read(text)?)))
    }
}

impl Function {
    /// Reads a function and its options.
    pub(crate) fn read(name: &str, options: Option<&Node>) -> Result<Self, String> {
        let options = Options(options);
        let known: &[&str] = match name {
            "alphabetical" => &["keyedBy"],
            "casing" => &["type", "disallowDigits", "separator"],
            "enumeration" => &["values"],
            "length" => &["min", "max"],
            "or" | "xor" => &["properties"],
            "pattern" => &["match", "notMatch"],
            "schema" => &["schema", "dialect", "allErrors", "prepareResults"],
            "unreferencedReusableObject" => &["reusableObjectsLocation"],
            _ => &[],
        };
        options.only(known)?;
        Ok(match name {
            "alphabetical" => Self::Alphabetical(
                options
                    .get("keyedBy")
                    .and_then(Node::as_str)
                    .map(str::to_owned),
            ),
            "casing" => core::casing(&options)?,
            "defined" => Self::Defined,
            "enumeration" => {
                let values = options.get("values").and_then(Node::as_array);
                let values = values.ok_or("the option `values` is a list")?;
                Self::Enumeration(values.iter().map(Node::to_json).collect())
            }
            "falsy" => Self::Falsy,
            "length" => match (options.number("min")?, options.number("max")?) {
                (None, None) => return Err("`length` needs `min` or `max`".to_owned()),
                (least, most) => Self::Length(least, most),
            },
            "or" => Self::Or(options.texts("properties")?),
            "pattern" => match (options.pattern("match")?, options.pattern("notMatch")?) {
                (None, None) => return Err("`pattern` needs `match` or `notMatch`".to_owned()),
                (wanted, unwanted) => Self::Pattern(wanted, unwanted),
            },
            "schema" => schema::read(&options)?,
            "truthy" => Self::Truthy,
            "typedEnum" => Self::TypedEnum,
            "undefined" => Self::Undefined,
            "unreferencedReusableObject" => {
                let place = options
                    .get("reusableObjectsLocation")
                    .and_then(Node::as_str);
                let place = place.ok_or("the option `reusableObjectsLocation` is missing")?;
                Self::Unreferenced(place.to_owned())
            }
            "xor" => Self::Xor(options.texts("properties")?),
            other => match oas::Check::named(other) {
                Some(check) => Self::Oas(check),
                None => {
                    let known = FUNCTIONS.join(", ");
                    return Err(format!(
                        "the function `{other}` is not known here; known are {known}"
                    ));
                }
            },
        })
    }

    /// Applies the function.
    pub(crate) fn apply<'t>(
        &self,
        target: &Target<'t>,
        step: &Step<'t>,
        budget: &mut Budget<'t>,
    ) -> Vec<Problem> {
        let own = step.token().unwrap_or_default();
        let name = if own.is_empty() {
            "the value".to_owned()
        } else {
            format!("`{own}`")
        };
        match self {
            Self::Truthy if !target.truthy() => {
                Problem::here(format!("{name} must be there and not empty"))
            }
            Self::Falsy if target.truthy() => {
                Problem::here(format!("{name} must not be there, or be empty"))
            }
            Self::Defined if matches!(target, Target::Missing) => {
                Problem::here(format!("{name} must be there"))
            }
            Self::Undefined if !matches!(target, Target::Missing) => {
                Problem::here(format!("{name} must not be there"))
            }
            Self::Truthy | Self::Falsy | Self::Defined | Self::Undefined => Vec::new(),
            Self::Pattern(wanted, unwanted) => {
                core::pattern(target, wanted.as_ref(), unwanted.as_ref(), budget)
            }
            Self::Enumeration(values) => core::enumeration(target, values),
            Self::Length(least, most) => core::length(target, *least, *most),
            Self::Casing(pattern, kind) => match target.text() {
                Some(text) if !text.is_empty() && !budget.matches(pattern, text) => {
                    Problem::here(format!("{} must be in {kind} case", crate::text::cut(text)))
                }
                _ => Vec::new(),
            },
            Self::Alphabetical(key) => core::alphabetical(target, key.as_deref()),
            Self::Xor(names) => core::count(target, names, |count| count == 1, "exactly one"),
            Self::Or(names) => core::count(target, names, |count| count > 0, "at least one"),
            Self::TypedEnum => core::typed_enum(target),
            Self::Unreferenced(place) => core::unreferenced(target, place, budget),
            Self::Schema(validator, all) => schema::apply(target, validator, *all, budget),
            Self::Oas(check) => check.apply(target, step, budget),
        }
    }
}
