//! The control plane as nodes see it, and writers that wait for them.

use std::time::Duration;

use base::{Diagnostic, Diagnostics, Org};
use control::ControlConfig;
use serde_json::{Value, json};
use sync::{Ack, BrokenApi, ResourceKey};

use crate::world::{PATIENCE, PETS, View, World, node};

fn impatient() -> ControlConfig {
    ControlConfig {
        acknowledge_ms: 50,
        ..ControlConfig::default()
    }
}

#[tokio::test]
async fn a_new_node_gets_everything_and_then_what_changed() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let plane = world.control.plane();
    let me = node("n1", "default");
    let mut view = View::default();
    let first = plane.pull(&me, None).await.unwrap();
    assert!(first.reset);
    view.apply(first);
    assert_eq!((view.apis.len(), view.plans.len()), (1, 4));

    let quiet = plane.pull(&me, Some(view.revision)).await.unwrap();
    assert!(
        !quiet.reset && quiet.apis.is_empty() && quiet.entries.is_empty() && quiet.plans.is_empty()
    );
    assert!(quiet.issuers.is_empty() && quiet.backends.is_empty());

    let plan = json!({"kind": "Plan", "metadata": {"name": "Tiny"}, "spec": {}});
    world
        .post("admin", "/plans?wait=false", plan)
        .await
        .expect(201);
    let delta = plane.pull(&me, Some(view.revision)).await.unwrap();
    assert!(!delta.reset && delta.apis.is_empty());
    assert_eq!(delta.plans.len(), 1);
    view.apply(delta);
    assert_eq!(view.plans.len(), 5);

    let ahead = plane.pull(&me, Some(view.revision + 1000)).await.unwrap();
    assert!(
        ahead.reset,
        "a node from another life of the database starts anew"
    );
}

#[tokio::test]
async fn what_is_forgotten_is_sent_anew() {
    let config = ControlConfig {
        deleted_max: 1,
        ..ControlConfig::default()
    };
    let world = World::with(config).await;
    let plane = world.control.plane();
    let me = node("n1", "default");
    let start = plane.pull(&me, None).await.unwrap().revision;
    for name in ["A", "B"] {
        let plan = json!({"kind": "Plan", "metadata": {"name": name}, "spec": {}});
        world
            .post("admin", "/plans?wait=false", plan)
            .await
            .expect(201);
    }
    let between = plane.pull(&me, Some(start)).await.unwrap();
    assert!(!between.reset);
    for name in ["A", "B"] {
        world
            .delete("admin", &format!("/plans/{name}?wait=false"))
            .await
            .expect(204);
    }
    let late = plane.pull(&me, Some(between.revision)).await.unwrap();
    assert!(late.reset, "the deletion of A is forgotten");
    assert_eq!(late.plans.len(), 4);
}

#[tokio::test]
async fn a_node_gets_the_apis_of_its_gateway_only() {
    let world = World::new().await;
    let gateway = json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": {}});
    world.post("admin", "/gateways", gateway).await.expect(201);
    let (here, there) = (world.node("n1", "default"), world.node("n2", "edge"));
    world.publish_pets("1.0.0").await;
    let has = |node: &crate::world::FakeNode| node.see(|view| view.apis.contains_key("pets-1.0.0"));
    assert_eq!((has(&here), has(&there)), (true, false));
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    document["spec"]["deployments"] = json!([{"gateway": "edge"}]);
    let moved = world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200);
    assert_eq!((has(&here), has(&there)), (false, true));
    assert_eq!(moved["status"]["gateways"][0]["gateway"], "edge");
    // The same path on another gateway is another place.
    let rival = json!({"definition": PETS, "name": "zoo", "version": "1.0.0", "context": "/pets"});
    world.post("paul", "/apis:import", rival).await.expect(201);
}

/// Returns when so many nodes are alive, and all of them have acknowledged the newest revision.
async fn current(world: &World, nodes: u64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let summary = world.control.nodes();
        if (summary.alive, summary.behind) == (nodes, 0) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{summary:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn deployed(api: &Value) -> (bool, String) {
    let conditions = api["status"]["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "Deployed")
        .unwrap();
    (
        found["status"].as_bool().unwrap(),
        found["reason"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn deployed_is_said_when_every_live_node_acknowledged() {
    // req: C1
    let world = World::with(impatient()).await;
    let answer = world.publish_pets("1.0.0").await;
    assert_eq!(
        deployed(&answer["api"]),
        (false, "Pending".to_owned()),
        "no node, nobody to wait for"
    );
    let _good = world.node("n1", "default");
    current(&world, 1).await;
    let plane = world.control.plane();
    let silent = node("n2", "default");
    let update = plane.pull(&silent, None).await.unwrap();
    let mut view = View::default();
    view.apply(update.clone());
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(deployed(&api), (false, "NotAcknowledged".to_owned()));
    assert_eq!(api["status"]["gateways"][0]["missing"], json!(["n2"]));
    plane
        .acknowledge(Ack {
            node: silent.clone(),
            revision: update.revision,
            digest: view.digest(),
            broken: Vec::new(),
            listeners: Vec::new(),
        })
        .await
        .unwrap();
    current(&world, 2).await;
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(deployed(&api), (true, "Acknowledged".to_owned()));
    assert_eq!(api["status"]["gateways"][0]["acknowledged"], 2);
    let key = ResourceKey {
        org: Org::default_org(),
        name: "pets-1.0.0".to_owned(),
    };
    let diagnostics = Diagnostics(vec![Diagnostic::error("odd", "/spec", "this node cannot")]);
    let broken = vec![BrokenApi { key, diagnostics }];
    plane
        .acknowledge(Ack {
            node: silent,
            revision: update.revision,
            digest: view.digest(),
            broken,
            listeners: Vec::new(),
        })
        .await
        .unwrap();
    let api = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(deployed(&api), (false, "Broken".to_owned()));
}

#[tokio::test]
async fn a_write_waits_for_every_live_node_and_says_so_when_one_is_silent() {
    let world = World::with(impatient()).await;
    let plane = world.control.plane();
    plane.pull(&node("silent", "default"), None).await.unwrap();
    let backend = |name: &str| json!({"kind": "Backend", "metadata": {"name": name}, "spec": {"endpoints": [{"url": "http://b"}]}});
    let late = world.post("paul", "/backends", backend("one")).await;
    assert_eq!(late.status, 504);
    late.problem("NOT_ACKNOWLEDGED");
    world.get("paul", "/backends/one").await.expect(200);
    world
        .post("paul", "/backends?wait=false", backend("two"))
        .await
        .expect(201);
    world
        .post("paul", "/backends?wait=maybe", backend("three"))
        .await
        .problem("BAD_REQUEST");
    // A secret must arrive all the same.
    let body = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    world
        .post("sue", "/applications?wait=false", body)
        .await
        .expect(201);
    let client = world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(202);
    assert!(client["clientSecret"].is_string());
    // Its lease ends, and it holds nobody up any more.
    world.clock.advance_ms(ControlConfig::default().lease_ms);
    world
        .post("paul", "/backends", backend("three"))
        .await
        .expect(201);
}

#[tokio::test]
async fn changed_returns_at_the_next_commit() {
    // Without a commit it would return when a third of the lease is over.
    let world = World::with(ControlConfig {
        lease_ms: 3_600_000,
        ..ControlConfig::default()
    })
    .await;
    let plane = world.control.plane();
    let revision = plane
        .pull(&node("n1", "default"), None)
        .await
        .unwrap()
        .revision;
    let waiting = tokio::spawn({
        let plane = world.control.plane();
        async move { plane.changed(revision).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let plan = json!({"kind": "Plan", "metadata": {"name": "Tiny"}, "spec": {}});
    world
        .post("admin", "/plans?wait=false", plan)
        .await
        .expect(201);
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_revision_that_another_role_wrote_reaches_the_nodes() {
    // req: S9: identity revokes by the store, and waits by `Acknowledged`.
    let world = World::new().await;
    let node = world.node("n1", "default");
    tokio::task::yield_now().await;
    let revocation = store::Revocation {
        jti: "j1".to_owned(),
        expires_unix_s: u64::MAX >> 1,
    };
    let batch = store::Batch {
        org: Org::default_org(),
        actor: "identity".to_owned(),
        at_unix_ms: 0,
        request: None,
        writes: vec![store::Write::RevocationPut(revocation)],
    };
    let revision = world.store.commit(batch).await.unwrap();
    credentials::Acknowledged::acknowledged(&world.control, revision)
        .await
        .unwrap();
    node.see(|view| {
        assert!(
            view.entries
                .contains_key(&sync::EntryKey::Revocation("j1".to_owned()))
        );
        assert!(view.revision >= revision);
    });
}

#[tokio::test]
async fn a_second_control_role_over_the_same_store_tells_the_same() {
    // What a restart does: everything is read from the store.
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    world
        .post("sue", "/applications/shop/api-keys", Value::Null)
        .await
        .expect(201);
    let me = node("n1", "default");
    let mut grown = View::default();
    grown.apply(world.control.plane().pull(&me, None).await.unwrap());
    let mut fresh = View::default();
    fresh.apply(world.again().plane().pull(&me, None).await.unwrap());
    assert_eq!(grown.revision, fresh.revision);
    assert_eq!(grown.apis, fresh.apis);
    assert_eq!(grown.entries, fresh.entries);
    assert_eq!(grown.entries.len(), 4);
}
