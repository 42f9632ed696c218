//! Tests that the threat model names: each of them is there.
//!
//! A name in code quotes is `crate::module`, `crate::module::test` or `crate::module::{test, test}`; modules may be left out
//! between the crate and the last one. It means the integration tests of the crate or those beside its code.

use std::fs;
use std::path::{Path, PathBuf};

/// Texts that name tests.
const TEXTS: [&str; 1] = ["docs/security/threat-model.md"];
/// Names that are not of a test, and why.
const OTHERS: [&str; 1] = [
    // How they are written.
    "crate::module",
];

/// A file of a crate, with its path below the crate in parts: folders, then the name without its ending.
struct Source {
    parts: Vec<String>,
    text: String,
}

/// What is written for a test, in single names.
fn names(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let mut names = Vec::new();
    for span in spans.filter(|span| span.contains("::") && !OTHERS.contains(span)) {
        match span.split_once("::{") {
            None => names.push(span.to_owned()),
            Some((front, list)) => {
                let list = list.trim_end_matches('}').split(',');
                names.extend(list.map(|last| format!("{front}::{}", last.trim())));
            }
        }
    }
    names
}

fn sources(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, root, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let below = path.strip_prefix(root).expect("it was found below it");
            let below = below.with_extension("");
            let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
            found.push(Source {
                parts: parts.collect(),
                text: fs::read_to_string(&path).expect("it is text"),
            });
        }
    }
}

/// Whether a function of this name is marked as a test.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    ["#[test]", "#[tokio::test"].iter().any(|mark| {
        let marked = text.split(mark).skip(1);
        let mut heads = marked.filter_map(|rest| rest.split('{').next());
        heads.any(|before| before.contains(&head))
    })
}

fn is_there(sources: &[Source], modules: &[&str], last: &str) -> bool {
    let within = |source: &Source, modules: &[&str]| {
        let mut parts = source.parts.iter();
        modules
            .iter()
            .all(|module| parts.any(|part| part == module))
    };
    let with_last: Vec<&str> = modules.iter().copied().chain([last]).collect();
    let tests =
        |source: &Source| source.text.contains("test]\n") || source.text.contains("#[tokio::test");
    // Tests beside the code are in a module of the file, or in a file of that name below it.
    sources.iter().any(|source| {
        (within(source, &with_last) && tests(source))
            || (within(source, modules) && has_test(&source.text, last))
    })
}

/// Names in this text that no test has.
fn missing(root: &Path, text: &str) -> Vec<String> {
    let folder = |name: &str| -> PathBuf {
        match name {
            "e2e" => root.join("tests/e2e"),
            name => root.join("crates").join(name),
        }
    };
    let absent = |name: &String| {
        let mut modules: Vec<&str> = name.split("::").collect();
        let last = modules.pop().unwrap_or_default();
        let home = folder(modules.first().copied().unwrap_or_default());
        let mut found = Vec::new();
        sources(&home, &home, &mut found);
        found.is_empty() || !is_there(&found, &modules[1..], last)
    };
    names(text).into_iter().filter(absent).collect()
}

#[test]
fn tests_that_are_named_are_there() {
    let root = crate::root().unwrap();
    for text in TEXTS {
        let text = fs::read_to_string(root.join(text)).unwrap();
        assert!(names(&text).len() > 50, "the names are not found");
        assert_eq!(missing(&root, &text), Vec::<String>::new());
    }
}

#[test]
fn names_that_nothing_has_are_found() {
    let root = crate::root().unwrap();
    let good = "`identity::attacks::a_code_gives_tokens_once`, `identity::attacks`, `identity`, a `word`, `e2e::protected`";
    assert_eq!(missing(&root, good), Vec::<String>::new());
    let bad = "`identity::attacks::{a_code_gives_tokens_once, no_such_test}`, `nothing::at_all`, `identity::nowhere`, \
               `identity::login::a_code_gives_tokens_once`";
    let expected = [
        "identity::attacks::no_such_test",
        "nothing::at_all",
        "identity::nowhere",
        "identity::login::a_code_gives_tokens_once",
    ];
    assert_eq!(missing(&root, bad), expected);
}
