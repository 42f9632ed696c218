//! Limits of authentication, of limits themselves and of backend credentials are options, and the metrics page tells when
//! they take effect.

use std::time::{Duration, Instant};

use e2e::{PATIENCE, Sandbox};
use jose::SigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tollway::up::Span;

use crate::authentication::made_line;
use crate::world::World;

fn ms(ms: u64) -> Option<Span> {
    Some(Span(Duration::from_millis(ms)))
}

/// Status and code of a call with a token.
async fn called(world: &World, token: &str) -> (u16, String) {
    let request = world.sandbox.http.get(format!("{}/pets", world.api.url));
    let answer = request.bearer_auth(token).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// So many tokens of the API's application.
async fn tokens(sandbox: &Sandbox, app: &str, count: usize) -> Vec<String> {
    let path = format!("/applications/{app}/credentials");
    let made = sandbox.call(Method::POST, &path, None).await.unwrap();
    let (id, secret) = (made["clientId"].as_str(), made["clientSecret"].as_str());
    let mut tokens = Vec::new();
    for _ in 0..count {
        let url = format!("{}/oauth2/token", sandbox.running.control_url());
        let request = sandbox.http.post(url).basic_auth(id.unwrap(), secret);
        let form = "application/x-www-form-urlencoded";
        let request = request
            .header("content-type", form)
            .body("grant_type=client_credentials");
        let answer = request.send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        tokens.push(answer["access_token"].as_str().unwrap().to_owned());
    }
    tokens
}

#[tokio::test]
async fn verified_tokens_are_remembered_as_far_as_is_said() {
    const FORGOTTEN: &str = "tollway_gateway_forgotten_total{what=\"tokens\"}";
    let few = World::start(|options| {
        options.gateway_workers = Some(1);
        options.gateway_verified_tokens_max = Some(4);
    });
    // A token is longer than half of these.
    let short = World::start(|options| {
        options.gateway_workers = Some(1);
        options.gateway_verified_tokens_bytes_max = Some(200);
    });
    // Of four there are two in each half: the fifth takes the place of the first two.
    for (world, forgotten) in [(few.await, 2), (short.await, 5)] {
        for token in tokens(&world.sandbox, &world.api.app, 5).await {
            assert_eq!(called(&world, &token).await.0, 200);
        }
        assert_eq!(world.sandbox.metric(FORGOTTEN).await, forgotten);
    }
}

/// One is checked at a time and one remembered; none may wait, and one wrong guess costs time.
#[tokio::test]
async fn passwords_are_checked_and_remembered_as_far_as_is_said() {
    let world = World::start(|options| {
        options.gateway_workers = Some(1);
        options.gateway_passwords_parallel = Some(1);
        options.gateway_passwords_waiting = Some(0);
        options.gateway_verified_passwords_max = Some(1);
        options.identity_account_failures = Some(1);
    })
    .await;
    let users = ["alice", "bob", "carol", "dora"];
    let mut lines = String::new();
    for user in users {
        lines += &made_line(user, "correct horse").await;
    }
    world.secret("partners/users", &lines);
    let basic =
        json!({"basic": {"users": {"secretRef": "partners"}, "application": world.api.app}});
    world.change(|spec| spec["security"] = json!([basic])).await;
    let call = async |user: &str, password: &str| {
        let request = world.sandbox.http.get(format!("{}/pets", world.api.url));
        let answer = request.basic_auth(user, Some(password)).send().await;
        answer.unwrap().status().as_u16()
    };
    let metric = async |name: &str| world.sandbox.metric(name).await;
    let forgotten = async || metric("tollway_gateway_forgotten_total{what=\"passwords\"}").await;

    assert_eq!(call("alice", "correct horse").await, 200);
    assert_eq!(call("alice", "correct horse").await, 200);
    assert_eq!(metric("tollway_gateway_passwords_checked_total ").await, 1);
    assert_eq!(forgotten().await, 0);
    assert_eq!(call("bob", "correct horse").await, 200);
    assert_eq!(forgotten().await, 1);
    assert_eq!(call("alice", "correct horse").await, 200);
    assert_eq!(forgotten().await, 2);
    assert_eq!(metric("tollway_gateway_passwords_checked_total ").await, 3);

    let begun = Instant::now();
    let mut busy = 0;
    while busy == 0 {
        let calls = users.map(|user| call(user, "correct horse"));
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(|status| [200, 503].contains(status)));
        busy += answers.iter().filter(|status| **status == 503).count() as u64;
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(metric("tollway_gateway_passwords_busy_total ").await, busy);

    assert_eq!(call("bob", "battery staple").await, 401);
    // Whoever is remembered is asked for nothing: now that is not bob.
    assert_eq!(call("alice", "correct horse").await, 200);
    // The first delay is a second, which may be over on a machine that stands still.
    let begun = Instant::now();
    while call("bob", "correct horse").await != 429 {
        call("bob", "battery staple").await;
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(metric("tollway_gateway_passwords_delayed_total ").await >= 1);
    // What was not there to be forgotten is told all the same.
    for what in [
        "tokens",
        "certificates",
        "forwarded_certificates",
        "secrets",
    ] {
        let name = format!("tollway_gateway_forgotten_total{{what=\"{what}\"}}");
        assert_eq!(metric(&name).await, 0, "{what}");
    }
}

/// Tokens of unknown keys make a node ask for newer ones; by default the second one would wait for a second.
#[tokio::test]
async fn newer_keys_are_looked_for_as_seldom_as_is_said() {
    let world = World::start(|options| {
        options.gateway_question_pause = Some(Span(Duration::from_secs(60)));
        options.gateway_question_timeout = ms(50);
    })
    .await;
    let metric = async |name: &str| world.sandbox.metric(name).await;
    for _ in 0..2 {
        let key = SigningKey::generate_es256().unwrap();
        let claims = json!({"iss": world.sandbox.running.control_url()});
        let token = key.sign("at+jwt", &claims).unwrap();
        let refused = called(&world, &token).await;
        assert_eq!(refused, (401, "TOKEN_INVALID".to_owned()));
    }
    assert_eq!(metric("tollway_node_questions_news_total ").await, 2);
    assert_eq!(metric("tollway_node_questions_paused_total ").await, 1);
}

/// req: R3
#[tokio::test]
async fn tables_of_limits_that_overflow_are_counted() {
    let world = World::start(|options| {
        options.quota_counters_max = Some(40);
        options.quota_counters_per_limit_max = Some(2);
    })
    .await;
    let limit = json!({"name": "tenants", "key": "request.headers['x-tenant']", "limit": "3/h"});
    let security = json!([{"apiKey": {}}]);
    world.change(|spec| spec["security"] = security).await;
    world.policies(json!([{ "rateLimit": limit }])).await;
    let call = async |tenant: usize| {
        let request = world.sandbox.http.get(format!("{}/pets", world.api.url));
        let request = request
            .header("x-api-key", &world.api.key)
            .header("x-tenant", tenant.to_string());
        request.send().await.unwrap().status()
    };
    let overflows = "tollway_node_quota_overflows_total ";
    for tenant in 0..2 {
        assert_eq!(call(tenant).await, StatusCode::OK);
    }
    assert_eq!(world.sandbox.metric(overflows).await, 0);
    // All others share one counter.
    for tenant in 2..5 {
        assert_eq!(call(tenant).await, StatusCode::OK);
    }
    assert_eq!(call(5).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(call(0).await, StatusCode::OK);
    // Each call looks once, whether it passes or not.
    assert_eq!(world.sandbox.metric(overflows).await, 4);
    let kept = world.sandbox.metric("tollway_node_quota_counters ").await;
    assert!((2..=40).contains(&kept), "{kept}");
    let max = world.sandbox.metric("tollway_node_quota_counters_max ");
    assert_eq!(max.await, 40);
    let degraded = world.sandbox.metric("tollway_node_limits_degraded_total ");
    assert_eq!(degraded.await, 0);
}

/// What limits have counted cannot be written, then it can; at the next start it cannot be read. (req: R3)
#[tokio::test]
async fn a_state_of_limits_that_cannot_be_kept_is_counted() {
    let world = World::start(|_| {}).await;
    let failed = "tollway_node_limits_saves_failed_total ";
    let unusable = "tollway_node_limits_loads_failed_total ";
    let call = async |world: &World| {
        let request = world.sandbox.http.get(format!("{}/pets", world.api.url));
        let request = request.header("x-api-key", &world.api.key);
        request.send().await.unwrap().status()
    };
    let file = world.sandbox.data_dir().join("limits.state");
    // A folder stands where the file is made.
    let new = file.with_extension("state.new");
    let begun = Instant::now();
    while std::fs::create_dir(&new).is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    while world.sandbox.metric(failed).await == 0 {
        assert_eq!(call(&world).await, StatusCode::OK);
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.sandbox.metric(unusable).await, 0);
    std::fs::remove_dir(&new).unwrap();
    let World {
        sandbox,
        backend: _backend,
        ..
    } = world;
    let folder = sandbox.stop().await;
    let length = std::fs::metadata(&file).unwrap().len();
    assert!(length > 0, "it was saved at the end");
    // Longer than what is read, at another value than by itself.
    std::fs::write(&file, vec![0; 70_000]).unwrap();
    let sandbox = Sandbox::start_in(folder, |options| {
        options.quota_state_bytes_max = Some(65_536);
    });
    let sandbox = sandbox.await.unwrap();
    assert_eq!(sandbox.metric(unusable).await, 1);
}

/// The platform's own tokens are longer than this.
#[tokio::test]
async fn tokens_for_backends_are_as_long_as_is_said() {
    let world = World::start(|options| {
        options.outbound_allow = Some(vec!["127.0.0.1".to_owned()]);
        options.gateway_backend_token_bytes_max = Some(20);
        options.gateway_backend_token_pause = Some(Span(Duration::from_secs(3600)));
    })
    .await;
    let subscribed = world.sandbox.subscribe("gate", "pets", "Gold").await;
    subscribed.unwrap();
    let path = "/applications/gate/credentials";
    let made = world.sandbox.call(Method::POST, path, None).await.unwrap();
    world.secret(
        "pets-backend/client-secret",
        made["clientSecret"].as_str().unwrap(),
    );
    let token_url = format!("{}/oauth2/token", world.sandbox.running.control_url());
    let secret = json!({"secretRef": "pets-backend"});
    let oauth =
        json!({"tokenUrl": token_url, "clientId": made["clientId"], "clientSecret": secret});
    let security = json!([{"apiKey": {}}]);
    world.change(|spec| spec["security"] = security).await;
    world
        .policies(json!([{"backendCredentials": {"oauth": oauth}}]))
        .await;
    for number in 0..3 {
        let request = world.sandbox.http.get(format!("{}/pets", world.api.url));
        let request = request.header("x-api-key", &world.api.key);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        // As long as its endpoint is left alone, once it is.
        let after = answer.headers()["retry-after"].to_str().unwrap();
        let after: u64 = after.parse().unwrap();
        let expected = if number == 0 { 1..=1 } else { 3500..=3600 };
        assert!(expected.contains(&after), "{after}");
    }
    for (limit, times) in [("token_bytes", 1), ("pause", 2), ("clients", 0)] {
        let name = format!("tollway_backend_token_limits_hit_total{{limit=\"{limit}\"}}");
        assert_eq!(world.sandbox.metric(&name).await, times, "{limit}");
    }
    let missing = world
        .sandbox
        .metric("tollway_backend_credentials_missing_total ");
    assert_eq!(missing.await, 3);
    let failed = world.sandbox.metric("tollway_backend_tokens_failed_total ");
    assert_eq!(failed.await, 1);
    let forgotten = world
        .sandbox
        .metric("tollway_backend_tokens_forgotten_total ");
    assert_eq!(forgotten.await, 0);
}

/// Bounds are held at the start, with the option, its value and what it may be.
#[tokio::test]
async fn a_value_out_of_bounds_is_refused_at_the_start() {
    let started = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.gateway_issuer_keys_wait = Some(Span(Duration::from_secs(3600)));
    });
    let refused = started.await.err().unwrap().to_string();
    let expected = "--gateway-issuer-keys-wait is 3600000ms, it goes from 1ms to 60000ms";
    assert!(refused.contains(expected), "{refused}");
}
