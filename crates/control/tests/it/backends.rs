//! Backends: what they refer to, and how nodes say their endpoints fare.

use base::Org;
use control::ControlConfig;
use serde_json::{Value, json};
use sync::endpoints::{BackendReport, EndpointHealth, EndpointReport};
use sync::{Ack, ResourceKey};

use crate::world::{PATIENCE, World, node};

fn backend(name: &str, failover: &[&str]) -> Value {
    json!({
        "kind": "Backend", "metadata": {"name": name},
        "spec": {"endpoints": [{"url": "http://a"}, {"url": "http://b"}], "failover": failover},
    })
}

fn report(org: &Org, name: &str, health: EndpointHealth, cause: &str) -> BackendReport {
    let endpoint = |endpoint: &str, health, cause: &str| EndpointReport {
        endpoint: endpoint.to_owned(),
        weight: 1,
        priority: 0,
        health,
        ejected_until_unix_ms: None,
        cause: cause.to_owned(),
        since_unix_ms: None,
    };
    BackendReport {
        key: ResourceKey {
            org: org.clone(),
            name: name.to_owned(),
        },
        endpoints: vec![
            endpoint("http://a", health, cause),
            endpoint("http://b", EndpointHealth::Healthy, ""),
        ],
        fault: None,
        circuit: None,
    }
}

#[tokio::test]
async fn a_backend_takes_over_from_one_that_is_there() {
    let world = World::new().await;
    let unknown = world
        .post("paul", "/backends", backend("orders", &["dr"]))
        .await
        .problem("INVALID_DOCUMENT");
    assert!(
        unknown.to_string().contains("there is no Backend `dr`"),
        "{unknown}"
    );
    let itself = world
        .post("paul", "/backends", backend("dr", &["dr"]))
        .await
        .problem("INVALID_DOCUMENT");
    assert!(
        itself.to_string().contains("cannot take over from itself"),
        "{itself}"
    );
    world
        .post("paul", "/backends", backend("dr", &[]))
        .await
        .expect(201);
    world
        .post("paul", "/backends", backend("orders", &["dr"]))
        .await
        .expect(201);
    let used = world.delete("paul", "/backends/dr").await.problem("IN_USE");
    assert!(used.to_string().contains("orders"), "{used}");
    // Two may take over from each other.
    let mutual = backend("dr", &["orders"]);
    world
        .call("paul", "PUT", "/backends/dr", mutual)
        .await
        .expect(200);
}

#[tokio::test]
async fn an_expression_that_does_not_compile_is_refused_with_its_place() {
    let world = World::new().await;
    let mut document = backend("orders", &[]);
    document["spec"]["balance"] = json!({"hash": {"cel": "request.body"}});
    let problem = world
        .post("paul", "/backends", document)
        .await
        .problem("INVALID_DOCUMENT");
    let text = problem.to_string();
    assert!(text.contains("/spec/balance/hash/cel"), "{text}");
    assert!(text.contains("`request.body` is not known"), "{text}");
}

/// req: GW2
#[tokio::test]
async fn nodes_tell_how_endpoints_fare() {
    let world = World::new().await;
    world
        .post("paul", "/backends", backend("orders", &[]))
        .await
        .expect(201);
    let nobody = world
        .get("paul", "/backends/orders/status")
        .await
        .expect(200);
    assert_eq!(nobody["nodes"], json!([]));
    let (plane, org) = (world.control.plane(), Org::default_org());
    let me = node("n1", "default");
    let ill = report(&org, "orders", EndpointHealth::Unhealthy, "answered 500");
    plane.endpoints(&me, vec![ill.clone()]).await.unwrap();
    let status = world
        .get("paul", "/backends/orders/status")
        .await
        .expect(200);
    let told = &status["nodes"][0];
    assert_eq!(
        (&told["node"], &told["watched"]),
        (&json!("n1"), &json!(true))
    );
    assert_eq!(told["endpoints"][0]["health"], "unhealthy");
    assert_eq!(told["endpoints"][0]["cause"], "answered 500");
    // What a node acknowledges says nothing of it, and takes nothing of it away.
    let ack = Ack {
        node: me.clone(),
        revision: 1,
        digest: base::Digest::of(b""),
        broken: Vec::new(),
        listeners: Vec::new(),
    };
    plane.acknowledge(ack).await.unwrap();
    let again = world
        .get("paul", "/backends/orders/status")
        .await
        .expect(200);
    assert_eq!(again["nodes"][0]["endpoints"][0]["health"], "unhealthy");
    // Of another organisation's backend of that name nobody here hears.
    let other = Org::new("other");
    let foreign = report(&other, "orders", EndpointHealth::Healthy, "");
    plane.endpoints(&me, vec![foreign]).await.unwrap();
    let gone = world
        .get("paul", "/backends/orders/status")
        .await
        .expect(200);
    assert_eq!(gone["nodes"][0]["watched"], false);
    world
        .get("paul", "/backends/nothing/status")
        .await
        .problem("NOT_FOUND");
    world
        .get("sue", "/backends/orders/status")
        .await
        .problem("FORBIDDEN");
}

/// A node that speaks to another control process on the same database.
#[tokio::test]
async fn any_process_tells_of_all_nodes() {
    let world = World::with(ControlConfig::default()).await;
    world
        .post("paul", "/backends", backend("orders", &[]))
        .await
        .expect(201);
    let other = world.again();
    let ill = report(
        &Org::default_org(),
        "orders",
        EndpointHealth::Ejected,
        "5 calls in a row failed",
    );
    let there = node("there", "default");
    other.plane().endpoints(&there, vec![ill]).await.unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let status = world
            .get("paul", "/backends/orders/status")
            .await
            .expect(200);
        let told = &status["nodes"][0];
        if told["node"] == "there" && told["endpoints"][0]["health"] == "ejected" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{status}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
