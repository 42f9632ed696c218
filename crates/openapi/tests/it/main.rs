//! Reads the corpus of real definitions; without `TOLLWAY_CORPUS` the tests say so and are skipped.

#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test program: counts are for people"
)]

mod diff;
mod mock;
mod random;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use openapi::Read;
use tree::Limits;

/// The definitions in one folder of the corpus, sorted by name; nothing without a corpus.
fn folder(name: &str) -> Option<Vec<(PathBuf, String)>> {
    let Some(corpus) = std::env::var_os("TOLLWAY_CORPUS") else {
        eprintln!("skipped: TOLLWAY_CORPUS is not set");
        return None;
    };
    let folder = PathBuf::from(corpus).join("openapi").join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    Some(
        files
            .into_iter()
            .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
            .collect(),
    )
}

/// Keys of path items under `paths` that name an operation, counted without our reader: path, routable or not.
fn operations_in(text: &str) -> (usize, usize) {
    let root = tree::parse(text, &Limits::default()).unwrap().to_json();
    let methods = [
        "get", "put", "post", "delete", "options", "head", "patch", "trace",
    ];
    let (mut routable, mut other) = (0, 0);
    for (path, item) in root["paths"].as_object().into_iter().flatten() {
        let count = methods
            .iter()
            .filter(|method| item.get(**method).is_some())
            .count();
        if path.contains('#') {
            other += count;
        } else {
            routable += count;
        }
    }
    (routable, other)
}

// req: every file of v2, v3.0, v3.1 imports, and every operation that has a path template is there to be routed.
#[test]
fn real_definitions_are_imported_whole() {
    for name in ["v2", "v3.0", "v3.1", "v3.2", "valid-3.1"] {
        let Some(files) = folder(name) else { return };
        let (mut operations, mut left_out, mut warned) = (0, 0, 0);
        let mut failures = Vec::new();
        for (path, text) in &files {
            let started = Instant::now();
            let Read {
                definition,
                warnings,
                ..
            } = match openapi::read(text, &Limits::default()) {
                Ok(read) => read,
                Err(found) => {
                    failures.push((path, found));
                    continue;
                }
            };
            let took = started.elapsed();
            assert!(
                took < Duration::from_secs(10),
                "{}: {took:?}",
                path.display()
            );
            if text.len() > 300_000 {
                eprintln!("{}: {} bytes, {took:?}", path.display(), text.len());
            }
            let (routable, other) = operations_in(text);
            assert_eq!(
                definition.operations.len(),
                routable,
                "{}: {warnings:?}",
                path.display()
            );
            assert!(
                definition
                    .operations
                    .iter()
                    .all(|operation| operation.template.unroutable().is_none())
            );
            assert!(
                other == 0
                    || warnings
                        .iter()
                        .any(|warning| warning.rule == "unroutable-path")
            );
            operations += routable;
            left_out += other;
            warned += warnings.0.len();
        }
        eprintln!(
            "{name}: {} files, {operations} operations, {left_out} with a fragment left out, {warned} warnings",
            files.len()
        );
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

#[test]
fn entity_expansion_is_refused_in_bounded_time() {
    let Some(files) = folder("malicious") else {
        return;
    };
    for (path, text) in files {
        let started = Instant::now();
        let found = openapi::read(&text, &Limits::default()).expect_err("a malicious text");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{}",
            path.display()
        );
        assert!(
            found
                .iter()
                .any(|problem| problem.rule == "alias-expansion" && problem.line > 0),
            "{found:?}"
        );
    }
}

/// Texts that must be refused: all of them once the official schemas are checked too; none may panic or hang, and a
/// refusal has a place.
#[test]
fn refusals_have_a_place() {
    for name in ["invalid", "invalid-3.1"] {
        let Some(files) = folder(name) else { return };
        let mut refused = 0;
        for (path, text) in &files {
            if let Err(found) = openapi::read(text, &Limits::default()) {
                refused += 1;
                assert!(
                    found
                        .iter()
                        .all(|problem| problem.line > 0 && problem.column > 0),
                    "{}",
                    path.display()
                );
            }
        }
        eprintln!("{name}: {refused} of {} refused", files.len());
    }
}
