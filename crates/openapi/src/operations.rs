//! Paths, operations and parameters.

use std::collections::{HashMap, HashSet};

use base::Diagnostic;
use tree::{Entry, Node, Object};

use crate::model::{Dialect, Location, Method, Operation, Parameter, Security};
use crate::reader::{Reader, Trail};
use crate::security::{self, Schemes};
use crate::template::{Template, TemplateError};

/// What operations take from the definition around them.
struct Around<'a> {
    schemes: &'a Schemes,
    inherited: Option<&'a Security>,
}

/// What was read so far.
#[derive(Default)]
struct Seen {
    operations: Vec<Operation>,
    /// The first path by normalised template.
    templates: HashMap<String, String>,
    /// The first place by `operationId`.
    ids: HashMap<String, String>,
}

/// A path item under its template.
struct Path<'a> {
    template: &'a Template,
    routable: bool,
    parameters: Vec<Parameter>,
}

/// Reads `paths`. Operations whose template no request can match are checked, and left out with a warning.
pub(crate) fn read<'t>(
    reader: &mut Reader<'t>,
    root: &'t Object,
    schemes: &Schemes,
    inherited: Option<&Security>,
) -> Vec<Operation> {
    let around = Around { schemes, inherited };
    let mut seen = Seen::default();
    let top = Trail::Base("");
    let trail = Trail::Key(&top, "paths");
    for entry in reader.member(root, "paths", &top).into_iter().flatten() {
        if entry.key.starts_with("x-") {
            continue;
        }
        if !reader.pay(entry.key.len()) {
            break;
        }
        read_path(
            reader,
            entry,
            &Trail::Key(&trail, &entry.key),
            &around,
            &mut seen,
        );
    }
    seen.operations
}

fn read_path<'t>(
    reader: &mut Reader<'t>,
    entry: &'t Entry,
    trail: &Trail<'_>,
    around: &Around<'_>,
    seen: &mut Seen,
) {
    let template = match Template::parse(&entry.key) {
        Ok(template) => template,
        Err(error) => {
            let problem = Diagnostic::error("path-template", trail.pointer(), error.to_string());
            reader.record(problem.mend(template_mend(error)));
            return;
        }
    };
    let unroutable = template.unroutable();
    if let Some(reason) = unroutable {
        let message =
            format!("no request can match this path, its operations are left out: {reason}");
        reader.record(Diagnostic::warning(
            "unroutable-path",
            trail.pointer(),
            message,
        ));
    } else if let Some(first) = seen
        .templates
        .insert(template.normalised(), entry.key.clone())
    {
        let shown: String = first.chars().take(200).collect();
        let message =
            format!("the path differs from `{shown}` in the names of its parameters only");
        let problem = Diagnostic::error("duplicate-path", trail.pointer(), message);
        reader.record(problem.mend("join the two path items"));
    }
    let layers = reader.layers(&entry.node, trail);
    let mut path = Path {
        template: &template,
        routable: unroutable.is_none(),
        parameters: Vec::new(),
    };
    for (object, place) in &layers {
        let own = read_parameters(reader, object, &Trail::Base(place));
        path.parameters = merged(reader, std::mem::take(&mut path.parameters), &own);
    }
    let mut methods = HashSet::new();
    for (object, place) in &layers {
        for entry in *object {
            if !reader.pay(0) {
                return;
            }
            let trail = Trail::Base(place);
            match method_of(reader, &entry.key, &trail) {
                // What stands beside a `$ref` wins over its target.
                Some(method) if methods.insert(method) => {
                    read_operation(
                        reader,
                        (method, entry),
                        &Trail::Key(&trail, &entry.key),
                        &path,
                        around,
                        seen,
                    );
                }
                _ => {}
            }
        }
    }
}

fn template_mend(error: TemplateError) -> &'static str {
    match error {
        TemplateError::NoSlash => "put a `/` before it",
        TemplateError::Open => "close the parameter: `{id}`",
        TemplateError::Close => "open the parameter: `{id}`",
        TemplateError::Nested => "write one pair of braces around each name",
        TemplateError::NoName => "give it a name: `{id}`",
        TemplateError::Twice => "give each parameter a name of its own",
    }
}

/// The method that a key of a path item names. A key that means nothing gets a warning: it may be a method misspelt.
fn method_of(reader: &mut Reader<'_>, key: &str, trail: &Trail<'_>) -> Option<Method> {
    let version_2 = reader.dialect() == Dialect::V2;
    let method = Method::from_key(key).filter(|method| match method {
        Method::Trace => !version_2,
        Method::Query => reader.dialect() == Dialect::V3_1,
        _ => true,
    });
    let known = matches!(key, "$ref" | "parameters")
        || key.starts_with("x-")
        || (!version_2 && matches!(key, "summary" | "description" | "servers"));
    if method.is_none() && !known {
        let warning = if key == "additionalOperations" {
            Diagnostic::warning(
                "unserved-methods",
                trail.pointer(),
                "`additionalOperations` are not served",
            )
        } else {
            let message =
                "this key of the path means nothing in this version of OpenAPI and is ignored";
            Diagnostic::warning("unknown-key", Trail::Key(trail, key).pointer(), message)
                .mend("methods are in lower case; extensions begin with `x-`")
        };
        reader.record(warning);
    }
    method
}

fn read_operation<'t>(
    reader: &mut Reader<'t>,
    (method, entry): (Method, &'t Entry),
    trail: &Trail<'_>,
    path: &Path<'_>,
    around: &Around<'_>,
    seen: &mut Seen,
) {
    let Some(object) = reader.object(&entry.node, trail) else {
        return;
    };
    let pointer = trail.pointer();
    let id = reader
        .string(object, "operationId", trail)
        .map(str::to_owned);
    let summary = reader.string(object, "summary", trail).map(str::to_owned);
    let tags = reader.texts(object, "tags", trail);
    let deprecated = reader.flag(object, "deprecated", trail);
    let own = read_parameters(reader, object, trail);
    let parameters = merged(reader, own, &path.parameters);
    check_parameters(reader, path.template, &parameters, trail);
    check_body(reader, (method, object), &parameters, trail);
    let security = match security::requirement(reader, object, trail, around.schemes) {
        Some(own) => own,
        None => around.inherited.cloned().unwrap_or(Security::Unspecified),
    };
    let texts = id.as_ref().map_or(0, String::len) + summary.as_ref().map_or(0, String::len);
    let copied =
        path.template.as_str().len() * 2 + pointer.len() + texts + security::cost(&security);
    if !reader.pay(copied) {
        return;
    }
    if let Some(id) = &id
        && path.routable
        && let Some(first) = seen.ids.insert(id.clone(), pointer.clone())
    {
        let shown: String = id.chars().take(200).collect();
        let message = format!("the operationId `{shown}` is used before, at {first}");
        let problem = Diagnostic::warning(
            "duplicate-operation-id",
            Trail::Key(trail, "operationId").pointer(),
            message,
        );
        reader.record(problem.mend("give each operation an id of its own"));
    }
    if path.routable {
        let (template, position) = (path.template.clone(), entry.key_position);
        let operation = Operation {
            method,
            template,
            id,
            summary,
            tags,
            deprecated,
            parameters,
            security,
            pointer,
            position,
        };
        seen.operations.push(operation);
    }
}

/// Reads the list `parameters` of a path item or operation, references followed.
fn read_parameters<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    trail: &Trail<'_>,
) -> Vec<Parameter> {
    let Some(node) = object.get("parameters") else {
        return Vec::new();
    };
    let trail = Trail::Key(trail, "parameters");
    let mut parameters = Vec::new();
    let mut known = HashSet::new();
    for (index, item) in reader
        .array(node, &trail)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let trail = Trail::Item(&trail, index);
        if !reader.pay(0) {
            break;
        }
        let Some((object, place)) = reader.resolve(item, &trail) else {
            continue;
        };
        let target = place.as_deref().map(Trail::Base);
        let Some(parameter) = read_parameter(reader, object, target.as_ref().unwrap_or(&trail))
        else {
            continue;
        };
        if known.insert((parameter.name.clone(), parameter.location)) {
            parameters.push(parameter);
        } else {
            let problem = Diagnostic::error(
                "duplicate-parameter",
                trail.pointer(),
                "the list has this parameter before",
            );
            reader.record(problem.mend("keep one of the two"));
        }
    }
    parameters
}

fn read_parameter<'t>(
    reader: &mut Reader<'t>,
    object: &'t Object,
    trail: &Trail<'_>,
) -> Option<Parameter> {
    for key in ["name", "in"] {
        if object.get(key).is_none() {
            let problem = Diagnostic::error(
                "missing-key",
                trail.pointer(),
                format!("the parameter has no `{key}`"),
            );
            reader.record(problem.mend(format!("add `{key}`")));
        }
    }
    let name = reader.string(object, "name", trail);
    let place = reader.string(object, "in", trail);
    let required = reader.flag(object, "required", trail);
    let (name, place) = (name?, place?);
    let version_2 = reader.dialect() == Dialect::V2;
    let location = Location::parse(place).filter(|location| match location {
        Location::Body | Location::Form => version_2,
        Location::Cookie | Location::QueryString => !version_2,
        Location::Path | Location::Query | Location::Header => true,
    });
    let Some(location) = location else {
        let problem = Diagnostic::error(
            "unknown-value",
            Trail::Key(trail, "in").pointer(),
            "unknown place of a parameter",
        );
        let known = if version_2 {
            "path, query, header, formData and body"
        } else {
            "path, query, header and cookie"
        };
        reader.record(problem.mend(format!("known are {known}")));
        return None;
    };
    let required = required || location == Location::Path;
    reader.pay(name.len()).then(|| Parameter {
        name: name.to_owned(),
        location,
        required,
    })
}

/// The own parameters and those of the others that they do not override.
fn merged(reader: &mut Reader<'_>, own: Vec<Parameter>, others: &[Parameter]) -> Vec<Parameter> {
    let known: HashSet<(String, Location)> = own
        .iter()
        .map(|parameter| (parameter.name.clone(), parameter.location))
        .collect();
    let mut all = own;
    for other in others {
        if !reader.pay(other.name.len()) {
            break;
        }
        if !known.contains(&(other.name.clone(), other.location)) {
            all.push(other.clone());
        }
    }
    all
}

/// Holds the parameters of the template against those that are declared (OpenAPI 3.1.1 §4.8.8.2).
fn check_parameters(
    reader: &mut Reader<'_>,
    template: &Template,
    parameters: &[Parameter],
    trail: &Trail<'_>,
) {
    let declared: HashSet<&str> = parameters
        .iter()
        .filter(|parameter| parameter.location == Location::Path)
        .map(|parameter| parameter.name.as_str())
        .collect();
    let used: HashSet<&str> = template.parameters().collect();
    for name in template
        .parameters()
        .filter(|name| !declared.contains(name))
    {
        let shown: String = name.chars().take(200).collect();
        let message = format!("the path's parameter `{shown}` is not declared");
        let mend = format!("add to `parameters`: name `{shown}`, in path, required true");
        reader.record(
            Diagnostic::warning("undeclared-parameter", trail.pointer(), message).mend(mend),
        );
    }
    let unused = parameters
        .iter()
        .filter(|parameter| parameter.location == Location::Path);
    for parameter in unused.filter(|parameter| !used.contains(parameter.name.as_str())) {
        let shown: String = parameter.name.chars().take(200).collect();
        let message =
            format!("the path parameter `{shown}` is declared, but the path does not use it");
        reader.record(Diagnostic::warning(
            "unused-parameter",
            trail.pointer(),
            message,
        ));
    }
}

/// Bodies and forms of Swagger 2.0, which are parameters there.
fn check_body(
    reader: &mut Reader<'_>,
    (method, operation): (Method, &Object),
    parameters: &[Parameter],
    trail: &Trail<'_>,
) {
    let count = |location| {
        let there = parameters.iter().filter(|one| one.location == location);
        there.count()
    };
    let (bodies, forms) = (count(Location::Body), count(Location::Form));
    if bodies + forms == 0 {
        return;
    }
    if bodies > 1 {
        let words = || {
            (
                "the operation has several bodies".to_owned(),
                Some("keep one, of one schema".to_owned()),
            )
        };
        reader.report("several-bodies", trail, words);
    }
    if bodies > 0 && forms > 0 {
        let words = || {
            let message = "the operation has a body and a form".to_owned();
            (
                message,
                Some("send all of it `in: formData`, or all of it `in: body`".to_owned()),
            )
        };
        reader.report("body-and-form", trail, words);
    }
    if matches!(method, Method::Get | Method::Head | Method::Delete) {
        let words = || {
            let message = format!("the body of a {method} has no meaning in HTTP");
            (
                message,
                Some("use parameters, or another method".to_owned()),
            )
        };
        reader.report("body-of-get", trail, words);
    }
    let consumes = operation
        .get("consumes")
        .or_else(|| reader.root().get("consumes"));
    let mut consumes = consumes.and_then(Node::as_array).into_iter().flatten();
    let is_form = |media: &Node| {
        media.as_str().is_some_and(|media| {
            let media = media.to_ascii_lowercase();
            media.starts_with("multipart/")
                || media.starts_with("application/x-www-form-urlencoded")
        })
    };
    if forms > 0 && !consumes.any(is_form) {
        let words = || {
            let mend = "add `multipart/form-data` or `application/x-www-form-urlencoded` to it";
            ("`consumes` names no form".to_owned(), Some(mend.to_owned()))
        };
        reader.report("form-consumes", trail, words);
    }
}
