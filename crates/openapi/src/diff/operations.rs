//! Paths, operations, parameters, bodies, answers.

use std::collections::HashMap;

use tree::Node;

use crate::calls::{Body, Call, Field, Media, Path, Response, Schema};
use crate::diff::rules;
use crate::diff::schemas::Where;
use crate::diff::{About, Comparison, OperationRef, security};
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
    for path in &old {
        match by_template.get(path.normalised.as_str()) {
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
    body(c, old.body.as_ref(), new.body.as_ref());
    responses(c, old, new);
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

fn body<'t>(c: &mut Comparison<'t>, old: Option<&Body<'t>>, new: Option<&Body<'t>>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (Some(old), None) => {
            return c.tell(
                &rules::BODY_REMOVED,
                "no body is taken any more".to_owned(),
                About::old(old.node),
            );
        }
        (None, Some(new)) if new.required => {
            return c.tell(
                &rules::BODY_ADDED_REQUIRED,
                "a body must be sent".to_owned(),
                About::new(new.node),
            );
        }
        (None, Some(new)) => {
            return c.tell(
                &rules::BODY_ADDED,
                "a body may be sent".to_owned(),
                About::new(new.node),
            );
        }
        (Some(old), Some(new)) => (old, new),
    };
    let about = About::both(old.node, new.node);
    match (old.required, new.required) {
        (false, true) => c.tell(
            &rules::BODY_BECAME_REQUIRED,
            "the body is now required".to_owned(),
            about,
        ),
        (true, false) => c.tell(
            &rules::BODY_BECAME_OPTIONAL,
            "the body is now optional".to_owned(),
            about,
        ),
        _ => {}
    }
    content(
        c,
        (&old.content, old.node),
        (&new.content, new.node),
        Direction::Request,
        "the body",
    );
}

/// Whether a media type, or a range such as `image/*`, takes this one in.
fn covers(range: &str, name: &str) -> bool {
    range == name
        || range == "*/*"
        || range
            .strip_suffix('*')
            .is_some_and(|prefix| prefix.ends_with('/') && name.starts_with(prefix))
}

type Content<'a, 't> = (&'a [Media<'t>], &'t Node);

fn content<'t>(
    c: &mut Comparison<'t>,
    (old, old_node): Content<'_, 't>,
    (new, new_node): Content<'_, 't>,
    direction: Direction,
    what: &str,
) {
    let (added, removed) = match direction {
        Direction::Request => (
            &rules::REQUEST_MEDIA_TYPE_ADDED,
            &rules::REQUEST_MEDIA_TYPE_REMOVED,
        ),
        Direction::Response => (
            &rules::RESPONSE_MEDIA_TYPE_ADDED,
            &rules::RESPONSE_MEDIA_TYPE_REMOVED,
        ),
    };
    let find = |list: &'_ [Media<'t>], name: &str| {
        let exact = list.iter().position(|media| media.name == name);
        exact.or_else(|| list.iter().position(|media| covers(&media.name, name)))
    };
    for media in old {
        match find(new, &media.name) {
            Some(index) => {
                let other = &new[index];
                let place = format!("{what} as {}", media.name);
                c.schema(
                    &media.schema,
                    &other.schema,
                    direction,
                    (media.node, other.node),
                    &Where::Base(&place),
                );
            }
            None => {
                let about = About {
                    old: Some(media.node),
                    new: Some(new_node),
                    ..About::default()
                };
                c.tell(removed, format!("{what} is gone as {}", media.name), about);
            }
        }
    }
    for media in new.iter().filter(|media| find(old, &media.name).is_none()) {
        let about = About {
            old: Some(old_node),
            new: Some(media.node),
            ..About::default()
        };
        c.tell(added, format!("{what} is new as {}", media.name), about);
    }
}

/// The answer that stands for a status: the same, its class, or `default`.
fn answer<'a, 't>(list: &'a [Response<'t>], status: &str) -> Option<&'a Response<'t>> {
    let find = |name: &str| list.iter().find(|response| response.status == name);
    let class = status.get(..1).map(|first| format!("{first}XX"));
    find(status)
        .or_else(|| class.and_then(|class| find(&class)))
        .or_else(|| find("default"))
}

fn responses<'t>(c: &mut Comparison<'t>, old: &Call<'t>, new: &Call<'t>) {
    for response in &old.responses {
        match answer(&new.responses, &response.status) {
            // A status that is only left to `default` of the same definition as before is not compared twice.
            Some(other) => compare_response(c, response, other),
            None => {
                let rule = if response.success() {
                    &rules::RESPONSE_SUCCESS_REMOVED
                } else {
                    &rules::RESPONSE_ERROR_REMOVED
                };
                let message = format!("the answer {} is gone", response.status);
                let about = About {
                    old: Some(response.node),
                    new: Some(new.node),
                    ..About::default()
                };
                c.tell(rule, message, about);
            }
        }
    }
    for response in &new.responses {
        let known = old
            .responses
            .iter()
            .any(|known| known.status == response.status);
        if !known {
            let rule = if response.success() {
                &rules::RESPONSE_SUCCESS_ADDED
            } else {
                &rules::RESPONSE_ERROR_ADDED
            };
            let message = format!("the answer {} is new", response.status);
            let about = About {
                old: Some(old.node),
                new: Some(response.node),
                ..About::default()
            };
            c.tell(rule, message, about);
        }
    }
}

fn compare_response<'t>(c: &mut Comparison<'t>, old: &Response<'t>, new: &Response<'t>) {
    if !c.step() {
        return;
    }
    let what = format!("the answer {}", old.status);
    content(
        c,
        (&old.content, old.node),
        (&new.content, new.node),
        Direction::Response,
        &what,
    );
    let same = |a: &Field<'_>, b: &Field<'_>| a.name.eq_ignore_ascii_case(b.name);
    for header in &old.headers {
        let place = format!("the header `{}` of {what}", header.name);
        let Some(other) = new.headers.iter().find(|other| same(header, other)) else {
            let about = About {
                old: Some(header.node),
                new: Some(new.node),
                ..About::default()
            };
            c.tell(
                &rules::RESPONSE_HEADER_REMOVED,
                format!("{place} is gone"),
                about,
            );
            continue;
        };
        let about = About::both(header.node, other.node);
        match (header.required, other.required) {
            (false, true) => {
                c.tell(
                    &rules::RESPONSE_HEADER_BECAME_REQUIRED,
                    format!("{place} is now always there"),
                    about,
                );
            }
            (true, false) => {
                c.tell(
                    &rules::RESPONSE_HEADER_BECAME_OPTIONAL,
                    format!("{place} may now be missing"),
                    about,
                );
            }
            _ => {}
        }
        c.schema(
            &header.schema,
            &other.schema,
            Direction::Response,
            (header.node, other.node),
            &Where::Base(&place),
        );
    }
    for header in new
        .headers
        .iter()
        .filter(|header| !old.headers.iter().any(|known| same(known, header)))
    {
        let about = About {
            old: Some(old.node),
            new: Some(header.node),
            ..About::default()
        };
        c.tell(
            &rules::RESPONSE_HEADER_ADDED,
            format!("the header `{}` of {what} is new", header.name),
            about,
        );
    }
}
