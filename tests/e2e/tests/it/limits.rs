//! Plan quotas over real sockets (req: R3, R4).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use e2e::{Backend, PATIENCE, Sandbox};
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
    // A call is forgotten up to 1/32 of the window late.
    assert!((1..=3713).contains(&retry_after), "{retry_after}");
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

/// An edit is in force when it is answered and goes on with what is counted, while calls come. (req: TM4, R3)
#[tokio::test]
async fn an_edit_under_load_goes_on_with_what_is_counted() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    plan(&sandbox, 30).await;
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Tiny")
        .await
        .unwrap();
    let passed = AtomicU32::new(0);
    let edited = AtomicBool::new(false);
    let calls = async {
        loop {
            let in_force = edited.load(Ordering::Relaxed);
            let answer = sandbox
                .http
                .get(format!("{}/pets", api.url))
                .header("x-api-key", &api.key)
                .send()
                .await
                .unwrap();
            if answer.status() == StatusCode::OK {
                if passed.fetch_add(1, Ordering::Relaxed) + 1 == 50 {
                    return;
                }
            } else {
                assert!(!in_force, "refused after the edit was answered");
            }
        }
    };
    let edits = async {
        while passed.load(Ordering::Relaxed) < 30 {
            tokio::task::yield_now().await;
        }
        plan(&sandbox, 50).await;
        edited.store(true, Ordering::Relaxed);
    };
    let both = async { tokio::join!(calls, edits) };
    tokio::time::timeout(2 * PATIENCE, both).await.unwrap();
    // Not one more than fifty, and an edit downwards refuses at once.
    for requests in [50, 10, 50] {
        plan(&sandbox, requests).await;
        let refused = sandbox
            .http
            .get(format!("{}/pets", api.url))
            .header("x-api-key", &api.key)
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(backend.seen().len(), 50);
}

/// A quota of the application's document holds over its APIs, beside its plans. (req: TM1)
#[tokio::test]
async fn an_applications_quota_holds_over_all_apis() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let applications = sandbox
        .call(Method::GET, "/applications", None)
        .await
        .unwrap();
    let mut document = applications["items"][0].clone();
    let name = document["metadata"]["name"].as_str().unwrap().to_owned();
    document["spec"]["quota"] = json!({"requests": 2, "per": "1h"});
    document.as_object_mut().unwrap().remove("status");
    let path = format!("/applications/{name}");
    sandbox
        .call(Method::PUT, &path, Some(document))
        .await
        .unwrap();
    let call = async || {
        let call = sandbox.http.get(format!("{}/pets", api.url));
        call.header("x-api-key", &api.key).send().await.unwrap()
    };
    assert_eq!(call().await.status(), StatusCode::OK);
    let second = call().await;
    let policy = second.headers()["ratelimit-policy"].to_str().unwrap();
    assert!(
        policy.contains(&format!("\"{name}-application\";q=2;w=3600")),
        "{policy}"
    );
    let refused = call().await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let problem: Value = refused.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("application"),
        "{problem}"
    );
}

/// Deny rules come, go and end while calls come; callers are told the code, operators the rule. (req: TM1, S9)
#[tokio::test]
async fn a_deny_rule_is_in_force_when_it_is_acknowledged() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let call = async || {
        let call = sandbox.http.get(format!("{}/pets", api.url));
        call.header("x-api-key", &api.key).send().await.unwrap()
    };
    assert_eq!(call().await.status(), StatusCode::OK);
    let rule = |spec: Value| json!({"kind": "DenyRule", "metadata": {"name": "bad"}, "spec": spec});
    let path = "/deny-rules/bad";
    for (spec, status) in [
        (
            json!({"clients": ["127.0.0.0/8"], "reason": "ticket 7"}),
            StatusCode::FORBIDDEN,
        ),
        (json!({"clients": ["203.0.113.0/24"]}), StatusCode::OK),
        (json!({"apis": [api.name.clone()]}), StatusCode::FORBIDDEN),
        (
            json!({"apis": [api.name.clone()], "when": "request.method == 'POST'"}),
            StatusCode::OK,
        ),
        (
            json!({"when": "request.path.endsWith('/pets')"}),
            StatusCode::FORBIDDEN,
        ),
        (
            json!({"clients": ["127.0.0.1"], "until": "2020-01-01T00:00:00Z"}),
            StatusCode::OK,
        ),
        (
            json!({"clients": ["127.0.0.1"], "until": "2999-01-01T00:00:00Z"}),
            StatusCode::FORBIDDEN,
        ),
    ] {
        sandbox
            .call(Method::PUT, path, Some(rule(spec.clone())))
            .await
            .unwrap();
        let answer = call().await;
        assert_eq!(answer.status(), status, "{spec}");
        if status == StatusCode::FORBIDDEN {
            let problem = answer.text().await.unwrap();
            assert!(problem.contains("\"DENIED\""), "{problem}");
            assert!(!problem.contains("ticket"), "{problem}");
        }
    }
    assert_eq!(sandbox.metric("tollway_node_deny_rules").await, 1);
    sandbox.call(Method::DELETE, path, None).await.unwrap();
    assert_eq!(call().await.status(), StatusCode::OK);
    assert_eq!(sandbox.metric("tollway_node_deny_rules").await, 0);
    for faulty in [
        json!({}),
        json!({"when": "request."}),
        json!({"clients": ["x"]}),
    ] {
        sandbox
            .refused(Method::PUT, path, rule(faulty))
            .await
            .map(|(status, _)| assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY))
            .unwrap();
    }
}
