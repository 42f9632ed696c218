//! Revisions, deployments, the audit and taking back, by commands.

use serde_json::Value;

use crate::platform::User;

const FIRST: &str = "openapi: 3.0.3
info: {title: Pets, version: 1.0.0}
paths:
  /pets:
    get: {operationId: list, responses: {'200': {description: ok}}}
    post: {operationId: add, responses: {'200': {description: ok}}}
";

const SECOND: &str = "openapi: 3.0.3
info: {title: Pets, version: 1.0.0}
paths:
  /pets:
    get: {operationId: list, responses: {'200': {description: ok}}}
";

const DOCUMENT: &str = "kind: Api
spec:
  name: pets
  version: 1.0.0
  context: /pets
  lifecycle: Published
  definition: {file: pets.openapi.yaml}
  backends: {production: {endpoints: [{url: http://127.0.0.1:9}]}}
  security: []
";

fn apply(user: &User, definition: &str, document: &str) {
    std::fs::create_dir_all(user.path("conf")).unwrap();
    std::fs::write(user.path("conf/pets.openapi.yaml"), definition).unwrap();
    std::fs::write(user.path("conf/pets.yaml"), document).unwrap();
    user.ok(&["apply", "-f", "conf"]);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// req: C1
#[test]
fn revisions_are_deployed_and_rolled_back() {
    let user = User::start();
    apply(&user, FIRST, DOCUMENT);
    apply(&user, SECOND, DOCUMENT);
    let table = user.ok(&["api", "revisions", "pets:1.0.0"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].contains("DEPLOYED ON"));
    assert!(
        lines[1].starts_with('2') && lines[1].ends_with("default"),
        "{table}"
    );
    assert!(
        lines[2].starts_with('1') && lines[2].contains("admin"),
        "{table}"
    );

    let done = user.ok(&["api", "deploy", "pets:1.0.0", "--revision", "1"]);
    assert_eq!(
        done.trim(),
        "pets:1.0.0 on default: 2 -> 1, deployed: its node serves it"
    );
    // What runs where is in the document: the files differ now, and say what `deploy` wrote once they are exported.
    let differs = user.fails(1, &["diff", "-f", "conf"]);
    assert!(
        differs.contains("/spec/deployments/0/revision: 1 -> (nothing)"),
        "{differs}"
    );
    user.ok(&["export", "-d", "out"]);
    assert_eq!(user.ok(&["diff", "-f", "out"]), "");
    let done = user.ok(&["api", "rollback", "pets:1.0.0"]);
    assert_eq!(
        done.trim(),
        "pets:1.0.0 on default: 1 -> 2, deployed: its node serves it"
    );
    let done = user.ok(&["api", "deploy", "pets:1.0.0", "--timeout", "60s"]);
    assert!(done.contains("2 -> 2 (latest), deployed"), "{done}");
    let refused = user.fails(3, &["api", "deploy", "pets:1.0.0", "--revision", "9"]);
    assert!(
        refused.contains("INVALID_DOCUMENT") && refused.contains("no revision 9"),
        "{refused}"
    );
    user.fails(2, &["api", "deploy", "pets:1.0.0", "--revision", "newest"]);

    // A gateway without nodes.
    std::fs::write(
        user.path("edge.yaml"),
        "kind: Gateway\nmetadata: {name: edge}\nspec: {}\n",
    )
    .unwrap();
    user.ok(&["apply", "-f", "edge.yaml"]);
    let done = json(&user.ok(&[
        "api",
        "deploy",
        "pets:1.0.0",
        "--gateway",
        "edge",
        "-o",
        "json",
    ]));
    assert_eq!(
        (&done["state"], &done["nodes"]),
        (&"Pending".into(), &0.into())
    );
    let done = user.ok(&["api", "undeploy", "pets:1.0.0", "--gateway", "edge"]);
    assert!(done.contains("edge: 2 -> nothing"), "{done}");

    // Deleted, it still tells its revisions.
    user.ok(&["api", "delete", "pets:1.0.0"]);
    let left = json(&user.ok(&["api", "revisions", "pets:1.0.0", "-o", "json"]));
    assert_eq!(left.as_array().unwrap().len(), 2);
}

#[test]
fn revisions_are_compared() {
    let user = User::start();
    apply(&user, FIRST, DOCUMENT);
    apply(&user, SECOND, DOCUMENT);
    apply(&user, FIRST, &DOCUMENT.replace("/pets\n", "/animals\n"));
    let out = user.run(&["api", "diff", "pets:1.0.0", "--from", "1", "--to", "2"]);
    assert_eq!(out.status.code(), Some(1));
    let out = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.contains("- POST /pets: ") && out.contains("[operation-removed]  BREAKS CALLERS"),
        "{out}"
    );
    let out = user.ok(&["api", "diff", "pets:1.0.0", "--from", "2"]);
    assert!(out.contains("+ POST /pets: "), "{out}");
    assert!(
        out.contains("/spec/context: \"/pets\" -> \"/animals\""),
        "{out}"
    );
    let same = json(&user.ok(&[
        "api",
        "diff",
        "pets:1.0.0",
        "--from",
        "3",
        "--to",
        "3",
        "-o",
        "json",
    ]));
    assert_eq!(
        (&same["breaking"], &same["definition"]),
        (&false.into(), &Value::Array(vec![]))
    );
}

/// req: O6
#[test]
fn changes_are_told_and_taken_back() {
    let user = User::start();
    apply(&user, FIRST, DOCUMENT);
    apply(&user, SECOND, DOCUMENT);
    user.ok(&["api", "state", "pets:1.0.0", "blocked"]);
    let told = json(&user.ok(&[
        "audit",
        "--name",
        "pets:1.0.0",
        "--since",
        "1h",
        "-o",
        "json",
    ]));
    let actions: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["moved", "changed", "created"]);
    assert_eq!(told[1]["definitionChanged"], true);
    let table = user.ok(&["audit", "--kind", "Api", "--actor", "admin", "--limit", "1"]);
    assert!(
        table.contains("moved") && table.contains("/spec/lifecycle"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2, "{table}");
    let revision = |index: usize| told[index]["revision"].to_string();
    assert_eq!(
        user.ok(&["audit", "--revision", &revision(1)])
            .lines()
            .count(),
        2
    );

    let refused = user.fails(3, &["undo", &revision(1)]);
    assert!(
        refused.contains("CANNOT_UNDO") && refused.contains("--force"),
        "{refused}"
    );
    assert_eq!(
        user.ok(&["undo", &revision(0), "--dry-run"]),
        "would update Api pets-1.0.0\n"
    );
    assert_eq!(user.ok(&["undo", &revision(0)]), "updated Api pets-1.0.0\n");
    let api = json(&user.ok(&["api", "get", "pets:1.0.0", "-o", "json"]));
    assert_eq!(api["spec"]["lifecycle"], "Published");
    user.ok(&["undo", &revision(1), "--force"]);
    assert_eq!(
        user.ok(&["api", "definition", "pets:1.0.0"]).trim(),
        FIRST.trim()
    );
    user.fails(3, &["undo", "99999"]);
}
