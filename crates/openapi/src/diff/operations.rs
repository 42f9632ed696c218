//! Paths, operations, parameters.

use std::collections::HashMap;

use tree::Node;

use crate::calls::{Call, Field, Path, Schema};
use crate::diff::rules;
use crate::diff::schemas::Where;
use crate::diff::{About, Comparison, OperationRef, messages, security};
use crate::model::{Location, Method};
use crate::schema::Direction;

/// Compares the two definitions.
pub(super) fn compare(c: &mut Comparison<'_>) {
    info(c);
    let (old, new) = (c.old.paths(), c.new.paths());
    let by_template: HashMap<&str, &Path<'_>> = new
        .iter()
        .map(|path| (path.normalised.as_str(), path))
        .collect();
    // A definition that is refused elsewhere may have two paths that differ in the names of parameters only.
    let by_name: HashMap<&str, &Path<'_>> = new.iter().map(|path| (path.template, path)).collect();
    for path in &old {
        let same = by_name.get(path.template);
        match same.or_else(|| by_template.get(path.normalised.as_str())) {
            Some(other) => compare_path(c, path, other),
            None => {
                c.operation = Some(OperationRef {
                    method: "",
                    path: path.template.to_owned(),
                });
                c.tell(
                    &rules::PATH_REMOVED,
                    format!("the path {} is gone", path.template),
                    About::old(path.node),
                );
            }
        }
    }
    let known: std::collections::HashSet<&str> =
        old.iter().map(|path| path.normalised.as_str()).collect();
    for path in new
        .iter()
        .filter(|path| !known.contains(path.normalised.as_str()))
    {
        c.operation = Some(OperationRef {
            method: "",
            path: path.template.to_owned(),
        });
        c.tell(
            &rules::PATH_ADDED,
            format!("the path {} is new", path.template),
            About::new(path.node),
        );
    }
    c.operation = None;
}

/// What stands in `info`, and the servers.
fn info<'t>(c: &mut Comparison<'t>) {
    let (old, new) = (c.old.root, c.new.root);
    let differs = |old: &Node, new: &Node, key: &str| {
        old.get(key).map(Node::to_json) != new.get(key).map(Node::to_json)
    };
    if let (Some(before), Some(after)) = (old.get("info"), new.get("info")) {
        for key in ["title", "version", "description"] {
            if differs(before, after, key) {
                let about = About {
                    old: before.get(key).or(Some(before)),
                    new: after.get(key).or(Some(after)),
                    before: before.get(key).map(shown),
                    after: after.get(key).map(shown),
                };
                c.tell(
                    &rules::INFO_CHANGED,
                    format!("the {key} of the API differs"),
                    about,
                );
            }
        }
    }
    if ["servers", "host", "basePath", "schemes"]
        .iter()
        .any(|key| differs(old, new, key))
    {
        let place = |root: &'t Node| {
            root.get("servers")
                .or_else(|| root.get("host"))
                .unwrap_or(root)
        };
        c.tell(
            &rules::SERVERS_CHANGED,
            "the servers differ".to_owned(),
            About::both(place(old), place(new)),
        );
    }
}

fn shown(node: &Node) -> String {
    node.as_str()
        .map_or_else(|| node.to_json().to_string(), str::to_owned)
}

fn compare_path<'t>(c: &mut Comparison<'t>, old: &Path<'t>, new: &Path<'t>) {
    let (before, after) = (c.old.methods(old), c.new.methods(new));
    let find = |list: &[(Method, &'t Node)], method: Method| {
        list.iter()
            .find(|(known, _)| *known == method)
            .map(|(_, node)| *node)
    };
    for (method, node) in &before {
        c.operation = Some(OperationRef::new(*method, new.template));
        match find(&after, *method) {
            Some(other) => {
                if !c.step() {
                    return;
                }
                let old_call = c.old.operation(old, node);
                let new_call = c.new.operation(new, other);
                operation(c, &old_call, &new_call, (old.template, new.template));
            }
            None => c.tell(
                &rules::OPERATION_REMOVED,
                format!("{method} {} is gone", old.template),
                About::old(node),
            ),
        }
    }
    for (method, node) in &after {
        if find(&before, *method).is_none() {
            c.operation = Some(OperationRef::new(*method, new.template));
            c.tell(
                &rules::OPERATION_ADDED,
                format!("{method} {} is new", new.template),
                About::new(node),
            );
        }
    }
}

fn operation<'t>(c: &mut Comparison<'t>, old: &Call<'t>, new: &Call<'t>, paths: (&str, &str)) {
    let about = About::both(old.node, new.node);
    let deprecated =
        |call: &Call<'_>| call.node.get("deprecated").and_then(Node::as_bool) == Some(true);
    match (deprecated(old), deprecated(new)) {
        (false, true) => c.tell(
            &rules::OPERATION_DEPRECATED,
            "the operation is deprecated".to_owned(),
            about.clone(),
        ),
        (true, false) => {
            c.tell(
                &rules::OPERATION_NOT_DEPRECATED,
                "the operation is no longer deprecated".to_owned(),
                about.clone(),
            );
        }
        _ => {}
    }
    let text = |call: &Call<'t>, key: &str| call.node.get(key).map(Node::to_json);
    let id = |call: &Call<'t>| call.node.get("operationId").map(shown).unwrap_or_default();
    if id(old) != id(new) {
        c.tell(
            &rules::OPERATION_ID_CHANGED,
            "the operationId differs".to_owned(),
            about.clone().values(id(old), id(new)),
        );
    }
    if ["summary", "description", "tags"]
        .iter()
        .any(|key| text(old, key) != text(new, key))
    {
        c.tell(
            &rules::DOCUMENTATION_CHANGED,
            "summary, description or tags differ".to_owned(),
            about,
        );
    }
    security::compare(c, old.node, new.node);
    parameters(c, old, new, paths);
    messages::body(c, old.body.as_ref(), new.body.as_ref());
    messages::responses(c, old, new);
}

/// What two parameters must share to be the same: their place and name, in the path their rank.
fn key(field: &Field<'_>, path: &str) -> (Location, String) {
    let name = match field.location {
        Location::Path => {
            let rank = crate::Template::parse(path)
                .ok()
                .and_then(|template| template.parameters().position(|name| name == field.name));
            rank.map_or_else(|| field.name.to_owned(), |rank| rank.to_string())
        }
        Location::Header => field.name.to_ascii_lowercase(),
        _ => field.name.to_owned(),
    };
    (field.location, name)
}

fn place_of(location: Location) -> &'static str {
    match location {
        Location::Path => "path",
        Location::Query | Location::QueryString => "query",
        Location::Header => "header",
        Location::Cookie => "cookie",
        Location::Body | Location::Form => "body",
    }
}

fn parameters<'t>(c: &mut Comparison<'t>, old: &Call<'t>, new: &Call<'t>, paths: (&str, &str)) {
    let before: Vec<_> = old
        .parameters
        .iter()
        .map(|field| (key(field, paths.0), field))
        .collect();
    let after: Vec<_> = new
        .parameters
        .iter()
        .map(|field| (key(field, paths.1), field))
        .collect();
    let by_key: HashMap<_, _> = after.iter().map(|(key, field)| (key, *field)).collect();
    for (key, field) in &before {
        match by_key.get(key) {
            Some(other) => parameter(c, field, other),
            // A parameter that the path no longer names is told by the path itself.
            None if field.location == Location::Path => {}
            None => c.tell(
                &rules::PARAMETER_REMOVED,
                format!(
                    "the {} parameter `{}` is gone",
                    place_of(field.location),
                    field.name
                ),
                About::old(field.node),
            ),
        }
    }
    for (key, field) in &after {
        if field.location == Location::Path || before.iter().any(|(known, _)| known == key) {
            continue;
        }
        let place = place_of(field.location);
        if field.required && !has_default(c, field) {
            let message = format!("the {place} parameter `{}` is new and required", field.name);
            c.tell(
                &rules::PARAMETER_ADDED_REQUIRED,
                message,
                About::new(field.node),
            );
        } else {
            let message = format!("the {place} parameter `{}` is new", field.name);
            c.tell(&rules::PARAMETER_ADDED, message, About::new(field.node));
        }
    }
}

fn has_default(c: &Comparison<'_>, field: &Field<'_>) -> bool {
    let Schema::All(nodes) = &field.schema else {
        return false;
    };
    nodes
        .iter()
        .any(|node| c.new.resolve(node).get("default").is_some())
}

fn parameter<'t>(c: &mut Comparison<'t>, old: &Field<'t>, new: &Field<'t>) {
    let what = format!("the {} parameter `{}`", place_of(old.location), old.name);
    let about = About::both(old.node, new.node);
    if old.name != new.name && old.location == Location::Path {
        let message = format!("{what} is now called `{}`", new.name);
        c.tell(
            &rules::PARAMETER_RENAMED,
            message,
            about.clone().values(old.name, new.name),
        );
    }
    match (old.required, new.required) {
        (false, true) => c.tell(
            &rules::PARAMETER_BECAME_REQUIRED,
            format!("{what} is now required"),
            about.clone(),
        ),
        (true, false) => c.tell(
            &rules::PARAMETER_BECAME_OPTIONAL,
            format!("{what} is now optional"),
            about.clone(),
        ),
        _ => {}
    }
    if old.style != new.style && c.holds_several(old, new) {
        let message = format!("{what} is written in another style");
        c.tell(
            &rules::PARAMETER_STYLE_CHANGED,
            message,
            about.values(&*old.style, &*new.style),
        );
    }
    c.schema(
        &old.schema,
        &new.schema,
        Direction::Request,
        (old.node, new.node),
        &Where::Base(&what),
    );
}
