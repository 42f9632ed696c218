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
