//! Plan quotas over real sockets (req: R3, R4).

use e2e::{Backend, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

async fn plan(sandbox: &Sandbox, requests: u64) {
    let plan = json!({"kind": "Plan", "metadata": {"name": "Tiny"}, "spec": {"quota": {"requests": requests, "per": "1h"}}});
    sandbox
        .call(Method::PUT, "/plans/Tiny", Some(plan))
        .await
        .unwrap();
}

#[tokio::test]
async fn exactly_the_quota_passes_and_a_live_edit_counts_on() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    plan(&sandbox, 20).await;
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Tiny")
        .await
        .unwrap();
    let call = |path: &str| {
        sandbox
            .http
            .get(format!("{}{path}", api.url))
            .header("x-api-key", &api.key)
            .send()
    };

    // Neither strangers nor calls that match no operation use the quota up.
    for _ in 0..5 {
        let stranger = sandbox
            .http
            .get(format!("{}/pets", api.url))
            .send()
            .await
            .unwrap();
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            call("/nowhere/at/all").await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
    // Forty calls at once, on both cores: exactly twenty pass.
    let calls = (0..40).map(|_| call("/pets"));
    let answers = futures_util::future::join_all(calls).await;
    let passed = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().status() == StatusCode::OK)
        .count();
    assert_eq!((passed, backend.seen().len()), (20, 20));

    let refused = call("/pets").await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry_after: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3660).contains(&retry_after), "{retry_after}");
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"Tiny\";q=20;w=3600"
    );
    assert!(
        refused.headers()["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"Tiny\";r=0;")
    );
    assert_eq!(
        refused.json::<Value>().await.unwrap()["code"],
        "QUOTA_EXCEEDED"
    );

    // Five more are allowed: five more pass, and not twenty-five.
    plan(&sandbox, 25).await;
    let mut passed = 0;
    for _ in 0..10 {
        passed += u32::from(call("/pets").await.unwrap().status() == StatusCode::OK);
    }
    assert_eq!(passed, 5);
}

/// Limits of the document: for all callers by their address, and for calls that a condition names; the answer names who
/// refused, and a call that one refuses is charged to none.
#[tokio::test]
async fn limits_of_the_document_are_asked_with_the_plan() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    plan(&sandbox, 20).await;
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Tiny")
        .await
        .unwrap();
    let path = "/apis/pets-1.0.0";
    let mut document = sandbox.call(Method::GET, path, None).await.unwrap();
    document["spec"]["policies"] = json!([
        {"rateLimit": {"name": "per-address", "limit": "3/h"}},
        {"rateLimit": {"name": "trials", "key": "request.headers['x-trial']",
                       "when": "'x-trial' in request.headers", "limit": "1/h", "burst": 1}},
    ]);
    sandbox
        .call(Method::PUT, path, Some(document))
        .await
        .unwrap();
    let call = async |trial: Option<&str>| {
        let mut call = sandbox
            .http
            .get(format!("{}/pets", api.url))
            .header("x-api-key", &api.key);
        if let Some(trial) = trial {
            call = call.header("x-trial", trial);
        }
        call.send().await.unwrap()
    };
    assert_eq!(call(Some("a")).await.status(), StatusCode::OK);
    for _ in 0..5 {
        let refused = call(Some("a")).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            refused.headers()["ratelimit-policy"],
            "\"Tiny\";q=20;w=3600, \"per-address\";q=3;w=3600, \"trials\";q=1;w=3600;burst=1"
        );
        let limit = refused.headers()["ratelimit"].to_str().unwrap();
        assert!(limit.starts_with("\"trials\";r=0;"), "{limit}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "RATE_LIMITED");
        assert!(problem["detail"].as_str().unwrap().contains("trials"));
    }
    assert_eq!(call(Some("b")).await.status(), StatusCode::OK);
    assert_eq!(call(None).await.status(), StatusCode::OK);
    let refused = call(None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let limit = refused.headers()["ratelimit"].to_str().unwrap();
    assert!(limit.starts_with("\"per-address\";r=0;"), "{limit}");
    assert_eq!(backend.seen().len(), 3);
}

/// req: S12
#[tokio::test]
async fn an_api_and_its_operations_say_how_large_a_body_may_be() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let path = format!("/apis/{}", api.name);
    let mut document = sandbox.call(Method::GET, &path, None).await.unwrap();
    let limit = |size: &str| json!([{"payloadLimits": {"maxBody": size}}]);
    document["spec"]["policies"] = limit("10B");
    document["spec"]["operations"] = json!([{"match": "GET /pets/{id}", "policies": limit("20B")}]);
    sandbox
        .call(Method::PUT, &path, Some(document))
        .await
        .unwrap();
    for (path, bytes, status) in [
        ("/pets", 10, StatusCode::OK),
        ("/pets", 11, StatusCode::PAYLOAD_TOO_LARGE),
        ("/pets/1", 20, StatusCode::OK),
        ("/pets/1", 21, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = sandbox
            .http
            .get(format!("{}{path}", api.url))
            .header("x-api-key", &api.key)
            .body("x".repeat(bytes))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path} with {bytes} bytes");
    }
}
