use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lint::{Finding, Limits, Ruleset, Severity};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn findings(case: &Path) -> Vec<Finding> {
    let read = |name: &str| std::fs::read_to_string(case.join(name));
    let ruleset = read("ruleset.yaml")
        .or_else(|_| read("ruleset.json"))
        .unwrap();
    let ruleset = Ruleset::read(&ruleset, &tree::Limits::default())
        .unwrap_or_else(|found| panic!("{}: {found:#?}", case.display()));
    let root = tree::parse(&read("api.yaml").unwrap(), &tree::Limits::default()).unwrap();
    let mut findings = lint::lint(&root, &ruleset, &Limits::default());
    for finding in &findings {
        assert!(
            root.pointer(&finding.diagnostic.pointer).is_some(),
            "{finding:?}"
        );
    }
    lint::locate(&mut findings, |found| root.locate(found));
    findings
}

// req: PB7
#[test]
fn rules_find_what_they_are_about() {
    for case in cases() {
        let mut text = String::new();
        for Finding {
            severity,
            diagnostic,
        } in findings(&case)
        {
            let _ = writeln!(
                text,
                "{}:{} {severity} {} {} [{}]",
                diagnostic.line,
                diagnostic.column,
                diagnostic.rule,
                diagnostic.message,
                diagnostic.pointer
            );
        }
        let file = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            text,
            expected,
            "{} (renew with UPDATE_GOLDENS=1)",
            case.display()
        );
    }
}

/// Every built-in rule is shown by a case, and those that are recommended are what `extends` switches on.
#[test]
fn every_built_in_rule_has_a_case() {
    let found: BTreeSet<String> = cases()
        .iter()
        .flat_map(|case| findings(case))
        .map(|finding| finding.diagnostic.rule)
        .collect();
    let built_in = Ruleset::built_in();
    let missing: Vec<&str> = built_in
        .rules()
        .iter()
        .map(|rule| rule.name.as_str())
        .filter(|name| !found.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:#?}");
    assert!(built_in.rules().iter().any(|rule| rule.severity.is_none()));
    assert!(
        built_in
            .rules()
            .iter()
            .any(|rule| rule.severity == Some(Severity::Error))
    );
    assert!(
        built_in
            .rules()
            .iter()
            .all(|rule| rule.description.is_some())
    );
}

/// Paths, and the pointers that they find.
#[test]
fn paths_of_the_dialect() {
    let root = "openapi: 3.0.0
paths:
  /a: {get: {tags: [x, y, z], parameters: [{in: query, name: q}, {$ref: '#/components/parameters/P'}], deprecated: true}, post: {}}
  /b: {get: {}}
components:
  parameters: {P: {in: header, name: h, schema: {type: string}}}
";
    let root = tree::parse(root, &tree::Limits::default()).unwrap();
    for (path, expected) in [
        ("$", "/"),
        ("$.paths.*", "/paths/~1a /paths/~1b"),
        (
            "$.paths[*][get,post]",
            "/paths/~1a/get /paths/~1a/post /paths/~1b/get",
        ),
        ("$.paths['/a'].get", "/paths/~1a/get"),
        ("$.paths./b", "/paths/~1b"),
        ("$..tags[0]", "/paths/~1a/get/tags/0"),
        ("$..tags[-1]", "/paths/~1a/get/tags/2"),
        ("$..tags[1:]", "/paths/~1a/get/tags/1 /paths/~1a/get/tags/2"),
        ("$..tags[:1]", "/paths/~1a/get/tags/0"),
        (
            "$..[?(@.in)]",
            "/paths/~1a/get/parameters/0 /components/parameters/P",
        ),
        (
            "$..parameters[?(@.in === 'header')]",
            "/components/parameters/P",
        ),
        (
            "$..parameters[?(@.in != 'header' && @.name)]",
            "/paths/~1a/get/parameters/0",
        ),
        ("$..parameters[1].schema", "/components/parameters/P/schema"),
        ("$..parameters[1].schema^", "/components/parameters/P"),
        ("$.paths[?(@property.match(/^\\/b/))]", "/paths/~1b"),
        ("$.paths[?(search(@property, 'b$'))]", "/paths/~1b"),
        (
            "$.paths[?(@property == '/a' || @property == '/b')]~",
            "/paths/~1a /paths/~1b",
        ),
        (
            "$.paths[*][?(['get'].includes(@property))]",
            "/paths/~1a/get /paths/~1b/get",
        ),
        (
            "$.paths[*][?(@.tags && @.tags.length > 2)]",
            "/paths/~1a/get",
        ),
        ("$.paths[*][?(length(@.tags) == 3)]", "/paths/~1a/get"),
        ("$.paths[*][?(@.deprecated == true)]", "/paths/~1a/get"),
        (
            "$.paths[*][?(!@.deprecated)]",
            "/paths/~1a/post /paths/~1b/get",
        ),
        (
            "$.paths[*][?(@.tags.indexOf('y') !== -1)]",
            "/paths/~1a/get",
        ),
        (
            "$.paths[*][?(/^P/.test(@property.toUpperCase()))]",
            "/paths/~1a/post",
        ),
        ("$.paths[*][?(@parentProperty === '/b')]", "/paths/~1b/get"),
        (
            "$.paths[*][?(@parent.post)]",
            "/paths/~1a/get /paths/~1a/post",
        ),
        (
            "$.paths[*][?($.openapi == '3.0.0' && @.tags)]",
            "/paths/~1a/get",
        ),
        (
            "$.paths[*].get.parameters[*].name",
            "/paths/~1a/get/parameters/0/name /components/parameters/P/name",
        ),
    ] {
        let text = serde_json::json!({"rules": {"r": {"given": path, "then": {"function": "falsy"}, "message": "x"}}});
        let ruleset = Ruleset::read(&text.to_string(), &tree::Limits::default())
            .unwrap_or_else(|found| panic!("{path}: {found:?}"));
        // Whatever is found is told: `falsy` for what is there, and what is empty is not asked for here.
        let found: Vec<String> = lint::lint(&root, &ruleset, &Limits::default())
            .into_iter()
            .map(|finding| {
                if finding.diagnostic.pointer.is_empty() {
                    "/".to_owned()
                } else {
                    finding.diagnostic.pointer
                }
            })
            .collect();
        assert_eq!(found.join(" "), expected, "{path}");
    }
}
