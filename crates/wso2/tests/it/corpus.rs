//! The real definitions of `TOLLWAY_CORPUS`, each with its golden.

use std::path::PathBuf;

use wso2::Chosen;

use crate::{compare, folder, imported, imported_as, shown};

/// Files that are refused, each with the rule that refuses it.
const REFUSED: &[(&str, &str)] = &[
    // Served at `/*`, the root of the gateway. It is taken with a context.
    ("faultResponses__fault_responses.yaml", "wso2-base-path"),
    // No OpenAPI: a text among the security requirements of an operation.
    ("interceptor__interceptor.yaml", "wrong-type"),
    // No OpenAPI: a text where the scopes of a security requirement are listed.
    ("jwtTransformer__jwt_transformer.yaml", "wrong-type"),
];

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
        let (document, found) = imported(&text, &["Unlimited", "15PerMin"]);
        let refusal = REFUSED.iter().find(|(refused, _)| *refused == name);
        match (document, refusal) {
            (Some(_), None) => {}
            (None, Some((_, rule))) => {
                let errors = found
                    .iter()
                    .filter(|one| one.severity == base::Severity::Error);
                let rules: Vec<&str> = errors.map(|one| one.rule.as_str()).collect();
                assert_eq!(rules, [*rule], "{name}: {found:#?}");
            }
            (Some(_), Some(_)) => panic!("{name} is taken"),
            (None, None) => panic!("{name}: {found:#?}"),
        }
        let with_context = Chosen {
            context: true,
            ..Chosen::default()
        };
        if let Some((_, "wso2-base-path")) = refusal {
            let (document, found) = imported_as(&text, &[], &with_context);
            assert!(document.is_some(), "{name}: {found:#?}");
        }
        let golden = folder("corpus").join(format!("{name}.out.yaml"));
        compare(&golden, &shown(&text, &["Unlimited", "15PerMin"]));
    }
}
