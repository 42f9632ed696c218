//! Why calls were refused: what nodes told, and who may ask.

use base::Org;
use control::ControlConfig;
use serde_json::{Value, json};
use sync::Decision;

use crate::world::{World, node};

/// What a node tells of a call to an API of this organisation; to none without one.
fn decision(trace_id: &str, org: Option<&str>) -> Decision {
    let mut value = json!({
        "traceId": trace_id, "atUnixMs": 1, "tookUs": 2,
        "request": {"method": "GET", "host": "h", "path": "/pets/1.0.0/pets", "clientIp": "127.0.0.1"},
        "matched": {},
        "answer": {"status": 401, "code": "TOKEN_EXPIRED", "detail": "over", "rule": "token-expired",
                   "facts": [{"name": "claim exp", "found": "7s ago", "expected": "ahead"}]},
    });
    if let Some(org) = org {
        value["matched"]["api"] =
            json!({"org": org, "name": "pets-1.0.0", "version": "1.0.0", "gate": "serve"});
    }
    serde_json::from_value(value).unwrap()
}

async fn told(world: &World, decisions: Vec<Decision>) {
    let plane = world.control.plane();
    plane
        .decided(&node("n1", "default"), decisions)
        .await
        .unwrap();
}

/// req: O5
#[tokio::test]
async fn a_refusal_is_explained_by_its_trace_id() {
    let world = World::new().await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    told(&world, vec![decision(id, Some("default"))]).await;
    told(&world, vec![decision(id, Some("default"))]).await;
    let answer = world
        .get("paul", &format!("/traces/{id}"))
        .await
        .expect(200);
    assert_eq!(answer["traceId"], id);
    let calls = answer["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2, "one trace may hold many calls");
    assert_eq!(calls[0]["node"], "n1");
    let answer = &calls[0]["decision"]["answer"];
    assert_eq!(answer["rule"], "token-expired");
    assert_eq!(answer["facts"][0]["name"], "claim exp");
    let problem = world
        .get("paul", "/traces/unknown")
        .await
        .problem("NOT_FOUND");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("may have succeeded"), "{detail}");
}

#[tokio::test]
async fn calls_of_others_are_as_unknown_as_calls_that_never_were() {
    let world = World::new().await;
    assert_eq!(Org::default_org().as_str(), "default");
    told(
        &world,
        vec![decision("a", Some("other")), decision("b", None)],
    )
    .await;
    let unknown = world
        .get("admin", "/traces/nothing")
        .await
        .problem("NOT_FOUND");
    let foreign = world.get("admin", "/traces/a").await.problem("NOT_FOUND");
    assert_eq!(unknown["detail"], foreign["detail"]);
    // A call that no API was found for may have been meant for anybody.
    world.get("paul", "/traces/b").await.problem("NOT_FOUND");
    let answer = world.get("admin", "/traces/b").await.expect(200);
    assert_eq!(answer["calls"][0]["decision"]["matched"], json!({}));
    world.get("sue", "/traces/b").await.problem("FORBIDDEN");
}

#[tokio::test]
async fn the_oldest_are_forgotten() {
    let config = ControlConfig {
        decisions_max: 2,
        ..ControlConfig::default()
    };
    let world = World::with(config).await;
    let all = ["a", "b", "c"].map(|id| decision(id, Some("default")));
    told(&world, all.to_vec()).await;
    world.get("paul", "/traces/a").await.problem("NOT_FOUND");
    let answer: Value = world.get("paul", "/traces/c").await.expect(200);
    assert_eq!(answer["calls"].as_array().unwrap().len(), 1);
}
