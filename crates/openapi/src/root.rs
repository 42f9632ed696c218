//! Which of several files is the one that refers to the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use tree::Limits;

/// Names by which a root is known, whatever else lies beside it.
const USUAL: [&str; 3] = ["openapi.yaml", "openapi.yml", "openapi.json"];

/// Candidates that are named in a refusal.
const SHOWN_MAX: usize = 20;

/// Why no file is the root.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RootError {
    /// The file that was named is not there.
    #[error("there is no file `{0}`")]
    Missing(String),
    /// No file has `openapi` or `swagger` at its top.
    #[error("no file has `openapi` or `swagger` at its top; name the root file")]
    None,
    /// Several have.
    #[error("several files could be the root, name one of them: {}", .0.join(", "))]
    Several(Vec<String>),
}

/// The root among the files of a definition: the one that is named, or the only `openapi.yaml`, `openapi.yml` or
/// `openapi.json` at the top, or the only one that has `openapi` or `swagger` at its top. Where all files lie in one
/// folder, that folder is the top.
///
/// # Errors
/// [`RootError`]: there is none, or it is not clear which.
pub fn root_of(
    texts: &BTreeMap<String, Arc<str>>,
    named: Option<&str>,
    limits: &Limits,
) -> Result<String, RootError> {
    if let Some(name) = named {
        let name = name.strip_prefix("./").unwrap_or(name);
        let found = texts.contains_key(name).then(|| name.to_owned());
        return found.ok_or_else(|| RootError::Missing(name.chars().take(200).collect()));
    }
    let is_root = |text: &str| {
        let tree = tree::parse(text, limits).ok();
        tree.is_some_and(|tree| tree.get("openapi").is_some() || tree.get("swagger").is_some())
    };
    let top = super::files::common_folder(texts.keys().map(String::as_str));
    let usual: Vec<&String> = texts
        .keys()
        .filter(|name| USUAL.contains(&&name[top.len()..]))
        .collect();
    if let [only] = usual[..] {
        return Ok(only.clone());
    }
    let mut candidates: Vec<String> = texts
        .iter()
        .filter(|(_, text)| is_root(text))
        .map(|(name, _)| name.clone())
        .collect();
    match candidates.len() {
        0 => Err(RootError::None),
        1 => Ok(candidates.remove(0)),
        _ => {
            candidates.truncate(SHOWN_MAX);
            Err(RootError::Several(candidates))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "openapi: 3.1.0\n";

    fn root(files: &[(&str, &str)], named: Option<&str>) -> Result<String, RootError> {
        let texts = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Arc::from(*text)))
            .collect();
        root_of(&texts, named, &Limits::default())
    }

    #[test]
    fn the_root_is_found_or_the_candidates_are_named() {
        assert_eq!(
            root(
                &[
                    ("x/pets.json", "{\"swagger\": \"2.0\"}"),
                    ("a.yaml", "a: 1")
                ],
                None
            )
            .unwrap(),
            "x/pets.json"
        );
        assert_eq!(
            root(&[("openapi.yml", "not: [closed"), ("b.yaml", API)], None).unwrap(),
            "openapi.yml"
        );
        assert_eq!(
            root(&[("x/openapi.yml", API), ("x/b.yaml", API)], None).unwrap(),
            "x/openapi.yml"
        );
        let several = [("x/openapi.yaml", API), ("b.yaml", API)];
        assert_eq!(
            root(&several, None),
            Err(RootError::Several(vec![
                "b.yaml".into(),
                "x/openapi.yaml".into()
            ]))
        );
        assert_eq!(root(&several, Some("./b.yaml")).unwrap(), "b.yaml");
        assert_eq!(
            root(&several, Some("c.yaml")),
            Err(RootError::Missing("c.yaml".into()))
        );
        assert_eq!(root(&[("a.yaml", "a: 1")], None), Err(RootError::None));
    }
}
