//! `faulty/CASE.in.yaml` → `CASE.out.txt`; renewed by running the test with `UPDATE_GOLDENS=1`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use spec::Kind;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}

fn hold(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, text).expect("the golden can be written");
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        text,
        expected,
        "{} (renew with UPDATE_GOLDENS=1)",
        path.display()
    );
}

#[test]
fn faulty_documents_give_every_problem_with_its_place() {
    let mut cases: Vec<_> = std::fs::read_dir(folder("faulty"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(".in."))
        .collect();
    cases.sort();
    assert!(cases.len() >= 5);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&case).unwrap();
        let problems = spec::parse_documents(&text, Some(&name), &tree::Limits::default())
            .expect_err("the case is faulty");
        let mut out = String::new();
        for problem in &problems.0 {
            assert!(problem.line > 0 && problem.column > 0, "{problem}");
            writeln!(out, "{problem}").unwrap();
        }
        assert!(
            !out.contains("user:pw"),
            "a URL's credentials were repeated"
        );
        let (stem, _) = name.split_once('.').unwrap();
        hold(&case.with_file_name(format!("{stem}.out.txt")), &out);
    }
}

#[test]
fn schemas_and_explanations() {
    let mut out = String::new();
    for kind in Kind::ALL {
        writeln!(out, "{}", spec::explain(kind)).unwrap();
    }
    hold(&folder("good/explain.out.txt"), &out);
    let schema = spec::schema(Kind::Api);
    hold(
        &folder("good/api.schema.json"),
        &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()),
    );
    // Nothing that may be left out may be null, and nothing unknown is let in.
    assert!(!schema.to_string().contains("\"null\""));
}

#[test]
fn as_people_read_them() {
    let texts: Vec<_> = super::examples()
        .iter()
        .map(spec::Document::to_yaml)
        .collect();
    hold(&folder("good/all-kinds.out.yaml"), &texts.join("---\n"));
}

#[test]
fn problems_are_counted() {
    let limits = tree::Limits {
        problems_max: 3,
        ..tree::Limits::default()
    };
    let text = "kind: Plan\nmetadata: {name: a}\nspec: {a: 1, b: 2, c: 3, d: 4}\n---\nkind: X\n";
    assert_eq!(
        spec::parse_documents(text, None, &limits)
            .unwrap_err()
            .0
            .len(),
        3
    );
}
