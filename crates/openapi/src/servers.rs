//! Where the API is served: `servers`, or `schemes`, `host` and `basePath` in Swagger 2.0.

use base::Diagnostic;
use tree::Object;

use crate::model::Dialect;
use crate::reader::{Reader, Trail};

/// All URLs, variables replaced by their defaults.
pub(crate) fn read<'t>(reader: &mut Reader<'t>, root: &'t Object) -> Vec<String> {
    if reader.dialect() == Dialect::V2 {
        version_2(reader, root)
    } else {
        version_3(reader, root)
    }
}

fn version_2<'t>(reader: &mut Reader<'t>, root: &'t Object) -> Vec<String> {
    let top = Trail::Base("");
    let host = reader.string(root, "host", &top);
    let base_path = reader.string(root, "basePath", &top);
    let mut schemes = reader.texts(root, "schemes", &top);
    match (host, base_path) {
        (None, None) => Vec::new(),
        (None, Some(path)) => vec![path.to_owned()],
        (Some(host), path) => {
            if schemes.is_empty() {
                schemes.push("https".to_owned());
            }
            let path = path.unwrap_or_default();
            let mut urls = Vec::new();
            for scheme in schemes {
                if reader.pay(scheme.len() + host.len() + path.len()) {
                    urls.push(format!("{scheme}://{host}{path}"));
                }
            }
            urls
        }
    }
}

fn version_3<'t>(reader: &mut Reader<'t>, root: &'t Object) -> Vec<String> {
    let top = Trail::Base("");
    let trail = Trail::Key(&top, "servers");
    let Some(node) = root.get("servers") else {
        return Vec::new();
    };
    let Some(items) = reader.array(node, &trail) else {
        return Vec::new();
    };
    let mut urls = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let trail = Trail::Item(&trail, index);
        let Some(server) = reader.object(item, &trail) else {
            continue;
        };
        if server.get("url").is_none() {
            let problem =
                Diagnostic::error("missing-key", trail.pointer(), "the server has no `url`");
            reader.record(problem.mend("add `url`"));
        }
        let variables = reader.member(server, "variables", &trail);
        if let Some(url) = reader.string(server, "url", &trail) {
            urls.extend(substitute(reader, url, variables, &trail));
        }
    }
    urls
}

/// Replaces `{name}` by the default of the variable. A URL that cannot be completed is left out with a warning.
fn substitute<'t>(
    reader: &mut Reader<'t>,
    url: &str,
    variables: Option<&'t Object>,
    trail: &Trail<'_>,
) -> Option<String> {
    let variables_trail = Trail::Key(trail, "variables");
    let mut complete = String::new();
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        let name = after.split_once('}').map(|(name, remainder)| {
            rest = remainder;
            name
        });
        let variable = name.and_then(|name| variables?.get(name));
        let Some((name, variable)) = name.zip(variable) else {
            let message = "the URL has a variable that is not declared; this server is left out";
            let problem = Diagnostic::warning(
                "server-variable",
                Trail::Key(trail, "url").pointer(),
                message,
            );
            reader.record(problem.mend("declare it under `variables` with a `default`"));
            return None;
        };
        let place = Trail::Key(&variables_trail, name);
        let variable = reader.object(variable, &place)?;
        let Some(default) = reader.string(variable, "default", &place) else {
            if variable.get("default").is_none() {
                let problem = Diagnostic::error(
                    "missing-key",
                    place.pointer(),
                    "the variable has no `default`",
                );
                reader.record(problem.mend("add `default`"));
            }
            return None;
        };
        if !reader.pay(before.len() + default.len()) {
            return None;
        }
        complete.push_str(before);
        complete.push_str(default);
    }
    complete.push_str(rest);
    Some(complete)
}
