//! Evaluating an expression for a request.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Value};

use crate::{Attribute, Attributes, Expr, network, pattern};

/// The language; the same for all expressions, and dear to make.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression has no value for a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvalError {
    /// Something that it looks at is not there, or is not of the type that it wants.
    #[error("the expression has no value: {0}")]
    NoValue(String),
    /// It has a value of another type than is wanted.
    #[error("the expression is no {0}")]
    WrongType(&'static str),
}

pub(super) fn holds(expr: &Expr, request: &dyn Attributes) -> Result<bool, EvalError> {
    match run(expr, request)? {
        Value::Bool(holds) => Ok(holds),
        _ => Err(EvalError::WrongType("truth value")),
    }
}

pub(super) fn text(expr: &Expr, request: &dyn Attributes) -> Result<String, EvalError> {
    match run(expr, request)? {
        Value::String(text) => Ok(Arc::unwrap_or_clone(text)),
        Value::Int(number) => Ok(number.to_string()),
        Value::UInt(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(EvalError::WrongType("text")),
    }
}

fn run(expr: &Expr, request: &dyn Attributes) -> Result<Value, EvalError> {
    let mut variables = Variables::default();
    for attribute in &expr.needs {
        variables.add(attribute, request);
    }
    let mut context = Context::with_env(Arc::clone(&LANGUAGE));
    for (name, members) in variables.finish() {
        context.add_variable_from_value(name, map(members));
    }
    if expr.asks_networks {
        context
            .add_function(network::NAME, network::holds)
            .map_err(|error| EvalError::NoValue(error.to_string()))?;
    }
    if let Some(patterns) = expr.patterns.function() {
        context
            .add_function(pattern::NAME, patterns)
            .map_err(|error| EvalError::NoValue(error.to_string()))?;
    }
    let run = expr.program.execute(&context);
    run.map_err(|error| EvalError::NoValue(error.to_string()))
}

type Members = Vec<(String, Value)>;

/// What an expression looks at, by the variables under which it stands. Those that it does not name are not made: that
/// would be more than half of what a short condition costs.
#[derive(Default)]
struct Variables {
    request: Option<Members>,
    headers: Option<Members>,
    parameters: Option<Members>,
    client: Option<Members>,
    application: Option<Members>,
    principal: Option<Members>,
    claims: Option<Members>,
}

impl Variables {
    fn add(&mut self, attribute: &Attribute, request: &dyn Attributes) {
        // Header names are matched in lower case, and filed as the expression spells them.
        let asked = match attribute {
            Attribute::Header(name) => &Attribute::Header(name.to_ascii_lowercase()),
            other => other,
        };
        let (members, name) = match attribute {
            Attribute::Method => (&mut self.request, "method"),
            Attribute::Path => (&mut self.request, "path"),
            Attribute::Query => (&mut self.request, "query"),
            Attribute::Header(name) => (&mut self.headers, name.as_str()),
            Attribute::Parameter(name) => (&mut self.parameters, name.as_str()),
            Attribute::ClientIp => (&mut self.client, "ip"),
            Attribute::Application => (&mut self.application, "id"),
            Attribute::Subject => (&mut self.principal, "subject"),
            Attribute::Scopes => (&mut self.principal, "scopes"),
            Attribute::Roles => (&mut self.principal, "roles"),
            Attribute::Claim(name) => (&mut self.claims, name.as_str()),
        };
        let members = members.get_or_insert_default();
        if let Some(value) = request.value(asked) {
            members.push((name.to_owned(), of_request(value)));
        }
    }

    fn finish(mut self) -> impl Iterator<Item = (&'static str, Members)> {
        put(&mut self.request, "headers", self.headers);
        put(&mut self.request, "parameters", self.parameters);
        put(&mut self.principal, "claims", self.claims);
        let all = [
            ("request", self.request),
            ("client", self.client),
            ("application", self.application),
            ("principal", self.principal),
        ];
        all.into_iter()
            .filter_map(|(name, members)| Some((name, members?)))
    }
}

/// Puts a map into another one, where there is one.
fn put(within: &mut Option<Members>, name: &str, members: Option<Members>) {
    if let Some(members) = members {
        let within = within.get_or_insert_default();
        within.push((name.to_owned(), map(members)));
    }
}

fn of_request(value: crate::Value<'_>) -> Value {
    match value {
        crate::Value::Text(text) => Value::String(Arc::new(text.into_owned())),
        crate::Value::Texts(texts) => {
            let texts = texts
                .iter()
                .map(|text| Value::String(Arc::new(text.clone())));
            Value::List(Arc::new(texts.collect::<Vec<_>>()))
        }
        crate::Value::Json(value) => of_json(value),
    }
}

/// As JSON has it; a number that is whole is an `int`, so that it can be compared with one.
fn of_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => number.as_i64().map_or_else(
            || Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            Value::Int,
        ),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(of_json).collect::<Vec<_>>())),
        Json::Object(members) => map(members
            .iter()
            .map(|(name, value)| (name.clone(), of_json(value)))
            .collect()),
    }
}

fn map(entries: Members) -> Value {
    let entries = entries.into_iter();
    let map: HashMap<Key, Value> = entries
        .map(|(key, value)| (Key::String(Arc::new(key)), value))
        .collect();
    Value::Map(Map { map: Arc::new(map) })
}
