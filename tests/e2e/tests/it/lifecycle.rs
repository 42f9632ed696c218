//! The states of an API as callers meet them.

use e2e::{Api, Backend, Sandbox};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

async fn call(sandbox: &Sandbox, api: &Api, with_key: bool) -> Response {
    let mut request = sandbox.http.get(format!("{}/pets", api.url));
    if with_key {
        request = request.header("x-api-key", &api.key);
    }
    request.send().await.unwrap()
}

async fn state(sandbox: &Sandbox, api: &Api, state: Value) {
    let path = format!("/apis/{}/lifecycle", api.name);
    sandbox
        .call(Method::POST, &path, Some(state))
        .await
        .unwrap();
}

async fn expect(sandbox: &Sandbox, api: &Api, status: StatusCode, code: &str) {
    let answer = call(sandbox, api, true).await;
    assert_eq!(answer.status(), status);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
}

#[tokio::test]
async fn every_state_answers_as_it_should() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    assert_eq!(call(&sandbox, &api, true).await.status(), StatusCode::OK);

    state(&sandbox, &api, json!({"state": "Blocked"})).await;
    expect(
        &sandbox,
        &api,
        StatusCode::SERVICE_UNAVAILABLE,
        "API_BLOCKED",
    )
    .await;

    state(&sandbox, &api, json!({"state": "Published"})).await;
    assert_eq!(call(&sandbox, &api, true).await.status(), StatusCode::OK);

    // req: L2
    state(
        &sandbox,
        &api,
        json!({"state": "Deprecated", "sunset": "2099-06-30"}),
    )
    .await;
    let answer = call(&sandbox, &api, true).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer.headers()["deprecation"]
            .to_str()
            .unwrap()
            .starts_with('@')
    );
    assert_eq!(answer.headers()["sunset"], "Tue, 30 Jun 2099 00:00:00 GMT");
    let application = json!({"kind": "Application", "metadata": {"name": "late"}, "spec": {}});
    sandbox
        .call(Method::POST, "/applications", Some(application))
        .await
        .unwrap();
    let late = json!({
        "kind": "Subscription", "metadata": {"name": "late-pets"},
        "spec": {"application": "late", "api": {"name": "pets", "version": "1.0.0"}, "plan": "Gold"},
    });
    let (status, _) = sandbox
        .refused(Method::POST, "/subscriptions", late)
        .await
        .unwrap();
    assert!(status.is_client_error(), "{status}");

    let path = format!("/apis/{}/lifecycle", api.name);
    let (status, code) = sandbox
        .refused(Method::POST, &path, json!({"state": "Published"}))
        .await
        .unwrap();
    assert_eq!(
        (status, code.as_str()),
        (StatusCode::CONFLICT, "TRANSITION_NOT_ALLOWED")
    );

    state(&sandbox, &api, json!({"state": "Retired"})).await;
    expect(&sandbox, &api, StatusCode::GONE, "API_RETIRED").await;

    let lifecycle = sandbox.call(Method::GET, &path, None).await.unwrap();
    let states: Vec<_> = lifecycle["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["to"].clone())
        .collect();
    assert_eq!(
        states,
        ["Published", "Blocked", "Published", "Deprecated", "Retired"]
    );
    assert!(
        lifecycle["history"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["actor"] == "admin")
    );
}

#[tokio::test]
async fn created_is_not_served_and_prototyped_needs_no_subscription() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let subscribed = sandbox
        .api("other", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let import = json!({
        "definition": PETS, "name": "pets", "version": "1.0.0", "context": "/pets", "backend": backend.url(), "plans": ["Gold"],
    });
    let made = sandbox
        .call(Method::POST, "/apis:import", Some(import))
        .await
        .unwrap();
    let api = Api {
        url: format!("{}/pets/1.0.0", sandbox.gateway()),
        name: made["api"]["metadata"]["name"].as_str().unwrap().to_owned(),
        ..subscribed
    };
    expect(&sandbox, &api, StatusCode::NOT_FOUND, "API_NOT_PUBLISHED").await;
    state(&sandbox, &api, json!({"state": "Prototyped"})).await;
    // A caller with a credential but without a subscription passes; a stranger does not.
    assert_eq!(call(&sandbox, &api, true).await.status(), StatusCode::OK);
    assert_eq!(
        call(&sandbox, &api, false).await.status(),
        StatusCode::UNAUTHORIZED
    );
}
