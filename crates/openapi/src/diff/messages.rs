//! Bodies and answers.

use tree::Node;

use crate::calls::{Body, Call, Field, Media, Response};
use crate::diff::rules;
use crate::diff::schemas::Where;
use crate::diff::{About, Comparison};
use crate::schema::Direction;

/// Compares the bodies that are sent.
pub(super) fn body<'t>(c: &mut Comparison<'t>, old: Option<&Body<'t>>, new: Option<&Body<'t>>) {
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

/// Compares the answers.
pub(super) fn responses<'t>(c: &mut Comparison<'t>, old: &Call<'t>, new: &Call<'t>) {
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
