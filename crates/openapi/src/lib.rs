//! Reads API definitions: Swagger 2.0, OpenAPI 3.0 and 3.1 (3.2 by the rules of 3.1, with its `query` method), YAML or JSON.
//!
//! What comes out is what the platform serves from: operations with their templates, parameters, scopes, and the
//! servers. Schemas, examples and answers are not looked at, so a definition is refused only for faults in the parts
//! that are read; a check against the official JSON schemas is one more pass over the same tree.
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
pub mod diff;
mod files;
pub mod mock;
mod model;
mod operations;
mod reader;
mod reference;
mod root;
mod schema;
mod security;
mod servers;
mod shape;
mod template;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use base::{Diagnostic, Diagnostics};
use tree::{Limits, Node, Value};

pub use crate::bundle::{Bundled, bundle};
pub use crate::diff::diff;
pub use crate::files::{FILES_MAX, Files, FilesError, Gathering, check_name};
pub use crate::model::{
    Definition, Dialect, Location, Method, Operation, Parameter, SchemeKind, SchemeUse, Scope,
    Security, SecurityScheme, UnknownMethod,
};
use crate::reader::{Reader, Trail};
pub use crate::reference::external_refs;
pub use crate::root::{RootError, root_of};
pub use crate::template::{Part, Segment, Template, TemplateError};

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

/// Reads a definition, of one file or packed ([`Files::pack`]). Without `paths` it has no operations.
///
/// # Errors
/// Every problem found (at most `limits.problems_max`), warnings included, each with pointer, line, column and,
/// where there is one, the mend.
pub fn read(text: &str, limits: &Limits) -> Result<Read, Diagnostics> {
    let (bundled, problems) = bundle::assemble(text, limits)?;
    let mut reader = Reader::new(bundled.tree(), limits);
    let told: HashSet<String> = problems.iter().map(|one| one.pointer.clone()).collect();
    for problem in problems {
        reader.record(problem);
    }
    let definition = read_definition(&mut reader);
    let mut found = reader.into_found();
    // Why a reference leads nowhere was said better by who looked for the file.
    let again = |one: &Diagnostic| one.rule == "external-reference" && told.contains(&one.pointer);
    found.0.retain(|one| !again(one));
    bundled.locate(&mut found);
    match definition {
        Some(definition) if !found.has_errors() => Ok(Read {
            definition,
            warnings: found,
            source: bundled,
        }),
        _ => Err(found),
    }
}

fn read_definition(reader: &mut Reader<'_>) -> Option<Definition> {
    let root = reader.root();
    let top = Trail::Base("");
    let object = reader.object(root, &top)?;
    let dialect = dialect(reader, root)?;
    reader.set_dialect(dialect);
    let (title, version, description) = info(reader, root);
    let servers = servers::read(reader, object);
    let schemes = security::schemes(reader, object);
    let inherited = security::requirement(reader, object, &top, &schemes);
    let operations = operations::read(reader, object, &schemes, inherited.as_ref());
    Some(Definition {
        dialect,
        title,
        version,
        description,
        servers,
        operations,
        security_schemes: schemes.into_list(),
    })
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
fn dialect(reader: &mut Reader<'_>, root: &Node) -> Option<Dialect> {
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
        ("swagger", Some("2"), Some("0")) => Some(Dialect::V2),
        ("openapi", Some("3"), Some("0")) => Some(Dialect::V3_0),
        ("openapi", Some("3"), Some("1" | "2")) => Some(Dialect::V3_1),
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
