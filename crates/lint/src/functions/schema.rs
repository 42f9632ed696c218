//! The function `schema`: values held against a JSON Schema that stands in the rule set.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value as Json};
use tree::{Node, Value, pointer};

use super::{Function, Options, Problem, Target};
use crate::path::{Budget, Step};
use crate::text::cut;

/// Values of what is checked, references written out.
const VALUES_MAX: usize = 50_000;
/// Levels to which references are written out.
const DEPTH_MAX: usize = 64;
/// Faults of one value that are told.
const PROBLEMS_MAX: usize = 20;

pub(super) fn read(options: &Options<'_>) -> Result<Function, String> {
    let schema = options
        .get("schema")
        .ok_or("`schema` needs the option `schema`")?;
    let draft = match options.get("dialect").and_then(Node::as_str) {
        None | Some("auto") => None,
        Some("draft4") => Some(Draft::Draft4),
        Some("draft6") => Some(Draft::Draft6),
        Some("draft7") => Some(Draft::Draft7),
        Some("draft2019-09") => Some(Draft::Draft201909),
        Some("draft2020-12") => Some(Draft::Draft202012),
        Some(other) => return Err(format!("`{other}` is no dialect of JSON Schema")),
    };
    let schema = schema.to_json();
    let draft = draft.or_else(|| schema.get("$schema").is_none().then_some(Draft::Draft7));
    let mut builder = jsonschema::options().should_validate_formats(true);
    if let Some(draft) = draft {
        builder = builder.with_draft(draft);
    }
    let validator = builder
        .build(&schema)
        .map_err(|error| format!("the schema is none: {error}"))?;
    let all = options.get("allErrors").and_then(Node::as_bool) == Some(true);
    Ok(Function::Schema(Box::new(validator), all))
}

pub(super) fn apply<'t>(
    target: &Target<'t>,
    validator: &Validator,
    all: bool,
    budget: &mut Budget<'t>,
) -> Vec<Problem> {
    let value = match target {
        Target::Missing => return Problem::here("the value must be there"),
        Target::Key(key) => Json::String(key.clone()),
        Target::Node(node) => {
            let mut left = VALUES_MAX;
            let value = written_out(node, budget, &mut left, 0);
            budget.pay(VALUES_MAX - left);
            value
        }
    };
    let most = if all { PROBLEMS_MAX } else { 1 };
    validator
        .iter_errors(&value)
        .take(most)
        .map(|error| {
            let below = pointer::tokens(error.instance_path().as_str())
                .map(std::borrow::Cow::into_owned)
                .collect();
            Problem::below(cut(&error.to_string()), below)
        })
        .collect()
}

/// A value with its references written out, as far as the limits go.
fn written_out<'t>(node: &'t Node, budget: &Budget<'t>, left: &mut usize, depth: usize) -> Json {
    *left = left.saturating_sub(1);
    if *left == 0 || depth > DEPTH_MAX {
        return Json::Null;
    }
    let node = budget.followed(&Step::start(node)).node;
    match &node.value {
        Value::Array(items) => items
            .iter()
            .map(|item| written_out(item, budget, left, depth + 1))
            .collect(),
        Value::Object(object) => {
            let mut out = Map::new();
            for entry in object {
                out.insert(
                    entry.key.clone(),
                    written_out(&entry.node, budget, left, depth + 1),
                );
            }
            Json::Object(out)
        }
        _ => node.to_json(),
    }
}
