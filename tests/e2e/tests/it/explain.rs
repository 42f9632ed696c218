//! "Why was this call refused?", answered from the trace id alone (req: O5).

use std::time::{Duration, Instant};

use e2e::{Api, Backend, PATIENCE, Sandbox};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::PETS;

/// A platform with the pets, and somebody who makes mistakes.
struct World {
    backend: Backend,
    sandbox: Sandbox,
    api: Api,
}

/// What is to be found in an explanation: JSON pointer into the decision, and value.
type Expected<'e> = &'e [(&'e str, Value)];

impl World {
    async fn start() -> Self {
        let backend = Backend::start().await.unwrap();
        let sandbox = Sandbox::start().await.unwrap();
        let api = sandbox
            .api("pets", PETS, &backend.url(), "Gold")
            .await
            .unwrap();
        Self {
            backend,
            sandbox,
            api,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.api.url);
        self.sandbox.http.request(method, url)
    }

    /// Sends it, and explains the refusal by the id in the answer.
    async fn explained(&self, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        let problem: Value = answer.json().await.unwrap();
        let trace_id = problem["traceId"].as_str().unwrap().to_owned();
        let decision = self.decision(&trace_id).await;
        assert_eq!(decision["answer"]["code"], problem["code"], "{decision:#}");
        assert_eq!(decision["answer"]["status"], problem["status"]);
        decision
    }

    /// What is known of a trace id: it takes a second to be told.
    async fn decision(&self, trace_id: &str) -> Value {
        let mut found = self.sandbox.trace(trace_id).await;
        assert!(
            found["calls"][0]["node"]
                .as_str()
                .unwrap()
                .starts_with("node-")
        );
        found["calls"][0]["decision"].take()
    }

    async fn expect(&self, request: RequestBuilder, expected: Expected<'_>) -> Value {
        let decision = self.explained(request).await;
        for (pointer, value) in expected {
            let found = decision.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(found, value, "{pointer} in {decision:#}");
        }
        decision
    }

    async fn change(&self, kind: &str, document: Value) {
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("/{kind}/{name}");
        self.sandbox
            .call(Method::PUT, &path, Some(document))
            .await
            .unwrap();
    }

    /// The API's document with changes to its `spec`.
    async fn change_api(&self, change: impl FnOnce(&mut Value)) {
        let path = format!("/apis/{}", self.api.name);
        let mut document = self.sandbox.call(Method::GET, &path, None).await.unwrap();
        change(&mut document["spec"]);
        self.sandbox
            .call(Method::PUT, &path, Some(document))
            .await
            .unwrap();
    }
}

/// The policies of a decision with their outcomes.
fn policies(decision: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = decision["policies"].as_array().unwrap().iter();
    steps
        .map(|step| (text(&step["policy"]), text(&step["outcome"])))
        .collect()
}

fn rejected(decision: &Value) -> Vec<String> {
    let steps = policies(decision).into_iter();
    let steps = steps.filter(|(_, outcome)| outcome == "rejected");
    steps.map(|(policy, _)| policy).collect()
}

#[tokio::test]
async fn calls_that_match_nothing() {
    let world = World::start().await;
    let nowhere = world
        .sandbox
        .http
        .get(format!("{}/nowhere?key=secret", world.sandbox.gateway()));
    let nowhere = nowhere
        .header("user-agent", "test")
        .header("authorization", "Bearer secret");
    let decision = world
        .expect(
            nowhere,
            &[
                ("/request/path", json!("/nowhere")),
                ("/request/query", json!("key=*")),
                ("/request/method", json!("GET")),
                ("/matched/api", Value::Null),
                (
                    "/matched/missing",
                    json!("no API is served at this host and path"),
                ),
                ("/answer/code", json!("ROUTE_NOT_FOUND")),
            ],
        )
        .await;
    let headers = &decision["request"]["headers"];
    assert!(
        headers
            .as_array()
            .unwrap()
            .contains(&json!(["user-agent", "test"]))
    );
    assert!(!decision.to_string().contains("secret"), "{decision:#}");

    world
        .expect(
            world.request(Method::GET, "/nothing"),
            &[
                ("/matched/api/name", json!("pets-1.0.0")),
                ("/matched/api/gate", json!("serve")),
                ("/matched/operation", Value::Null),
                (
                    "/matched/missing",
                    json!("the API has no operation with this path"),
                ),
            ],
        )
        .await;
    world
        .expect(
            world.request(Method::DELETE, "/pets"),
            &[
                ("/answer/code", json!("METHOD_NOT_ALLOWED")),
                (
                    "/matched/missing",
                    json!("the path exists, the method does not"),
                ),
            ],
        )
        .await;
    let path = format!("/apis/{}/lifecycle", world.api.name);
    let blocked = json!({"state": "Blocked"});
    world
        .sandbox
        .call(Method::POST, &path, Some(blocked))
        .await
        .unwrap();
    world
        .expect(
            world.request(Method::GET, "/pets"),
            &[
                ("/answer/code", json!("API_BLOCKED")),
                ("/matched/api/gate", json!("blocked")),
            ],
        )
        .await;
}

#[tokio::test]
async fn callers_that_are_not_let_in() {
    let world = World::start().await;
    let decision = world
        .expect(
            world.request(Method::GET, "/pets"),
            &[
                ("/answer/code", json!("CREDENTIALS_MISSING")),
                ("/answer/rule", json!("token-missing")),
                ("/matched/operation/name", json!("listPets")),
                ("/matched/operation/template", json!("/pets")),
                ("/caller", Value::Null),
            ],
        )
        .await;
    assert_eq!(
        policies(&decision),
        [
            ("jwt or apiKey".to_owned(), "rejected".to_owned()),
            ("denyRules".to_owned(), "not-reached".to_owned()),
            ("subscription".to_owned(), "not-reached".to_owned()),
            ("planQuota".to_owned(), "not-reached".to_owned()),
            ("limits".to_owned(), "not-reached".to_owned()),
        ]
    );

    let forged = format!("{}x", world.api.token);
    let decision = world
        .expect(
            world.request(Method::GET, "/pets").bearer_auth(&forged),
            &[("/answer/code", json!("TOKEN_INVALID"))],
        )
        .await;
    assert!(
        !decision.to_string().contains(&forged[..20]),
        "a token in a decision"
    );

    // A token without the scope that the operation demands by now.
    let admin = json!([{"match": "GET /pets", "scopes": ["pets:admin"]}]);
    world.change_api(|spec| spec["operations"] = admin).await;
    let decision = world
        .expect(
            world
                .request(Method::GET, "/pets")
                .bearer_auth(&world.api.token),
            &[
                ("/answer/code", json!("SCOPE_INSUFFICIENT")),
                ("/answer/rule", json!("scope")),
                (
                    "/answer/facts/0",
                    json!({"name": "claim scope", "found": "pets:write", "expected": "pets:admin"}),
                ),
            ],
        )
        .await;
    assert_eq!(rejected(&decision), ["scopes"]);
    assert_eq!(policies(&decision)[0].1, "passed");
    world
        .change_api(|spec| spec["operations"] = json!([]))
        .await;

    // An application that is not subscribed.
    let application = json!({"kind": "Application", "metadata": {"name": "stranger"}, "spec": {}});
    world
        .sandbox
        .call(Method::POST, "/applications", Some(application))
        .await
        .unwrap();
    let key = world
        .sandbox
        .call(
            Method::POST,
            "/applications/stranger/api-keys",
            Some(json!({})),
        )
        .await;
    let key = key.unwrap()["key"].as_str().unwrap().to_owned();
    let decision = world
        .expect(
            world
                .request(Method::GET, "/pets")
                .header("x-api-key", &key),
            &[
                ("/answer/code", json!("SUBSCRIPTION_MISSING")),
                ("/answer/rule", json!("subscribed")),
                (
                    "/answer/facts/1",
                    json!({"name": "subscription", "found": "", "expected": "to pets-1.0.0"}),
                ),
            ],
        )
        .await;
    assert_eq!(rejected(&decision), ["subscription"]);
    assert!(!decision.to_string().contains(&key), "a key in a decision");
}

#[tokio::test]
async fn tokens_for_others_and_of_yesterday() {
    let world = World::start().await;
    let audience = json!([{"jwt": {"audience": ["somebody-else"]}}]);
    world.change_api(|spec| spec["security"] = audience).await;
    let decision = world
        .expect(
            world
                .request(Method::GET, "/pets")
                .bearer_auth(&world.api.token),
            &[
                ("/answer/code", json!("TOKEN_INVALID")),
                ("/answer/rule", json!("audience")),
                ("/answer/facts/0/name", json!("claim aud")),
                ("/answer/facts/0/expected", json!("one of somebody-else")),
            ],
        )
        .await;
    assert_eq!(rejected(&decision), ["jwt"]);
    assert_ne!(
        decision["answer"]["facts"][0]["found"], "",
        "the token's own audience"
    );

    // A token of one second, without leeway.
    world
        .change_api(|spec| {
            spec["security"] = json!([]);
            spec["policies"] = json!([{"jwt": {"leeway": "0s"}}]);
        })
        .await;
    let path = format!("/applications/{}", world.api.app);
    let mut application = world.sandbox.call(Method::GET, &path, None).await.unwrap();
    application["spec"]["tokens"] = json!({"lifetime": "1s"});
    world.change("applications", application).await;
    let token = format!("{path}/token");
    let token = world
        .sandbox
        .call(Method::POST, &token, Some(json!({})))
        .await
        .unwrap();
    let token = token["accessToken"].as_str().unwrap();
    let call = || world.request(Method::GET, "/pets").bearer_auth(token);
    let over = async {
        while call().send().await.unwrap().status() != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
    let decision = world
        .expect(
            call(),
            &[
                ("/answer/code", json!("TOKEN_EXPIRED")),
                ("/answer/rule", json!("token-expired")),
                ("/answer/facts/0/name", json!("claim exp")),
            ],
        )
        .await;
    let found = decision["answer"]["facts"][0]["found"].as_str().unwrap();
    assert!(found.ends_with("s ago"), "{found}");
}

#[tokio::test]
async fn quotas_and_backends() {
    let world = World::start().await;
    let key = world.api.key.clone();
    let call = |path: &str| world.request(Method::GET, path).header("x-api-key", &key);

    // A backend that is too slow, then one that is away.
    let begun = Instant::now();
    world
        .change_api(|spec| spec["policies"] = json!([{"timeout": "100ms"}]))
        .await;
    let decision = world
        .expect(
            call("/slow?never"),
            &[
                ("/answer/code", json!("BACKEND_TIMEOUT")),
                ("/backend/tries/0/error", json!("no answer in time")),
                (
                    "/backend/tries/0/endpoint",
                    json!(world.backend.url().trim_start_matches("http://")),
                ),
            ],
        )
        .await;
    let took = decision["backend"]["tries"][0]["tookUs"].as_u64().unwrap();
    let whole = begun.elapsed().as_micros();
    assert!(took >= 90_000 && u128::from(took) < whole, "{took}");
    assert!(rejected(&decision).is_empty(), "no policy refused");
    assert_eq!(decision["quota"]["limit"], 5000);
    assert_eq!(decision["caller"]["plan"], "Gold");

    let plan = json!({"kind": "Plan", "metadata": {"name": "Gold"}, "spec": {"quota": {"requests": 2, "per": "1h"}}});
    world.change("plans", plan).await;
    // Whatever is left of it.
    while call("/pets").send().await.unwrap().status() == 200 {}
    let decision = world
        .expect(
            call("/pets"),
            &[
                ("/answer/code", json!("QUOTA_EXCEEDED")),
                ("/answer/rule", json!("plan-quota")),
                ("/quota/limit", json!(2)),
                ("/quota/used", json!(2)),
                ("/quota/windowMs", json!(3_600_000)),
                ("/quota/name", json!("Gold")),
            ],
        )
        .await;
    assert_eq!(rejected(&decision), ["limits"]);
    assert!(decision["quota"]["resetMs"].as_u64().unwrap() > 3_000_000);

    let plan = json!({"kind": "Plan", "metadata": {"name": "Gold"}, "spec": {}});
    world.change("plans", plan).await;
    let gone = json!([{"url": "http://127.0.0.1:1"}]);
    world
        .change_api(|spec| spec["backends"]["production"]["endpoints"] = gone)
        .await;
    let decision = world
        .expect(
            call("/pets"),
            &[
                ("/answer/code", json!("BACKEND_UNREACHABLE")),
                ("/backend/tries/0/endpoint", json!("127.0.0.1:1")),
                ("/backend/tries/0/connection", json!("connecting")),
            ],
        )
        .await;
    let error = decision["backend"]["tries"][0]["error"].as_str().unwrap();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn calls_that_passed_leave_nothing_and_the_unknown_is_said_to_be_unknown() {
    let world = World::start().await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let passed = world
        .request(Method::GET, "/pets")
        .header("x-api-key", &world.api.key);
    let passed = passed.header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"));
    assert_eq!(passed.send().await.unwrap().status(), 200);
    // What came later is known already, so that what passed will not be.
    world.explained(world.request(Method::GET, "/pets")).await;
    let path = format!("/traces/{trace_id}");
    let answer = world
        .sandbox
        .control(Method::GET, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    let problem: Value = answer.json().await.unwrap();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("may have succeeded")
    );
}

#[tokio::test]
async fn circuits_and_certificates_of_backends() {
    let world = World::start().await;
    let key = world.api.key.clone();
    let call = |path: &str| world.request(Method::GET, path).header("x-api-key", &key);

    let gone = json!({
        "endpoints": [{"url": "http://127.0.0.1:1"}],
        "retry": {"attempts": 1},
        "circuitBreaker": {"errorRate": "100%", "minRequests": 4, "openFor": "1h", "window": "1h"},
    });
    world
        .change_api(|spec| spec["backends"]["production"] = gone)
        .await;
    for _ in 0..2 {
        let expected = [("/answer/code", json!("BACKEND_UNREACHABLE"))];
        let decision = world.expect(call("/pets"), &expected).await;
        let tries = decision["backend"]["tries"].as_array().unwrap();
        assert_eq!(tries.len(), 2, "{decision:#}");
    }
    let decision = world
        .expect(
            call("/pets"),
            &[
                ("/answer/code", json!("BACKEND_CIRCUIT_OPEN")),
                ("/answer/status", json!(503)),
                ("/answer/rule", json!("circuit-closed")),
                ("/answer/facts/0/expected", json!("closed")),
            ],
        )
        .await;
    let found = decision["answer"]["facts"][0]["found"].as_str().unwrap();
    assert!(found.starts_with("open for "), "{found}");
    let status = format!("/backends/{}%23production/status", world.api.name);
    let shown = async {
        loop {
            let shown = world.sandbox.call(Method::GET, &status, None).await;
            let shown = shown.unwrap()["nodes"][0].take();
            if shown["circuit"] == "open" {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await.unwrap();
    assert!(shown["circuitOpenUntilUnixMs"].is_u64(), "{shown}");

    // A certificate that nobody vouches for, by the node's folder of secrets.
    let made = rcgen::generate_simple_self_signed(vec!["other.test".to_owned()]).unwrap();
    let folder = world.sandbox.data_dir().join("secrets/orders");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ca.crt"), made.cert.pem()).unwrap();
    let own = format!("https://{}", world.sandbox.gateway_https());
    let strange = json!({
        "endpoints": [{"url": own}],
        "tls": {"ca": {"secretRef": "orders"}, "minVersion": "TLSv1.3"},
    });
    world
        .change_api(|spec| spec["backends"]["production"] = strange)
        .await;
    let decision = world
        .expect(
            call("/pets"),
            &[("/answer/code", json!("BACKEND_TLS_FAILED"))],
        )
        .await;
    let error = decision["backend"]["tries"][0]["error"].as_str().unwrap();
    assert!(error.contains("tls.ca"), "{error}");
}
