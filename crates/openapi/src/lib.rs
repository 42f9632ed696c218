//! Reads API definitions: Swagger 2.0, OpenAPI 3.0 and 3.1 (3.2 by the rules of 3.1, with its `query` method), YAML or JSON.
//!
//! [`read`] makes what the platform serves from: operations with their templates, parameters, scopes, and the servers.
//! It refuses only what nobody could serve, so that what was accepted once is never refused later. [`check`] decides
//! whether a definition is accepted: it reads it, and holds it against the official JSON schema and all [`RULES`].
//!
//! Invariant: the work is bounded by [`tree::Limits`] alone. `$ref` lets a short text name a large part many times, so
//! everything that is copied out of the tree is paid from a budget of four times `bytes_max`.
//!
//! A definition of several files ([`Files`]) travels as one text ([`Files::pack`]) and is brought together into one tree
//! ([`bundle()`]) before anything else looks at it. A `$ref` to a file that nobody sent is an error where it must be
//! followed (path items, parameters), a warning for security schemes, and left alone elsewhere.
//!
//! Knows nothing of documents, routing order, gateways, folders or the network.
//! Start reading at [`read`], then [`Definition`].

mod bundle;
mod calls;
mod checks;
pub mod diff;
mod files;
pub mod mock;
mod model;
mod official;
mod operations;
mod reader;
mod reference;
mod root;
pub mod rules;
mod schema;
mod security;
mod servers;
mod shape;
mod template;
#[cfg(test)]
mod tests;

use base::{Diagnostic, Diagnostics};
use tree::{Limits, Node, Value};

pub use crate::bundle::{Bundled, bundle};
pub use crate::checks::passwords::is_written_secret;
pub use crate::diff::diff;
pub use crate::files::{FILES_MAX, Files, FilesError, Gathering, check_name};
use crate::model::Edition;
pub use crate::model::{
    Definition, Dialect, Location, Method, Operation, Parameter, SchemeKind, SchemeUse, Scope,
    Security, SecurityScheme, UnknownMethod,
};
use crate::reader::{Purpose, Reader, Trail};
pub use crate::reference::external_refs;
pub use crate::root::{RootError, root_of};
pub use crate::rules::{RULES, Rule, RuleError, Rules};
pub use crate::template::{Part, Segment, Template, TemplateError};

/// Extensions by which a definition shows that another gateway served it.
const MIGRATED: &str = "x-wso2-";

/// A definition that was read, with what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The definition.
    pub definition: Definition,
    /// What is odd in it, but does not hinder serving it.
    pub warnings: Diagnostics,
    /// The text as it was read: for those who look for more in it (extensions), at the pointers of the definition.
    pub source: Bundled,
}

/// Reads a definition to serve it, of one file or packed ([`Files::pack`]). Without `paths` it has no operations.
///
/// # Errors
/// What makes it unfit to be served (at most `limits.problems_max` problems), each with pointer, line, column and,
/// where there is one, the mend.
pub fn read(text: &str, limits: &Limits) -> Result<Read, Diagnostics> {
    run(text, limits, Purpose::Serve)
}

/// Reads a definition to accept it: everything that [`read`] refuses is refused, and what violates a rule whose severity
/// is `error`, by default or as `rules` say.
///
/// # Errors
/// As [`read`]; the problems are in the order of the text, warnings among them.
pub fn check(text: &str, limits: &Limits, rules: &Rules) -> Result<Read, Diagnostics> {
    run(text, limits, Purpose::Accept(rules))
}

fn run(text: &str, limits: &Limits, purpose: Purpose<'_>) -> Result<Read, Diagnostics> {
    let (bundled, problems) = bundle::assemble(text, limits)?;
    let mut reader = Reader::new(bundled.tree(), limits, purpose);
    for problem in problems {
        reader.record(problem);
    }
    let told = reader.places();
    let read = read_definition(&mut reader);
    // Why a reference leads nowhere was said better by who looked for the file.
    reader.forget("external-reference", &told);
    if let (Some((edition, _)), Purpose::Accept(_)) = (&read, purpose) {
        official::check(&mut reader, *edition);
        checks::check(&mut reader, told.is_empty());
    }
    let mut found = reader.into_found();
    bundled.locate(&mut found);
    if let Purpose::Accept(_) = purpose {
        found
            .0
            .sort_by_key(|one| (one.file.clone(), one.line, one.column));
    }
    match read {
        Some((_, definition)) if !found.has_errors() => Ok(Read {
            definition,
            warnings: found,
            source: bundled,
        }),
        _ => Err(found),
    }
}

fn read_definition(reader: &mut Reader<'_>) -> Option<(Edition, Definition)> {
    let root = reader.root();
    let top = Trail::Base("");
    let object = reader.object(root, &top)?;
    let edition = edition(reader, root)?;
    reader.set_dialect(edition.dialect());
    reader.set_migrated(object.iter().any(|entry| entry.key.starts_with(MIGRATED)));
    let (title, version, description) = info(reader, root);
    let servers = servers::read(reader, object);
    let schemes = security::schemes(reader, object);
    let inherited = security::requirement(reader, object, &top, &schemes);
    let operations = operations::read(reader, object, &schemes, inherited.as_ref());
    let definition = Definition {
        dialect: edition.dialect(),
        title,
        version,
        description,
        servers,
        operations,
        security_schemes: schemes.into_list(),
    };
    Some((edition, definition))
}

/// The title, version and description of `info`; problems are recorded, and what is missing is left empty.
fn info<'t>(reader: &mut Reader<'t>, root: &'t Node) -> (String, String, Option<String>) {
    let top = Trail::Base("");
    let trail = Trail::Key(&top, "info");
    let Some(node) = root.get("info") else {
        let problem = Diagnostic::error("missing-key", "", "the definition has no `info`");
        reader.record(problem.mend("add `info` with `title` and `version`"));
        return Default::default();
    };
    let Some(object) = reader.object(node, &trail) else {
        return Default::default();
    };
    for key in ["title", "version"] {
        if object.get(key).is_none() {
            let problem =
                Diagnostic::error("missing-key", "/info", format!("`info` has no `{key}`"));
            reader.record(problem.mend(format!("add `{key}`")));
        }
    }
    let mut text = |key| reader.string(object, key, &trail).map(str::to_owned);
    (
        text("title").unwrap_or_default(),
        text("version").unwrap_or_default(),
        text("description"),
    )
}

/// Which language the definition is written in.
fn edition(reader: &mut Reader<'_>, root: &Node) -> Option<Edition> {
    let Some((key, node)) = ["openapi", "swagger"]
        .into_iter()
        .find_map(|key| Some((key, root.get(key)?)))
    else {
        let problem = Diagnostic::error(
            "missing-key",
            "",
            "the text has neither `openapi` nor `swagger`",
        );
        reader.record(problem.mend("add the version it is written in, as in `openapi: 3.1.0`"));
        return None;
    };
    let version = match &node.value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let problem = Diagnostic::warning(
                "version-number",
                format!("/{key}"),
                "the version is a number",
            );
            reader.record(problem.mend(format!("quote it: {key}: \"{number}\"")));
            number.to_string()
        }
        _ => String::new(),
    };
    let mut parts = version.split('.');
    match (key, parts.next(), parts.next()) {
        ("swagger", Some("2"), Some("0")) => Some(Edition::V2_0),
        ("openapi", Some("3"), Some("0")) => Some(Edition::V3_0),
        ("openapi", Some("3"), Some("1")) => Some(Edition::V3_1),
        ("openapi", Some("3"), Some("2")) => Some(Edition::V3_2),
        _ => {
            let message = "the definition is of an unknown version";
            let problem = Diagnostic::error("unknown-version", format!("/{key}"), message);
            reader.record(
                problem
                    .mend("known are swagger \"2.0\" and openapi \"3.0.x\", \"3.1.x\", \"3.2.x\""),
            );
            None
        }
    }
}
