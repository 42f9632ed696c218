//! validate, diff, apply, export.

use serde_json::{Value, json};

use crate::world::{PETS, World};

const DOCUMENTS: &str = "kind: Api
metadata: {name: pets-1.0.0}
spec:
  name: pets
  version: 1.0.0
  context: /pets
  lifecycle: Deprecated
  definition: {file: pets.yaml}
  backends: {production: store}
  plans: [Tiny]
---
kind: Backend
metadata: {name: store}
spec: {endpoints: [{url: 'http://127.0.0.1:9000'}]}
---
kind: Plan
metadata: {name: Tiny}
spec: {quota: {requests: 5, per: 1m}}
---
kind: Application
metadata: {name: shop}
spec: {owner: sue}
---
kind: Subscription
metadata: {name: shop-pets}
spec: {application: shop, api: {name: pets, version: 1.0.0}, plan: Tiny}
";

fn bundle() -> Value {
    json!({"documents": [{"file": "dir/all.yaml", "text": DOCUMENTS}], "definitions": {"dir/pets.yaml": PETS}})
}

fn actions(answer: &Value) -> Vec<(String, String)> {
    let results = answer["results"]
        .as_array()
        .or(answer["changes"].as_array())
        .unwrap();
    results
        .iter()
        .map(|result| {
            let text = |key: &str| result[key].as_str().unwrap().to_owned();
            (format!("{} {}", text("kind"), text("name")), text("action"))
        })
        .collect()
}

#[tokio::test]
async fn apply_does_what_the_dry_run_said_and_diff_is_empty_after_it() {
    // req: C9
    let world = World::new().await;
    let before = world.store.revision().await.unwrap();
    let dry = world
        .post("admin", "/apply?dryRun=true", bundle())
        .await
        .expect(200);
    assert_eq!(
        world.store.revision().await.unwrap(),
        before,
        "a dry run writes nothing"
    );
    let diff = world.post("admin", "/diff", bundle()).await.expect(200);
    let done = world.post("admin", "/apply", bundle()).await.expect(200);
    assert_eq!(actions(&dry), actions(&done));
    assert_eq!(actions(&diff), actions(&done));
    assert!(
        actions(&done).iter().all(|(_, action)| action == "created"),
        "{done:#}"
    );
    assert_eq!(actions(&done).len(), 5);
    assert_eq!(done["results"][0]["file"], "dir/all.yaml");
    assert_eq!(
        done["revision"].as_u64(),
        Some(before + 1),
        "one transaction"
    );
    let after = world
        .post("admin", "/diff?prune=true", bundle())
        .await
        .expect(200);
    let kept: Vec<_> = actions(&after)
        .into_iter()
        .filter(|(_, action)| action != "deleted")
        .collect();
    assert_eq!(kept, []);
    assert_eq!(
        world.post("admin", "/diff", bundle()).await.expect(200)["changes"],
        json!([])
    );
    let again = world.post("admin", "/apply", bundle()).await.expect(200);
    assert!(again["revision"].is_null());
    assert!(
        actions(&again)
            .iter()
            .all(|(_, action)| action == "unchanged")
    );
}

#[tokio::test]
async fn a_diff_names_the_fields() {
    let world = World::new().await;
    world.post("admin", "/apply", bundle()).await.expect(200);
    let mut changed = bundle();
    let text = DOCUMENTS.replace("requests: 5", "requests: 6");
    changed["documents"][0]["text"] = text.into();
    changed["definitions"]["dir/pets.yaml"] =
        PETS.replace("operationId: list", "operationId: all").into();
    let diff = world
        .post("admin", "/diff", changed.clone())
        .await
        .expect(200);
    assert_eq!(actions(&diff).len(), 2, "{diff:#}");
    let of = |kind: &str| {
        diff["changes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|change| change["kind"] == kind)
            .unwrap()
            .clone()
    };
    assert_eq!(
        of("Plan")["fields"],
        json!([{"pointer": "/spec/quota/requests", "before": 5, "after": 6}])
    );
    assert_eq!(of("Api")["definitionChanged"], true);
    let done = world.post("admin", "/apply", changed).await.expect(200);
    let updated = actions(&done)
        .into_iter()
        .filter(|(_, action)| action == "updated")
        .count();
    assert_eq!(updated, 2);
}

#[tokio::test]
async fn nothing_is_deleted_without_prune() {
    let world = World::new().await;
    world.post("admin", "/apply", bundle()).await.expect(200);
    let only = json!({"documents": [{"text": "kind: Backend\nmetadata: {name: other}\nspec: {endpoints: [{url: 'http://x'}]}\n"}]});
    world
        .post("admin", "/apply", only.clone())
        .await
        .expect(200);
    world.get("paul", "/backends/store").await.expect(200);
    world
        .post("admin", "/apply?prune=true", only.clone())
        .await
        .problem("IN_USE");
    // Without what refers to it, it goes; other kinds than those of the bundle stay.
    world
        .delete("paul", "/apis/pets-1.0.0?cascade=true")
        .await
        .expect(204);
    let dry = world
        .post("paul", "/apply?prune=true&dryRun=true", only.clone())
        .await
        .expect(200);
    let done = world
        .post("paul", "/apply?prune=true", only)
        .await
        .expect(200);
    assert_eq!(actions(&dry), actions(&done));
    assert_eq!(
        actions(&done),
        [
            ("Backend other".to_owned(), "unchanged".to_owned()),
            ("Backend store".to_owned(), "deleted".to_owned())
        ]
    );
    world
        .get("paul", "/backends/store")
        .await
        .problem("NOT_FOUND");
    world.get("sue", "/plans/Tiny").await.expect(200);
}

#[tokio::test]
async fn an_export_restores_an_empty_platform_with_the_same_digests() {
    // req: C9
    let one = World::new().await;
    one.post("admin", "/apply", bundle()).await.expect(200);
    one.publish_pets("2.0.0").await;
    let export = one.get("admin", "/export").await.expect(200);
    let mut documents = Vec::new();
    let mut definitions = serde_json::Map::new();
    for item in export["documents"].as_array().unwrap() {
        let document = spec::from_json(item["document"].clone()).unwrap();
        documents.push(json!({"file": item["file"], "text": document.to_yaml()}));
        if let Some(definition) = item["definition"].as_object() {
            let file = definition["file"].as_str().unwrap().to_owned();
            definitions.insert(file, definition["text"].clone());
        }
    }
    assert_eq!(definitions["apis/pets-1.0.0/pets.yaml"], PETS);
    assert_eq!(definitions.len(), 2);
    let exported = json!({"documents": documents, "definitions": definitions});
    let same = one
        .post("admin", "/diff?prune=true", exported.clone())
        .await
        .expect(200);
    assert_eq!(same["changes"], json!([]));

    let other = World::new().await;
    other.post("admin", "/apply", exported).await.expect(200);
    let restored = other.get("admin", "/export").await.expect(200);
    assert_eq!(restored, export, "documents, files and digests");
}

#[tokio::test]
async fn all_faults_of_all_documents_come_at_once() {
    // req: C8
    let world = World::new().await;
    let bad = json!({"documents": [
        {"file": "a.yaml", "text": "kind: Plan\nmetadata: {name: A}\nspec: {qouta: 1}\n"},
        {"file": "b.yaml", "text": "kind: Subscription\nmetadata: {name: s}\nspec: {application: no, api: {name: no, version: '1'}, plan: no}\n"},
        {"file": "c.yaml", "text": "kind: Api\nspec: {name: x, version: '1', context: /x, definition: {file: x.yaml}, plans: [No]}\n"},
    ], "definitions": {"x.yaml": PETS.replace("title: Pets, ", "")}});
    let before = world.store.revision().await.unwrap();
    let checked = world
        .post("admin", "/validate", bad.clone())
        .await
        .expect(200);
    assert_eq!(checked["valid"], false);
    let found: Vec<(&str, &str)> = checked["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["file"].as_str().unwrap(),
                one["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    for expected in [
        ("a.yaml", "/spec/qouta"),
        ("b.yaml", "/spec/application"),
        ("b.yaml", "/spec/api"),
        ("c.yaml", "/spec/plans/0"),
        ("x.yaml", "/info"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:#?}");
    }
    assert!(
        checked["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["line"].as_u64().unwrap() > 0)
    );
    let refused = world
        .post("admin", "/apply", bad)
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(
        refused["errors"], checked["diagnostics"],
        "both say the same"
    );
    assert_eq!(world.store.revision().await.unwrap(), before);
    let good = world.post("admin", "/validate", bundle()).await.expect(200);
    assert_eq!(good["valid"], true);
    assert_eq!(
        world.store.revision().await.unwrap(),
        before,
        "validate stores nothing"
    );
}

#[tokio::test]
async fn a_document_written_twice_and_a_definition_left_out_are_faults() {
    let world = World::new().await;
    let twice = json!({"documents": [{"text": "kind: Plan\nmetadata: {name: A}\nspec: {}\n---\nkind: Plan\nmetadata: {name: A}\nspec: {}\n"}]});
    let problem = world
        .post("admin", "/apply", twice)
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(problem["errors"][0]["rule"], "duplicate-document");
    assert_eq!(problem["errors"][0]["line"], 6);
    let mut without = bundle();
    without["definitions"] = json!({});
    let problem = world
        .post("admin", "/apply", without.clone())
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(problem["errors"][0]["rule"], "definition-missing");
    world.post("admin", "/apply", bundle()).await.expect(200);
    let kept = world.post("admin", "/apply", without).await.expect(200);
    assert!(
        actions(&kept)
            .iter()
            .all(|(_, action)| action == "unchanged"),
        "the stored one is meant"
    );
}

#[tokio::test]
async fn a_publisher_applies_what_it_may_write() {
    let world = World::new().await;
    world
        .post("paul", "/apply", bundle())
        .await
        .problem("FORBIDDEN");
    let gold = world
        .get("paul", "/plans/Gold")
        .await
        .expect(200)
        .to_string();
    let plan = json!({"documents": [{"text": gold}]});
    world.post("paul", "/apply", plan).await.expect(200);
    let changed = json!({"documents": [{"text": gold.replace("5000", "5001")}]});
    world
        .post("paul", "/apply", changed)
        .await
        .problem("FORBIDDEN");
    let export = world.get("paul", "/export").await.expect(200);
    assert!(
        export["documents"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["kind"] != "Application")
    );
}

#[tokio::test]
async fn a_bundle_has_a_limit() {
    let config = control::ControlConfig {
        bundle_documents_max: 1,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    world
        .post("admin", "/apply", bundle())
        .await
        .problem("PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn what_a_bundle_keeps_is_not_taken_along_by_what_it_prunes() {
    let world = World::new().await;
    world.post("admin", "/apply", bundle()).await.expect(200);
    let mut other = bundle();
    other["documents"][0]["text"] = DOCUMENTS
        .replace("metadata: {name: shop}", "metadata: {name: other}")
        .into();
    // `shop` would go, and its subscription, which is written in the bundle, with it.
    let problem = world
        .post("admin", "/apply?prune=true", other)
        .await
        .problem("IN_USE");
    assert!(problem["detail"].as_str().unwrap().contains("shop-pets"));
}
