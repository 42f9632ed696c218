//! The variables of servers, wherever servers are named.

use tree::{Node, Object};

use super::shown;
use crate::reader::{Reader, Trail};

/// Holds the variables of each server against its URL and their words.
pub(super) fn check<'t>(reader: &mut Reader<'t>, object: &'t Object, trail: &Trail<'_>) {
    let servers = object.get("servers").and_then(Node::as_array);
    let servers_trail = Trail::Key(trail, "servers");
    for (index, server) in servers.into_iter().flatten().enumerate() {
        let trail = Trail::Item(&servers_trail, index);
        let url = server.get("url").and_then(Node::as_str).unwrap_or_default();
        let variables = server.get("variables").and_then(Node::as_object);
        let variables_trail = Trail::Key(&trail, "variables");
        for entry in variables.into_iter().flatten() {
            let trail = Trail::Key(&variables_trail, &entry.key);
            if !uses(url, &entry.key) {
                let words = || {
                    let message =
                        format!("the URL does not use the variable `{}`", shown(&entry.key));
                    (
                        message,
                        Some("remove it, or write it into the URL in braces".to_owned()),
                    )
                };
                reader.report("unused-server-variable", &trail, words);
            }
            default(reader, &entry.node, &trail);
        }
    }
}

fn uses(url: &str, variable: &str) -> bool {
    url.match_indices(variable)
        .any(|(at, _)| url[..at].ends_with('{') && url[at + variable.len()..].starts_with('}'))
}

fn default<'t>(reader: &mut Reader<'t>, variable: &'t Node, trail: &Trail<'_>) {
    let words = variable.get("enum").and_then(Node::as_array);
    let default = variable.get("default").and_then(Node::as_str);
    let (Some(words), Some(default)) = (words, default) else {
        return;
    };
    // An empty list is what the schema complains about.
    if words.is_empty() || words.iter().any(|word| word.as_str() == Some(default)) {
        return;
    }
    let say = || {
        let message = format!("the default `{}` is none of `enum`", shown(default));
        (message, Some("add it there, or choose another".to_owned()))
    };
    reader.report("server-default", &Trail::Key(trail, "default"), say);
}
