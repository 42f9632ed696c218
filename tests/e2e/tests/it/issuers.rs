//! Tokens of issuers outside of the platform: accepted for what they are, refused for everything else.
#![expect(clippy::needless_pass_by_value, reason = "tests read better so")]

mod attacks;
mod introspection;
mod keycloak;
mod limits;
mod vendors;

use std::time::{Duration, Instant};

use e2e::{Api, Backend, OutsideIssuer, PATIENCE, Sandbox};
use jose::SigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollway::up::Options;

use crate::PETS;

/// What outside tokens are for.
const AUDIENCE: &str = "pets";

/// A platform that may reach loopback.
async fn platform(folder: TempDir) -> Sandbox {
    platform_with(folder, |_| {}).await
}

/// One with other options, too.
async fn platform_with(folder: TempDir, change: impl FnOnce(&mut Options)) -> Sandbox {
    Sandbox::start_in(folder, |options| {
        options.outbound_allow = Some(vec!["127.0.0.1".to_owned()]);
        change(options);
    })
    .await
    .unwrap()
}

/// A platform with an API that accepts the tokens of `outside` too, whose client `shop` is the API's application.
struct Setting {
    _backend: Backend,
    sandbox: Sandbox,
    api: Api,
    issuer: OutsideIssuer,
    key: SigningKey,
}

impl Setting {
    async fn new(more: Value) -> Self {
        Self::with(more, |_| {}).await
    }

    async fn with(more: Value, change: impl FnOnce(&mut Options)) -> Self {
        let backend = Backend::start().await.unwrap();
        let key = SigningKey::generate_es256().unwrap();
        let issuer = OutsideIssuer::start(&[&key]).await.unwrap();
        let sandbox = platform_with(tempfile::tempdir().unwrap(), change).await;
        let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
        let api = api.unwrap();
        let setting = Self {
            _backend: backend,
            sandbox,
            api,
            issuer,
            key,
        };
        setting.declare("outside", &setting.issuer, more).await;
        setting.known().await;
        accept(&setting.sandbox, &setting.api, &["resident", "outside"]).await;
        register(
            &setting.sandbox,
            &setting.api.app,
            "outside",
            "shop",
            "production",
        )
        .await;
        setting
    }

    /// Waits until the node has the issuer's keys: calls would not wait for ever.
    async fn known(&self) {
        let fetched = "tollway_gateway_issuer_fetches_total{result=\"ok\"}";
        until("the first keys", async || {
            self.sandbox.metric(fetched).await >= 1
        })
        .await;
    }

    /// Applies the document of an issuer.
    async fn declare(&self, name: &str, issuer: &OutsideIssuer, more: Value) {
        let mut spec = json!({"issuer": issuer.url, "audience": [AUDIENCE]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        put(&self.sandbox, name, spec).await;
    }

    /// A token with these claims instead of the usual ones; `null` takes one away.
    fn token(&self, change: Value) -> String {
        sign(&self.key, "at+jwt", self.claims(change))
    }

    fn claims(&self, change: Value) -> Value {
        let mut claims = self.issuer.claims("shop", AUDIENCE);
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    async fn call(&self, token: &str) -> (u16, String, String) {
        call(&self.sandbox, &self.api, Method::GET, token).await
    }

    async fn passes(&self, token: &str) {
        let told = self.call(token).await;
        assert_eq!(told.0, 200, "{told:?}");
    }

    async fn refused(&self, token: &str) -> String {
        let told = self.call(token).await;
        assert!(matches!(told.0, 401 | 403 | 503), "{told:?}");
        told.1
    }
}

fn sign(key: &SigningKey, typ: &str, claims: Value) -> String {
    key.sign(typ, &claims).unwrap()
}

async fn put(sandbox: &Sandbox, name: &str, spec: Value) {
    let document = json!({"kind": "TokenIssuer", "metadata": {"name": name}, "spec": spec});
    let path = format!("/token-issuers/{name}");
    let put = sandbox.call(Method::PUT, &path, Some(document)).await;
    put.unwrap();
}

/// Has an API accept the tokens of these issuers.
async fn accept(sandbox: &Sandbox, api: &Api, issuers: &[&str]) {
    let path = format!("/apis/{}", api.name);
    let mut document = sandbox.call(Method::GET, &path, None).await.unwrap();
    document["spec"]["security"] = json!([{"jwt": {"issuers": issuers}}, {"apiKey": {}}]);
    let put = sandbox.call(Method::PUT, &path, Some(document)).await;
    put.unwrap();
}

/// Makes a client of an issuer known as an application's.
async fn register(
    sandbox: &Sandbox,
    app: &str,
    issuer: &str,
    client: &str,
    environment: &str,
) -> String {
    let path = format!("/applications/{app}/credentials");
    let wish = json!({"issuer": issuer, "clientId": client, "environment": environment});
    let made = sandbox.call(Method::POST, &path, Some(wish)).await.unwrap();
    assert_eq!(made["clientId"], client);
    assert!(made.get("clientSecret").is_none_or(Value::is_null));
    made["id"].as_str().unwrap().to_owned()
}

/// Status, code and detail of a call.
async fn call(sandbox: &Sandbox, api: &Api, method: Method, token: &str) -> (u16, String, String) {
    let request = sandbox.http.request(method, format!("{}/pets", api.url));
    let answer = request.bearer_auth(token).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What the nodes say of an issuer.
async fn status(sandbox: &Sandbox, issuer: &str) -> Value {
    let path = format!("/token-issuers/{issuer}/status");
    let status = sandbox.call(Method::GET, &path, None).await.unwrap();
    status["nodes"][0].clone()
}

/// req: GW4, KM4
#[tokio::test]
async fn a_token_of_another_issuer_is_its_clients_applications() {
    let setting = Setting::new(json!({})).await;
    setting.passes(&setting.token(json!({}))).await;
    // The platform's own go on to pass.
    setting.passes(&setting.api.token).await;
    // Scopes are a text or a list, under either name; without, an operation that needs one refuses.
    let post = async |token: &str| call(&setting.sandbox, &setting.api, Method::POST, token).await;
    for scopes in [
        json!({"scope": "x pets:write"}),
        json!({"scope": ["pets:write"]}),
        json!({"scp": ["x", "pets:write"]}),
    ] {
        assert_eq!(
            post(&setting.token(scopes.clone())).await.0,
            200,
            "{scopes}"
        );
    }
    let told = post(&setting.token(json!({"scope": "pets:writer"}))).await;
    assert_eq!((told.0, told.1.as_str()), (403, "SCOPE_INSUFFICIENT"));

    // A client that nobody registered, and one that is not any more.
    let told = setting
        .call(&setting.token(json!({"client_id": "till"})))
        .await;
    assert_eq!((told.0, told.1.as_str()), (401, "TOKEN_INVALID"));
    assert_eq!(
        told.2,
        "the token's client is registered for no application here"
    );
    let id = register(
        &setting.sandbox,
        &setting.api.app,
        "outside",
        "till",
        "production",
    )
    .await;
    let till = setting.token(json!({"client_id": "till"}));
    setting.passes(&till).await;
    let path = format!("/applications/{}/credentials/{id}", setting.api.app);
    setting
        .sandbox
        .call(Method::DELETE, &path, None)
        .await
        .unwrap();
    assert_eq!(setting.refused(&till).await, "TOKEN_INVALID");

    // Without a subscription nothing passes (req: S9).
    let path = format!("/subscriptions/{}-pets", setting.api.app);
    setting
        .sandbox
        .call(Method::DELETE, &path, None)
        .await
        .unwrap();
    let told = setting.refused(&setting.token(json!({}))).await;
    assert_eq!(told, "SUBSCRIPTION_MISSING");
}

#[tokio::test]
async fn a_client_is_for_an_environment_and_an_issuer_may_be_of_one_application() {
    let setting = Setting::new(json!({})).await;
    register(
        &setting.sandbox,
        &setting.api.app,
        "outside",
        "trial",
        "sandbox",
    )
    .await;
    // The API has no sandbox backend.
    let trial = setting.token(json!({"client_id": "trial"}));
    assert_ne!(setting.call(&trial).await.0, 200);

    let (sandbox, app) = (&setting.sandbox, &setting.api.app);
    setting
        .declare("outside", &setting.issuer, json!({"application": app}))
        .await;
    setting
        .passes(&setting.token(json!({"client_id": "anybody"})))
        .await;
    setting
        .passes(&setting.token(json!({"client_id": null})))
        .await;
    // It may not go while its issuer names it, nor the issuer while an API or a client does.
    let refused = async |path: &str| {
        let answer = sandbox.control(Method::DELETE, path).send().await.unwrap();
        let status = answer.status();
        (status, answer.text().await.unwrap())
    };
    let (status, text) = refused(&format!("/applications/{app}")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{text}");
    let (status, text) = refused("/token-issuers/outside").await;
    assert!(
        status == StatusCode::CONFLICT && text.contains("Api"),
        "{text}"
    );
    accept(sandbox, &setting.api, &["resident"]).await;
    let (status, text) = refused("/token-issuers/outside").await;
    assert!(
        status == StatusCode::CONFLICT && text.contains("client"),
        "{text}"
    );
    assert_eq!(
        setting.refused(&setting.token(json!({}))).await,
        "TOKEN_INVALID"
    );
}

/// Conditions, audiences, times: of the issuer's document, or of the API's.
#[tokio::test]
async fn what_a_document_says_of_tokens_holds() {
    let more = json!({
        "leeway": "5m", "types": ["JWT"], "algorithms": ["ES256"],
        "require": ["principal.claims.dept == 'sales'", "'admin' in principal.roles"],
        "claims": {"client": "azp", "roles": "realm.roles"},
    });
    let setting = Setting::new(more).await;
    let good =
        json!({"azp": "shop", "client_id": null, "dept": "sales", "realm": {"roles": ["admin"]}});
    let token = |change: Value| {
        let mut claims = good.clone();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        sign(&setting.key, "JWT", setting.claims(claims))
    };
    setting.passes(&token(json!({}))).await;
    let now_s = e2e::issuer::now_s();
    for (change, code) in [
        (json!({"dept": "hr"}), "TOKEN_INVALID"),
        (json!({"dept": null}), "TOKEN_INVALID"),
        (json!({"realm": {"roles": ["user"]}}), "TOKEN_INVALID"),
        (json!({"azp": null}), "TOKEN_INVALID"),
        (json!({"aud": "other"}), "TOKEN_INVALID"),
        (json!({"aud": null}), "TOKEN_INVALID"),
        (json!({"at_hash": "x"}), "TOKEN_INVALID"),
        (json!({"events": {}}), "TOKEN_INVALID"),
        (json!({"exp": now_s - 301}), "TOKEN_EXPIRED"),
    ] {
        let told = setting.refused(&token(change.clone())).await;
        assert_eq!(told, code, "{change}");
    }
    setting
        .passes(&token(json!({"exp": now_s - 1, "aud": ["x", AUDIENCE]})))
        .await;
    // What an ID token of the same issuer has is no harm in a token that says that it is an access token; but this type is not accepted.
    let typed = sign(&setting.key, "at+jwt", setting.claims(good.clone()));
    assert_eq!(setting.refused(&typed).await, "TOKEN_INVALID");
    // req: T3
    let told = setting.call(&token(json!({"nbf": now_s + 1000}))).await;
    assert_eq!(told.1, "TOKEN_NOT_YET_VALID");
    let passed_s = e2e::issuer::now_s() - now_s;
    let ahead = told.2.strip_prefix("nbf ").unwrap();
    let ahead = ahead.strip_suffix("s ahead (leeway 300s)").unwrap();
    let ahead: u64 = ahead.parse().unwrap();
    assert!((1000 - passed_s..=1000).contains(&ahead), "{told:?}");
}

/// req: T1
#[tokio::test]
async fn a_new_key_is_fetched_once_and_the_call_passes() {
    let refresh = json!({"refresh": {"every": "1h", "atMost": "1h"}});
    let setting = Setting::new(refresh).await;
    setting.passes(&setting.token(json!({}))).await;
    let fetched = || setting.issuer.seen("/keys").len();
    let before = fetched();
    let new = SigningKey::generate_es256().unwrap();
    setting.issuer.keys(&[&setting.key, &new]);
    let token = sign(&new, "at+jwt", setting.claims(json!({})));
    let calls = (0..20).map(|_| setting.call(&token));
    for told in futures_util::future::join_all(calls).await {
        assert_eq!(told.0, 200, "{told:?}");
    }
    assert!(fetched() - before <= 2, "{} fetches", fetched() - before);
    // A key that nobody has is asked for seldom, however many come with it.
    let (before, begun) = (fetched(), Instant::now());
    for _ in 0..30 {
        let stranger = SigningKey::generate_es256().unwrap();
        let token = sign(&stranger, "at+jwt", setting.claims(json!({})));
        assert_eq!(setting.refused(&token).await, "TOKEN_INVALID");
        if fetched() - before >= 5 {
            break;
        }
    }
    let many = (0..50).map(async |_| {
        let stranger = SigningKey::generate_es256().unwrap();
        let token = sign(&stranger, "at+jwt", setting.claims(json!({})));
        setting.refused(&token).await
    });
    tokio::time::timeout(PATIENCE, futures_util::future::join_all(many))
        .await
        .unwrap();
    // Six at once, and one more every ten seconds.
    let more = begun.elapsed().as_secs() / 10;
    let found = (fetched() - before) as u64;
    assert!(found <= 8 + more, "{found} fetches");
    until("one that was held back", async || {
        let stranger = SigningKey::generate_es256().unwrap();
        let token = sign(&stranger, "at+jwt", setting.claims(json!({})));
        assert_eq!(setting.refused(&token).await, "TOKEN_INVALID");
        let held_back = "tollway_gateway_issuer_limits_hit_total{limit=\"refetches\"}";
        setting.sandbox.metric(held_back).await >= 1
    })
    .await;
}

/// req: T1
#[tokio::test]
async fn a_key_that_is_withdrawn_stops_within_its_time() {
    let setting = Setting::new(json!({"refresh": {"every": "1s", "atMost": "2s"}})).await;
    let token = setting.token(json!({}));
    setting.passes(&token).await;
    let new = SigningKey::generate_es256().unwrap();
    // The issuer says that they are good for an hour; the document says two seconds, which is what is waited for here.
    let keys = json!({"keys": [new.public_jwk()]}).to_string();
    let header = [("cache-control", "public, max-age=3600")];
    setting.issuer.answer_with("/keys", 200, &header, &keys);
    until("the end of a key", async || {
        setting.call(&token).await.0 == 401
    })
    .await;
    setting
        .passes(&sign(&new, "at+jwt", setting.claims(json!({}))))
        .await;
    // Keys that are empty, or broken, or too much, do not take the place of good ones.
    let many: Vec<Value> = (0..65)
        .map(|_| json!(SigningKey::generate_es256().unwrap().public_jwk()))
        .collect();
    let good = sign(&new, "at+jwt", setting.claims(json!({"jti": "2"})));
    for bad in [
        json!({"keys": []}).to_string(),
        "{".to_owned(),
        json!({ "keys": many }).to_string(),
        format!("{{\"keys\": [], \"x\": \"{}\"}}", "y".repeat(200_000)),
        json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"}]}).to_string(),
    ] {
        setting.issuer.answer_with("/keys", 200, &[], &bad);
        let name = &bad[..bad.len().min(40)];
        let before = setting.issuer.seen("/keys").len();
        until("another fetch", async || {
            setting.issuer.seen("/keys").len() > before + 1
        })
        .await;
        until(name, async || {
            status(&setting.sandbox, "outside").await["fault"].is_string()
        })
        .await;
        setting.passes(&good).await;
    }
}

/// req: T1, GW14
#[tokio::test]
async fn an_issuer_that_is_away_is_served_from_what_was_kept() {
    let setting =
        Setting::new(json!({"refresh": {"every": "1s", "atMost": "1s", "keep": "1h"}})).await;
    let token = setting.token(json!({}));
    setting.passes(&token).await;
    setting.issuer.down(true);
    until("the fault", async || {
        status(&setting.sandbox, "outside").await["fault"].is_string()
    })
    .await;
    setting.passes(&setting.token(json!({"jti": "2"}))).await;
    let stranger = SigningKey::generate_es256().unwrap();
    let unknown = sign(&stranger, "at+jwt", setting.claims(json!({})));
    assert_eq!(setting.refused(&unknown).await, "TOKEN_INVALID");
    let document = setting
        .sandbox
        .call(Method::GET, "/token-issuers/outside", None)
        .await
        .unwrap();
    let conditions = document["status"]["conditions"].as_array().unwrap();
    let known = conditions.iter().find(|one| one["type"] == "KeysKnown");
    assert_eq!(known.unwrap()["reason"], "Stale", "{conditions:?}");

    // Started anew the node has no key but those on its disk.
    let Setting {
        sandbox,
        mut api,
        issuer,
        _backend,
        key,
    } = setting;
    let sandbox = platform(sandbox.stop().await).await;
    api.url = format!("{}/pets/1.0.0", sandbox.gateway());
    let setting = Setting {
        sandbox,
        api,
        issuer,
        _backend,
        key,
    };
    setting.passes(&setting.token(json!({"jti": "3"}))).await;
    setting.issuer.down(false);
    until("the fetch", async || {
        status(&setting.sandbox, "outside").await["fault"].is_null()
    })
    .await;
    setting.passes(&setting.token(json!({"jti": "4"}))).await;
}

/// What was never known is told apart from what is wrong.
#[tokio::test]
async fn keys_are_not_kept_for_ever() {
    let setting =
        Setting::new(json!({"refresh": {"every": "1s", "atMost": "1s", "keep": "2s"}})).await;
    // A node that stands still for two seconds has none for a moment.
    let good = setting.token(json!({}));
    until("the keys", async || setting.call(&good).await.0 == 200).await;
    setting.issuer.down(true);
    let token = setting.token(json!({"jti": "2"}));
    until("the end of all keys", async || {
        setting.call(&token).await.1 == "TOKEN_UNVERIFIED"
    })
    .await;
    // The platform's own tokens are not touched.
    setting.passes(&setting.api.token).await;
    setting.issuer.down(false);
    until("the keys", async || setting.call(&token).await.0 == 200).await;
}

#[tokio::test]
async fn keys_may_stand_in_the_document() {
    let setting = Setting::new(json!({})).await;
    let key = SigningKey::generate_es256().unwrap();
    let spec = json!({"issuer": "https://nobody.invalid", "audience": [AUDIENCE], "keys": [key.public_jwk()]});
    put(&setting.sandbox, "inline", spec).await;
    accept(&setting.sandbox, &setting.api, &["inline"]).await;
    register(
        &setting.sandbox,
        &setting.api.app,
        "inline",
        "shop",
        "production",
    )
    .await;
    let token = sign(
        &key,
        "at+jwt",
        setting.claims(json!({"iss": "https://nobody.invalid"})),
    );
    setting.passes(&token).await;
    assert_eq!(setting.refused(&setting.api.token).await, "TOKEN_INVALID");
    until("the node's word", async || {
        status(&setting.sandbox, "inline").await["known"] == true
    })
    .await;
    let told = status(&setting.sandbox, "inline").await;
    assert!(told["fault"].is_null());
}

/// Documents that cannot be meant are refused with the place.
#[tokio::test]
async fn documents_are_checked() {
    let setting = Setting::new(json!({})).await;
    let issuer = "https://login.example.com";
    for (name, spec, rule) in [
        ("resident", json!({"issuer": issuer}), "issuer-name"),
        (
            "a",
            json!({"issuer": issuer, "keys": [{"kty": "oct", "k": "AA"}]}),
            "issuer-keys",
        ),
        (
            "a",
            json!({"issuer": issuer, "require": ["request.path == '/'"]}),
            "expression",
        ),
        (
            "a",
            json!({"issuer": issuer, "require": ["principal.claims.x =="]}),
            "expression",
        ),
        (
            "a",
            json!({"issuer": issuer, "application": "nobody"}),
            "unknown-reference",
        ),
        (
            "a",
            json!({"issuer": issuer, "anyAudience": true}),
            "any-audience",
        ),
        (
            "a",
            json!({"issuer": issuer, "jwksUri": issuer, "keys": [{}]}),
            "two-sources",
        ),
        ("a", json!({"issuer": issuer, "leeway": "6m"}), "jwt-leeway"),
        ("a", json!({"issuer": issuer, "algorithms": ["HS256"]}), ""),
        (
            "a",
            json!({"issuer": issuer, "refresh": {"every": "2h"}}),
            "refresh",
        ),
        (
            "a",
            json!({"issuer": issuer, "introspection": {"clientId": "x", "secret": {}}}),
            "one-key",
        ),
        (
            "a",
            json!({"issuer": issuer, "introspection": {"clientId": "x", "secret": {"env": "HOME"}}}),
            "",
        ),
    ] {
        let document = json!({"kind": "TokenIssuer", "metadata": {"name": name}, "spec": spec});
        let request = setting.sandbox.control(Method::POST, "/token-issuers");
        let answer = request.json(&document).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(
            status.is_client_error() && text.contains(rule),
            "{spec}: {status} {text}"
        );
    }
    // An API names issuers that are there; a client of another issuer is made by admins, with an id.
    let path = format!("/apis/{}", setting.api.name);
    let mut document = setting
        .sandbox
        .call(Method::GET, &path, None)
        .await
        .unwrap();
    document["spec"]["security"] = json!([{"jwt": {"issuers": ["nobody"]}}]);
    let request = setting.sandbox.control(Method::PUT, &path).json(&document);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("unknown-reference") && text.contains("jwt/issuers/0"),
        "{text}"
    );
    let path = format!("/applications/{}/credentials", setting.api.app);
    for wish in [
        json!({"issuer": "nobody", "clientId": "x"}),
        json!({"issuer": "outside"}),
        json!({"clientId": "x"}),
        json!({"issuer": "outside", "clientId": "y", "expiresIn": 5}),
        json!({"issuer": "outside", "clientId": "y", "metadata": {"grant_types": ["refresh_token"]}}),
        // It is there already.
        json!({"issuer": "outside", "clientId": "shop"}),
    ] {
        let request = setting.sandbox.control(Method::POST, &path).json(&wish);
        let status = request.send().await.unwrap().status();
        assert!(status.is_client_error(), "{wish}: {status}");
    }
}
