//! What a caller must present.

use std::collections::BTreeSet;

use tree::Node;

use crate::calls::Text;
use crate::diff::rules;
use crate::diff::{About, Comparison};

/// One way in: all of these schemes with their scopes. Empty for anonymous callers.
#[derive(Clone, PartialEq, Eq)]
struct Alternative {
    schemes: Vec<Scheme>,
}

/// A scheme as callers see it, whatever its name is.
#[derive(Clone, PartialEq, Eq)]
struct Scheme {
    name: String,
    /// What it is: `apiKey header X-Key`, `http bearer`, `oauth2`.
    identity: String,
    scopes: BTreeSet<String>,
}

impl Alternative {
    fn has(&self, identity: &str) -> Option<&Scheme> {
        self.schemes
            .iter()
            .find(|scheme| scheme.identity == identity)
    }

    /// Whether who presents `other` presents this too, scopes left out of account.
    fn schemes_within(&self, other: &Self) -> bool {
        self.schemes
            .iter()
            .all(|scheme| other.has(&scheme.identity).is_some())
    }

    /// Whether who presents `other` presents this too.
    fn within(&self, other: &Self) -> bool {
        self.schemes.iter().all(|scheme| {
            other
                .has(&scheme.identity)
                .is_some_and(|theirs| scheme.scopes.is_subset(&theirs.scopes))
        })
    }

    fn shown(&self) -> String {
        let schemes = self.schemes.iter().map(|scheme| {
            if scheme.scopes.is_empty() {
                scheme.name.clone()
            } else {
                let scopes: Vec<&str> = scheme.scopes.iter().map(String::as_str).collect();
                format!("{} ({})", scheme.name, scopes.join(", "))
            }
        });
        let all: Vec<String> = schemes.collect();
        if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(" and ")
        }
    }
}

/// The place that says it, and the ways in; one empty way where anonymous callers are let in and nobody else.
fn alternatives<'t>(text: &Text<'t>, operation: &'t Node) -> (&'t Node, Vec<Alternative>) {
    let own = operation.get("security");
    let node = own.or_else(|| text.root.get("security"));
    let list = node.and_then(Node::as_array).unwrap_or_default();
    let mut all: Vec<Alternative> = Vec::new();
    for item in list {
        let mut schemes = Vec::new();
        for entry in item.as_object().into_iter().flatten() {
            let scopes = entry.node.as_array().unwrap_or_default().iter();
            schemes.push(Scheme {
                name: entry.key.clone(),
                identity: identity(text, &entry.key),
                scopes: scopes.filter_map(Node::as_str).map(str::to_owned).collect(),
            });
        }
        all.push(Alternative { schemes });
    }
    if all.is_empty() {
        all.push(Alternative {
            schemes: Vec::new(),
        });
    }
    (node.unwrap_or(operation), all)
}

/// What makes a scheme the same to callers, over dialects.
fn identity(text: &Text<'_>, name: &str) -> String {
    let holder = text
        .root
        .get("components")
        .and_then(|components| components.get("securitySchemes"));
    let Some(node) = holder
        .or_else(|| text.root.get("securityDefinitions"))
        .and_then(|schemes| schemes.get(name))
        .map(|node| text.resolve(node))
    else {
        return format!("unknown {name}");
    };
    let member = |key| node.get(key).and_then(Node::as_str).unwrap_or_default();
    match member("type") {
        "apiKey" if member("in") == "header" => {
            format!("apiKey header {}", member("name").to_ascii_lowercase())
        }
        "apiKey" => format!("apiKey {} {}", member("in"), member("name")),
        "basic" => "http basic".to_owned(),
        "http" => format!("http {}", member("scheme").to_ascii_lowercase()),
        kind => kind.to_owned(),
    }
}

/// Compares what two operations demand.
pub(super) fn compare<'t>(c: &mut Comparison<'t>, old: &'t Node, new: &'t Node) {
    let (old_node, before) = alternatives(&c.old, old);
    let (new_node, after) = alternatives(&c.new, new);
    let about = About::both(old_node, new_node);
    let anonymous = |list: &[Alternative]| list.iter().any(|way| way.schemes.is_empty());
    match (anonymous(&before), anonymous(&after)) {
        (true, false) => {
            let ways: Vec<String> = after.iter().map(Alternative::shown).collect();
            let about = about.clone().values("nothing", ways.join(" or "));
            c.tell(
                &rules::SECURITY_REQUIRED,
                "callers must now authenticate".to_owned(),
                about,
            );
        }
        (false, true) => {
            let message = "callers need no longer authenticate".to_owned();
            c.tell(&rules::SECURITY_DROPPED, message, about.clone());
        }
        _ => {}
    }
    for way in before.iter().filter(|way| !way.schemes.is_empty()) {
        if after.iter().any(|other| other.within(way)) {
            continue;
        }
        let more = after.iter().find(|other| other.schemes_within(way));
        let after = more.map_or_else(String::new, Alternative::shown);
        let about = about.clone().values(way.shown(), after);
        if more.is_some() {
            let message = format!(
                "{} no longer suffices, further scopes are needed",
                way.shown()
            );
            c.tell(&rules::SECURITY_SCOPE_ADDED, message, about);
        } else {
            let message = format!("{} no longer lets callers in", way.shown());
            c.tell(&rules::SECURITY_ALTERNATIVE_REMOVED, message, about);
        }
    }
    for way in after
        .iter()
        .filter(|way| !way.schemes.is_empty() && !anonymous(&before))
    {
        if before
            .iter()
            .any(|other| way.schemes_within(other) && other.schemes_within(way))
        {
            let fewer = before
                .iter()
                .any(|other| way.within(other) && !other.within(way));
            if fewer && !before.contains(way) {
                let message = format!("{} now suffices, with fewer scopes", way.shown());
                c.tell(&rules::SECURITY_SCOPE_REMOVED, message, about.clone());
            }
            continue;
        }
        let message = format!("{} lets callers in", way.shown());
        c.tell(&rules::SECURITY_ALTERNATIVE_ADDED, message, about.clone());
    }
}
