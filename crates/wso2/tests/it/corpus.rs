//! The real definitions of `TOLLWAY_CORPUS`, each with its golden.

use std::path::PathBuf;

use openapi::Rules;
use wso2::Chosen;

use crate::{compare, folder, imported_as, shown};

const PLANS: &[&str] = &["Unlimited", "15PerMin"];

/// Served at `/*`, the root of the gateway, which is no context: it is refused until one is given.
const AT_ROOT: &str = "faultResponses__fault_responses.yaml";

fn files() -> Option<Vec<PathBuf>> {
    let Some(corpus) = std::env::var_os("TOLLWAY_CORPUS") else {
        eprintln!("skipped: TOLLWAY_CORPUS is not set");
        return None;
    };
    let folder = PathBuf::from(corpus).join("x-wso2");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    Some(files)
}

/// req: GW17
#[test]
fn real_definitions_become_documents() {
    let Some(files) = files() else { return };
    assert!(files.len() >= 26, "the corpus is incomplete");
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let chosen = Chosen {
            context: name == AT_ROOT,
            ..Chosen::default()
        };
        let (document, found) = imported_as(&text, PLANS, &chosen);
        assert!(document.is_some(), "{name}: {found:#?}");
        // What an import is held against besides.
        let checked = openapi::check(&text, &tree::Limits::default(), &Rules::default());
        checked.unwrap_or_else(|found| panic!("{name}: {found:#?}"));
        let golden = folder("corpus").join(format!("{name}.out.yaml"));
        compare(&golden, &shown(&text, PLANS, &chosen));
        if name == AT_ROOT {
            let (_, found) = imported_as(&text, PLANS, &Chosen::default());
            let errors = found
                .iter()
                .filter(|one| one.severity == base::Severity::Error);
            let rules: Vec<&str> = errors.map(|one| one.rule.as_str()).collect();
            assert_eq!(rules, ["wso2-base-path"]);
        }
    }
}
