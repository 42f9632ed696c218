//! Definitions to documents: goldens, the real definitions of `TOLLWAY_CORPUS`, and texts that nobody wrote.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

mod corpus;
mod goldens;
mod random;
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base::Diagnostics;
use spec::{ApiSpec, Definition, Document};
use wso2::Chosen;

/// The document that a definition means, and all that is to be said about it.
pub(crate) fn imported(text: &str, plans: &[&str]) -> (Option<Document>, Diagnostics) {
    imported_as(text, plans, &Chosen::default())
}

/// The same for somebody who has decided some of it already.
pub(crate) fn imported_as(
    text: &str,
    plans: &[&str],
    chosen: &Chosen,
) -> (Option<Document>, Diagnostics) {
    let read = match openapi::read(text, &tree::Limits::default()) {
        Ok(read) => read,
        Err(faults) => return (None, faults),
    };
    let definition = &read.definition;
    let (extensions, mut found) = wso2::read(read.source.tree(), definition, 100);
    let mut api = ApiSpec::new(
        "api",
        definition.version.as_str(),
        "/api",
        Definition::File("definition.yaml".to_owned()),
    );
    let plans: BTreeSet<String> = plans.iter().map(ToString::to_string).collect();
    found.extend(wso2::into_document(
        &extensions,
        definition,
        Some(&plans),
        chosen,
        &mut api,
    ));
    read.source.locate(&mut found);
    found.0.sort_by_key(|one| (one.line, one.column));
    if found.has_errors() {
        return (None, found);
    }
    // A document that a program made is checked like one that a person wrote.
    match spec::from_json(Document::api(api).to_json()) {
        Ok(document) => (Some(document), found),
        Err(faults) => panic!("the document is faulty: {faults:#?}"),
    }
}

/// For goldens: the diagnostics as comments, then the document.
pub(crate) fn shown(text: &str, plans: &[&str], chosen: &Chosen) -> String {
    let (document, found) = imported_as(text, plans, chosen);
    let mut out = String::new();
    for problem in &found.0 {
        writeln!(out, "# {} {problem}", problem.rule).unwrap();
    }
    match document {
        Some(document) => out += &document.to_yaml(),
        None => out += "# refused\n",
    }
    out
}

/// Compares with a golden beside the tests; writes it with `UPDATE_GOLDENS=1`.
pub(crate) fn compare(golden: &std::path::Path, out: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(golden, out).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    let name = golden.display();
    assert_eq!(out, expected, "{name} (renew with UPDATE_GOLDENS=1)");
}

pub(crate) fn folder(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}
