//! What the gateway proves itself to backends with, over real sockets; tokens come from the platform's own authorization
//! server.

use std::time::{Duration, Instant};

use e2e::PATIENCE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// Calls with an API key, and an `Authorization` of the client's own that is none of the gateway's.
    async fn ask(&self, query: &str) -> (StatusCode, String) {
        let (status, problem) = self.answer(query).await;
        (
            status,
            problem["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    async fn answer(&self, query: &str) -> (StatusCode, Value) {
        self.backend.forget();
        let request = self
            .sandbox
            .http
            .get(format!("{}/pets{query}", self.api.url));
        let request = request
            .header("X-API-Key", &self.api.key)
            .basic_auth("client", Some("own"));
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }

    /// Calls until the backend is shown something: files are looked at once a second.
    async fn shows(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let showing = async {
            loop {
                self.ask("").await;
                if self.got("authorization").is_some_and(|shown| is_it(&shown)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, showing).await;
        assert!(
            shown.is_ok(),
            "{what} is not shown: {:?}",
            self.got("authorization")
        );
    }
}

/// req: S9
#[tokio::test]
async fn a_password_is_shown_in_place_of_the_clients_and_read_again() {
    let world = World::start(|_| {}).await;
    let security = json!([{"apiKey": {}}]);
    world.change(|spec| spec["security"] = security).await;
    let policy = json!([{"backendCredentials": {"basic": {"secretRef": "pets-backend"}}}]);
    world.policies(policy).await;
    let missing = (
        StatusCode::SERVICE_UNAVAILABLE,
        "BACKEND_CREDENTIAL_MISSING".to_owned(),
    );
    assert_eq!(world.ask("").await, missing);
    assert!(world.backend.seen().is_empty());
    let (_, problem) = world.answer("").await;
    assert_eq!(world.rule(&problem).await, "backend-secret");
    world.secret("pets-backend/username", "gate\n");
    world.secret("pets-backend/password", "first\n");
    // base64 of gate:first and gate:second
    world
        .shows("the first", |shown| shown == "Basic Z2F0ZTpmaXJzdA==")
        .await;
    world.secret("pets-backend/password", "second\n");
    world
        .shows("the second", |shown| shown == "Basic Z2F0ZTpzZWNvbmQ=")
        .await;

    world.secret("pets-backend/api-key", "k1");
    let key = json!({"query": "key", "key": {"secretRef": "pets-backend"}});
    world
        .policies(json!([{"backendCredentials": {"apiKey": key}}]))
        .await;
    assert_eq!(world.ask("?a=1&key=forged").await.0, StatusCode::OK);
    assert_eq!(world.backend.seen()[0].target, "/pets?a=1&key=k1");
    assert!(world.got("authorization").is_none());
}

/// req: S7, S9
#[tokio::test]
async fn a_token_is_asked_for_once_and_shown_to_the_backend() {
    let world = World::start(|options| {
        options.outbound_allow = Some(vec!["127.0.0.1".to_owned()]);
    })
    .await;
    world
        .sandbox
        .subscribe("gate", "pets", "Gold")
        .await
        .unwrap();
    let made = world
        .sandbox
        .call(Method::POST, "/applications/gate/credentials", None)
        .await
        .unwrap();
    let (id, secret) = (&made["clientId"], made["clientSecret"].as_str().unwrap());
    let token_url = format!("{}/oauth2/token", world.sandbox.running.control_url());
    let security = json!([{"apiKey": {}}]);
    world.change(|spec| spec["security"] = security).await;
    let oauth = json!({"tokenUrl": token_url, "clientId": id, "clientSecret": {"secretRef": "pets-backend"}});
    world.secret("pets-backend/client-secret", "secret-text");
    let begun = Instant::now();
    world
        .policies(json!([{"backendCredentials": {"oauth": oauth}}]))
        .await;
    let missing = (
        StatusCode::SERVICE_UNAVAILABLE,
        "BACKEND_CREDENTIAL_MISSING".to_owned(),
    );
    assert_eq!(world.ask("").await, missing);
    assert!(world.backend.seen().is_empty());
    for _ in 0..5 {
        assert_eq!(world.ask("").await, missing);
    }
    let (_, problem) = world.answer("").await;
    assert_eq!(world.rule(&problem).await, "backend-token");
    let failed = world
        .sandbox
        .metric("tollway_backend_tokens_failed_total ")
        .await;
    let most = 4 + begun.elapsed().as_secs();
    assert!((1..=most).contains(&failed), "it is left alone: {failed}");

    world.secret("pets-backend/client-secret", secret);
    world
        .shows("a token", |shown| shown.starts_with("Bearer ey"))
        .await;
    for _ in 0..10 {
        assert_eq!(world.ask("").await.0, StatusCode::OK);
        assert!(world.got("authorization").unwrap().starts_with("Bearer ey"));
    }
    assert_eq!(
        world
            .sandbox
            .metric("tollway_backend_tokens_given_total ")
            .await,
        1
    );
    assert_eq!(
        world.sandbox.metric("tollway_backend_token_clients ").await,
        2
    );
    assert_eq!(
        world
            .sandbox
            .metric("tollway_backend_tokens_refused_total ")
            .await,
        0
    );
}
