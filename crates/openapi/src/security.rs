//! Security schemes and requirements.

use std::collections::HashSet;

use base::Diagnostic;
use indexmap::IndexMap;
use tree::{Node, Object};

use crate::model::{Dialect, Location, SchemeKind, SchemeUse, Scope, Security, SecurityScheme};
use crate::reader::{Reader, Trail};

/// The declared schemes by name; nothing for one that cannot be read, so that its uses are no further problem.
pub(crate) struct Schemes(IndexMap<String, Option<Declared>>);

struct Declared {
    scheme: SecurityScheme,
    scopes: HashSet<String>,
}

impl Schemes {
    pub(crate) fn into_list(self) -> Vec<SecurityScheme> {
        self.0
            .into_values()
            .flatten()
            .map(|declared| declared.scheme)
            .collect()
    }
}

/// Reads all declared schemes.
pub(crate) fn schemes<'t>(reader: &mut Reader<'t>, root: &'t Object) -> Schemes {
    let top = Trail::Base("");
    let components = Trail::Key(&top, "components");
    let (parent, key) = if reader.dialect() == Dialect::V2 {
        (Some((root, &top)), "securityDefinitions")
    } else {
        (
            reader
                .member(root, "components", &top)
                .map(|object| (object, &components)),
            "securitySchemes",
        )
    };
    let mut schemes = Schemes(IndexMap::new());
    let Some((parent, trail)) = parent else {
        return schemes;
    };
    let list_trail = Trail::Key(trail, key);
    for entry in reader.member(parent, key, trail).into_iter().flatten() {
        if !reader.pay(entry.key.len()) {
            break;
        }
        let read = scheme(
            reader,
            &entry.key,
            &entry.node,
            &Trail::Key(&list_trail, &entry.key),
        );
        let declared = read.map(|scheme| {
            let scopes = scheme
                .scopes
                .iter()
                .map(|scope| scope.name.clone())
                .collect();
            Declared { scheme, scopes }
        });
        schemes.0.insert(entry.key.clone(), declared);
    }
    schemes
}

fn scheme<'t>(
    reader: &mut Reader<'t>,
    name: &str,
    node: &'t Node,
    trail: &Trail<'_>,
) -> Option<SecurityScheme> {
    let reference = node.get("$ref").and_then(Node::as_str);
    if let Some(reference) = reference.filter(|text| !text.starts_with('#')) {
        unread(reader, reference, trail);
        return None;
    }
    let (object, place) = reader.resolve(node, trail)?;
    let target = place.as_deref().map(Trail::Base);
    let trail = target.as_ref().unwrap_or(trail);
    let kind = kind(reader, object, trail)?;
    let scopes = if kind == SchemeKind::OAuth2 {
        declared_scopes(reader, object, trail)
    } else {
        Vec::new()
    };
    Some(SecurityScheme {
        name: name.to_owned(),
        kind,
        scopes,
    })
}

/// A scheme in another file stays unknown.
fn unread(reader: &mut Reader<'_>, reference: &str, trail: &Trail<'_>) {
    let words = || {
        let shown: String = reference.chars().take(200).collect();
        let message = format!(
            "`{shown}` leads into another file, which is not read; the scheme stays unknown"
        );
        (
            message,
            Some("bundle the definition into one file".to_owned()),
        )
    };
    reader.report("unread-reference", &Trail::Key(trail, "$ref"), words);
}

fn kind<'t>(reader: &mut Reader<'t>, object: &'t Object, trail: &Trail<'_>) -> Option<SchemeKind> {
    let kind = required(reader, object, "type", trail)?;
    let version_2 = reader.dialect() == Dialect::V2;
    Some(match kind {
        "apiKey" => return api_key(reader, object, trail),
        "basic" if version_2 => SchemeKind::Http("basic".to_owned()),
        "http" if !version_2 => {
            SchemeKind::Http(required(reader, object, "scheme", trail)?.to_ascii_lowercase())
        }
        "oauth2" => SchemeKind::OAuth2,
        "openIdConnect" if !version_2 => SchemeKind::OpenIdConnect,
        "mutualTLS" if !version_2 => SchemeKind::MutualTls,
        _ => {
            let problem = Diagnostic::error(
                "unknown-value",
                Trail::Key(trail, "type").pointer(),
                "unknown type of a security scheme",
            );
            let known = if version_2 {
                "basic, apiKey and oauth2"
            } else {
                "apiKey, http, oauth2, openIdConnect and mutualTLS"
            };
            reader.record(problem.mend(format!("known are {known}")));
            return None;
        }
    })
}

fn api_key<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    trail: &Trail<'_>,
) -> Option<SchemeKind> {
    let parameter = required(reader, object, "name", trail);
    let location = required(reader, object, "in", trail).and_then(Location::parse);
    let usual = [Location::Query, Location::Header, Location::Cookie];
    if !location.is_some_and(|location| usual.contains(&location)) {
        let problem = Diagnostic::error(
            "unknown-value",
            Trail::Key(trail, "in").pointer(),
            "unknown place of an API key",
        );
        reader.record(problem.mend("known are query, header and cookie"));
    }
    Some(SchemeKind::ApiKey {
        location: location?,
        parameter: parameter?.to_owned(),
    })
}

/// A text that must be there.
fn required<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    key: &str,
    trail: &Trail<'_>,
) -> Option<&'t str> {
    if object.get(key).is_none() {
        let problem = Diagnostic::error(
            "missing-key",
            trail.pointer(),
            format!("`{key}` is missing"),
        );
        reader.record(problem.mend(format!("add `{key}`")));
    }
    reader.string(object, key, trail)
}

/// The scopes of all flows; of the scheme itself in Swagger 2.0.
fn declared_scopes<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    trail: &Trail<'_>,
) -> Vec<Scope> {
    let mut scopes: IndexMap<String, String> = IndexMap::new();
    let flows_trail = Trail::Key(trail, "flows");
    if reader.dialect() == Dialect::V2 {
        scopes_of(reader, object, trail, &mut scopes);
    } else {
        for entry in reader.member(object, "flows", trail).into_iter().flatten() {
            if entry.key.starts_with("x-") {
                continue;
            }
            let trail = Trail::Key(&flows_trail, &entry.key);
            if let Some(flow) = reader.object(&entry.node, &trail) {
                scopes_of(reader, flow, &trail, &mut scopes);
            }
        }
    }
    scopes
        .into_iter()
        .map(|(name, description)| Scope { name, description })
        .collect()
}

fn scopes_of<'t>(
    reader: &mut Reader<'t>,
    flow: &'t Object,
    trail: &Trail<'_>,
    scopes: &mut IndexMap<String, String>,
) {
    let scopes_trail = Trail::Key(trail, "scopes");
    for entry in reader.member(flow, "scopes", trail).into_iter().flatten() {
        // In Swagger 2.0 extensions stand among the scopes.
        if entry.key.starts_with("x-") {
            continue;
        }
        let description = reader
            .text(&entry.node, &Trail::Key(&scopes_trail, &entry.key))
            .unwrap_or_default();
        if !reader.pay(entry.key.len() + description.len()) {
            break;
        }
        scopes
            .entry(entry.key.clone())
            .or_insert_with(|| description.to_owned());
    }
}

/// Reads `security` of a definition or operation; nothing where it says nothing, or where it is faulty.
pub(crate) fn requirement<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    trail: &Trail<'_>,
    schemes: &Schemes,
) -> Option<Security> {
    let node = object.get("security")?;
    let trail = Trail::Key(trail, "security");
    let items = reader.array(node, &trail)?;
    let mut alternatives = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let trail = Trail::Item(&trail, index);
        if !reader.pay(0) {
            break;
        }
        let Some(object) = item.as_object() else {
            alternatives.push(vec![faulty(reader, item, &trail)]);
            continue;
        };
        alternatives.push(
            object
                .iter()
                .filter_map(|entry| scheme_use(reader, object, &entry.key, &trail, schemes))
                .collect(),
        );
    }
    let open = alternatives.iter().all(Vec::is_empty);
    Some(if open {
        Security::Open
    } else {
        Security::Any(alternatives)
    })
}

/// An alternative that nobody can read is a way in for nobody: left out, it could leave the operation open.
fn faulty(reader: &mut Reader<'_>, item: &Node, trail: &Trail<'_>) -> SchemeUse {
    let words = || {
        let message = format!("expected a mapping, found {}", item.kind());
        (
            message,
            Some("write the scheme's name, a colon, a space and a list: `name: []`".to_owned()),
        )
    };
    reader.report("faulty-requirement", trail, words);
    SchemeUse {
        scheme: String::new(),
        scopes: Vec::new(),
        token: false,
    }
}

/// The scopes of a requirement. What should be a list and is a word, is taken for one scope: it must not open a door.
fn required_scopes<'t>(
    reader: &mut Reader<'t>,
    requirement: &'t Object,
    name: &str,
    trail: &Trail<'_>,
) -> Vec<String> {
    match requirement.get(name) {
        Some(node) if node.as_array().is_none() => {
            let words = || {
                let message = format!("expected a list of scopes, found {}", node.kind());
                (
                    message,
                    Some("put it in brackets; `[]` = no scope".to_owned()),
                )
            };
            reader.report("faulty-requirement", &Trail::Key(trail, name), words);
            let scope = node
                .as_str()
                .filter(|scope| !scope.is_empty() && reader.pay(scope.len()));
            scope.into_iter().map(str::to_owned).collect()
        }
        _ => reader.texts(requirement, name, trail),
    }
}

fn scheme_use<'t>(
    reader: &mut Reader<'t>,
    requirement: &'t Object,
    name: &str,
    trail: &Trail<'_>,
    schemes: &Schemes,
) -> Option<SchemeUse> {
    let scopes = required_scopes(reader, requirement, name, trail);
    let place = || Trail::Key(trail, name).pointer();
    let declared = schemes.0.get(name);
    if declared.is_none() {
        let parent = if reader.dialect() == Dialect::V2 {
            "`securityDefinitions`"
        } else {
            "`components/securitySchemes`"
        };
        let warning = Diagnostic::warning(
            "unknown-scheme",
            place(),
            "the security scheme is not declared",
        );
        reader.record(warning.mend(format!("declare it under {parent}")));
    }
    let declared = declared.and_then(Option::as_ref);
    // What is not known must not open a door: where scopes are named, a token has to hold them.
    let token = declared.map_or(!scopes.is_empty(), |declared| {
        matches!(
            declared.scheme.kind,
            SchemeKind::OAuth2 | SchemeKind::OpenIdConnect
        )
    });
    if let Some(declared) = declared
        && declared.scheme.kind == SchemeKind::OAuth2
        && let Some(unknown) = scopes
            .iter()
            .find(|scope| !declared.scopes.contains(*scope))
    {
        let shown: String = unknown.chars().take(200).collect();
        let message = format!("the scope `{shown}` is not declared by the security scheme");
        reader.record(
            Diagnostic::warning("unknown-scope", place(), message)
                .mend("declare it, or mend its name"),
        );
    }
    reader.pay(name.len()).then(|| SchemeUse {
        scheme: name.to_owned(),
        scopes,
        token,
    })
}

/// What an inherited requirement costs to copy.
pub(crate) fn cost(security: &Security) -> usize {
    let Security::Any(alternatives) = security else {
        return 0;
    };
    let uses = alternatives.iter().flatten();
    let of_use = |scheme_use: &SchemeUse| {
        scheme_use.scheme.len()
            + scheme_use
                .scopes
                .iter()
                .map(|scope| scope.len() + 32)
                .sum::<usize>()
            + 64
    };
    uses.map(of_use).sum::<usize>() + alternatives.len() * 32
}
