//! `diff/CASE/old.yaml` and `new.yaml` → `expected.txt`; renewed by running the test with `UPDATE_GOLDENS=1`.
//! The corpus against itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openapi::diff;
use openapi::diff::{Difference, Limits, RULES};
use tree::Node;

fn parse(text: &str) -> Node {
    tree::parse(text, &tree::Limits::default()).unwrap()
}

fn rendered(differences: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differences {
        let place = |place: &Option<openapi::diff::Place>| {
            place.as_ref().map_or_else(
                || "-".to_owned(),
                |place| format!("{}:{}{}", place.line, place.column, place.pointer),
            )
        };
        let breaking = if difference.breaking() {
            "BREAKS"
        } else {
            "fine"
        };
        let operation = difference.operation.as_ref();
        let operation =
            operation.map(|operation| format!("{} {}", operation.method, operation.path));
        let _ = writeln!(
            text,
            "{breaking} {} [{}] {}",
            difference.rule.id,
            operation.as_deref().unwrap_or("").trim(),
            difference.message
        );
        let _ = writeln!(
            text,
            "    {} -> {}",
            place(&difference.old),
            place(&difference.new)
        );
        if difference.before.is_some() || difference.after.is_some() {
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            let _ = writeln!(
                text,
                "    {} => {}",
                value(&difference.before),
                value(&difference.after)
            );
        }
    }
    text
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/diff");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

/// The two definitions of a case.
fn pair(case: &Path) -> (Node, Node) {
    let read = |name| parse(&std::fs::read_to_string(case.join(name)).unwrap());
    (read("old.yaml"), read("new.yaml"))
}

// req: PB7
#[test]
fn changes_are_told_with_their_rules() {
    for case in cases() {
        let (old, new) = pair(&case);
        let found = rendered(&diff(&old, &new, &Limits::default()));
        let file = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            found,
            expected,
            "{} (renew with UPDATE_GOLDENS=1)",
            case.display()
        );
    }
}

/// Every rule has a case that shows it, in one of the two directions of time.
#[test]
fn every_rule_has_a_case() {
    let mut seen = std::collections::BTreeSet::from(["not-compared"]);
    for case in cases() {
        let (old, new) = pair(&case);
        for (old, new) in [(&old, &new), (&new, &old)] {
            let found = diff(old, new, &Limits::default());
            seen.extend(found.iter().map(|difference| difference.rule.id));
        }
    }
    let missing: Vec<&str> = RULES
        .iter()
        .map(|rule| rule.id)
        .filter(|id| !seen.contains(id))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:#?}");
}

#[test]
fn rules_have_names_of_their_own() {
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
}

#[test]
fn a_limit_that_was_reached_is_told_as_breaking() {
    let (old, new) = pair(&cases()[0]);
    for limits in [
        Limits {
            steps_max: 1,
            ..Limits::default()
        },
        Limits {
            differences_max: 1,
            ..Limits::default()
        },
    ] {
        let found = diff(&old, &new, &limits);
        let last = found.last().unwrap();
        assert_eq!(last.rule.id, "not-compared");
        assert!(last.breaking());
    }
}

/// The texts of the corpus that parse, with their paths.
fn corpus() -> Option<Vec<(PathBuf, Node, usize)>> {
    let mut all = Vec::new();
    for name in [
        "v2",
        "v3.0",
        "v3.1",
        "v3.2",
        "valid-3.1",
        "invalid",
        "invalid-3.1",
    ] {
        for (path, text) in crate::folder(name)? {
            if let Ok(root) = tree::parse(&text, &tree::Limits::default()) {
                all.push((path, root, text.len()));
            }
        }
    }
    Some(all)
}

#[test]
fn nothing_differs_from_itself() {
    let Some(corpus) = corpus() else { return };
    for (path, root, size) in &corpus {
        let again = root.clone();
        let started = Instant::now();
        let found = diff(root, &again, &Limits::default());
        assert!(found.is_empty(), "{}: {}", path.display(), rendered(&found));
        let took = started.elapsed();
        if *size > 300_000 {
            eprintln!("{}: {size} bytes, {took:?}", path.display());
        }
        assert!(
            took < Duration::from_mins(1),
            "{}: {took:?}",
            path.display()
        );
    }
}

/// Any two files of the corpus: no panic, bounded time, and all pointers lead somewhere.
#[test]
fn any_two_definitions_are_compared_in_bounded_time() {
    let Some(corpus) = corpus() else { return };
    for (index, (path, old, _)) in corpus.iter().enumerate() {
        for step in [1, 7, 31] {
            let (other, new, _) = &corpus[(index + step) % corpus.len()];
            let started = Instant::now();
            let found = diff(old, new, &Limits::default());
            let took = started.elapsed();
            assert!(
                took < Duration::from_mins(1),
                "{} {}: {took:?}",
                path.display(),
                other.display()
            );
            for difference in &found {
                if let Some(place) = &difference.old {
                    assert!(old.pointer(&place.pointer).is_some(), "{difference:?}");
                }
                if let Some(place) = &difference.new {
                    assert!(new.pointer(&place.pointer).is_some(), "{difference:?}");
                }
            }
        }
    }
}

/// Everything that holds a string holds a number now: as many differences as there can be, in bounded time.
#[test]
fn definitions_that_differ_everywhere_are_compared_in_bounded_time() {
    let Some(corpus) = corpus() else { return };
    for (path, old, size) in corpus.iter().filter(|(_, _, size)| *size > 100_000) {
        let text = old.to_json().to_string();
        let new = parse(&text.replace(r#""type":"string""#, r#""type":"integer""#));
        let started = Instant::now();
        let found = diff(old, &new, &Limits::default());
        let took = started.elapsed();
        eprintln!(
            "{}: {size} bytes, {} differences, {took:?}",
            path.display(),
            found.len()
        );
        // A definition without operations has nothing to differ in.
        let empty = old
            .pointer("/paths")
            .is_none_or(|paths| paths.as_object().is_none_or(|all| all.is_empty()));
        assert!(
            empty || found.iter().any(Difference::breaking),
            "{}",
            path.display()
        );
        assert!(
            took < Duration::from_mins(1),
            "{}: {took:?}",
            path.display()
        );
    }
}

/// Such a definition is refused, but a comparison may meet it all the same.
#[test]
fn paths_that_differ_in_names_only_do_not_differ_from_themselves() {
    let text = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n  /a/{id}: {post: {parameters: [{name: id, in: path, required: true}]}}\n  /a/{key}: {get: {parameters: [{name: key, in: path, required: true}]}}\n";
    let tree = tree::parse(text, &tree::Limits::default()).unwrap();
    let found = openapi::diff(&tree, &tree.clone(), &openapi::diff::Limits::default());
    assert!(found.is_empty(), "{found:?}");
}
