//! Clients and API keys at the gateway and the token endpoint: two secrets at a time, limits, signing keys that change.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{Api, Backend, PATIENCE, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tollway::up::Span;

use crate::PETS;

async fn setting() -> (Backend, Sandbox, Api) {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    (backend, sandbox, api)
}

/// Status and code of a call.
async fn call(
    sandbox: &Sandbox,
    method: Method,
    url: &str,
    header: (&str, &str),
) -> (StatusCode, String) {
    let request = sandbox.http.request(method, url);
    let answer = request.header(header.0, header.1).send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn with_key(sandbox: &Sandbox, api: &Api, path: &str, key: &str) -> (StatusCode, String) {
    let url = format!("{}{path}", api.url);
    call(sandbox, Method::GET, &url, ("x-api-key", key)).await
}

fn keys(api: &Api) -> String {
    format!("/applications/{}/api-keys", api.app)
}

/// A new key with these limits.
async fn limited(sandbox: &Sandbox, api: &Api, limits: Value) -> (String, String) {
    let body = json!({"limits": limits});
    let made = sandbox
        .call(Method::POST, &keys(api), Some(body))
        .await
        .unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn refused(status: StatusCode, code: &str) -> (StatusCode, String) {
    (status, code.to_owned())
}

/// req: T6
#[tokio::test]
async fn the_old_key_works_until_its_date() {
    let (_backend, sandbox, api) = setting().await;
    let (id, old) = limited(&sandbox, &api, json!({})).await;
    let rotate = format!("{}/{id}/rotate", keys(&api));
    let rotated = async |path: &str, old_for: u32| {
        let body = json!({"oldFor": old_for});
        let made = sandbox.call(Method::POST, path, Some(body)).await.unwrap();
        made["key"].as_str().unwrap().to_owned()
    };
    let new = rotated(&rotate, 3600).await;
    for key in [&old, &new] {
        let answer = with_key(&sandbox, &api, "/pets", key).await;
        assert_eq!(answer.0, StatusCode::OK);
    }
    let body = json!({"oldFor": 3600});
    let again = sandbox.refused(Method::POST, &rotate, body).await.unwrap();
    assert_eq!(again, refused(StatusCode::CONFLICT, "CONFLICT"), "two live");
    let shown = sandbox
        .call(Method::GET, &format!("{}/{id}", keys(&api)), None)
        .await
        .unwrap();
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 2);
    assert!(shown["secrets"][0]["expiresUnixS"].is_u64());

    let (id, old) = limited(&sandbox, &api, json!({})).await;
    let before = Instant::now();
    let new = rotated(&format!("{}/{id}/rotate", keys(&api)), 3).await;
    while with_key(&sandbox, &api, "/pets", &old).await.0 == StatusCode::OK {
        assert!(before.elapsed() < PATIENCE, "the old key never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        before.elapsed() >= Duration::from_secs(2),
        "before its date"
    );
    let gone = with_key(&sandbox, &api, "/pets", &old).await;
    assert_eq!(gone, refused(StatusCode::UNAUTHORIZED, "API_KEY_INVALID"));
    let answer = with_key(&sandbox, &api, "/pets", &new).await;
    assert_eq!(answer.0, StatusCode::OK);
}

/// req: T6
#[tokio::test]
async fn two_client_secrets_work_until_one_is_ended() {
    let (_backend, sandbox, api) = setting().await;
    let clients = format!("/applications/{}/credentials", api.app);
    let made = sandbox
        .call(Method::POST, &clients, Some(json!({"name": "till"})))
        .await
        .unwrap();
    let one = format!("{clients}/{}", made["id"].as_str().unwrap());
    let rotated = sandbox
        .call(Method::POST, &format!("{one}/rotate"), Some(json!({})))
        .await
        .unwrap();
    let client_id = made["clientId"].as_str().unwrap();
    assert_eq!(rotated["clientId"], client_id);
    let token = async |secret: &Value| {
        let url = format!("{}/oauth2/token", sandbox.running.control_url());
        let request = sandbox
            .http
            .post(url)
            .basic_auth(client_id, secret.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        request.send().await.unwrap().status()
    };
    let (old, new) = (&made["clientSecret"], &rotated["clientSecret"]);
    assert_eq!(token(old).await, StatusCode::OK);
    assert_eq!(token(new).await, StatusCode::OK);
    let shown = sandbox.call(Method::GET, &one, None).await.unwrap();
    assert_eq!(shown["name"], "till");
    let text = shown.to_string();
    assert!(!text.contains("hash") && !text.contains(old.as_str().unwrap()));
    let first = shown["secrets"][0]["id"].as_str().unwrap();
    let ending = format!("{one}/secrets/{first}");
    sandbox.call(Method::DELETE, &ending, None).await.unwrap();
    assert_eq!(token(old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(token(new).await, StatusCode::OK);

    // What ends within a fortnight is listed for all applications.
    let soon = json!({"expiresIn": 3600});
    sandbox.call(Method::PATCH, &one, Some(soon)).await.unwrap();
    let listed = sandbox
        .call(Method::GET, "/credentials?expiringIn=7200", None)
        .await
        .unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["application"], api.app);
    let none = sandbox
        .call(Method::GET, "/credentials?expiringIn=60", None)
        .await
        .unwrap();
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_key_is_good_from_its_addresses_alone() {
    let (_backend, sandbox, api) = setting().await;
    let (id, key) = limited(&sandbox, &api, json!({"ipRanges": ["203.0.113.0/24"]})).await;
    let answer = with_key(&sandbox, &api, "/pets", &key).await;
    let expected = refused(StatusCode::FORBIDDEN, "API_KEY_ADDRESS_REFUSED");
    assert_eq!(answer, expected);
    let change = json!({"limits": {"ipRanges": ["203.0.113.0/24", "127.0.0.1"]}});
    let one = format!("{}/{id}", keys(&api));
    let changed = sandbox
        .call(Method::PATCH, &one, Some(change))
        .await
        .unwrap();
    assert_eq!(changed["limits"]["ipRanges"][1], "127.0.0.1/32");
    let answer = with_key(&sandbox, &api, "/pets", &key).await;
    assert_eq!(answer.0, StatusCode::OK);
    let wrong = json!({"limits": {"ipRanges": ["10.0.0.0/33"]}});
    let answer = sandbox.refused(Method::PATCH, &one, wrong).await.unwrap();
    assert_eq!(answer, refused(StatusCode::BAD_REQUEST, "BAD_REQUEST"));
}

#[tokio::test]
async fn a_key_is_good_for_its_operations_alone() {
    let (_backend, sandbox, api) = setting().await;
    let pets = |operation: &str| json!({"api": api.name, "operation": operation});
    let other = refused(StatusCode::FORBIDDEN, "API_KEY_OPERATION_REFUSED");
    let (_, by_id) = limited(&sandbox, &api, json!({"operations": [pets("listPets")]})).await;
    assert_eq!(
        with_key(&sandbox, &api, "/pets", &by_id).await.0,
        StatusCode::OK
    );
    assert_eq!(with_key(&sandbox, &api, "/pets/7", &by_id).await, other);
    let url = format!("{}/pets", api.url);
    let head = call(&sandbox, Method::HEAD, &url, ("x-api-key", &by_id)).await;
    assert_eq!(head.0, StatusCode::OK);

    let (_, by_template) = limited(
        &sandbox,
        &api,
        json!({"operations": [pets("GET /pets/{id}")]}),
    )
    .await;
    assert_eq!(
        with_key(&sandbox, &api, "/pets/7", &by_template).await.0,
        StatusCode::OK
    );
    assert_eq!(with_key(&sandbox, &api, "/pets", &by_template).await, other);

    let elsewhere = json!({"operations": [{"api": "cats-1.0.0"}]});
    let (_, elsewhere) = limited(&sandbox, &api, elsewhere).await;
    assert_eq!(with_key(&sandbox, &api, "/pets", &elsewhere).await, other);
    let (_, whole) = limited(&sandbox, &api, json!({"operations": [{"api": api.name}]})).await;
    assert_eq!(
        with_key(&sandbox, &api, "/pets/7", &whole).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_key_may_stand_for_some_scopes() {
    let (_backend, sandbox, api) = setting().await;
    let post = async |key: &str| {
        let url = format!("{}/pets", api.url);
        call(&sandbox, Method::POST, &url, ("x-api-key", key)).await
    };
    let (_, none) = limited(&sandbox, &api, json!({"scopes": []})).await;
    let expected = refused(StatusCode::FORBIDDEN, "SCOPE_INSUFFICIENT");
    assert_eq!(post(&none).await, expected);
    assert_eq!(
        with_key(&sandbox, &api, "/pets", &none).await.0,
        StatusCode::OK
    );
    let (_, writes) = limited(&sandbox, &api, json!({"scopes": ["pets:write"]})).await;
    assert!(post(&writes).await.0.is_success());
}

#[tokio::test]
async fn clients_are_registered_with_what_makes_sense() {
    let (_backend, sandbox, api) = setting().await;
    let clients = format!("/applications/{}/credentials", api.app);
    let wrong = json!({"metadata": {
        "grant_types": ["authorization_code"], "redirect_uris": ["http://app.example/cb"],
        "jwks_uri": "http://169.254.169.254/keys",
    }});
    let answer = sandbox.control(Method::POST, &clients).json(&wrong).send();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "INVALID_METADATA");
    let pointers: BTreeSet<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    let expected = ["/metadata/jwks_uri", "/metadata/redirect_uris"];
    assert_eq!(pointers, BTreeSet::from(expected));

    let public = json!({"metadata": {
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
        "redirect_uris": ["com.example.app:/cb"], "id_token_signed_response_alg": "RS256",
    }});
    let made = sandbox
        .call(Method::POST, &clients, Some(public))
        .await
        .unwrap();
    assert_eq!(made.get("clientSecret"), None);
    let keys = sandbox
        .call(Method::GET, "/signing-keys", None)
        .await
        .unwrap();
    let text = keys.to_string();
    assert!(text.contains("RS256"), "its key is there before it: {text}");
}

/// req: S13
#[tokio::test]
async fn an_emergency_roll_refuses_all_tokens_at_the_gateway() {
    let (_backend, sandbox, api) = setting().await;
    let url = format!("{}/pets", api.url);
    let bearer = format!("Bearer {}", api.token);
    let with_token = || call(&sandbox, Method::GET, &url, ("authorization", &bearer));
    assert_eq!(with_token().await.0, StatusCode::OK);
    let before = sandbox
        .call(Method::GET, "/signing-keys", None)
        .await
        .unwrap();
    let rolled = sandbox
        .call(
            Method::POST,
            "/signing-keys/roll",
            Some(json!({"now": true})),
        )
        .await
        .unwrap();
    assert_eq!(with_token().await.0, StatusCode::UNAUTHORIZED);
    let kids = |list: &Value| -> BTreeSet<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(kids(&before).is_disjoint(&kids(&rolled)));
    let jwks = format!("{}/oauth2/jwks", sandbox.running.control_url());
    let jwks: Value = sandbox
        .http
        .get(jwks)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    for kid in kids(&before) {
        assert!(!jwks.to_string().contains(&kid));
    }
    // The admin's own token was signed by an old key as well.
    let me = sandbox.control(Method::GET, "/me").send().await.unwrap();
    assert_eq!(me.status(), StatusCode::UNAUTHORIZED);
    // API keys are no tokens.
    let answer = with_key(&sandbox, &api, "/pets", &api.key).await;
    assert_eq!(answer.0, StatusCode::OK);
}

/// Keys rotate every two seconds while tokens are minted and used: none is refused.
#[tokio::test]
async fn rotation_under_load_refuses_nobody() {
    let backend = Backend::start().await.unwrap();
    let span = |text: &str| Some(text.parse::<Span>().unwrap());
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.signing_key_period = span("2s");
        options.signing_key_ahead = span("1s");
    })
    .await
    .unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    let url = format!("{}/pets", api.url);
    let mint = format!("/applications/{}/token", api.app);
    let (began, mut kids, mut calls) = (Instant::now(), BTreeSet::new(), 0);
    let mut oldest = Vec::new();
    while kids.len() < 4 || calls <= 100 {
        let patient = began.elapsed() < 3 * PATIENCE;
        assert!(patient, "{kids:?} in {calls} calls");
        let made = sandbox.call(Method::POST, &mint, Some(json!({}))).await;
        let token = made.unwrap()["accessToken"].as_str().unwrap().to_owned();
        kids.insert(token.split('.').next().unwrap().to_owned());
        oldest.push(token.clone());
        // The new one, and the first that was ever minted.
        for token in [&token, &oldest[0]] {
            let bearer = format!("Bearer {token}");
            let answer = call(&sandbox, Method::GET, &url, ("authorization", &bearer)).await;
            assert_eq!(answer.0, StatusCode::OK, "{}: {calls} calls", answer.1);
            calls += 1;
        }
    }
    let metrics = format!("http://{}/metrics", sandbox.running.node());
    let metrics = sandbox
        .http
        .get(metrics)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("tollway_signing_key_since_seconds{"),
        "{metrics}"
    );
    assert!(
        metrics.contains("tollway_signing_key_rotation_failures_total 0"),
        "{metrics}"
    );
}

/// A client registers itself, gets tokens, and opens no API before its application is subscribed to one.
#[tokio::test]
async fn a_registered_client_has_no_access_without_a_subscription() {
    let (_backend, sandbox, api) = setting().await;
    let made = sandbox
        .call(
            Method::POST,
            "/registration-tokens",
            Some(json!({"uses": 1})),
        )
        .await
        .unwrap();
    let initial = made["token"].as_str().unwrap().to_owned();
    let base = format!("{}/oauth2/register", sandbox.running.control_url());
    let register = async |token: &str, body: Value| {
        let request = sandbox.http.post(&base).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, answer.json::<Value>().await.unwrap())
    };
    let wish = json!({"client_name": "Till", "grant_types": ["client_credentials"],
        "skip_consent": true, "access_token_lifetime_s": 9999999,
        "token_exchange_subject_clients": ["somebody-else"]});
    assert_eq!(
        register("nonsense", wish.clone()).await.0,
        StatusCode::UNAUTHORIZED
    );
    let wrong = json!({"redirect_uris": ["http://app.example/cb"]});
    let (status, error) = register(&initial, wrong).await;
    assert_eq!(
        (status, &error["error"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_redirect_uri"))
    );
    let statement = json!({"software_statement": "a.b.c"});
    let (_, error) = register(&initial, statement).await;
    assert_eq!(error["error"], "unapproved_software_statement");

    let (status, client) = register(&initial, wish.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{client}");
    assert_eq!(
        client.get("skip_consent"),
        None,
        "that is not its own to say"
    );
    assert_eq!(client.get("access_token_lifetime_s"), None);
    assert_eq!(client.get("token_exchange_subject_clients"), None);
    assert_eq!(
        register(&initial, wish).await.0,
        StatusCode::UNAUTHORIZED,
        "used up"
    );
    let text = |name: &str| client[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let token = async || {
        let url = format!("{}/oauth2/token", sandbox.running.control_url());
        let request = sandbox.http.post(url).basic_auth(&id, Some(&secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request
            .body("grant_type=client_credentials")
            .send()
            .await
            .unwrap();
        let body: Value = answer.json().await.unwrap();
        body["access_token"]
            .as_str()
            .map(|token| format!("Bearer {token}"))
    };
    let url = format!("{}/pets", api.url);
    let bearer = token().await.unwrap();
    let answer = call(&sandbox, Method::GET, &url, ("authorization", &bearer)).await;
    assert_eq!(
        answer,
        refused(StatusCode::FORBIDDEN, "SUBSCRIPTION_MISSING")
    );
    let app = format!("client-{}", id.trim_start_matches("twc_"));
    let subscription = json!({
        "kind": "Subscription", "metadata": {"name": format!("{app}-pets")},
        "spec": {"application": app, "api": {"name": "pets", "version": "1.0.0"}, "plan": "Unlimited"},
    });
    sandbox
        .call(Method::POST, "/subscriptions", Some(subscription))
        .await
        .unwrap();
    let answer = call(&sandbox, Method::GET, &url, ("authorization", &bearer)).await;
    assert_eq!(answer.0, StatusCode::OK);

    // RFC 7592: it shows, changes and deletes itself, and nobody else.
    let own = format!("{base}/{id}");
    let access = text("registration_access_token");
    let manage =
        |method: Method, token: &str| sandbox.http.request(method, &own).bearer_auth(token);
    let status = manage(Method::GET, &initial).send().await.unwrap().status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let shown: Value = manage(Method::GET, &access)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&shown["client_name"], shown.get("client_secret")),
        (&json!("Till"), None)
    );
    let change =
        json!({"client_id": id, "client_name": "Shop", "grant_types": ["client_credentials"]});
    let changed = manage(Method::PUT, &access)
        .json(&change)
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    let status = manage(Method::DELETE, &access)
        .send()
        .await
        .unwrap()
        .status();
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(token().await, None);
    let answer = call(&sandbox, Method::GET, &url, ("authorization", &bearer)).await;
    assert_eq!(answer.0, StatusCode::UNAUTHORIZED);
}
