//! The files of an API's definition: sent together, kept as one text, found again.

use std::sync::Arc;

use base::{Diagnostic, Diagnostics, Digest};
use openapi::{Files, Gathering};
use spec::{Definition, Document};
use store::{ResourceStore, StoreError};

use crate::Control;
use crate::change::definition_text;

/// The path of a file that a document names, in the terms of the bundle.
pub(crate) fn beside(document: Option<&str>, file: &str) -> String {
    let folder = document
        .and_then(|path| path.rsplit_once('/'))
        .map_or("", |(folder, _)| folder);
    let whole = format!("{folder}/{file}");
    let segments: Vec<&str> = whole
        .split('/')
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .collect();
    let path = segments.join("/");
    if whole.starts_with('/') && !folder.is_empty() {
        return format!("/{path}");
    }
    path
}

/// The root file and all that it refers to, of those that `sent` knows; nothing where the root itself is not there.
///
/// # Errors
/// More or larger files than one definition may have.
pub(crate) fn gathered<'s>(
    control: &Control,
    root: &str,
    sent: impl Fn(&str) -> Option<&'s String>,
) -> Result<Option<Files>, Diagnostics> {
    let Some(text) = sent(root) else {
        return Ok(None);
    };
    let config = control.config();
    let (limits, files_max) = (&config.definition_limits, config.definition_files_max);
    let mut gathering = Gathering::new(root, text.as_str().into(), limits, files_max);
    while let Some(name) = gathering.wanted() {
        let text = sent(&name).map(|text| Arc::from(text.as_str()));
        gathering.add(name, text);
    }
    let files = gathering.finish().inspect_err(|_| {
        control.import_refusals().count("definition-limits");
    });
    files.map(Some)
}

/// Problems of a definition's root name it.
pub(crate) fn named(problems: Diagnostics, root: &str) -> Diagnostics {
    let name = |problem: Diagnostic| match problem.file {
        Some(_) => problem,
        None => problem.in_file(root),
    };
    Diagnostics(problems.into_iter().map(name).collect())
}

/// The files of a stored API's definition. One that is written inside the document has the name `definition`.
///
/// # Errors
/// As [`definition_text`].
pub(crate) async fn stored(
    store: &(impl ResourceStore + ?Sized),
    document: &Document,
    blob: Option<Digest>,
) -> store::Result<Files> {
    let text = definition_text(store, document, blob).await?;
    let name = match document.as_api().map(|api| &api.definition.at) {
        Some(Definition::File(file)) => beside(None, file),
        _ => "definition".to_owned(),
    };
    Files::unpack(&name, &text)
        .map_err(|_| StoreError::Corrupt(format!("the definition of {}", document.name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stand_beside_their_documents() {
        assert_eq!(beside(None, "a.yaml"), "a.yaml");
        assert_eq!(beside(Some("x.yaml"), "./a.yaml"), "a.yaml");
        assert_eq!(beside(Some("dir/x.yaml"), "sub/a.yaml"), "dir/sub/a.yaml");
        assert_eq!(beside(Some("/abs/x.yaml"), "a.yaml"), "/abs/a.yaml");
    }
}
