//! The main job: a definition and a backend become an API that is secured, limited, observed and subscribed to.

use e2e::{Backend, PATIENCE, Sandbox};
use reqwest::{Method, StatusCode, Version};
use serde_json::{Value, json};

use crate::PETS;

#[tokio::test]
async fn definition_to_managed_api() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let pets = format!("{}/pets", api.url);

    // Strangers are refused, with a challenge and a problem, and never reach the backend.
    let refused = sandbox.http.get(&pets).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "CREDENTIALS_MISSING");
    assert_eq!(problem["traceId"].as_str().unwrap().len(), 32);
    assert!(backend.seen().is_empty());

    // A token and a key pass; the backend gets its own path, no credential, and a trace.
    let passed = sandbox
        .http
        .get(format!("{pets}?kind=dog"))
        .bearer_auth(&api.token)
        .send()
        .await
        .unwrap();
    assert_eq!(passed.status(), StatusCode::OK);
    assert_eq!(passed.headers()["ratelimit-policy"], "\"Gold\";q=5000;w=60");
    assert!(
        passed.headers()["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"Gold\";r=4999")
    );
    let echo: Value = passed.json().await.unwrap();
    assert_eq!(echo["target"], "/pets?kind=dog");
    let passed = sandbox
        .http
        .get(&pets)
        .header("X-API-Key", &api.key)
        .send()
        .await
        .unwrap();
    assert_eq!(passed.status(), StatusCode::OK);
    for seen in backend.seen() {
        assert!(
            !seen.headers.contains_key("authorization") && !seen.headers.contains_key("x-api-key"),
            "{seen:?}"
        );
        assert!(seen.headers.contains_key("traceparent"));
    }

    // The definition asks for a scope; the subscription grants it to the client.
    let added = sandbox
        .http
        .post(&pets)
        .bearer_auth(&api.token)
        .body("Rex")
        .send()
        .await
        .unwrap();
    assert_eq!(added.status(), StatusCode::OK);
    assert_eq!(added.json::<Value>().await.unwrap()["body"], "Rex");

    // Both listeners, both protocols.
    let https = format!(
        "https://{}/pets/1.0.0/pets",
        sandbox.running.gateway_https()
    );
    let passed = sandbox
        .http
        .get(https)
        .bearer_auth(&api.token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (passed.status(), passed.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let h2c = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let passed = h2c.get(&pets).bearer_auth(&api.token).send().await.unwrap();
    assert_eq!(
        (passed.status(), passed.version()),
        (StatusCode::OK, Version::HTTP_2)
    );

    // It is observed.
    let url = format!("http://{}/metrics", sandbox.running.node());
    let mut metrics = String::new();
    // Counting happens after the answer has gone out.
    let observed = async {
        while !metrics.contains("listPets") || !metrics.contains("CREDENTIALS_MISSING") {
            let answer = sandbox.http.get(&url).send().await.unwrap();
            metrics = answer.text().await.unwrap();
        }
    };
    let observed = tokio::time::timeout(PATIENCE, observed).await;
    assert!(observed.is_ok(), "{metrics}");
}

#[tokio::test]
async fn routing_answers_are_problems() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let call = |method: Method, path: &str| {
        sandbox
            .http
            .request(method, format!("{}{path}", api.url))
            .bearer_auth(&api.token)
            .send()
    };
    let missing = call(Method::GET, "/toys").await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        missing.json::<Value>().await.unwrap()["code"],
        "ROUTE_NOT_FOUND"
    );

    let wrong = call(Method::DELETE, "/pets").await.unwrap();
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers()["allow"], "GET, HEAD, OPTIONS, POST");
    assert_eq!(
        wrong.json::<Value>().await.unwrap()["code"],
        "METHOD_NOT_ALLOWED"
    );

    let head = call(Method::HEAD, "/pets").await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(backend.seen().last().unwrap().method, Method::HEAD);
    assert!(head.bytes().await.unwrap().is_empty());

    let options = call(Method::OPTIONS, "/pets").await.unwrap();
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(options.headers()["allow"], "GET, HEAD, OPTIONS, POST");

    let nothing = sandbox
        .http
        .get(format!("{}/nothing", sandbox.gateway()))
        .send()
        .await
        .unwrap();
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_backend_that_is_away_is_named_as_the_cause() {
    let sandbox = Sandbox::start().await.unwrap();
    // Nobody listens there.
    let api = sandbox
        .api("pets", PETS, "http://127.0.0.1:1", "Gold")
        .await
        .unwrap();
    let answer = sandbox
        .http
        .get(format!("{}/pets", api.url))
        .bearer_auth(&api.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "BACKEND_UNREACHABLE"
    );
}

#[tokio::test]
async fn no_subscription_no_call() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let pets = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let toys = sandbox
        .api("toys", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let answer = sandbox
        .http
        .get(format!("{}/pets", pets.url))
        .bearer_auth(&toys.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "SUBSCRIPTION_MISSING"
    );
    assert!(backend.seen().is_empty());
}

/// The default version answers at the bare context; an explicit version wins over its templates.
#[tokio::test]
async fn versions_side_by_side() {
    let (one, two) = (
        Backend::start().await.unwrap(),
        Backend::start().await.unwrap(),
    );
    let sandbox = Sandbox::start().await.unwrap();
    let definition = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n  /{any}/pets:\n    get: {responses: {'200': {description: ok}}}\n  /pets:\n    get: {responses: {'200': {description: ok}}}\n";
    for (version, backend, default) in [("1.0.0", &one, false), ("2.0.0", &two, true)] {
        let import = json!({
            "definition": definition, "name": "pets", "version": version, "context": "/pets",
            "backend": backend.url(), "plans": ["Gold"], "publish": true, "defaultVersion": default,
        });
        sandbox
            .call(Method::POST, "/apis:import", Some(import))
            .await
            .unwrap();
    }
    sandbox.subscribe("shop", "pets", "Gold").await.unwrap();
    let key = sandbox
        .call(Method::POST, "/applications/shop/api-keys", Some(json!({})))
        .await
        .unwrap();
    let key = key["key"].as_str().unwrap();
    let call = |path: &str| {
        sandbox
            .http
            .get(format!("{}{path}", sandbox.gateway()))
            .header("x-api-key", key)
            .send()
    };
    assert_eq!(
        call("/pets/1.0.0/pets").await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(one.seen().last().unwrap().target, "/pets");
    // The key's application is not subscribed to version 2.0.0, which answers at the bare context.
    assert_eq!(
        call("/pets/pets").await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    assert!(two.seen().is_empty());
}

/// `/oauth2/token` follows the application's `tokens.lifetime` and the scopes that its subscriptions grant.
#[tokio::test]
async fn client_credentials_follow_the_application() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let document = json!({"kind": "Application", "metadata": {"name": api.app}, "spec": {"tokens": {"lifetime": "2m"}}});
    sandbox
        .call(
            Method::PUT,
            &format!("/applications/{}", api.app),
            Some(document),
        )
        .await
        .unwrap();
    let path = format!("/applications/{}/credentials", api.app);
    let client = sandbox.call(Method::POST, &path, None).await.unwrap();
    let token = |form: &'static str| {
        sandbox
            .http
            .post(format!("{}/oauth2/token", sandbox.running.control_url()))
            .basic_auth(
                client["clientId"].as_str().unwrap(),
                client["clientSecret"].as_str(),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
    };
    let answer: Value = token("grant_type=client_credentials")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&answer["expires_in"], &answer["scope"]),
        (&json!(120), &json!("pets:write"))
    );
    let refused = token("grant_type=client_credentials&scope=admin")
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        refused.json::<Value>().await.unwrap()["error"],
        "invalid_scope"
    );
}
