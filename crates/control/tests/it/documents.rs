//! Creating, reading, replacing and deleting documents.

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{PETS, World};

fn plan(name: &str, requests: u64) -> Value {
    json!({"kind": "Plan", "metadata": {"name": name}, "spec": {"quota": {"requests": requests, "per": "1m"}}})
}

fn backend(name: &str, url: &str) -> Value {
    json!({"kind": "Backend", "metadata": {"name": name}, "spec": {"endpoints": [{"url": url}]}})
}

#[tokio::test]
async fn the_first_start_has_a_gateway_and_four_plans() {
    let world = World::new().await;
    let plans = world.get("sue", "/plans").await.expect(200);
    let quota = |plan: &Value| plan["spec"]["quota"]["requests"].as_u64();
    let found: Vec<_> = plans["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plan| (plan["metadata"]["name"].as_str().unwrap(), quota(plan)))
        .collect();
    let expected = [
        ("Bronze", Some(1000)),
        ("Gold", Some(5000)),
        ("Silver", Some(2000)),
        ("Unlimited", None),
    ];
    assert_eq!(found, expected);
    world.get("paul", "/gateways/default").await.expect(200);
    let again = control::bootstrap(world.store.as_ref(), world.clock.as_ref())
        .await
        .unwrap();
    assert!(!again, "a second start makes nothing");
}

#[tokio::test]
async fn a_document_lives_and_its_revision_is_its_etag() {
    let world = World::new().await;
    let created = world.post("admin", "/plans", plan("Tiny", 5)).await;
    assert_eq!(created.headers["location"], "/api/v1/plans/Tiny");
    let tag = created.headers["etag"].clone();
    let body = created.expect(201);
    assert_eq!(
        tag.to_str().unwrap(),
        format!("\"{}\"", body["status"]["revision"])
    );
    assert_eq!(body["apiVersion"], "tollway.dev/v1alpha1");
    world
        .post("admin", "/plans", plan("Tiny", 5))
        .await
        .problem("CONFLICT");

    let read = |condition: Option<&str>| {
        let mut request = world.request("sue", "GET", "/plans/Tiny");
        if let Some(tag) = condition {
            request = request.header("if-none-match", tag);
        }
        world.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(read(None).await.headers["etag"], tag);
    assert_eq!(read(Some(tag.to_str().unwrap())).await.status, 304);

    let put = |condition: &'static str, tag: String, requests: u64| {
        let request = world
            .request("admin", "PUT", "/plans/Tiny")
            .header(condition, tag)
            .header("content-type", "application/json")
            .body(plan("Tiny", requests).to_string().into());
        world.send(request.unwrap())
    };
    put("if-none-match", "*".to_owned(), 6)
        .await
        .problem("REVISION_CONFLICT");
    put("if-match", "\"999999\"".to_owned(), 6)
        .await
        .problem("REVISION_CONFLICT");
    put("if-match", "nonsense".to_owned(), 6)
        .await
        .problem("BAD_REQUEST");
    let replaced = put("if-match", tag.to_str().unwrap().to_owned(), 6).await;
    assert_ne!(replaced.headers["etag"], tag);
    let replaced = replaced.expect(200);
    assert_eq!(replaced["spec"]["quota"]["requests"], 6);
    put("if-match", tag.to_str().unwrap().to_owned(), 7)
        .await
        .problem("REVISION_CONFLICT");
    let same = world
        .call("admin", "PUT", "/plans/Tiny", plan("Tiny", 6))
        .await
        .expect(200);
    assert_eq!(
        same["status"]["revision"], replaced["status"]["revision"],
        "the same content is no change"
    );

    world
        .call("admin", "PUT", "/plans/Other", plan("Tiny", 6))
        .await
        .problem("BAD_REQUEST");
    world
        .call("admin", "PUT", "/plans/New", plan("New", 6))
        .await
        .expect(201);
    world.delete("admin", "/plans/Tiny").await.expect(204);
    world
        .delete("admin", "/plans/Tiny")
        .await
        .problem("NOT_FOUND");
}

#[tokio::test]
async fn faults_come_all_at_once_with_their_places() {
    let world = World::new().await;
    let text =
        "kind: Plan\nmetadata: {name: Bad}\nspec:\n  quota: {requests: 0, per: 60}\n  bust: 1\n";
    let request = world
        .request("admin", "POST", "/plans")
        .header("content-type", "application/yaml; charset=utf-8")
        .body(text.into())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 422);
    let problem = answer.problem("INVALID_DOCUMENT");
    let errors = problem["errors"].as_array().unwrap();
    assert!(errors.len() >= 3, "{problem:#}");
    let unknown = errors
        .iter()
        .find(|error| error["pointer"] == "/spec/bust")
        .unwrap();
    assert_eq!(
        (unknown["line"].as_u64(), unknown["column"].as_u64()),
        (Some(5), Some(3))
    );
    let good = text
        .replace("requests: 0, per: 60", "requests: 1, per: 60s")
        .replace("  bust: 1\n", "");
    let request = world
        .request("admin", "POST", "/plans")
        .header("content-type", "application/yaml")
        .body(good.into())
        .unwrap();
    world.send(request).await.expect(201);
}

#[tokio::test]
async fn a_body_is_one_document_of_the_kind_of_its_path() {
    let world = World::new().await;
    world
        .post("admin", "/plans", backend("b", "http://b"))
        .await
        .problem("BAD_REQUEST");
    let two = format!("{}\n---\n{}", plan("A", 1), plan("B", 1));
    let request = world
        .request("admin", "POST", "/plans")
        .header("content-type", "application/yaml")
        .body(two.into())
        .unwrap();
    world.send(request).await.problem("BAD_REQUEST");
}

#[tokio::test]
async fn lists_come_in_parts() {
    let world = World::new().await;
    for index in 0..5 {
        world
            .post(
                "paul",
                "/backends?wait=false",
                backend(&format!("b{index}"), "http://b"),
            )
            .await
            .expect(201);
    }
    let mut names = Vec::new();
    let mut path = "/backends?limit=2".to_owned();
    loop {
        let part = world.get("paul", &path).await.expect(200);
        let items = part["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = part["next"].as_str() else {
            break;
        };
        path = format!("/backends?limit=2&after={next}");
    }
    assert_eq!(names, ["b0", "b1", "b2", "b3", "b4"]);
    for bad in ["limit=0", "limit=501", "limit=x", "colour=red", "version=1"] {
        world
            .get("paul", &format!("/backends?{bad}"))
            .await
            .problem("BAD_REQUEST");
    }
    world
        .post(
            "sue",
            "/applications",
            json!({"kind": "Application", "metadata": {"name": "a"}, "spec": {}}),
        )
        .await
        .expect(201);
    world
        .post(
            "sue",
            "/applications",
            json!({"kind": "Application", "metadata": {"name": "b"}, "spec": {}}),
        )
        .await
        .expect(201);
    let part = world.get("sue", "/applications?limit=1").await.expect(200);
    assert_eq!(part["next"], "a");
    let part = world
        .get("sue", "/applications?limit=1&after=a")
        .await
        .expect(200);
    assert_eq!(part["items"][0]["metadata"]["name"], "b");
    assert!(part["next"].is_null());
}

#[tokio::test]
async fn an_import_keeps_the_text_byte_for_byte() {
    let world = World::new().await;
    let answer = world.publish_pets("1.0.0").await;
    assert_eq!(answer["operations"], 2);
    let api = &answer["api"];
    assert_eq!(api["metadata"]["name"], "pets-1.0.0");
    assert_eq!(api["spec"]["context"], "/pets");
    assert_eq!(api["spec"]["lifecycle"], "Published");
    let definition = world.get("sue", "/apis/pets-1.0.0/definition").await;
    assert_eq!(definition.headers["content-type"], "application/yaml");
    assert_eq!(definition.bytes, PETS.as_bytes());
    let found = world
        .get("paul", "/apis?name=pets&version=1.0.0")
        .await
        .expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let none = world
        .get("paul", "/apis?name=pets&version=2.0.0")
        .await
        .expect(200);
    assert_eq!(none["items"], json!([]));
    let again = json!({"definition": PETS, "name": "pets"});
    world
        .post("paul", "/apis:import", again)
        .await
        .problem("CONFLICT");
    // A document from GET goes back by PUT without its definition, and with its status.
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    document["spec"]["plans"] = json!(["Gold", "Silver", "Bronze"]);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200);
    assert_eq!(
        world.get("paul", "/apis/pets-1.0.0/definition").await.bytes,
        PETS.as_bytes()
    );
}

#[tokio::test]
async fn an_import_takes_its_defaults_from_the_definition() {
    let world = World::new().await;
    let body = json!({"definition": PETS.replace("title: Pets", "title: Pet Store")});
    let answer = world.post("paul", "/apis:import", body).await.expect(201);
    let spec = &answer["api"]["spec"];
    assert_eq!(spec["name"], "pet-store");
    assert_eq!(spec["version"], "1.0.0");
    assert_eq!(spec["context"], "/pet-store");
    assert_eq!(spec["lifecycle"], "Created");
    assert_eq!(spec["plans"], json!(["Unlimited"]));
    assert_eq!(spec["definition"]["file"], "pet-store.openapi.yaml");
    let odd = json!({"definition": PETS, "name": "x", "colour": "red"});
    world
        .post("paul", "/apis:import", odd)
        .await
        .problem("BAD_REQUEST");
}

#[tokio::test]
async fn a_definition_that_fails_says_where_and_nothing_is_stored() {
    // req: L7
    let world = World::new().await;
    let before = world.store.revision().await.unwrap();
    let text = PETS.replace("title: Pets, ", "");
    let body = json!({"definition": text, "file": "pets.yaml", "name": "pets"});
    let problem = world
        .post("paul", "/apis:import", body)
        .await
        .problem("INVALID_DOCUMENT");
    let error = &problem["errors"][0];
    assert_eq!(
        (&error["file"], &error["pointer"], &error["line"]),
        (&json!("pets.yaml"), &json!("/info"), &json!(2))
    );
    assert!(error["mend"].is_string());
    assert_eq!(world.store.revision().await.unwrap(), before);
}

#[tokio::test]
async fn what_would_not_compile_is_not_stored() {
    // req: C4
    let world = World::new().await;
    let api = |extra: Value| {
        let mut spec = json!({"name": "pets", "version": "1", "context": "/p", "definition": {"inline": PETS}});
        spec.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"kind": "Api", "metadata": {"name": "pets-1"}, "spec": spec})
    };
    for (extra, pointer) in [
        (json!({"plans": ["Nope"]}), "/spec/plans/0"),
        (
            json!({"deployments": [{"gateway": "nope"}]}),
            "/spec/deployments/0/gateway",
        ),
        (
            json!({"backends": {"production": "nope"}}),
            "/spec/backends/production",
        ),
        (json!({"policies": [{"nope": {}}]}), "/spec/policies/0/nope"),
        (
            json!({"operations": [{"match": "GET /nope"}]}),
            "/spec/operations/0/match",
        ),
    ] {
        let problem = world
            .post("paul", "/apis", api(extra))
            .await
            .problem("INVALID_DOCUMENT");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
        assert!(problem["errors"][0]["line"].as_u64().unwrap() > 0);
    }
    world
        .post("paul", "/apis", api(json!({})))
        .await
        .expect(201);
    let definition = world.get("paul", "/apis/pets-1/definition").await;
    assert_eq!(definition.bytes, PETS.as_bytes());
}

#[tokio::test]
async fn a_path_belongs_to_one_api() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let rival = json!({"definition": PETS, "name": "zoo", "version": "1.0.0", "context": "/pets"});
    let problem = world
        .post("paul", "/apis:import", rival.clone())
        .await
        .problem("CONFLICT");
    assert!(
        problem["detail"].as_str().unwrap().contains("pets-1.0.0"),
        "{problem:#}"
    );
    // A context may end where another one's version stands.
    let mut tricky = rival.clone();
    tricky["context"] = "/pets/1.0.0".into();
    tricky["defaultVersion"] = true.into();
    world
        .post("paul", "/apis:import", tricky)
        .await
        .problem("CONFLICT");
    let document = json!({"kind": "Api", "metadata": {"name": "zoo"}, "spec": {"name": "pets", "version": "1.0.0",
        "context": "/zoo", "definition": {"inline": PETS}}});
    world
        .post("paul", "/apis", document)
        .await
        .problem("CONFLICT");
    let mut host = rival;
    host["context"] = "/zoo".into();
    world.post("paul", "/apis:import", host).await.expect(201);
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let world = World::new().await;
    world
        .post("paul", "/backends", backend("store", "http://127.0.0.1:1"))
        .await
        .expect(201);
    let api = json!({"kind": "Api", "metadata": {"name": "pets-1.0.0"}, "spec": {"name": "pets", "version": "1.0.0",
        "context": "/pets", "definition": {"inline": PETS}, "backends": {"production": "store"}, "plans": ["Gold"],
        "lifecycle": "Published"}});
    world.post("paul", "/apis", api.clone()).await.expect(201);
    world.subscribed("sue", "shop").await;
    for path in [
        "/backends/store",
        "/plans/Gold",
        "/gateways/default",
        "/apis/pets-1.0.0",
    ] {
        let problem = world.delete("admin", path).await.problem("IN_USE");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("pets-1.0.0"), "{path}: {detail}");
    }
    let mut fewer = api.clone();
    fewer["spec"]["plans"] = json!(["Silver"]);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", fewer)
        .await
        .problem("IN_USE");
    let mut renamed = api;
    renamed["spec"]["version"] = "1.0.1".into();
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", renamed)
        .await
        .problem("IN_USE");
    world
        .delete("paul", "/apis/pets-1.0.0?cascade=true")
        .await
        .expect(204);
    assert_eq!(
        world.get("sue", "/subscriptions").await.expect(200)["items"],
        json!([])
    );
    world.delete("paul", "/backends/store").await.expect(204);
    world.delete("admin", "/plans/Gold").await.expect(204);
}
