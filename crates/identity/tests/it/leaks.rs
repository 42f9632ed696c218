//! What is logged, at every level, while secrets go through every endpoint.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{PASSWORD, basic, world};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let world = world().await;
    let control = world.control_token().await;
    let token = world.token_of(&world.shop).await;
    world
        .login(&json!({ "username": "admin", "password": "tYpo-1" }))
        .await;
    world
        .login(&json!({ "username": "tYpo-2", "password": "x" }))
        .await;
    let wrong = basic(&world.shop.client_id, "tYpo-3");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [form, ("authorization", wrong.as_str())];
    world
        .send(
            Method::POST,
            "/oauth2/token",
            &headers,
            "grant_type=client_credentials",
        )
        .await;
    world.scopes.failing.store(true, Ordering::SeqCst);
    world
        .form_as(
            &world.shop,
            "/oauth2/token",
            "grant_type=client_credentials",
        )
        .await;
    world.nodes.away.store(true, Ordering::SeqCst);
    world
        .form_as(&world.shop, "/oauth2/revoke", &format!("token={token}"))
        .await;
    let bearer = format!("Bearer {control}");
    world
        .send(
            Method::POST,
            "/api/v1/logout",
            &[("authorization", &bearer)],
            "",
        )
        .await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "a login failed",
        "the store failed",
        "disk of host db7 is full",
        "not yet served",
    ] {
        assert!(log.contains(expected), "the test sees the log: {expected}");
    }
    let hash = world.shop.credential.secrets[0].hash.to_string();
    for secret in [
        PASSWORD,
        world.shop.client_secret.expose(),
        &hash,
        &control,
        &token,
        "tYpo-1",
        "tYpo-2",
        "tYpo-3",
        "argon2id",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
