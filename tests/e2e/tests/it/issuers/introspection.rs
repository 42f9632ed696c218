//! Opaque tokens: their issuer is asked (RFC 7662).

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::*;

const SECRET: &str = "TOLLWAY_SECRET_OUTSIDE";

/// What the document says of introspection.
pub(super) fn asked(more: Value) -> Value {
    let secret = json!({"secretRef": "outside"});
    let mut spec = json!({"clientId": "gate way", "secret": secret, "timeout": "1m"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({ "introspection": spec })
}

/// A setting with the secret in its place.
async fn setting(more: Value) -> Setting {
    let setting = Setting::new(json!({})).await;
    secret(&setting, "s3:ü");
    setting
        .declare("outside", &setting.issuer, asked(more))
        .await;
    setting
}

pub(super) fn secret(setting: &Setting, text: &str) {
    let folder = setting.sandbox.data_dir().join("secrets/outside");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), format!("{text}\n")).unwrap();
}

impl Setting {
    pub(super) fn active(&self, token: &str, change: Value) {
        let mut said = self.claims(change);
        said["active"] = json!(true);
        self.issuer.token(token, said);
    }

    fn asked(&self) -> usize {
        self.issuer.seen("/introspect").len()
    }
}

/// req: GW4
#[tokio::test]
async fn an_opaque_token_is_asked_for_once() {
    let setting = setting(json!({})).await;
    setting.active("opaque-1", json!({"scope": "pets:write"}));
    // Equal questions at once are one.
    setting.issuer.delay(Duration::from_millis(200));
    let calls = (0..30).map(|_| setting.call("opaque-1"));
    for told in futures_util::future::join_all(calls).await {
        assert_eq!(told.0, 200, "{told:?}");
    }
    setting.issuer.delay(Duration::ZERO);
    assert_eq!(setting.asked(), 1);
    let told = call(&setting.sandbox, &setting.api, Method::POST, "opaque-1").await;
    assert_eq!(told.0, 200, "{told:?}");
    assert_eq!(setting.asked(), 1);
    // The node says who it is, and the token is in the body alone.
    let seen = &setting.issuer.seen("/introspect")[0];
    // `gate+way:s3%3A%C3%BC`, RFC 6749 §2.3.1
    assert_eq!(
        seen.headers["authorization"],
        "Basic Z2F0ZSt3YXk6czMlM0ElQzMlQkM="
    );
    assert_eq!(seen.body, "token=opaque-1&token_type_hint=access_token");
    // What the answer says is held to the same rules.
    for (change, code) in [
        (json!({"aud": "other"}), "TOKEN_INVALID"),
        (json!({"aud": null}), "TOKEN_INVALID"),
        (json!({"iss": "https://other.example"}), "TOKEN_INVALID"),
        (json!({"client_id": "nobody"}), "TOKEN_INVALID"),
        (json!({"exp": e2e::issuer::now_s() - 1000}), "TOKEN_EXPIRED"),
        (
            json!({"nbf": e2e::issuer::now_s() + 1000}),
            "TOKEN_NOT_YET_VALID",
        ),
        (json!({"token_type": "refresh_token"}), "TOKEN_INVALID"),
        (json!({"active": false}), "TOKEN_INVALID"),
        (json!({"cnf": {"jkt": "x"}}), "PROOF_INVALID"),
    ] {
        let token = format!("t{}", jose::base64url(change.to_string().as_bytes()));
        let mut said = setting.claims(change.clone());
        if said.get("active").is_none() {
            said["active"] = json!(true);
        }
        setting.issuer.token(&token, said);
        assert_eq!(setting.refused(&token).await, code, "{change}");
    }
    // An answer without `iss` and `exp` will do.
    setting.active(
        "bare",
        json!({"iss": null, "exp": null, "iat": null, "jti": null}),
    );
    setting.passes("bare").await;
    // Nobody else's tokens go there: the platform's, and JWTs.
    let before = setting.asked();
    setting.passes(&setting.token(json!({}))).await;
    assert_eq!(setting.refused("twa_nobody").await, "TOKEN_INVALID");
    assert_eq!(setting.asked(), before);
    let active = "tollway_gateway_introspections_total{result=\"active\"}";
    assert!(setting.sandbox.metric(active).await > 0);
}

/// A token is asked for again after its time, never lives beyond `exp`, and what is not active is remembered for a shorter time.
#[tokio::test]
async fn answers_are_good_for_a_time() {
    let setting = setting(json!({"cache": {"ttl": "1h", "negativeTtl": "1s"}})).await;
    setting.active("a", json!({}));
    setting.passes("a").await;
    setting.issuer.token("a", json!({"active": false}));
    setting.passes("a").await;

    // Within its leeway: with its `exp` the answer has ended, and the issuer is asked anew.
    setting.active("short", json!({"exp": e2e::issuer::now_s() + 2}));
    setting.passes("short").await;
    setting.issuer.token("short", json!({"active": false}));
    let mut told = String::new();
    until("the end of a token", async || {
        told = setting.call("short").await.1;
        !told.is_empty()
    })
    .await;
    assert_eq!(told, "TOKEN_INVALID");

    let short = asked(json!({"cache": {"ttl": "1s", "negativeTtl": "1s"}}));
    setting.declare("outside", &setting.issuer, short).await;
    setting.active("b", json!({}));
    let passes = async || setting.call("b").await.0 == 200;
    until("an answer", passes).await;
    setting.issuer.token("b", json!({"active": false}));
    until("the end of an answer", async || !passes().await).await;
    let (before, begun) = (setting.asked(), Instant::now());
    for _ in 0..5 {
        assert_eq!(setting.refused("b").await, "TOKEN_INVALID");
    }
    let found = (setting.asked() - before) as u64;
    assert!(found <= 2 + begun.elapsed().as_secs(), "{found}");
    setting.active("b", json!({}));
    until("a new answer", passes).await;
}

/// req: S6
#[tokio::test]
async fn an_issuer_that_does_not_answer_lets_nobody_in() {
    let setting = setting(json!({"waitingMax": 2})).await;
    setting.active("a", json!({}));
    setting.passes("a").await;
    setting.issuer.down(true);
    setting.passes("a").await;
    assert_eq!(setting.refused("b").await, "TOKEN_UNVERIFIED");
    setting.issuer.down(false);
    setting.issuer.answer_with("/introspect", 500, &[], "");
    assert_eq!(setting.refused("b").await, "TOKEN_UNVERIFIED");
    for body in ["", "[]", "{}", "{\"active\": \"true\"}", "{\"active\": 1}"] {
        setting.issuer.answer_with("/introspect", 200, &[], body);
        assert_eq!(setting.refused("b").await, "TOKEN_UNVERIFIED", "{body}");
    }
    setting
        .issuer
        .answer_with("/introspect", 302, &[("location", "/x")], "");
    assert_eq!(setting.refused("b").await, "TOKEN_UNVERIFIED");
    until("the fault", async || {
        status(&setting.sandbox, "outside").await["introspectionFault"].is_string()
    })
    .await;
    // Two questions wait; a third is not asked.
    setting.issuer.delay(60 * PATIENCE);
    let long = asked(json!({"timeout": "1h", "waitingMax": 2}));
    setting.declare("outside", &setting.issuer, long).await;
    let calls = (0..10).map(async |number| setting.refused(&format!("w{number}")).await);
    let refused = FuturesUnordered::from_iter(calls).take(8).collect();
    let refused: Vec<String> = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(refused.iter().all(|code| code == "TOKEN_UNVERIFIED"));
    let count = "tollway_gateway_introspections_total{result=\"refused\"}";
    assert_eq!(setting.sandbox.metric(count).await, 8);
    // Nor do they wait for ever.
    let short = asked(json!({"timeout": "300ms"}));
    setting.declare("outside", &setting.issuer, short).await;
    let told = tokio::time::timeout(PATIENCE, setting.refused("late")).await;
    assert_eq!(told.unwrap(), "TOKEN_UNVERIFIED");
}

/// A secret that changes is read again; one that is missing lets nobody in.
#[tokio::test]
async fn the_secret_is_read_again_when_it_has_changed() {
    let setting = setting(json!({"clientAuth": "client_secret_post"})).await;
    setting.active("a", json!({}));
    setting.passes("a").await;
    let form = |seen: Vec<e2e::issuer::Call>| seen.last().unwrap().body.clone();
    let body = form(setting.issuer.seen("/introspect"));
    assert!(
        body.ends_with("&client_id=gate+way&client_secret=s3%3A%C3%BC"),
        "{body}"
    );
    secret(&setting, "new");
    let mut number = 0;
    until("the new secret", async || {
        number += 1;
        let token = format!("n{number}");
        setting.active(&token, json!({}));
        setting.passes(&token).await;
        form(setting.issuer.seen("/introspect")).ends_with("client_secret=new")
    })
    .await;
    for secret in [json!({"env": SECRET}), json!({"file": "outside/none"})] {
        let changed = asked(json!({ "secret": secret }));
        setting.declare("outside", &setting.issuer, changed).await;
        assert_eq!(
            setting.refused("fresh").await,
            "TOKEN_UNVERIFIED",
            "{secret}"
        );
    }
    let told = status(&setting.sandbox, "outside").await.to_string();
    assert!(!told.contains("s3:ü") && !told.contains("new"), "{told}");
}

/// JWTs that do not say enough by themselves.
#[tokio::test]
async fn jwts_may_be_asked_for_too() {
    let setting = setting(json!({"tokens": "all"})).await;
    let token = setting.token(json!({"client_id": null, "aud": null}));
    assert_eq!(setting.refused(&token).await, "TOKEN_INVALID");
    setting.active(&format!("{token}x"), json!({}));
    setting.passes(&format!("{token}x")).await;
    // The platform's own are not sent there.
    let before = setting.asked();
    setting.passes(&setting.api.token).await;
    assert_eq!(setting.asked(), before);
}
