//! Filters: `[?(@.in == 'header' && @property.match(/^x-/))]`. Values compare as JavaScript's `===`, since that is what
//! rule sets are written against.

use tree::{Node, Value as Tree};

use super::Path;
use super::eval::{Budget, Step};
use crate::pattern::Pattern;

/// A filter, or a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Compare(Box<Expression>, Operator, Box<Expression>),
    /// `@` and what follows.
    Current(Path),
    /// `$` and what follows.
    Root(Path),
    /// `@parent` and what follows.
    Parent(Path),
    /// The key or index of the value.
    Property,
    /// The key or index of its parent.
    ParentProperty,
    Length(Box<Expression>),
    Method(Box<Expression>, &'static str, Option<Box<Expression>>),
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Undefined,
    List(Vec<Expression>),
    Pattern(Pattern),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// What an expression comes to.
#[derive(Clone, Debug)]
enum Value<'t> {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Node(&'t Node),
    List(Vec<Value<'t>>),
    Pattern(Pattern),
}

impl<'t> Value<'t> {
    fn of(node: &'t Node) -> Self {
        match &node.value {
            Tree::Null => Self::Null,
            Tree::Bool(value) => Self::Bool(*value),
            Tree::Number(number) => number.as_f64().map_or(Self::Undefined, Self::Number),
            Tree::String(text) => Self::Text(text.clone()),
            Tree::Array(_) | Tree::Object(_) => Self::Node(node),
        }
    }

    fn truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Node(_) | Self::List(_) | Self::Pattern(_) => true,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Node(a), Self::Node(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }

    fn order(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn length(&self) -> Self {
        let length = match self {
            Self::Text(text) => text.chars().count(),
            Self::List(items) => items.len(),
            Self::Node(node) => match &node.value {
                Tree::Array(items) => items.len(),
                Tree::Object(object) => object.len(),
                _ => return Self::Undefined,
            },
            _ => return Self::Undefined,
        };
        Self::Number(length as f64)
    }

    /// The items, where it is a list.
    fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Node(node) => Some(node.as_array()?.iter().map(Self::of).collect()),
            _ => None,
        }
    }
}

impl Expression {
    /// Whether a value passes.
    pub(crate) fn holds<'t>(&self, step: &Step<'t>, budget: &mut Budget<'t>) -> bool {
        self.value(step, budget).truthy()
    }

    fn value<'t>(&self, step: &Step<'t>, budget: &mut Budget<'t>) -> Value<'t> {
        match self {
            Self::Or(a, b) => {
                let left = a.value(step, budget);
                if left.truthy() {
                    left
                } else {
                    b.value(step, budget)
                }
            }
            Self::And(a, b) => {
                let left = a.value(step, budget);
                if left.truthy() {
                    b.value(step, budget)
                } else {
                    left
                }
            }
            Self::Not(inner) => Value::Bool(!inner.value(step, budget).truthy()),
            Self::Compare(a, operator, b) => {
                let (a, b) = (a.value(step, budget), b.value(step, budget));
                Value::Bool(compared(&a, *operator, &b))
            }
            Self::Current(path) => reached(path, step, budget),
            Self::Root(path) => reached(path, &step.root(), budget),
            Self::Parent(path) => step
                .parent()
                .map_or(Value::Undefined, |parent| reached(path, &parent, budget)),
            Self::Property => step.token().map_or(Value::Undefined, Value::Text),
            Self::ParentProperty => step
                .parent()
                .and_then(|parent| parent.token())
                .map_or(Value::Undefined, Value::Text),
            Self::Length(inner) => inner.value(step, budget).length(),
            Self::Method(inner, name, argument) => {
                let inner = inner.value(step, budget);
                let argument = argument
                    .as_ref()
                    .map_or(Value::Undefined, |argument| argument.value(step, budget));
                method(&inner, name, &argument, budget)
            }
            Self::Text(text) => Value::Text(text.clone()),
            Self::Number(number) => Value::Number(*number),
            Self::Bool(value) => Value::Bool(*value),
            Self::Null => Value::Null,
            Self::Undefined => Value::Undefined,
            Self::List(items) => {
                Value::List(items.iter().map(|item| item.value(step, budget)).collect())
            }
            Self::Pattern(pattern) => Value::Pattern(pattern.clone()),
        }
    }
}

/// The value at the end of a path; the first, where there are several.
fn reached<'t>(path: &Path, step: &Step<'t>, budget: &mut Budget<'t>) -> Value<'t> {
    path.from(step, budget)
        .into_iter()
        .next()
        .map_or(Value::Undefined, |found| Value::of(found.step.node))
}

fn compared(a: &Value<'_>, operator: Operator, b: &Value<'_>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match operator {
        Operator::Equal => a.equals(b),
        Operator::Unequal => !a.equals(b),
        Operator::Below => a.order(b) == Some(Less),
        Operator::AtMost => matches!(a.order(b), Some(Less | Equal)),
        Operator::Above => a.order(b) == Some(Greater),
        Operator::AtLeast => matches!(a.order(b), Some(Greater | Equal)),
    }
}

fn method<'t>(
    value: &Value<'t>,
    name: &str,
    argument: &Value<'t>,
    budget: &mut Budget<'t>,
) -> Value<'t> {
    match (value, name, argument) {
        // `/x/.test(text)` and `text.match(/x/)` are the same question.
        (Value::Text(text), "match", Value::Pattern(pattern))
        | (Value::Pattern(pattern), "test", Value::Text(text)) => {
            Value::Bool(budget.matches(pattern, text))
        }
        (Value::Text(text), "match", Value::Text(pattern)) => match Pattern::new(pattern, "") {
            Ok(pattern) => Value::Bool(budget.matches(&pattern, text)),
            Err(_) => Value::Bool(false),
        },
        (Value::Text(text), "includes", Value::Text(part)) => Value::Bool(text.contains(part)),
        (Value::Text(text), "startsWith", Value::Text(part)) => Value::Bool(text.starts_with(part)),
        (Value::Text(text), "endsWith", Value::Text(part)) => Value::Bool(text.ends_with(part)),
        (Value::Text(text), "indexOf", Value::Text(part)) => {
            let found = text
                .find(part.as_str())
                .map(|index| text[..index].chars().count());
            Value::Number(found.map_or(-1.0, |index| index as f64))
        }
        (Value::Text(text), "toLowerCase", _) => Value::Text(text.to_lowercase()),
        (Value::Text(text), "toUpperCase", _) => Value::Text(text.to_uppercase()),
        (list, "includes", part) => Value::Bool(
            list.items()
                .is_some_and(|items| items.iter().any(|item| item.equals(part))),
        ),
        (list, "indexOf", part) => {
            let found = list
                .items()
                .and_then(|items| items.iter().position(|item| item.equals(part)));
            Value::Number(found.map_or(-1.0, |index| index as f64))
        }
        _ => Value::Undefined,
    }
}
