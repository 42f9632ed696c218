//! Reads the corpus of real definitions; without `TOLLWAY_CORPUS` the tests say so and are skipped.

#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test program: counts are for people"
)]

mod diff;
mod mock;
mod random;
mod rules;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use openapi::{Read, Rules, check};
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
            } = match check(text, &Limits::default(), &Rules::default()) {
                Ok(read) => read,
                Err(found) => {
                    failures.push((path, found));
                    continue;
                }
            };
            let took = started.elapsed();
            assert!(
                took < Duration::from_mins(1),
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

/// Set in the process that reads malicious texts; its memory is its own.
const CHILD: &str = "TOLLWAY_MALICIOUS_CHILD";

/// What reading them may take at most, the program and the official schemas included.
const MEMORY_KB_MAX: u64 = 128 * 1024;

/// req: S10
#[test]
fn entity_expansion_is_refused_in_bounded_memory_and_time() {
    let Some(files) = folder("malicious") else {
        return;
    };
    if std::env::var_os(CHILD).is_some() {
        return refuse_all(&files);
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "entity_expansion_is_refused_in_bounded_memory_and_time",
        ])
        .env(CHILD, "1")
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("not read within a minute");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn refuse_all(files: &[(PathBuf, String)]) {
    for (path, text) in files {
        let found = check(text, &Limits::default(), &Rules::default()).expect_err("malicious");
        let told = |one: &base::Diagnostic| one.rule == "alias-expansion" && one.line > 0;
        assert!(found.iter().any(told), "{}: {found:?}", path.display());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(peak < MEMORY_KB_MAX, "{peak} kB");
}

/// Files of `invalid` and `invalid-3.1` that are accepted all the same, each with the reason. There is none.
const ACCEPTED: &[(&str, &str)] = &[];

/// Nothing of it is stored: this is what an import, `apply` and `validate` do with a definition first.
#[test]
fn invalid_definitions_are_refused_with_a_place() {
    let mut refused = 0;
    let mut all = 0;
    for name in ["invalid", "invalid-3.1"] {
        let Some(files) = folder(name) else { return };
        for (path, text) in &files {
            all += 1;
            let file = path.file_name().unwrap().to_str().unwrap();
            let known = ACCEPTED.iter().any(|(accepted, _)| *accepted == file);
            match check(text, &Limits::default(), &Rules::default()) {
                Ok(read) => assert!(known, "{file} is accepted: {:?}", read.warnings),
                Err(found) => {
                    assert!(!known, "{file} is refused");
                    assert!(found.has_errors());
                    let placed = |one: &base::Diagnostic| one.line > 0 && one.column > 0;
                    assert!(found.iter().all(placed), "{file}: {found:?}");
                    refused += 1;
                }
            }
        }
    }
    eprintln!("{refused} of {all} refused");
    assert!(all >= 60 && refused * 100 >= all * 95, "{refused} of {all}");
}
