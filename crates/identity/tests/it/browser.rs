//! The pages in a real browser, across origins.

use std::net::SocketAddr;

use serde_json::Value;
use store::ClientMetadata;
use tokio::net::TcpListener;

use crate::tab::{app, metadata};
use crate::world::{PASSWORD, world_at};

/// Walks through the pages with Chromium; `scripts` switches them on or off.
async fn walk(scripts: &'static str) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Another origin than the client's, which is `127.0.0.1`.
    let issuer = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let world = world_at(&issuer).await;
    // The client's port has to be known before it listens: its addresses are registered.
    let port = parts::free_port().to_string();
    let registered = ClientMetadata {
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
        client_uri: Some("https://app.example/about".to_owned()),
        policy_uri: Some("https://app.example/privacy".to_owned()),
        post_logout_redirect_uris: vec![format!("http://127.0.0.1:{port}/bye")],
        ..metadata()
    };
    let client = app(&world, "app", registered).await;
    let service = world
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let (id, secret) = (
        client.client_id.clone(),
        client.client_secret.expose().clone(),
    );
    let told = tokio::task::spawn_blocking(move || {
        let shots = std::env::var("SHOTS").unwrap_or_default();
        let variables = [
            ("ISSUER", issuer.as_str()),
            ("CLIENT_ID", &id),
            ("CLIENT_SECRET", &secret),
            ("CLIENT_PORT", &port),
            ("USER", "admin"),
            ("PASSWORD", PASSWORD),
            ("SCRIPTS", scripts),
            ("SHOTS", &shots),
        ];
        parts::browser::run("walk.mjs", &variables)
    });
    let told = told.await.unwrap();
    server.abort();
    serde_json::from_str(told.trim()).unwrap()
}

fn is_whole(told: &Value) {
    assert_eq!(told["wrong"], "The user name or the password is wrong.");
    assert_eq!(told["code"]["status"], 200, "{told}");
    assert_eq!(told["code"]["state"], "st");
    assert!(
        told["code"]["iss"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost:")
    );
    assert!(told["code"]["body"]["id_token"].is_string());
    assert_eq!(told["form_post"], 200);
    assert_eq!(told["pending"], "authorization_pending");
    assert_eq!(told["filled_in"], told["shown"]);
    assert_eq!(told["device"]["status"], 200, "{told}");
    assert_eq!(told["error"]["url"], true);
    assert_eq!(told["again"], 200);
    let own = serde_json::json!({"sessions": 1, "this": 1, "consents": 1, "withdrawn": 0});
    assert_eq!(told["own"], own);
    assert!(
        told["bye"].as_str().unwrap().ends_with("/bye?state=x"),
        "{told}"
    );
    assert_eq!(told["logged_out"], true);
    assert_eq!(told["violations"], serde_json::json!([]));
    assert_eq!(told["sniffs"], true);
    assert_eq!(told["inaccessible"], serde_json::json!([]), "{told:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_through_with_a_browser() {
    let told = walk("on").await;
    is_whole(&told);
    assert_eq!(told["focus"], "password", "the name is known already");
}

/// The pages need no scripts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_through_without_scripts() {
    is_whole(&walk("off").await);
}
