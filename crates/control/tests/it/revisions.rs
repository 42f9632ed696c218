//! Revisions of APIs, and which of them gateways serve.

use serde_json::{Value, json};
use sync::{Ack, ApiModel};

use crate::world::{FakeNode, PATIENCE, PETS, View, World, node};

const PETS_2: &str = r"openapi: 3.0.3
info: {title: Pets, version: 1.0.0}
servers: [{url: https://pets.example.com/v1}]
paths:
  /cats:
    get: {operationId: cats, responses: {'200': {description: ok}}}
";

/// Changes the pets' document.
async fn change(world: &World, edit: impl FnOnce(&mut Value)) -> Value {
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    edit(&mut document);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200)
}

/// Applies the pets' document with another definition.
async fn redefine(world: &World, definition: &str) {
    let document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let file = document["spec"]["definition"]["file"].as_str().unwrap();
    let bundle =
        json!({"documents": [{"text": document.to_string()}], "definitions": {file: definition}});
    world.post("paul", "/apply", bundle).await.expect(200);
}

async fn revisions(world: &World) -> Vec<(u64, Vec<String>)> {
    let path = "/apis/pets-1.0.0/revisions";
    let list = world.get("paul", path).await.expect(200);
    let fact = |item: &Value| {
        let gateways = item["gateways"].as_array().unwrap().iter();
        let gateways = gateways.map(|gateway| gateway.as_str().unwrap().to_owned());
        (item["number"].as_u64().unwrap(), gateways.collect())
    };
    list["items"].as_array().unwrap().iter().map(fact).collect()
}

async fn deploy(world: &World, gateway: &str, revision: Value) -> Value {
    let path = format!("/apis/pets-1.0.0/deployments/{gateway}");
    world
        .call("paul", "PUT", &path, json!({"revision": revision}))
        .await
        .expect(200)
}

fn templates(node: &FakeNode) -> Vec<String> {
    let of = |model: &std::sync::Arc<ApiModel>| -> Vec<String> {
        let operations = model.operations.iter();
        operations
            .map(|operation| operation.template.clone())
            .collect()
    };
    node.see(|view| view.apis.get("pets-1.0.0").map(of).unwrap_or_default())
}

async fn with_edge() -> World {
    let world = World::new().await;
    let edge = json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": {}});
    world.post("admin", "/gateways", edge).await.expect(201);
    world.publish_pets("1.0.0").await;
    world
}

#[tokio::test]
async fn a_change_of_the_content_makes_a_revision_and_nothing_else_does() {
    let world = with_edge().await;
    assert_eq!(revisions(&world).await, [(1, vec!["default".to_owned()])]);
    // Where and whether it is served is no content.
    let blocked = json!({"state": "Blocked"});
    let path = "/apis/pets-1.0.0/lifecycle";
    world.post("paul", path, blocked).await.expect(200);
    deploy(&world, "edge", json!("latest")).await;
    change(&world, |_| ()).await;
    assert_eq!(revisions(&world).await.len(), 1);
    let path = "/apis/pets-1.0.0/lifecycle";
    let published = json!({"state": "Published"});
    world.post("paul", path, published).await.expect(200);

    change(&world, |document| {
        document["spec"]["plans"] = json!(["Gold"]);
    })
    .await;
    redefine(&world, PETS_2).await;
    let both = || vec!["default".to_owned(), "edge".to_owned()];
    let three = [(3, both()), (2, vec![]), (1, vec![])];
    assert_eq!(revisions(&world).await, three);
    // What it was before is a new revision again.
    redefine(&world, PETS).await;
    let list = world
        .get("paul", "/apis/pets-1.0.0/revisions")
        .await
        .expect(200);
    let digest = |index: usize| list["items"][index]["digest"].clone();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    assert_eq!(digest(0), digest(2));
    assert_ne!(digest(0), digest(1));

    // Its number goes on when the API comes back.
    world.delete("paul", "/apis/pets-1.0.0").await.expect(204);
    assert_eq!(revisions(&world).await.len(), 4, "they stay");
    let again = world.publish_pets("1.0.0").await;
    assert_eq!(again["api"]["status"]["apiRevision"], 5);
    let page = world
        .get("paul", "/apis/pets-1.0.0/revisions?limit=2&after=4")
        .await
        .expect(200);
    assert_eq!(page["items"][0]["number"], 3);
    assert_eq!(
        (&page["items"][1]["number"], &page["next"]),
        (&json!(2), &json!("2"))
    );
}

#[tokio::test]
async fn a_revision_is_read_as_it_was() {
    let world = with_edge().await;
    redefine(&world, PETS_2).await;
    let first = world
        .get("paul", "/apis/pets-1.0.0/revisions/1")
        .await
        .expect(200);
    assert_eq!(first["definition"], PETS);
    assert_eq!(
        (&first["number"], &first["actor"]),
        (&json!(1), &json!("paul"))
    );
    assert_eq!(first["document"]["spec"]["context"], "/pets");
    for gone in ["deployments", "lifecycle", "sunset"] {
        assert_eq!(first["document"]["spec"].get(gone), None, "{gone}");
    }
    let compare = async |from: u32, to: u32| {
        let path = format!("/apis/pets-1.0.0/revisions/{from}/diff/{to}");
        world.get("paul", &path).await.expect(200)
    };
    let diff = compare(1, 2).await;
    assert_eq!(
        (&diff["definitionChanged"], &diff["breaking"]),
        (&json!(true), &json!(true))
    );
    let told = |diff: &Value| -> Vec<(String, String, bool)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let changes = diff["definition"].as_array().unwrap().iter();
        changes
            .map(|one| {
                (
                    text(&one["rule"]),
                    text(&one["operation"]),
                    one["breaking"] == true,
                )
            })
            .collect()
    };
    let line =
        |rule: &str, operation: &str, breaking| (rule.to_owned(), operation.to_owned(), breaking);
    assert_eq!(
        told(&diff),
        [
            line("path-removed", "/pets", true),
            line("path-added", "/cats", false)
        ]
    );
    assert_eq!(diff["fields"], json!([]));
    change(&world, |document| {
        document["spec"]["plans"] = json!(["Gold"]);
    })
    .await;
    let diff = compare(2, 3).await;
    assert_eq!(
        (&diff["definitionChanged"], &diff["breaking"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&diff["definition"], &diff["fields"][0]["pointer"]),
        (&json!([]), &json!("/spec/plans"))
    );
    assert_eq!(told(&compare(3, 3).await), []);
    for path in [
        "/apis/pets-1.0.0/revisions/9",
        "/apis/nobody/revisions",
        "/apis/pets-1.0.0/revisions/1/diff/9",
    ] {
        world.get("paul", path).await.problem("NOT_FOUND");
    }
    let path = "/apis/pets-1.0.0/revisions/x";
    world.get("paul", path).await.problem("BAD_REQUEST");
}

/// req: C1
#[tokio::test]
async fn each_gateway_serves_the_revision_that_is_deployed_there() {
    let world = with_edge().await;
    let (here, there) = (world.node("n1", "default"), world.node("n2", "edge"));
    let answer = deploy(&world, "edge", json!(1)).await;
    assert_eq!(answer["state"], "Deployed");
    assert_eq!((&answer["from"], &answer["to"]), (&Value::Null, &json!(1)));
    redefine(&world, PETS_2).await;
    assert_eq!(templates(&here), ["/cats"]);
    assert_eq!(templates(&there), ["/pets", "/pets"]);
    // With the life cycle that it has now.
    let path = "/apis/pets-1.0.0/lifecycle";
    let deprecated = json!({"state": "Deprecated"});
    world.post("paul", path, deprecated).await.expect(200);
    for node in [&here, &there] {
        node.see(|view| {
            let gate = &view.apis["pets-1.0.0"].gate;
            let since = matches!(
                gate,
                sync::Gate::Serve {
                    deprecation: Some(_)
                }
            );
            assert!(since, "{gate:?}");
        });
    }
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(
        api["spec"]["deployments"],
        json!([{"gateway": "default"}, {"gateway": "edge", "revision": 1}])
    );
    let gateways = &api["status"]["gateways"];
    let fact = |index: usize| {
        let gateway = &gateways[index];
        assert_eq!(gateway["serving"][0]["digest"].as_str().unwrap().len(), 64);
        (
            gateway["apiRevision"].as_u64().unwrap(),
            gateway["latest"].as_bool().unwrap(),
        )
    };
    assert_eq!((fact(0), fact(1)), ((2, true), (1, false)));
    let list = world
        .get("paul", "/apis/pets-1.0.0/deployments")
        .await
        .expect(200);
    assert_eq!(
        list["items"][1],
        json!({"gateway": "edge", "revision": 1, "number": 1})
    );

    // Back to the one before, and on to the newest.
    let back = "/apis/pets-1.0.0/deployments/default/rollback";
    let answer = world.post("paul", back, Value::Null).await.expect(200);
    assert_eq!(
        (&answer["from"], &answer["to"], &answer["latest"]),
        (&json!(2), &json!(1), &json!(false))
    );
    assert_eq!(templates(&here), ["/pets", "/pets"]);
    let answer = world.post("paul", back, Value::Null).await.expect(200);
    assert_eq!((&answer["from"], &answer["to"]), (&json!(1), &json!(2)));
    let answer = deploy(&world, "default", json!("latest")).await;
    assert_eq!(
        (&answer["to"], &answer["latest"]),
        (&json!(2), &json!(true))
    );

    let gone = world
        .delete("paul", "/apis/pets-1.0.0/deployments/edge")
        .await;
    assert_eq!(gone.expect(200)["to"], Value::Null);
    assert!(there.see(|view| view.apis.is_empty()));
    let gone = world
        .delete("paul", "/apis/pets-1.0.0/deployments/edge")
        .await;
    gone.problem("NOT_FOUND");
    let back = "/apis/pets-1.0.0/deployments/edge/rollback";
    let answer = world.post("paul", back, Value::Null).await.expect(200);
    assert_eq!((&answer["from"], &answer["to"]), (&Value::Null, &json!(1)));
    assert_eq!(revisions(&world).await.len(), 2, "deploying makes none");
}

/// Export and apply say the same of deployments, and diff finds nothing between them.
#[tokio::test]
async fn deployments_are_part_of_the_documents() {
    let world = with_edge().await;
    redefine(&world, PETS_2).await;
    deploy(&world, "default", json!(1)).await;
    let export = world.get("paul", "/export").await.expect(200);
    let documents = export["documents"].as_array().unwrap();
    let api = documents.iter().find(|one| one["kind"] == "Api").unwrap();
    let file = api["document"]["spec"]["definition"]["file"]
        .as_str()
        .unwrap();
    let bundle = |document: &Value| {
        json!({"documents": [{"file": "pets.yaml", "text": document.to_string()}],
            "definitions": {file: api["definition"]["text"]}})
    };
    let diff = world
        .post("paul", "/diff", bundle(&api["document"]))
        .await
        .expect(200);
    assert_eq!(diff["changes"], json!([]));

    let mut wrong = api["document"].clone();
    wrong["spec"]["deployments"] =
        json!([{"gateway": "default", "revision": 7}, {"gateway": "nowhere", "revision": 1}]);
    let problem = world
        .post("paul", "/validate", bundle(&wrong))
        .await
        .expect(200);
    let told: Vec<(String, String)> = problem["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["rule"].as_str().unwrap().to_owned(),
                one["pointer"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let place = |rule: &str, pointer: &str| (rule.to_owned(), pointer.to_owned());
    assert!(
        told.contains(&place("unknown-revision", "/spec/deployments/0/revision")),
        "{told:?}"
    );
    assert!(
        told.contains(&place("unknown-reference", "/spec/deployments/1/gateway")),
        "{told:?}"
    );
    let unknown = &problem["diagnostics"][0];
    assert!(
        unknown["mend"]
            .as_str()
            .unwrap()
            .contains("tollway api revisions"),
        "{unknown}"
    );
    assert_eq!(
        (&unknown["file"], &unknown["line"]),
        (&json!("pets.yaml"), &json!(1))
    );

    // A document may name the revision that it makes itself.
    let mut next = api["document"].clone();
    next["spec"]["plans"] = json!(["Gold"]);
    next["spec"]["deployments"] = json!([{"gateway": "default", "revision": 3}]);
    world
        .post("paul", "/apply", bundle(&next))
        .await
        .expect(200);
    assert_eq!(revisions(&world).await[0], (3, vec!["default".to_owned()]));
}

#[tokio::test]
async fn what_a_served_revision_needs_is_in_use() {
    let world = with_edge().await;
    let backend = json!({"kind": "Backend", "metadata": {"name": "old"}, "spec": {"endpoints": [{"url": "http://b"}]}});
    world.post("paul", "/backends", backend).await.expect(201);
    let inline = json!({"production": {"endpoints": [{"url": "http://b"}]}});
    change(&world, |document| {
        document["spec"]["backends"] = json!({"production": "old"});
    })
    .await;
    change(&world, |document| {
        document["spec"]["backends"] = inline.clone();
    })
    .await;
    deploy(&world, "edge", json!(2)).await;
    let kept = world.delete("paul", "/backends/old").await;
    assert!(
        kept.problem("IN_USE")["detail"]
            .as_str()
            .unwrap()
            .contains("pets-1.0.0")
    );
    deploy(&world, "edge", json!("latest")).await;
    world.delete("paul", "/backends/old").await.expect(204);
    // Now that revision cannot be served any more, and nobody is told that it is.
    let path = "/apis/pets-1.0.0/deployments/edge";
    let refused = world
        .call("paul", "PUT", path, json!({"revision": 2}))
        .await;
    let refused = refused.problem("INVALID_DOCUMENT");
    assert_eq!(
        refused["errors"][0]["pointer"],
        "/spec/deployments/1/revision"
    );
    assert!(
        refused["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("revision 2: ")
    );
}

/// The path that a revision was served at stays taken as long as it is served.
#[tokio::test]
async fn the_mounts_of_served_revisions_are_taken() {
    let world = with_edge().await;
    deploy(&world, "default", json!(1)).await;
    change(&world, |document| {
        document["spec"]["context"] = json!("/animals");
    })
    .await;
    let rival = |context: &str| json!({"definition": PETS, "name": "zoo", "version": "1.0.0", "context": context});
    let taken = world.post("paul", "/apis:import", rival("/pets")).await;
    taken.problem("CONFLICT");
    // Nobody is served at the new one yet.
    world
        .post("paul", "/apis:import", rival("/animals"))
        .await
        .expect(201);
    let path = "/apis/pets-1.0.0/deployments/default";
    let refused = world
        .call("paul", "PUT", path, json!({"revision": "latest"}))
        .await;
    refused.problem("CONFLICT");
}

/// A revision that is served and does not reduce any more is broken alone, where it is served.
#[tokio::test]
async fn a_revision_that_breaks_is_broken_alone() {
    let world = with_edge().await;
    let backend = json!({"kind": "Backend", "metadata": {"name": "old"}, "spec": {"endpoints": [{"url": "http://b"}]}});
    world.post("paul", "/backends", backend).await.expect(201);
    let inline = json!({"production": {"endpoints": [{"url": "http://b"}]}});
    change(&world, |document| {
        document["spec"]["backends"] = json!({"production": "old"});
    })
    .await;
    change(&world, |document| {
        document["spec"]["backends"] = inline.clone();
    })
    .await;
    deploy(&world, "edge", json!(2)).await;
    // Behind the platform's back.
    let gone = store::Write::RecordDelete {
        kind: store::RecordKind::Backend,
        name: "old".to_owned(),
        expect: store::Expect::Any,
    };
    let batch = store::Batch {
        org: base::Org::default_org(),
        actor: "somebody".to_owned(),
        at_unix_ms: 0,
        request: None,
        writes: vec![gone],
    };
    world.store.commit(batch).await.unwrap();
    let fresh = world.again();
    let gate = async |gateway: &str| {
        let mut view = View::default();
        let me = node(gateway, gateway);
        view.apply(fresh.plane().pull(&me, None).await.unwrap());
        view.apis["pets-1.0.0"].gate.clone()
    };
    assert_eq!(gate("edge").await, sync::Gate::Broken);
    assert!(matches!(gate("default").await, sync::Gate::Serve { .. }));
    // It is no hindrance to a change of something else.
    world
        .post(
            "paul",
            "/apis/pets-1.0.0/lifecycle?wait=false",
            json!({"state": "Blocked"}),
        )
        .await
        .expect(200);
}

/// req: C1
#[tokio::test]
async fn deploy_answers_when_the_group_has_it_and_tells_who_is_missing() {
    let world = with_edge().await;
    redefine(&world, PETS_2).await;
    // A group without nodes: at once.
    let answer = deploy(&world, "edge", json!(1)).await;
    assert_eq!(
        (&answer["state"], &answer["nodes"]),
        (&json!("Pending"), &json!(0))
    );
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let conditions = api["status"]["conditions"].as_array().unwrap();
    let deployed = conditions
        .iter()
        .find(|one| one["type"] == "Deployed")
        .unwrap();
    assert_eq!(
        (&deployed["status"], &deployed["reason"]),
        (&json!(false), &json!("Pending"))
    );
    // A silent node of another group holds nobody up.
    let plane = world.control.plane();
    let silent = node("silent", "edge");
    let mut view = View::default();
    view.apply(plane.pull(&silent, None).await.unwrap());
    let ack = |view: &View| Ack {
        node: silent.clone(),
        revision: view.revision,
        digest: view.digest(),
        broken: Vec::new(),
        listeners: Vec::new(),
    };
    plane.acknowledge(ack(&view)).await.unwrap();
    let _good = world.node("good", "default");
    let answer = deploy(&world, "default", json!(1)).await;
    assert_eq!(
        (&answer["state"], &answer["nodes"]),
        (&json!("Deployed"), &json!(1))
    );

    let path = "/apis/pets-1.0.0/deployments/edge?timeoutMs=30";
    let late = world
        .call("paul", "PUT", path, json!({"revision": 2}))
        .await;
    assert_eq!(late.status, 504);
    let problem = late.problem("NOT_ACKNOWLEDGED");
    let expected = json!([{"node": "silent", "gateway": "edge", "revision": view.revision, "digest": view.digest()}]);
    assert_eq!(problem["missing"], expected);
    let answer = world
        .call(
            "paul",
            "PUT",
            "/apis/pets-1.0.0/deployments/edge?wait=false",
            json!({"revision": 2}),
        )
        .await;
    assert_eq!(answer.expect(200)["state"], "Stored");

    // A node that says that it is there and serves something else is not believed.
    let update = plane.pull(&silent, Some(view.revision)).await.unwrap();
    let old = view.digest();
    view.apply(update);
    let lie = Ack {
        digest: old,
        ..ack(&view)
    };
    plane.acknowledge(lie).await.unwrap();
    let late = world
        .call("paul", "PUT", path, json!({"revision": 2}))
        .await;
    late.problem("NOT_ACKNOWLEDGED");
    plane.acknowledge(ack(&view)).await.unwrap();
    let answer = world
        .call("paul", "PUT", path, json!({"revision": 2}))
        .await;
    assert_eq!(answer.expect(200)["state"], "Deployed");
}

/// req: C1. Two control processes over one store: each waits for the nodes of both.
#[tokio::test]
async fn nodes_of_another_control_process_are_waited_for() {
    let world = with_edge().await;
    let other = world.again();
    let plane = other.plane();
    let me = node("there", "default");
    let mut view = View::default();
    let ack = |view: &View| Ack {
        node: me.clone(),
        revision: view.revision,
        digest: view.digest(),
        broken: Vec::new(),
        listeners: Vec::new(),
    };
    view.apply(plane.pull(&me, None).await.unwrap());
    plane.acknowledge(ack(&view)).await.unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while world.store.node_list().await.unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    redefine_with(&world, "?timeoutMs=50")
        .await
        .problem("NOT_ACKNOWLEDGED");
    let since = view.revision;
    view.apply(plane.pull(&me, Some(since)).await.unwrap());
    plane.acknowledge(ack(&view)).await.unwrap();
    // Nothing is to do any more, but to wait until the other process has told it.
    let answer = deploy(&world, "default", json!("latest")).await;
    let expected = (&json!("Deployed"), &json!(1));
    assert_eq!((&answer["state"], &answer["nodes"]), expected);
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let gateway = &api["status"]["gateways"][0];
    let facts = (&gateway["nodes"], &gateway["acknowledged"]);
    assert_eq!(facts, (&json!(1), &json!(1)));
    assert_eq!(gateway["serving"][0]["node"], "there");
}

async fn redefine_with(world: &World, query: &str) -> crate::world::Answer {
    let document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let file = document["spec"]["definition"]["file"].as_str().unwrap();
    let bundle =
        json!({"documents": [{"text": document.to_string()}], "definitions": {file: PETS_2}});
    world.post("paul", &format!("/apply{query}"), bundle).await
}
