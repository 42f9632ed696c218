//! `cases/NAME.in.yaml` → `NAME.out.yaml`: the model and the table of routes, or every fault. Renewed by running the
//! test with `UPDATE_GOLDENS=1`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base::{Diagnostics, Org};
use compile::{Names, World};
use http::Method;
use serde_json::{Value, json};
use snapshot::{Found, Snapshot};
use spec::{Kind, Located};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases");
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".in.yaml"))
        .collect();
    cases.sort();
    cases
}

/// The documents of a case are the world; the gateway `default` is always there.
fn world(documents: &[Located]) -> World {
    let names = |kind: Kind| {
        let of_kind = documents
            .iter()
            .filter(|located| located.document.kind() == kind);
        let names: BTreeSet<String> = of_kind
            .map(|located| located.document.name().to_owned())
            .collect();
        Names::Known(names)
    };
    World {
        backends: names(Kind::Backend),
        plans: names(Kind::Plan),
        gateways: Names::Known(["default".to_owned()].into()),
        issuers: Names::Unknown,
    }
}

/// Every operation, as it is found in a snapshot of this API alone.
fn routes(model: &sync::ApiModel) -> Vec<Value> {
    let built = compile::build(model);
    let (snapshot, conflicts) = Snapshot::new(1, [built.api], []);
    assert!(conflicts.is_empty());
    let host = model.vhosts.first().map_or("any.host", String::as_str);
    let mut routes = Vec::new();
    for mount in compile::mounts(model) {
        for operation in &model.operations {
            let rest = operation.template.replace('{', "p-").replace('}', "");
            let method: Method = operation.method.parse().unwrap();
            let path = format!("{mount}{rest}");
            routes.push(match snapshot.find(host, &path, &method) {
                Found::Operation {
                    operation, rest_at, ..
                } => {
                    let mut route = json!({
                        "call": format!("{method} {path}"),
                        "label": operation.label.as_ref(),
                        "rest": path[rest_at..],
                        "access": format!("{:?}", operation.chain.access()),
                        "policies": operation.chain.len(),
                    });
                    if let Some(key) = &operation.targets.production {
                        route["backend"] = json!(key.name);
                    }
                    if let Some(key) = &operation.targets.sandbox {
                        route["sandbox"] = json!(key.name);
                    }
                    route
                }
                Found::NoOperation { api } => {
                    json!({"call": format!("{method} {path}"), "gate": format!("{:?}", api.gate)})
                }
                Found::MethodNotAllowed { .. } | Found::NoApi => panic!("{path} is not routed"),
            });
        }
    }
    routes
}

fn lines(out: &mut String, located: &Located, mut problems: Diagnostics) {
    located.locate(&mut problems);
    for problem in &problems.0 {
        writeln!(out, "# {problem}").unwrap();
    }
}

fn compiled(text: &str, name: &str) -> String {
    let documents = spec::parse_located(text, Some(name), &tree::Limits::default())
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let world = world(&documents);
    let mut out = String::new();
    for located in documents
        .iter()
        .filter(|located| located.document.kind() == Kind::Api)
    {
        let document = &located.document;
        let definition =
            spec::resolve_definition(document, |file| panic!("{file}: inline is expected"));
        let definition = definition.unwrap().unwrap();
        writeln!(out, "---\n# {}", document.name()).unwrap();
        match compile::check(
            &Org::default_org(),
            document,
            &definition,
            1_700_000_000,
            &world,
        ) {
            Ok(reduced) => {
                lines(&mut out, located, reduced.warnings);
                let shown = json!({"model": reduced.model, "routes": routes(&reduced.model)});
                out += &serde_saphyr::to_string(&shown).unwrap();
            }
            Err(problems) => lines(&mut out, located, problems),
        }
    }
    out
}

#[test]
fn documents_compile_to_what_the_goldens_say() {
    let cases = cases();
    assert!(cases.len() >= 4);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let out = compiled(&std::fs::read_to_string(&case).unwrap(), &name);
        let golden = case.with_file_name(name.replace(".in.", ".out."));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &out).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(out, expected, "{name} (renew with UPDATE_GOLDENS=1)");
    }
}
