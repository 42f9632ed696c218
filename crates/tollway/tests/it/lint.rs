//! `tollway lint`, which needs no platform.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const API: &str = "openapi: 3.0.3
info: {title: t, version: '1', description: d, contact: {name: n}}
servers: [{url: https://a.example}]
tags: [{name: t}]
paths:
  /things:
    get:
      operationId: List_Things
      tags: [t]
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: 'schemas.yaml#/Thing'}}}}}
";

const SCHEMAS: &str = "Thing:
  type: object
  properties:
    kind: {type: string, enum: [a, 1]}
";

const RULESET: &str = "rules:
  ids-in-camel-case:
    severity: warn
    message: '{{error}}'
    given: $.paths[*][get].operationId
    then: {function: casing, functionOptions: {type: camel}}
  kinds-are-typed:
    severity: info
    message: '{{error}}'
    given: $..[?(@.enum)]
    then: {function: typedEnum}
";

/// Exit code, standard output, standard error.
fn lint(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollway"))
        .arg("lint")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("api.yaml", API),
        ("schemas.yaml", SCHEMAS),
        ("rules.yaml", RULESET),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

// req: PB7
#[test]
fn findings_have_file_line_column_severity_rule_and_message() {
    let folder = folder();
    let (code, out, _) = lint(folder.path(), &["api.yaml", "--ruleset", "rules.yaml"]);
    assert_eq!(
        out,
        "api.yaml:8:7 warn ids-in-camel-case List_Things must be in camel case\n\
         schemas.yaml:4:36 info kinds-are-typed 1 is not of the type string\n"
    );
    assert_eq!(code, 0, "nothing is an error");
    let code = |least| {
        lint(
            folder.path(),
            &[
                "api.yaml",
                "--ruleset",
                "rules.yaml",
                "--fail-severity",
                least,
            ],
        )
        .0
    };
    assert_eq!(
        (code("error"), code("warn"), code("info"), code("hint")),
        (0, 1, 1, 1)
    );
    let (_, out, _) = lint(
        folder.path(),
        &["api.yaml", "--ruleset", "rules.yaml", "-o", "json"],
    );
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[0]["rule"], "ids-in-camel-case");
    assert_eq!(rows[0]["pointer"], "/paths/~1things/get/operationId");
    assert_eq!(rows[1]["file"], "schemas.yaml");
    assert_eq!(rows[1]["severity"], "info");
}

#[test]
fn without_a_rule_set_the_built_in_rules_hold() {
    let folder = folder();
    let (code, out, _) = lint(folder.path(), &["api.yaml", "--fail-severity", "warn"]);
    assert!(out.contains("operation-description"), "{out}");
    assert_eq!(code, 1);
    std::fs::write(folder.path().join("broken.yaml"), "openapi: [").unwrap();
    let (code, out, _) = lint(folder.path(), &["broken.yaml"]);
    assert!(out.starts_with("broken.yaml:2:1 error syntax "), "{out}");
    assert_eq!(code, 1);
}

#[test]
fn what_cannot_be_used_is_wrong_usage() {
    let folder = folder();
    std::fs::write(
        folder.path().join("bad.yaml"),
        "rules: {a: {given: paths, then: {function: truthy}}}",
    )
    .unwrap();
    for arguments in [
        vec!["api.yaml", "--ruleset", "missing.yaml"],
        vec!["missing.yaml"],
        vec!["rules.yaml"],
        vec!["api.yaml", "--fail-severity", "loud"],
        vec![],
    ] {
        assert_eq!(lint(folder.path(), &arguments).0, 2, "{arguments:?}");
    }
    let (code, _, err) = lint(folder.path(), &["api.yaml", "--ruleset", "bad.yaml"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("bad.yaml:1:13 /rules/a/given rule `a`: `paths` is not understood"),
        "{err}"
    );
}
