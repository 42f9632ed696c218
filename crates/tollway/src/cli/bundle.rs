//! Files and folders of documents, read for `apply`, `diff` and `validate`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use control::api::{Bundle, BundleText};

use super::failure::Failure;

/// Files that are looked at in a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// One file of documents, or a definition.
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) nodes: Vec<tree::Node>,
    /// The definition that it is, or those that its documents name, each with the files that it refers to.
    pub(crate) definitions: Vec<(PathBuf, openapi::Files)>,
    /// Why a definition that its documents name cannot be read.
    pub(crate) fault: Option<Failure>,
}

/// Reads all documents of these files and folders, and the definitions that they name.
///
/// In a folder, files that are OpenAPI definitions are read only where a document names them; every other file with
/// such an extension must hold documents, unless a definition refers to it.
///
/// # Errors
/// When a file cannot be read, or a document names a definition outside its own folder.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Bundle, Failure> {
    let mut bundle = Bundle::default();
    for source in sources(paths)? {
        if is_definition(&source.nodes) && !paths.contains(&source.file) {
            continue;
        }
        if let Some(fault) = source.fault {
            return Err(fault);
        }
        for (folder, files) in &source.definitions {
            for (file, text) in files.iter() {
                bundle
                    .definitions
                    .insert(name(&folder.join(file)), text.to_string());
            }
        }
        bundle.documents.push(BundleText {
            file: Some(name(&source.file)),
            text: source.text,
        });
    }
    Ok(bundle)
}

/// The files that these paths mean, without those that a definition refers to.
///
/// # Errors
/// As [`read`].
pub(crate) fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    let mut parts = BTreeSet::new();
    for file in files(paths)? {
        let text = text(&file)?;
        let nodes = tree::parse_all(&text, &tree::Limits::default()).unwrap_or_default();
        let (definitions, fault) = definitions(&file, &text, &nodes);
        for (folder, files) in &definitions {
            parts.extend(files.others().map(|(part, _)| folder.join(part)));
        }
        sources.push(Source {
            file,
            text,
            nodes,
            definitions,
            fault,
        });
    }
    as_named(&mut sources);
    sources.retain(|source| paths.contains(&source.file) || !parts.contains(&source.file));
    Ok(sources)
}

/// A definition that a document names is read as the document sees it: its references may go up to the document's
/// folder.
fn as_named(sources: &mut [Source]) {
    let documents = sources
        .iter()
        .filter(|source| !is_definition(&source.nodes));
    let named: Vec<(PathBuf, openapi::Files)> = documents
        .flat_map(|source| source.definitions.iter().cloned())
        .collect();
    for source in sources
        .iter_mut()
        .filter(|source| is_definition(&source.nodes))
    {
        let found = named.iter().find(|(folder, files)| {
            let root: PathBuf = folder.join(files.root()).components().collect();
            root == source.file.components().collect::<PathBuf>()
        });
        if let Some(found) = found {
            source.definitions = vec![found.clone()];
        }
    }
}

/// The definitions of a file, and why another one cannot be read.
fn definitions(
    file: &Path,
    text: &str,
    nodes: &[tree::Node],
) -> (Vec<(PathBuf, openapi::Files)>, Option<Failure>) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let of_root = |root: &str, text: &str| {
        let files = gathered(folder, root, text.into())?;
        Ok((folder.to_owned(), files))
    };
    let named = |named: &str| {
        let root = inside(file, named)?;
        of_root(&root, &self::text(&folder.join(&root))?)
    };
    let found: Vec<Result<_, Failure>> = if is_definition(nodes) {
        let root = file.file_name().unwrap_or_default().to_string_lossy();
        vec![of_root(&root, text)]
    } else {
        let names = nodes
            .iter()
            .filter_map(|node| node.pointer("/spec/definition/file")?.as_str());
        names.map(named).collect()
    };
    let (mut definitions, mut fault) = (Vec::new(), None);
    for one in found {
        match one {
            Ok(definition) => definitions.push(definition),
            Err(error) => fault = Some(error),
        }
    }
    (definitions, fault)
}

/// A definition with all files that it refers to, below a folder. A file that is not there is a problem for whoever
/// reads the definition.
///
/// # Errors
/// When a file cannot be read, or a link leads out of the folder.
pub(crate) fn gathered(
    folder: &Path,
    root: &str,
    text: std::sync::Arc<str>,
) -> Result<openapi::Files, Failure> {
    let limits = tree::Limits::default();
    let mut gathering = openapi::Gathering::new(root, text, &limits, openapi::FILES_MAX);
    while let Some(name) = gathering.wanted() {
        let text = beside(folder, &name)?;
        gathering.add(name, text.map(Into::into));
    }
    gathering.finish().map_err(|problems| {
        let shown = problems.iter().map(|problem| problem.message.clone());
        Failure::file(&folder.join(root), shown.collect::<Vec<_>>().join("; "))
    })
}

/// A file that a definition refers to; nothing where there is none. The folder may come from strangers: no link leads
/// out of it.
fn beside(folder: &Path, name: &str) -> Result<Option<String>, Failure> {
    let path = folder.join(name);
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(real) = path.canonicalize() else {
        return Ok(None);
    };
    let top = folder
        .canonicalize()
        .map_err(|error| Failure::file(folder, error))?;
    if !real.starts_with(top) {
        return Err(Failure::file(&path, "is a link out of the folder"));
    }
    if !real.is_file() {
        return Ok(None);
    }
    text(&real).map(Some)
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

/// The definition that a document names, relative to the document's folder.
fn inside(file: &Path, named: &str) -> Result<String, Failure> {
    let parts = Path::new(named).components();
    let inside = parts
        .clone()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        let text =
            format!("definition.file `{named}` must lie in the document's folder or below it");
        return Err(Failure::file(file, text));
    }
    let normal = parts.filter(|part| matches!(part, Component::Normal(_)));
    Ok(name(&normal.collect::<PathBuf>()))
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

    #[test]
    fn references_bring_their_files_along() {
        let folder = folder(&[
            (
                "pets/api.yaml",
                "kind: Api\nspec: {definition: {file: ./v1/root.yaml}}\n",
            ),
            (
                "pets/v1/root.yaml",
                "openapi: 3.0.0\npaths: {/a: {$ref: ../common/a.yaml}, /b: {$ref: missing.yaml}}\n",
            ),
            ("pets/common/a.yaml", "get: {}\n"),
            (
                "lone/root.yaml",
                "swagger: '2.0'\npaths: {/a: {$ref: item.yaml}}\n",
            ),
            ("lone/item.yaml", "get: {}\n"),
        ]);
        let bundle = read(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = bundle
            .documents
            .iter()
            .map(|one| one.file.clone())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let top = name(folder.path());
        let definitions: Vec<_> = bundle.definitions.keys().collect();
        assert_eq!(
            definitions,
            [
                &format!("{top}/pets/common/a.yaml"),
                &format!("{top}/pets/v1/root.yaml")
            ]
        );
    }

    /// req: S2
    #[cfg(unix)]
    #[test]
    fn no_link_leads_a_reference_out_of_the_folder() {
        let folder = folder(&[
            (
                "in/api.yaml",
                "kind: Api\nspec: {definition: {file: root.yaml}}\n",
            ),
            (
                "in/root.yaml",
                "openapi: 3.0.0\npaths: {/a: {$ref: sub/secret.yaml}}\n",
            ),
            ("out/secret.yaml", "get: {}\n"),
        ]);
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::os::unix::fs::symlink(outside, inside.join("sub")).unwrap();
        let error = read(&[inside]).unwrap_err().to_string();
        assert!(error.contains("is a link out of the folder"), "{error}");
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
