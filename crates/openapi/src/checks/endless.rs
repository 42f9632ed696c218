//! Schemas that lead back to themselves: by references and `allOf` alone they describe nothing, through required
//! properties nothing finite fits them.

use std::collections::HashSet;

use tree::{Node, Object};

use super::fit::types;
use super::known::Known;
use super::references::target;
use crate::reader::{Reader, Trail};

/// Reports a schema that leads back to itself, or to one that does. Each schema is looked at once, whoever refers to it.
pub(super) fn check<'t>(
    reader: &mut Reader<'t>,
    known: &mut Known<'t>,
    schema: &'t Object,
    trail: &Trail<'_>,
) {
    let root = reader.root();
    if loops(root, schema, &mut known.resolved, is) {
        let words = || {
            let message = "references or `allOf` lead from this schema back to itself".to_owned();
            (
                message,
                Some("let one of them describe something".to_owned()),
            )
        };
        reader.report("circular-reference", trail, words);
    } else if loops(root, schema, &mut known.finite, needs) {
        let words = || {
            let message = "this schema requires itself: no finite value fits".to_owned();
            (
                message,
                Some("make one of the properties on the way optional or nullable".to_owned()),
            )
        };
        reader.report("endless-schema", trail, words);
    }
}

/// Depth-first search with a stack of its own: chains may be as long as the definition.
fn loops<'t>(
    root: &'t Node,
    start: &'t Object,
    done: &mut HashSet<*const Object>,
    next: fn(&'t Node, &'t Object) -> Vec<&'t Object>,
) -> bool {
    if done.contains(&std::ptr::from_ref(start)) {
        return false;
    }
    let mut open: HashSet<*const Object> = HashSet::from([std::ptr::from_ref(start)]);
    let mut stack = vec![(start, next(root, start))];
    let mut found = false;
    while let Some((schema, ahead)) = stack.last_mut() {
        let Some(step) = ahead.pop() else {
            let finished = std::ptr::from_ref(*schema);
            open.remove(&finished);
            done.insert(finished);
            stack.pop();
            continue;
        };
        let place = std::ptr::from_ref(step);
        if open.contains(&place) {
            found = true;
        } else if !done.contains(&place) {
            open.insert(place);
            stack.push((step, next(root, step)));
        }
    }
    found
}

/// The schemas that this one is: what it refers to, what it takes together.
fn is<'t>(root: &'t Node, schema: &'t Object) -> Vec<&'t Object> {
    let reference = schema.get("$ref").and_then(Node::as_str);
    let referred = reference.and_then(|reference| target(root, reference));
    let all = schema
        .get("allOf")
        .and_then(Node::as_array)
        .unwrap_or_default();
    referred
        .into_iter()
        .chain(all)
        .filter_map(Node::as_object)
        .collect()
}

/// The schemas that a value of this one holds a value of, whatever it is.
fn needs<'t>(root: &'t Node, schema: &'t Object) -> Vec<&'t Object> {
    let mut ahead = is(root, schema);
    let flag = |key| schema.get(key).and_then(Node::as_bool) == Some(true);
    if flag("nullable") || flag("x-nullable") || types(schema).contains(&"null") {
        return Vec::new();
    }
    let required = schema.get("required").and_then(Node::as_array);
    if let Some(properties) = schema.get("properties").and_then(Node::as_object) {
        let names = required.into_iter().flatten().filter_map(Node::as_str);
        ahead.extend(names.filter_map(|name| properties.get(name)?.as_object()));
    }
    ahead
}
