//! External authorization: a real gRPC server with Envoy's messages, and a real HTTP server, as `Backend` documents.

use parts::ExtAuthz;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// A service as a `Backend` document.
    async fn service(&self, service: &ExtAuthz, protocol: &str) {
        let endpoints = json!([{"url": format!("http://{}", service.addr())}]);
        let document = json!({"kind": "Backend", "metadata": {"name": "authz"},
            "spec": {"endpoints": endpoints, "protocol": protocol}});
        let made = self.sandbox.call(Method::POST, "/backends", Some(document));
        made.await.unwrap();
    }

    async fn wish(&self, wish: &str, body: Option<&str>) -> Response {
        self.backend.forget();
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let url = format!("{}/pets?a=1&debug=1", self.api.url);
        let request = self.sandbox.http.request(method, url);
        let request = request
            .header("X-API-Key", &self.api.key)
            .header("X-Wish", wish)
            .header("X-Tenant", "forged")
            .header("X-Secret", "1")
            .header("X-List", "a")
            .header("X-Seconds", "3600")
            .header("Cookie", "session=secret");
        let request = match body {
            Some(body) => request.body(body.to_owned()),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// Status and code of a refusal.
    async fn refused(&self, wish: &str) -> (u16, String) {
        let answer = self.wish(wish, None).await;
        assert!(self.backend.seen().is_empty(), "{wish}");
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        let rule = match wish {
            "deny" => "ext-authz",
            _ => "ext-authz-answer",
        };
        assert_eq!(self.rule(&problem).await, rule, "{wish}");
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    async fn count(&self, result: &str) -> u64 {
        let name = format!("tollway_external_authorization_total{{result=\"{result}\"}} ");
        self.sandbox.metric(&name).await
    }
}

/// req: GW4
#[tokio::test]
async fn a_grpc_service_decides() {
    let world = World::start(|_| {}).await;
    let mut service = ExtAuthz::start();
    let config = |allow: bool, timeout: &str| {
        json!([{"extAuthz": {"backend": "authz", "timeout": timeout, "failureModeAllow": allow,
            "grpc": {"context": {"rule": "pets"}}, "body": {"maxBytes": "20B"}}}])
    };
    let unknown = world
        .try_change(|spec| spec["policies"] = config(false, "1m"))
        .await;
    let problem: Value = unknown.json().await.unwrap();
    let fault = &problem["errors"][0];
    assert_eq!(fault["rule"], "unknown-reference", "{problem}");
    assert_eq!(fault["pointer"], "/spec/policies/0/extAuthz/backend");
    world.service(&service, "http2").await;
    world.policies(config(false, "1m")).await;

    let answer = world.wish("", None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-decided"], "yes");
    let asked: Value = serde_json::from_str(&service.asked()).unwrap();
    let attributes = &asked["attributes"];
    let http = &attributes["request"]["http"];
    assert_eq!(http["method"], "GET");
    assert_eq!(http["path"], "/pets/1.0.0/pets?a=1&debug=1");
    assert_eq!(attributes["contextExtensions"]["rule"], "pets");
    assert_eq!(
        attributes["source"]["address"]["socketAddress"]["address"],
        "127.0.0.1"
    );
    assert!(attributes["source"]["principal"].is_string(), "{asked}");
    assert!(http["headers"]["cookie"].is_null() && http["headers"]["x-api-key"].is_null());
    let seen = world.backend.seen();
    assert_eq!(seen[0].target, "/pets?a=1&tenant=a+b");
    assert_eq!(seen[0].headers["x-tenant"], "acme");
    let list: Vec<_> = seen[0].headers.get_all("x-list").iter().collect();
    assert_eq!(list, ["a", "b"]);
    assert!(!seen[0].headers.contains_key("x-secret"));

    // The body is told, and goes to the backend as a whole; a longer one does not.
    let answer = world.wish("", Some("0123456789")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let asked: Value = serde_json::from_str(&service.asked()).unwrap();
    assert_eq!(asked["attributes"]["request"]["http"]["body"], "0123456789");
    assert_eq!(world.backend.seen()[0].body, "0123456789");
    let long = "x".repeat(100_000);
    let answer = world.wish("", Some(&long)).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(world.backend.seen().is_empty());

    assert_eq!(
        world.refused("deny").await,
        (403, "CALLER_NOT_ALLOWED".to_owned())
    );
    let answer = world.wish("deny-with", None).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["www-authenticate"], "Own realm=x");
    assert_eq!(answer.text().await.unwrap(), "not you");
    assert!(world.backend.seen().is_empty());
    let undecided = (503, "EXTERNAL_AUTHORIZATION_FAILED".to_owned());
    for wish in ["error", "host", "neither"] {
        assert_eq!(world.refused(wish).await, undecided, "{wish}");
    }
    world.policies(config(false, "300ms")).await;
    assert_eq!(world.refused("late").await, undecided);
    drop(service);
    assert_eq!(world.refused("").await, undecided, "the service is gone");
    world.policies(config(true, "1m")).await;
    assert_eq!(world.wish("", None).await.status(), StatusCode::OK);
    let counts = [
        world.count("allowed").await,
        world.count("denied").await,
        world.count("failed").await,
        world.count("failed-open").await,
        world.count("too-long").await,
    ];
    assert_eq!(counts, [2, 2, 5, 1, 1]);
    let kept = world
        .sandbox
        .refused(Method::DELETE, "/backends/authz", Value::Null);
    assert_eq!(kept.await.unwrap().1, "IN_USE");
}

/// req: GW4
#[tokio::test]
async fn an_http_service_decides() {
    let world = World::start(|_| {}).await;
    let mut service = ExtAuthz::start_http();
    world.service(&service, "http1").await;
    let body = json!({"maxBytes": "4B", "allowPartial": true});
    world
        .policies(json!([{"extAuthz": {"backend": "authz", "timeout": "1m", "http": {"pathPrefix": "/check"},
            "headers": ["X-Wish"], "upstreamHeaders": ["X-Tenant"], "body": body}}]))
        .await;
    let long = "0123456789".repeat(20_000);
    let answer = world.wish("", Some(&long)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let asked: Value = serde_json::from_str(&service.asked()).unwrap();
    assert_eq!(asked["method"], "POST");
    assert_eq!(asked["path"], "/check/pets/1.0.0/pets?a=1&debug=1");
    assert_eq!(asked["body"], "0123");
    assert!(asked["headers"]["cookie"].is_null() && asked["headers"]["x-secret"].is_null());
    let seen = world.backend.seen();
    assert_eq!(seen[0].body, long);
    assert_eq!(seen[0].headers["x-tenant"], "acme");
    assert!(!seen[0].headers.contains_key("x-other"));

    let answer = world.wish("deny", None).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(!answer.headers().contains_key("x-tenant"));
    assert_eq!(answer.text().await.unwrap(), "not you");
    assert!(world.backend.seen().is_empty());
    let undecided = (503, "EXTERNAL_AUTHORIZATION_FAILED".to_owned());
    assert_eq!(world.refused("error").await, undecided);
}
