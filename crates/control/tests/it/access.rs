//! Who may call what: every endpoint of the OpenAPI document has a line here.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::world::World;

const ADMIN: &[&str] = &["admin"];
const PUBLISHER: &[&str] = &["admin", "paul"];
const SUBSCRIBER: &[&str] = &["admin", "sue"];
const ALL: &[&str] = &["admin", "paul", "sue"];

/// Method, path template, and who may.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("GET", "/apis", ALL),
    ("POST", "/apis", PUBLISHER),
    ("GET", "/apis/{name}", ALL),
    ("PUT", "/apis/{name}", PUBLISHER),
    ("DELETE", "/apis/{name}", PUBLISHER),
    ("POST", "/apis:import", PUBLISHER),
    ("GET", "/apis/{name}/lifecycle", PUBLISHER),
    ("POST", "/apis/{name}/lifecycle", PUBLISHER),
    ("GET", "/apis/{name}/definition", ALL),
    ("GET", "/apis/{name}/definition/files", ALL),
    ("GET", "/apis/{name}/revisions", PUBLISHER),
    ("GET", "/apis/{name}/revisions/{number}", PUBLISHER),
    (
        "GET",
        "/apis/{name}/revisions/{number}/diff/{to}",
        PUBLISHER,
    ),
    ("GET", "/apis/{name}/deployments", PUBLISHER),
    ("PUT", "/apis/{name}/deployments/{gateway}", PUBLISHER),
    ("DELETE", "/apis/{name}/deployments/{gateway}", PUBLISHER),
    (
        "POST",
        "/apis/{name}/deployments/{gateway}/rollback",
        PUBLISHER,
    ),
    ("GET", "/audit", PUBLISHER),
    ("POST", "/revisions/{revision}/undo", PUBLISHER),
    ("GET", "/backends", PUBLISHER),
    ("POST", "/backends", PUBLISHER),
    ("GET", "/backends/{name}", PUBLISHER),
    ("PUT", "/backends/{name}", PUBLISHER),
    ("DELETE", "/backends/{name}", PUBLISHER),
    ("GET", "/plans", ALL),
    ("POST", "/plans", ADMIN),
    ("GET", "/plans/{name}", ALL),
    ("PUT", "/plans/{name}", ADMIN),
    ("DELETE", "/plans/{name}", ADMIN),
    ("GET", "/gateways", PUBLISHER),
    ("POST", "/gateways", ADMIN),
    ("GET", "/gateways/{name}", PUBLISHER),
    ("PUT", "/gateways/{name}", ADMIN),
    ("DELETE", "/gateways/{name}", ADMIN),
    ("GET", "/deny-rules", PUBLISHER),
    ("POST", "/deny-rules", ADMIN),
    ("GET", "/deny-rules/{name}", PUBLISHER),
    ("PUT", "/deny-rules/{name}", ADMIN),
    ("DELETE", "/deny-rules/{name}", ADMIN),
    ("GET", "/token-issuers", PUBLISHER),
    ("POST", "/token-issuers", ADMIN),
    ("GET", "/token-issuers/{name}", PUBLISHER),
    ("PUT", "/token-issuers/{name}", ADMIN),
    ("DELETE", "/token-issuers/{name}", ADMIN),
    ("GET", "/token-issuers/{name}/status", PUBLISHER),
    ("GET", "/applications", SUBSCRIBER),
    ("POST", "/applications", SUBSCRIBER),
    ("GET", "/applications/{name}", SUBSCRIBER),
    ("PUT", "/applications/{name}", SUBSCRIBER),
    ("DELETE", "/applications/{name}", SUBSCRIBER),
    ("GET", "/applications/{name}/credentials", SUBSCRIBER),
    ("POST", "/applications/{name}/credentials", SUBSCRIBER),
    ("GET", "/applications/{name}/credentials/{id}", SUBSCRIBER),
    ("PATCH", "/applications/{name}/credentials/{id}", SUBSCRIBER),
    (
        "DELETE",
        "/applications/{name}/credentials/{id}",
        SUBSCRIBER,
    ),
    (
        "POST",
        "/applications/{name}/credentials/{id}/rotate",
        SUBSCRIBER,
    ),
    (
        "DELETE",
        "/applications/{name}/credentials/{id}/secrets/{secret}",
        SUBSCRIBER,
    ),
    ("GET", "/applications/{name}/api-keys", SUBSCRIBER),
    ("POST", "/applications/{name}/api-keys", SUBSCRIBER),
    ("GET", "/applications/{name}/api-keys/{id}", SUBSCRIBER),
    ("PATCH", "/applications/{name}/api-keys/{id}", SUBSCRIBER),
    ("DELETE", "/applications/{name}/api-keys/{id}", SUBSCRIBER),
    (
        "POST",
        "/applications/{name}/api-keys/{id}/rotate",
        SUBSCRIBER,
    ),
    (
        "DELETE",
        "/applications/{name}/api-keys/{id}/secrets/{secret}",
        SUBSCRIBER,
    ),
    ("GET", "/credentials", SUBSCRIBER),
    ("GET", "/notices", ADMIN),
    ("GET", "/registration-tokens", ADMIN),
    ("POST", "/registration-tokens", ADMIN),
    ("DELETE", "/registration-tokens/{id}", ADMIN),
    ("POST", "/applications/{name}/token", SUBSCRIBER),
    ("GET", "/subscriptions", SUBSCRIBER),
    ("POST", "/subscriptions", SUBSCRIBER),
    ("GET", "/subscriptions/{name}", SUBSCRIBER),
    ("PUT", "/subscriptions/{name}", SUBSCRIBER),
    ("DELETE", "/subscriptions/{name}", SUBSCRIBER),
    ("POST", "/validate", PUBLISHER),
    ("POST", "/diff", PUBLISHER),
    ("POST", "/apply", PUBLISHER),
    ("GET", "/export", PUBLISHER),
    ("GET", "/users", ADMIN),
    ("POST", "/users", ADMIN),
    ("PATCH", "/users/{name}", ADMIN),
    ("DELETE", "/users/{name}", ADMIN),
    ("GET", "/sessions", ALL),
    ("DELETE", "/sessions", ALL),
    ("DELETE", "/sessions/{id}", ALL),
    ("GET", "/consents", ALL),
    ("DELETE", "/consents", ALL),
    ("DELETE", "/consents/{id}", ALL),
    ("GET", "/usage", ALL),
    ("GET", "/usage/reconciliation", ADMIN),
    ("GET", "/signing-keys", ADMIN),
    ("POST", "/signing-keys/roll", ADMIN),
    ("GET", "/me", ALL),
    ("GET", "/traces/{traceId}", PUBLISHER),
    ("GET", "/backends/{name}/status", PUBLISHER),
];

/// A body that is read before roles are looked at; what it says is never done.
fn body(method: &str, path: &str) -> Value {
    if method == "GET" || method == "DELETE" {
        return Value::Null;
    }
    let text = match path {
        "/apis:import" => r#"{"definition": "x"}"#,
        "/apis/{name}/lifecycle" => r#"{"state": "Published"}"#,
        "/validate" | "/diff" | "/apply" => r#"{"documents": []}"#,
        "/users" => r#"{"name": "", "password": "", "roles": []}"#,
        _ => "{}",
    };
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn every_endpoint_is_in_the_table_and_keeps_to_it() {
    let world = World::new().await;
    for (method, path, allowed) in TABLE {
        let concrete = path
            .replace("{name}", "nobody")
            .replace("{id}", "none")
            .replace("{secret}", "none")
            .replace("{traceId}", "none")
            .replace("{gateway}", "none")
            .replace("{number}", "1")
            .replace("{to}", "2")
            .replace("{revision}", "99999");
        for user in ["-", "admin", "paul", "sue"] {
            let answer = world
                .call(user, method, &concrete, body(method, path))
                .await;
            let status = answer.status.as_u16();
            let what = format!("{user} {method} {path}: {status}");
            if user == "-" {
                assert_eq!(status, 401, "{what}");
                assert!(answer.headers.contains_key("www-authenticate"), "{what}");
                answer.problem("UNAUTHENTICATED");
            } else if allowed.contains(&user) {
                assert!(status != 401 && status != 403 && status != 405, "{what}");
            } else {
                assert_eq!(status, 403, "{what}");
                answer.problem("FORBIDDEN");
            }
        }
    }
}

#[test]
fn the_table_is_complete() {
    let document: Value = serde_json::from_str(&control::openapi(OpenApi::default())).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        for method in item.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.to_owned()));
        }
    }
    let table: BTreeSet<_> = TABLE
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(
        described, table,
        "an endpoint without an authorisation test, or a line without an endpoint"
    );
    assert_eq!(document["security"][0]["bearer"], serde_json::json!([]));
}

#[tokio::test]
async fn only_health_needs_no_token() {
    let world = World::new().await;
    world.get("-", "/health").await.expect(200);
    for path in ["/openapi.json", "/nothing", "/apis/x/y/z", ""] {
        assert_eq!(world.get("-", path).await.status, 401, "{path}");
    }
    let document = world.get("sue", "/openapi.json").await.expect(200);
    assert_eq!(
        document,
        serde_json::from_str::<Value>(&control::openapi(OpenApi::default())).unwrap()
    );
}

#[tokio::test]
async fn a_token_that_was_revoked_or_whose_user_is_gone_is_refused() {
    let world = World::new().await;
    world.get("sam", "/me").await.expect(200);
    world.delete("admin", "/users/sam").await.expect(204);
    world.get("sam", "/me").await.problem("UNAUTHENTICATED");
    let bad = world
        .request("-", "GET", "/me")
        .header("authorization", "Bearer x.y.z")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = world.send(bad).await;
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"Bearer error="invalid_token""#
    );
    answer.problem("UNAUTHENTICATED");
}

#[tokio::test]
async fn subscribers_see_only_what_serves_and_what_is_theirs() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let body =
        serde_json::json!({"definition": crate::world::PETS, "name": "pets", "version": "2.0.0"});
    world.post("paul", "/apis:import", body).await.expect(201);
    let list = world.get("sue", "/apis").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    world
        .get("sue", "/apis/pets-2.0.0")
        .await
        .problem("NOT_FOUND");
    world
        .get("sue", "/apis/pets-2.0.0/definition")
        .await
        .problem("NOT_FOUND");
    assert_eq!(
        world.get("paul", "/apis").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    world.subscribed("sue", "shop").await;
    for path in [
        "/applications/shop",
        "/subscriptions/shop-pets-1.0.0",
        "/applications/shop/credentials",
        "/applications/shop/api-keys",
    ] {
        world.get("sam", path).await.problem("NOT_FOUND");
        assert_eq!(world.get("sue", path).await.status, 200, "{path}");
        assert_eq!(world.get("admin", path).await.status, 200, "{path}");
    }
    for path in ["/applications", "/subscriptions"] {
        let items = |answer: Value| answer["items"].as_array().unwrap().len();
        assert_eq!(items(world.get("sam", path).await.expect(200)), 0);
        assert_eq!(items(world.get("sue", path).await.expect(200)), 1);
    }
    world
        .delete("sam", "/applications/shop")
        .await
        .problem("NOT_FOUND");
    world
        .delete("sam", "/subscriptions/shop-pets-1.0.0")
        .await
        .problem("NOT_FOUND");
    world
        .post("sam", "/applications/shop/token", Value::Null)
        .await
        .problem("NOT_FOUND");
    let theft = crate::world::subscription("shop", "1.0.0", "Silver");
    let stolen = world
        .call(
            "sam",
            "PUT",
            "/subscriptions/shop-pets-1.0.0",
            theft.clone(),
        )
        .await;
    stolen.problem("NOT_FOUND");
    let mut other = theft;
    other["metadata"]["name"] = "other".into();
    world
        .post("sam", "/subscriptions", other)
        .await
        .problem("INVALID_DOCUMENT");
    let foreign = serde_json::json!({"kind": "Application", "metadata": {"name": "x"}, "spec": {"owner": "sue"}});
    world
        .post("sam", "/applications", foreign)
        .await
        .problem("FORBIDDEN");
}
