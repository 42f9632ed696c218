//! Evaluating an expression for a request.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Value};

use crate::{Attribute, Attributes, Expr};

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
    let mut context = Context::with_env(Arc::clone(&LANGUAGE));
    let (mut of_request, mut headers) = (Vec::new(), Vec::new());
    let (mut client, mut application) = (Vec::new(), Vec::new());
    for attribute in &expr.needs {
        // Header names are matched in lower case, and filed as the expression spells them.
        let asked = match attribute {
            Attribute::Header(name) => &Attribute::Header(name.to_ascii_lowercase()),
            other => other,
        };
        let Some(value) = request.value(asked) else {
            continue;
        };
        let value = value.into_owned();
        match attribute {
            Attribute::Method => of_request.push(("method".to_owned(), text_value(value))),
            Attribute::Path => of_request.push(("path".to_owned(), text_value(value))),
            Attribute::Query => of_request.push(("query".to_owned(), text_value(value))),
            Attribute::Header(name) => headers.push((name.clone(), text_value(value))),
            Attribute::ClientIp => client.push(("ip".to_owned(), text_value(value))),
            Attribute::Application => application.push(("id".to_owned(), text_value(value))),
        }
    }
    of_request.push(("headers".to_owned(), map(headers)));
    context.add_variable_from_value("request", map(of_request));
    context.add_variable_from_value("client", map(client));
    context.add_variable_from_value("application", map(application));
    let run = expr.program.execute(&context);
    run.map_err(|error| EvalError::NoValue(error.to_string()))
}

fn text_value(text: String) -> Value {
    Value::String(Arc::new(text))
}

fn map(entries: Vec<(String, Value)>) -> Value {
    let entries = entries.into_iter();
    let map: HashMap<Key, Value> = entries
        .map(|(key, value)| (Key::String(Arc::new(key)), value))
        .collect();
    Value::Map(Map { map: Arc::new(map) })
}
