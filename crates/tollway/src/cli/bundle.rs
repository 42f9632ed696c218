//! Files and folders of documents, read for `apply`, `diff` and `validate`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use control::api::{Bundle, BundleText};

use super::failure::Failure;

/// Files that are looked at in a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads all documents of these files and folders, and the definitions that they name.
///
/// In a folder, files that are OpenAPI definitions are read only where a document names them; every other file with
/// such an extension must hold documents.
///
/// # Errors
/// When a file cannot be read, or a document names a definition outside its own folder.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Bundle, Failure> {
    let mut bundle = Bundle::default();
    for file in files(paths)? {
        let text = text(&file)?;
        let nodes = tree::parse_all(&text, &tree::Limits::default()).unwrap_or_default();
        if is_definition(&nodes) && !paths.contains(&file) {
            continue;
        }
        for node in &nodes {
            definition_add(&mut bundle, &file, node)?;
        }
        bundle.documents.push(BundleText {
            file: Some(name(&file)),
            text,
        });
    }
    Ok(bundle)
}

/// The files that these paths mean: a file itself, a folder's files at any depth, ordered by name.
///
/// # Errors
/// When a path is not there or a folder cannot be read.
pub(crate) fn files(paths: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = waiting.pop() {
        let fault = |error| Failure::file(&path, error);
        if !fs::metadata(&path).map_err(fault)?.is_dir() {
            found.insert(path);
            continue;
        }
        for entry in fs::read_dir(&path).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            // Links are not followed: a folder may come from strangers.
            let kind = entry.file_type().map_err(fault)?;
            let wanted = kind.is_file() && has_extension(&entry.path());
            if kind.is_dir() || wanted {
                waiting.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Whether a text is an OpenAPI definition and no document.
#[must_use]
pub(crate) fn is_definition(nodes: &[tree::Node]) -> bool {
    matches!(nodes, [node] if node.get("openapi").is_some() || node.get("swagger").is_some())
}

/// A file's text.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub(crate) fn text(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::file(file, error))
}

/// A file as diagnostics name it, with `/` between folders.
#[must_use]
pub(crate) fn name(file: &Path) -> String {
    file.to_string_lossy().replace('\\', "/")
}

fn has_extension(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn definition_add(bundle: &mut Bundle, file: &Path, document: &tree::Node) -> Result<(), Failure> {
    let Some(named) = document
        .pointer("/spec/definition/file")
        .and_then(tree::Node::as_str)
    else {
        return Ok(());
    };
    let inside = Path::new(named)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        let text =
            format!("definition.file `{named}` must lie in the document's folder or below it");
        return Err(Failure::file(file, text));
    }
    let path: PathBuf = file
        .parent()
        .unwrap_or(Path::new(""))
        .join(named)
        .components()
        .collect();
    bundle.definitions.insert(name(&path), text(&path)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn reads_documents_and_the_definitions_they_name() {
        let folder = folder(&[
            (
                "apis/pets.yaml",
                "kind: Api\nspec: {definition: {file: pets.openapi.yaml}}\n",
            ),
            ("apis/pets.openapi.yaml", "openapi: 3.0.0\n"),
            ("apis/unused.openapi.yaml", "openapi: 3.0.0\n"),
            ("plans.yml", "kind: Plan\n"),
            ("notes.txt", "not a document"),
        ]);
        let bundle = read(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = bundle
            .documents
            .iter()
            .filter_map(|text| text.file.as_deref())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            names[0].ends_with("apis/pets.yaml") && names[1].ends_with("plans.yml"),
            "{names:?}"
        );
        let definitions: Vec<_> = bundle.definitions.keys().collect();
        assert_eq!(definitions.len(), 1);
        assert!(definitions[0].ends_with("apis/pets.openapi.yaml"));
    }

    /// req: S2
    #[test]
    fn a_definition_outside_the_folder_is_refused() {
        for outside in ["../secret.yaml", "/etc/passwd", "a/../../b.yaml"] {
            let text = format!("kind: Api\nspec: {{definition: {{file: {outside}}}}}\n");
            let folder = folder(&[("apis/pets.yaml", &text), ("secret.yaml", "kind: Plan\n")]);
            let error = read(&[folder.path().to_owned()]).unwrap_err().to_string();
            assert!(
                error.contains("must lie in the document's folder"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = read(&["/nowhere/at/all".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/at/all: "), "{error}");
    }
}
