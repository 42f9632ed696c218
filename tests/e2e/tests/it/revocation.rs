//! What is taken away is refused when the answer says so (req: S9).

use e2e::{Api, Backend, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

async fn code(sandbox: &Sandbox, api: &Api, header: &str, value: &str) -> (StatusCode, String) {
    let answer = sandbox
        .http
        .get(format!("{}/pets", api.url))
        .header(header, value)
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn setting() -> (Backend, Sandbox, Api) {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    (backend, sandbox, api)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_after_a_restart() {
    let (_backend, sandbox, mut api) = setting().await;
    let client = sandbox
        .call(
            Method::POST,
            &format!("/applications/{}/credentials", api.app),
            None,
        )
        .await
        .unwrap();
    let (id, secret) = (
        client["clientId"].as_str().unwrap(),
        client["clientSecret"].as_str().unwrap(),
    );
    let post = |path: &str, form: &[(&str, &str)]| {
        let form = form
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join("&");
        sandbox
            .http
            .post(format!("{}/oauth2/{path}", sandbox.running.control_url()))
            .basic_auth(id, Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
    };
    let answer = post("token", &[("grant_type", "client_credentials")])
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let token: Value = answer.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        code(&sandbox, &api, "authorization", &bearer(&token))
            .await
            .0,
        StatusCode::OK
    );

    assert_eq!(
        post("revoke", &[("token", &token)]).await.unwrap().status(),
        StatusCode::OK
    );
    let refused = code(&sandbox, &api, "authorization", &bearer(&token)).await;
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, "TOKEN_REVOKED".into()));
    let introspected: Value = post("introspect", &[("token", &token)])
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(introspected, json!({"active": false}));

    let sandbox = sandbox.restart().await.unwrap();
    api.url = format!("{}/pets/1.0.0", sandbox.gateway());
    let refused = code(&sandbox, &api, "authorization", &bearer(&token)).await;
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, "TOKEN_REVOKED".into()));
}

#[tokio::test]
async fn an_ended_subscription_refuses() {
    let (_backend, sandbox, api) = setting().await;
    assert_eq!(
        code(&sandbox, &api, "x-api-key", &api.key).await.0,
        StatusCode::OK
    );
    assert_eq!(
        code(&sandbox, &api, "authorization", &bearer(&api.token))
            .await
            .0,
        StatusCode::OK
    );
    let name = format!("/subscriptions/{}-pets", api.app);
    sandbox.call(Method::DELETE, &name, None).await.unwrap();
    for (header, value) in [
        ("x-api-key", api.key.clone()),
        ("authorization", bearer(&api.token)),
    ] {
        let refused = code(&sandbox, &api, header, &value).await;
        assert_eq!(
            refused,
            (StatusCode::FORBIDDEN, "SUBSCRIPTION_MISSING".into())
        );
    }
}

#[tokio::test]
async fn a_deleted_key_and_a_deleted_application_refuse() {
    let (_backend, sandbox, api) = setting().await;
    let keys = sandbox
        .call(
            Method::GET,
            &format!("/applications/{}/api-keys", api.app),
            None,
        )
        .await
        .unwrap();
    let id = keys["items"][0]["id"].as_str().unwrap();
    sandbox
        .call(
            Method::DELETE,
            &format!("/applications/{}/api-keys/{id}", api.app),
            None,
        )
        .await
        .unwrap();
    let refused = code(&sandbox, &api, "x-api-key", &api.key).await;
    assert_eq!(
        refused,
        (StatusCode::UNAUTHORIZED, "API_KEY_INVALID".into())
    );

    assert_eq!(
        code(&sandbox, &api, "authorization", &bearer(&api.token))
            .await
            .0,
        StatusCode::OK
    );
    sandbox
        .call(Method::DELETE, &format!("/applications/{}", api.app), None)
        .await
        .unwrap();
    let refused = code(&sandbox, &api, "authorization", &bearer(&api.token)).await;
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, "TOKEN_REVOKED".into()));
}

/// The control API's tokens and the gateway's are not each other's (req: S3).
#[tokio::test]
async fn tokens_stay_on_their_side() {
    let (backend, sandbox, api) = setting().await;
    backend.forget();
    let login = json!({"username": "admin", "password": "a sandbox of our own 7"});
    let login = sandbox
        .call(Method::POST, "/login", Some(login))
        .await
        .unwrap();
    let control = login["accessToken"].as_str().unwrap();
    let refused = code(&sandbox, &api, "authorization", &bearer(control)).await;
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, "TOKEN_INVALID".into()));
    assert!(backend.seen().is_empty());
    let url = format!("{}/api/v1/apis", sandbox.running.control_url());
    let refused = sandbox
        .http
        .get(url)
        .bearer_auth(&api.token)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

/// Identity headers that only the gateway may set never come from a client (req: S6).
#[tokio::test]
async fn identity_headers_of_clients_are_dropped() {
    let (backend, sandbox, api) = setting().await;
    let names = [
        "x-jwt-assertion",
        "x-tollway-application",
        "x-forwarded-for",
    ];
    let mut request = sandbox
        .http
        .get(format!("{}/pets", api.url))
        .bearer_auth(&api.token);
    for name in names {
        request = request.header(name, "forged");
    }
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    for (name, value) in &backend.seen()[0].headers {
        assert!(value != "forged", "{name} passed");
    }
}
