//! Definitions are held against rules before they are stored, as strictly as their documents ask for.

use serde_json::{Value, json};

use crate::world::World;

/// Two operations with one id, and an example that does not fit.
const TWICE: &str = r"openapi: 3.0.3
info: {title: Pets, version: 1.0.0}
paths:
  /a: {get: {operationId: same, responses: {'200': {description: ok}}}}
  /b: {get: {operationId: same, responses: {'200': {description: ok}}}}
components: {schemas: {a: {type: integer, example: x}}}
";

fn import(rules: &Value) -> Value {
    json!({"definition": TWICE, "name": "pets", "context": "/pets", "backend": "http://127.0.0.1:9", "rules": rules})
}

fn errors(problem: &Value) -> Vec<String> {
    let list = problem["errors"].as_array().unwrap();
    let line = |one: &Value| {
        format!(
            "{}:{} {} {}",
            one["line"],
            one["column"],
            one["severity"].as_str().unwrap(),
            one["rule"].as_str().unwrap()
        )
    };
    list.iter().map(line).collect()
}

// req: L7
#[tokio::test]
async fn errors_refuse_and_warnings_are_shown() {
    let world = World::new().await;
    let refused = world.post("paul", "/apis:import", import(&json!({}))).await;
    let refused = refused.problem("INVALID_DOCUMENT");
    assert!(
        errors(&refused).contains(&"5:14 error duplicate-operation-id".to_owned()),
        "{refused:#}"
    );
    let missing = world.get("paul", "/apis/pets-1.0.0").await;
    assert_eq!(missing.status, 404, "nothing is stored");

    let rules = json!({"duplicate-operation-id": "warning"});
    let taken = world
        .post("paul", "/apis:import", import(&rules))
        .await
        .expect(201);
    let warnings: Vec<_> = taken["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["rule"].clone())
        .collect();
    assert_eq!(warnings, ["duplicate-operation-id", "example-mismatch"]);
    assert_eq!(
        taken["api"]["spec"]["definition"]["rules"], rules,
        "it stays in the document"
    );
}

#[tokio::test]
async fn rules_are_asked_for_by_names_that_exist() {
    let world = World::new().await;
    for (rules, told) in [
        (
            json!({"duplicate-operation": "off"}),
            "did you mean `duplicate-operation-id`?",
        ),
        (json!({"wrong-type": "warning"}), "leave it out"),
    ] {
        let refused = world.post("paul", "/apis:import", import(&rules)).await;
        let refused = refused.problem("INVALID_DOCUMENT");
        let fault = refused["errors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["rule"] == "definition-rule");
        let fault = fault.unwrap_or_else(|| panic!("{refused:#}"));
        assert_eq!(fault["mend"], told);
    }
    let answer = world
        .post(
            "paul",
            "/apis:import",
            import(&json!({"wrong-type": "loud"})),
        )
        .await;
    assert_eq!(answer.status, 400);
}

/// What else is changed of an API, is not a matter of its definition.
#[tokio::test]
async fn a_stored_definition_is_not_held_against_rules_again() {
    let world = World::new().await;
    let rules = json!({"duplicate-operation-id": "off", "example-mismatch": "off"});
    world
        .post("paul", "/apis:import", import(&rules))
        .await
        .expect(201);
    let path = "/apis/pets-1.0.0/lifecycle";
    world
        .post("paul", path, json!({"state": "Published"}))
        .await
        .expect(200);
    // Asking for other rules is asking for a new judgement.
    let stored = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let mut document =
        json!({"kind": "Api", "metadata": stored["metadata"], "spec": stored["spec"]});
    document["spec"]["definition"]["rules"] = json!({});
    let bundle = json!({"documents": [{"text": document.to_string()}]});
    let refused = world
        .post("paul", "/apply", bundle)
        .await
        .problem("INVALID_DOCUMENT");
    assert!(
        errors(&refused)
            .iter()
            .any(|one| one.ends_with("duplicate-operation-id")),
        "{refused:#}"
    );
}
