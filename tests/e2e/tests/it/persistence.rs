//! A restart keeps everything.

use e2e::{Backend, Sandbox};
use reqwest::{Method, StatusCode};

use crate::PETS;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let before = sandbox.call(Method::GET, "/export", None).await.unwrap();
    let jwks = |sandbox: &Sandbox| {
        let request = sandbox
            .http
            .get(format!("{}/oauth2/jwks", sandbox.running.control_url()))
            .send();
        async move { request.await.unwrap().text().await.unwrap() }
    };
    let keys = jwks(&sandbox).await;

    // The second start gets the file with the password too: harmless on a folder that exists.
    let sandbox = sandbox.restart().await.unwrap();
    assert_eq!(
        sandbox.call(Method::GET, "/export", None).await.unwrap(),
        before
    );
    assert_eq!(jwks(&sandbox).await, keys);
    let pets = format!("{}/pets/1.0.0/pets", sandbox.gateway());
    let by_key = sandbox
        .http
        .get(&pets)
        .header("x-api-key", &api.key)
        .send()
        .await
        .unwrap();
    assert_eq!(by_key.status(), StatusCode::OK);
}

/// Issuer and links come from the configuration, never from the request (req: C5).
#[tokio::test]
async fn the_issuer_does_not_follow_the_host_header() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start_in(folder, |options| {
        options.public_url = Some("https://id.example.com".into());
    })
    .await
    .unwrap();
    let url = format!(
        "{}/.well-known/openid-configuration",
        sandbox.running.control_url()
    );
    let answer = sandbox
        .http
        .get(url)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(answer.contains("\"https://id.example.com\""), "{answer}");
    assert!(!answer.contains("evil.example"), "{answer}");
}

/// The authorization server can have an address of its own; the control API is not served there.
#[tokio::test]
async fn identity_on_a_listener_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start_in(folder, |options| {
        options.identity_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await
    .unwrap();
    let own = format!("http://{}", sandbox.running.identity().unwrap());
    let get = |path: &str| sandbox.http.get(format!("{own}{path}")).send();
    assert_eq!(get("/oauth2/jwks").await.unwrap().status(), StatusCode::OK);
    let discovery = get("/.well-known/openid-configuration").await.unwrap();
    assert_eq!(discovery.status(), StatusCode::OK);
    for path in ["/api/v1/apis", "/api/v1/login", "/api/v1/me"] {
        assert_eq!(
            get(path).await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
