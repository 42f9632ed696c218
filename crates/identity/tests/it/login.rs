use credentials::{PasswordLimits, TokenError};
use http::Method;
use identity::IdentityConfig;
use serde_json::{Value, json};
use store::Role;

use crate::world::{PASSWORD, World, world, world_with};

const LOGIN: &str = "/api/v1/login";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn logout(world: &World, authorization: &[&str]) -> crate::world::Answer {
    let headers: Vec<_> = authorization
        .iter()
        .map(|value| ("authorization", *value))
        .collect();
    world
        .send(Method::POST, "/api/v1/logout", &headers, "")
        .await
}

#[tokio::test]
async fn a_user_logs_in_and_is_known_to_the_control_api() {
    let world = world().await;
    let answer = world
        .login(&json!({ "username": "admin", "password": PASSWORD }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.is_not_stored());
    let mut body = answer.json();
    let token = body["accessToken"].take();
    assert_eq!(
        body,
        json!({
            "accessToken": null,
            "tokenType": "Bearer",
            "expiresIn": 28800,
            "user": { "name": "admin", "org": "default", "roles": ["admin"] },
        })
    );
    let caller = world
        .tokens
        .verify_control(token.as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(caller.roles, [Role::Admin]);
    assert_eq!(world.metrics.logins.get(), 1);
}

/// Enumeration: a wrong password and an unknown user differ neither in text nor in the number of hash calls.
#[tokio::test]
async fn failures_look_and_cost_the_same() {
    let world = world().await;
    let mut answers = Vec::new();
    for (username, password) in [
        ("admin", "wrong"),
        ("nobody", "wrong"),
        ("nobody", PASSWORD),
        ("", ""),
        ("admin", ""),
        ("ADMIN", PASSWORD),
        ("admin' --", PASSWORD),
        ("admin\0", PASSWORD),
    ] {
        let before = world.passwords.hash_calls();
        let answer = world
            .login(&json!({ "username": username, "password": password }))
            .await;
        assert_eq!(world.passwords.hash_calls() - before, 1, "{username}");
        assert_eq!(answer.problem(), (401, "LOGIN_FAILED".into()), "{username}");
        assert!(answer.is_not_stored());
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"tollway\""
        );
        let mut problem = answer.json();
        problem["traceId"] = Value::Null;
        answers.push(problem);
    }
    assert_eq!(world.metrics.logins_failed.get(), answers.len() as u64);
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn brute_force_is_bounded() {
    let limits = PasswordLimits {
        parallel: 1,
        waiting: 0,
    };
    let world = world_with(IdentityConfig::default(), limits).await;
    let before = world.passwords.hash_calls();
    let guess = json!({ "username": "admin", "password": "guess" });
    let (a, b, c, d) = tokio::join!(
        world.login(&guess),
        world.login(&guess),
        world.login(&guess),
        world.login(&guess),
    );
    let mut busy = 0;
    for answer in [a, b, c, d] {
        match answer.problem() {
            (401, code) => assert_eq!(code, "LOGIN_FAILED"),
            (429, code) => {
                assert_eq!(code, "TOO_MANY_REQUESTS");
                assert_eq!(answer.header("retry-after"), "2");
                busy += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(busy > 0, "one hash at a time, nobody waiting");
    assert_eq!(world.passwords.hash_calls() - before, 4 - busy);
    assert_eq!(world.metrics.logins_busy.get(), busy);
    world.control_token().await;
}

/// Failures delay the account here as on the page, and an unknown one the same.
#[tokio::test]
async fn guesses_are_slowed_down() {
    let world = world().await;
    for name in ["admin", "nobody"] {
        let guess = json!({ "username": name, "password": "guess" });
        for _ in 0..5 {
            assert_eq!(world.login(&guess).await.problem().0, 401);
        }
        let before = world.passwords.hash_calls();
        let answer = world.login(&guess).await;
        assert_eq!(answer.problem(), (429, "TOO_MANY_REQUESTS".into()));
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(world.passwords.hash_calls(), before);
    }
    world.clock.advance_ms(1_000);
    world.control_token().await;
    world.control_token().await;
}

#[tokio::test]
async fn what_is_no_login_is_said_without_repeating_it() {
    let world = world().await;
    for body in [
        "",
        "hunter2",
        "\"hunter2\"",
        r#"["admin", "hunter2"#,
        r#"{"username": "admin", "password": "hunter2", "role": "admin"}"#,
        r#"{"username": "admin", "password": "hunter2", "hunter2": 1}"#,
        r#"{"username": {"hunter2": 1}, "password": "x"}"#,
        r#"{"username": "admin"}"#,
        r#"{"username": "a", "username": "admin", "password": "hunter2"}"#,
    ] {
        let answer = world.send(Method::POST, LOGIN, &[JSON], body).await;
        assert_eq!(answer.problem(), (400, "BAD_REQUEST".into()), "{body}");
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    }
    for media_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [("content-type", media_type)];
        let answer = world.send(Method::POST, LOGIN, &headers, "{}").await;
        assert_eq!(answer.problem(), (415, "UNSUPPORTED_MEDIA_TYPE".into()));
    }
    let long = json!({ "username": "admin", "password": "x".repeat(17_000) });
    assert_eq!(
        world.login(&long).await.problem(),
        (413, "PAYLOAD_TOO_LARGE".into())
    );
    assert_eq!(world.passwords.hash_calls(), 1, "that of the first start");
}

#[tokio::test]
async fn after_logout_the_token_is_worthless() {
    let world = world().await;
    let token = world.control_token().await;
    let other = world.control_token().await;
    let bearer = format!("Bearer {token}");
    let answer = logout(&world, &[&bearer]).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    let refused = world.tokens.verify_control(&token).await;
    assert!(matches!(refused, Err(TokenError::Revoked)));
    assert_eq!(
        logout(&world, &[&bearer]).await.problem(),
        (401, "UNAUTHENTICATED".into())
    );
    assert!(
        world.tokens.verify_control(&other).await.is_ok(),
        "other sessions stay"
    );
}

#[tokio::test]
async fn logout_takes_one_control_token_and_nothing_else() {
    let world = world().await;
    let control = format!("Bearer {}", world.control_token().await);
    let gateway = format!("Bearer {}", world.token_of(&world.shop).await);
    let basic = crate::world::basic("admin", PASSWORD);
    for authorization in [
        vec![],
        vec!["Bearer"],
        vec!["Bearer "],
        vec!["Bearer x.y.z"],
        vec![gateway.as_str()],
        vec![basic.as_str()],
        vec![control.as_str(), control.as_str()],
    ] {
        let answer = logout(&world, &authorization).await;
        assert_eq!(
            answer.problem(),
            (401, "UNAUTHENTICATED".into()),
            "{authorization:?}"
        );
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    assert!(world.store.revocation_list(0).await.unwrap().is_empty());
}

/// req: O5
#[tokio::test]
async fn the_callers_trace_id_is_kept() {
    let world = world().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sound = format!("00-{id}-00f067aa0ba902b7-01");
    let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    for (given, kept) in [
        (sound.as_str(), true),
        (zero.as_str(), false),
        ("00-<script>-x-01", false),
        ("", false),
    ] {
        let headers = [JSON, ("traceparent", given)];
        let answer = world.send(Method::POST, LOGIN, &headers, "").await;
        assert_eq!(answer.problem().0, 400);
        assert_eq!(answer.json()["traceId"] == id, kept, "{given}");
        assert!(!answer.text.contains("script") && !answer.text.contains(&"0".repeat(32)));
    }
}
