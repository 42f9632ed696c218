//! From a text to documents.

use base::{Diagnostic, Diagnostics};
use serde_json::{Map, Value};
use tree::{Limits, Node};

use crate::document::{Document, Metadata, Spec};
use crate::kind::Kind;
use crate::suggest::nearest;
use crate::{API_VERSION, Extensions, check, faults, names, schema};

/// A document with the tree that it was read from, so that what is found later gets its place too.
#[derive(Clone, Debug)]
pub struct Located {
    /// The document.
    pub document: Document,
    tree: Node,
    file: Option<String>,
}

impl Located {
    /// Fills file, line and column of diagnostics that have only a pointer into this document.
    pub fn locate(&self, diagnostics: &mut Diagnostics) {
        place(&self.tree, self.file.as_deref(), diagnostics);
    }

    /// Where the document begins: line and column.
    #[must_use]
    pub fn position(&self) -> (u32, u32) {
        (self.tree.position.line, self.tree.position.column)
    }

    /// The file that it stands in.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// Reads a text of any number of documents, separated by `---`, YAML or JSON.
///
/// # Errors
/// Every problem of all documents (at most `limits.problems_max`), each with file, line, column and pointer.
pub fn parse_documents(
    text: &str,
    file: Option<&str>,
    limits: &Limits,
) -> Result<Vec<Document>, Diagnostics> {
    let located = parse_located(text, file, limits)?;
    Ok(located
        .into_iter()
        .map(|located| located.document)
        .collect())
}

/// As [`parse_documents`], with the places kept.
///
/// # Errors
/// As [`parse_documents`].
pub fn parse_located(
    text: &str,
    file: Option<&str>,
    limits: &Limits,
) -> Result<Vec<Located>, Diagnostics> {
    let trees = tree::parse_all(text, limits).map_err(|problems| in_file(problems, file))?;
    let mut documents = Vec::new();
    let mut found = Diagnostics::default();
    for tree in trees {
        match read(tree.to_json(), limits.problems_max) {
            Ok(document) => documents.push(Located {
                document,
                tree,
                file: file.map(str::to_owned),
            }),
            Err(mut problems) => {
                place(&tree, file, &mut problems);
                found.extend(problems);
            }
        }
    }
    if found.is_empty() {
        return Ok(documents);
    }
    found.0.truncate(limits.problems_max);
    Err(found)
}

/// Reads a text of exactly one document: the body of a REST call, YAML or JSON.
///
/// # Errors
/// As [`parse_documents`]; no document and more than one are errors too.
pub fn parse_document(text: &str, limits: &Limits) -> Result<Document, Diagnostics> {
    let tree = tree::parse(text, limits)?;
    read(tree.to_json(), limits.problems_max).map_err(|mut problems| {
        place(&tree, None, &mut problems);
        problems
    })
}

/// Reads a value made by a program, or kept by a store.
///
/// # Errors
/// Every problem with its pointer; there are no lines, so they are 0.
pub fn from_json(value: Value) -> Result<Document, Diagnostics> {
    read(value, Limits::default().problems_max)
}

fn in_file(mut problems: Diagnostics, file: Option<&str>) -> Diagnostics {
    for problem in &mut problems.0 {
        problem.file = file.map(str::to_owned);
    }
    problems
}

fn place(tree: &Node, file: Option<&str>, problems: &mut Diagnostics) {
    tree.locate(problems);
    for problem in &mut problems.0 {
        if problem.file.is_none() {
            problem.file = file.map(str::to_owned);
        }
    }
    problems
        .0
        .sort_by_key(|problem| (problem.line, problem.column));
}

fn one(problem: Diagnostic) -> Diagnostics {
    Diagnostics(vec![problem])
}

fn read(value: Value, problems_max: usize) -> Result<Document, Diagnostics> {
    let Value::Object(mut map) = value else {
        let message = format!("a document is a mapping, not {}", faults::kind_of(&value));
        return Err(one(Diagnostic::error("wrong-type", "", message)));
    };
    let kind = kind_of(&map)?;
    let mut found = Diagnostics::default();
    found.extend(api_version(&map));
    // The platform writes `status`; exports and answers may carry it.
    map.remove("status");
    map.insert("apiVersion".to_owned(), API_VERSION.into());
    if kind == Kind::Api {
        name_api(&mut map);
    }
    let value = Value::Object(map);
    found.extend(faults::find(schema::compiled(kind), &value, problems_max));
    found.extend(check::find(kind, &value));
    if !found.is_empty() {
        found.0.truncate(problems_max.max(1));
        return Err(found);
    }
    let Value::Object(map) = value else {
        unreachable!("wrapped above")
    };
    build(kind, map)
}

fn build(kind: Kind, mut map: Map<String, Value>) -> Result<Document, Diagnostics> {
    let mut take = |key: &str| map.remove(key).unwrap_or(Value::Null);
    let metadata: serde_json::Result<Metadata> = serde_json::from_value(take("metadata"));
    let spec = Spec::read(kind, take("spec"));
    take("apiVersion");
    take("kind");
    // The schema has accepted it, so this is a defect of ours; it is still no reason to stop the process.
    let unread = |pointer: &str, error: serde_json::Error| {
        one(Diagnostic::error("unread", pointer, error.to_string()))
    };
    // Anew: what was taken out would leave its room behind, in every document that is kept.
    let extensions: Extensions = map.into_iter().collect();
    Ok(Document {
        metadata: metadata.map_err(|error| unread("/metadata", error))?,
        spec: spec.map_err(|error| unread("/spec", error))?,
        extensions,
    })
}

fn kind_of(map: &Map<String, Value>) -> Result<Kind, Diagnostics> {
    let known = || {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| format!("`{kind}`")).collect();
        format!("known are {}", names.join(", "))
    };
    let Some(value) = map.get("kind") else {
        let problem = Diagnostic::error("missing-key", "", "the key `kind` is missing");
        return Err(one(problem.mend(known())));
    };
    let Some(text) = value.as_str() else {
        let message = format!("a text is expected, not {}", faults::kind_of(value));
        return Err(one(
            Diagnostic::error("wrong-type", "/kind", message).mend(known())
        ));
    };
    text.parse().map_err(|_| {
        let problem = Diagnostic::error(
            "unknown-kind",
            "/kind",
            format!("unknown kind `{}`", faults::shortened(text)),
        );
        one(match nearest(text, Kind::ALL.map(Kind::as_str)) {
            Some(near) => problem.mend(format!("did you mean `{near}`?")),
            None => problem.mend(known()),
        })
    })
}

fn api_version(map: &Map<String, Value>) -> Option<Diagnostic> {
    let value = map
        .get("apiVersion")
        .filter(|value| *value != API_VERSION)?;
    let written = value.as_str().map_or_else(
        || faults::kind_of(value).to_owned(),
        |text| format!("`{}`", faults::shortened(text)),
    );
    let message = format!("unknown version of the language: {written}");
    let problem = Diagnostic::error("api-version", "/apiVersion", message);
    Some(problem.mend(format!("write `{API_VERSION}`, or leave the key out")))
}

/// An API's document needs no name of its own.
fn name_api(map: &mut Map<String, Value>) {
    let text = |key: &str| map.get("spec")?.get(key)?.as_str();
    // What is missing here, is reported as missing in the spec.
    let name = match (text("name"), text("version")) {
        (Some(name), Some(version)) => names::api_document_name(name, version),
        _ => "unnamed".to_owned(),
    };
    // A name that cannot be made of the spec's comes from a fault there.
    let name = if names::fault("tollway-name", &name).is_some() {
        "unnamed".to_owned()
    } else {
        name
    };
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        metadata.entry("name").or_insert(Value::String(name));
    }
}
