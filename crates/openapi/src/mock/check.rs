//! Whether a value fits a schema: enough of JSON Schema to choose between what can be made. It never refuses what
//! it does not know; patterns and formats are taken as met.

use std::collections::HashSet;

use serde_json::Value;
use tree::Node;

use crate::calls::{Schema, Text};
use crate::schema::{Additional, Bound, Direction, View, types};

/// Deeper values are taken as fitting.
const DEPTH_MAX: usize = 32;

/// One check.
pub(super) struct Check<'t> {
    text: Text<'t>,
    direction: Direction,
    /// What is left of the budget; without any everything fits.
    pub(super) steps: usize,
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOLEAN,
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() != 0.0) => {
            types::FRACTION
        }
        Value::Number(_) => types::INTEGER,
        Value::String(_) => types::STRING,
        Value::Array(_) => types::ARRAY,
        Value::Object(_) => types::OBJECT,
    }
}

impl<'t> Check<'t> {
    pub(super) fn new(text: Text<'t>, direction: Direction, steps: usize) -> Self {
        Self {
            text,
            direction,
            steps,
        }
    }

    pub(super) fn fits(&mut self, value: &Value, schema: &Schema<'t>, depth: usize) -> bool {
        if depth > DEPTH_MAX || self.steps == 0 {
            return true;
        }
        let view = View::new(self.text, schema);
        self.steps = self.steps.saturating_sub(1 + view.layers.len() / 4);
        let kind = type_of(value);
        if view.types & kind == 0 {
            return false;
        }
        // `nullable` allows `null` whatever else is said.
        if kind == types::NULL {
            return true;
        }
        if let Some(allowed) = &view.allowed
            && !allowed.iter().any(|node| equal(&node.to_json(), value))
        {
            return false;
        }
        let own = match value {
            Value::String(text) => {
                let count = text.chars().count();
                within(count, view.highest("minLength"), view.lowest("maxLength"))
                    && (view.format() != Some("date-time") || text.contains('T'))
            }
            Value::Number(number) => number
                .as_f64()
                .is_none_or(|number| in_bounds(number, &view)),
            Value::Array(items) => self.items(items, &view, depth),
            Value::Object(_) => self.members(value, &view, depth),
            _ => true,
        };
        own && self.unions(value, &view, depth) && self.nots(value, &view, depth)
    }

    fn items(&mut self, items: &[Value], view: &View<'t>, depth: usize) -> bool {
        let unique = view
            .keywords("uniqueItems")
            .any(|node| node.as_bool() == Some(true));
        let distinct = || {
            let mut seen = HashSet::new();
            items.iter().all(|item| seen.insert(item.to_string()))
        };
        if !within(
            items.len(),
            view.highest("minItems"),
            view.lowest("maxItems"),
        ) || (unique && !distinct())
        {
            return false;
        }
        items.iter().enumerate().all(|(index, item)| {
            let nodes = view.prefix.get(index).unwrap_or(&view.items);
            self.fits(item, &Schema::All(nodes.clone()), depth + 1)
        })
    }

    fn members(&mut self, value: &Value, view: &View<'t>, depth: usize) -> bool {
        let Some(members) = value.as_object() else {
            return true;
        };
        if !within(
            members.len(),
            view.highest("minProperties"),
            view.lowest("maxProperties"),
        ) {
            return false;
        }
        for (name, property) in &view.properties {
            let hidden = match self.direction {
                Direction::Request => property.read_only,
                Direction::Response => property.write_only,
            };
            match members.get(*name) {
                None if property.required && !hidden => return false,
                Some(member)
                    if !self.fits(member, &Schema::All(property.schema.clone()), depth + 1) =>
                {
                    return false;
                }
                _ => {}
            }
        }
        let declared = |name: &str| {
            view.properties
                .get(name)
                .is_some_and(|property| property.node.is_some())
        };
        let further: Vec<&Value> = members
            .iter()
            .filter(|(name, _)| !declared(name))
            .map(|(_, member)| member)
            .collect();
        match &view.additional {
            Additional::Any => true,
            Additional::None => further.is_empty() || view.has("patternProperties"),
            Additional::Schema(nodes) => further
                .into_iter()
                .all(|member| self.fits(member, &Schema::All(nodes.clone()), depth + 1)),
        }
    }

    fn unions(&mut self, value: &Value, view: &View<'t>, depth: usize) -> bool {
        view.unions.iter().all(|union| {
            let mut met = 0;
            for branch in &union.branches {
                if self.fits(value, &Schema::of(Some(branch)), depth + 1) {
                    met += 1;
                    if !union.exactly_one {
                        break;
                    }
                }
            }
            if union.exactly_one { met == 1 } else { met > 0 }
        })
    }

    fn nots(&mut self, value: &Value, view: &View<'t>, depth: usize) -> bool {
        let nodes: Vec<&'t Node> = view.keywords("not").collect();
        nodes
            .into_iter()
            .all(|node| !self.fits(value, &Schema::of(Some(node)), depth + 1))
    }
}

/// Numbers are equal by value: `1` and `1.0`.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn within(count: usize, least: Option<f64>, most: Option<f64>) -> bool {
    let count = count as f64;
    least.is_none_or(|least| count >= least) && most.is_none_or(|most| count <= most)
}

fn in_bounds(number: f64, view: &View<'_>) -> bool {
    let below = |bound: Bound| number < bound.value || (bound.exclusive && number == bound.value);
    let above = |bound: Bound| number > bound.value || (bound.exclusive && number == bound.value);
    !view.minimum().is_some_and(below) && !view.maximum().is_some_and(above)
}
