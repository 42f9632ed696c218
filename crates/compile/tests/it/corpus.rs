//! Real definitions: every file is taken, and every operation that has a path template routes.

use std::path::PathBuf;

use base::Org;
use compile::World;
use http::Method;
use openapi::{Operation, Part};
use policies::normalize_path::{PathRules, canonical};
use snapshot::{Found, Segment, Snapshot};
use spec::{ApiSpec, BackendRef, BackendSpec, Backends, Definition, Document, Lifecycle};

fn files() -> Option<Vec<PathBuf>> {
    let Some(corpus) = std::env::var_os("TOLLWAY_CORPUS") else {
        eprintln!("skipped: TOLLWAY_CORPUS is not set");
        return None;
    };
    let mut files = Vec::new();
    for dialect in ["v2", "v3.0", "v3.1"] {
        let folder = PathBuf::from(&corpus).join("openapi").join(dialect);
        files.extend(
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
    files.sort();
    Some(files)
}

fn document() -> Document {
    let mut api = ApiSpec::new(
        "real",
        "1",
        "/real",
        Definition::File("real.yaml".to_owned()),
    );
    api.lifecycle = Lifecycle::Published;
    api.backends = Some(Backends::new(
        Some(BackendRef::Inline(Box::new(BackendSpec::at(
            "http://backend:9000",
        )))),
        None,
    ));
    Document::api(api)
}

/// A path as a client would send it.
fn concrete(operation: &Operation) -> String {
    let mut path = String::new();
    for segment in operation.template.segments() {
        path.push('/');
        for part in &segment.parts {
            path.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Parameter(_) => "zq7",
            });
        }
    }
    // A client encodes what may not stand in a path.
    path.chars()
        .map(|c| {
            if c == ' ' || !c.is_ascii() {
                encoded(c)
            } else {
                c.to_string()
            }
        })
        .collect()
}

fn encoded(c: char) -> String {
    c.to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

/// How concrete a template is, segment by segment, where it fits a path: the smaller goes first.
fn rank(template: &str, path: &str) -> Option<Vec<u8>> {
    let segments: Vec<&str> = path[1..].split('/').collect();
    let patterns = Segment::parse_all(template).unwrap();
    let fits = patterns.len() == segments.len()
        && patterns
            .iter()
            .zip(&segments)
            .all(|(pattern, text)| pattern.matches(text));
    let weight = |pattern: &Segment| match pattern {
        Segment::Literal(_) => 0,
        Segment::Mixed(_) => 1,
        Segment::Parameter => 2,
    };
    fits.then(|| patterns.iter().map(weight).collect())
}

/// Operations of the file, and those that another one with a more concrete template answered for.
fn check(file: &PathBuf) -> (usize, usize) {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let definition = openapi::read(&text, &tree::Limits::default())
        .unwrap_or_else(|problems| panic!("{name}: {problems:#?}"))
        .definition;
    let reduced = compile::check(
        &Org::default_org(),
        &document(),
        &text,
        0,
        &World::default(),
    )
    .unwrap_or_else(|problems| {
        panic!(
            "{name}: {:#?}",
            problems.0.iter().take(5).collect::<Vec<_>>()
        )
    });
    let (snapshot, _) = Snapshot::new(1, [compile::build(&reduced.model).api], []);
    let mut elsewhere = 0;
    for operation in &definition.operations {
        let path = canonical(
            &format!("/real/1{}", concrete(operation)),
            &PathRules::default(),
        )
        .unwrap_or_else(|reject| {
            panic!(
                "{name}: {} {}: {}",
                operation.method, operation.template, reject.detail
            )
        })
        .into_owned();
        let method: Method = operation.method.as_str().parse().unwrap();
        let own = operation
            .id
            .clone()
            .unwrap_or_else(|| format!("{} {}", operation.method, operation.template));
        let Found::Operation {
            operation: found,
            rest_at,
            ..
        } = snapshot.find("h", &path, &method)
        else {
            panic!(
                "{name}: {} {} is not routed at {path}",
                operation.method, operation.template
            );
        };
        if found.label.as_ref() == own {
            continue;
        }
        elsewhere += 1;
        let rest = &path[rest_at..];
        let mine = rank(operation.template.as_str(), rest);
        let better = definition.operations.iter().any(|other| {
            let label = other
                .id
                .clone()
                .unwrap_or_else(|| format!("{} {}", other.method, other.template));
            label == found.label.as_ref()
                && rank(other.template.as_str(), rest) <= mine
                && mine.is_some()
        });
        assert!(
            better,
            "{name}: {} {} was answered by {}",
            operation.method, operation.template, found.label
        );
    }
    (definition.operations.len(), elsewhere)
}

#[test]
fn every_operation_of_real_definitions_routes() {
    let Some(files) = files() else { return };
    assert!(
        files.len() >= 30,
        "the corpus is incomplete: {} files",
        files.len()
    );
    let (mut operations, mut elsewhere) = (0, 0);
    for file in &files {
        let (all, others) = check(file);
        operations += all;
        elsewhere += others;
    }
    eprintln!(
        "{} files, {operations} operations, {elsewhere} answered by a more concrete template",
        files.len()
    );
    assert!(operations >= 600);
    assert!(elsewhere * 100 < operations);
}
