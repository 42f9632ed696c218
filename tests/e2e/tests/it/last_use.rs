//! When an API key was used last, as its owner is told (req: T6).

use std::time::{Duration, SystemTime};

use e2e::{Api, Backend, PATIENCE, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

async fn call(sandbox: &Sandbox, key: &str) -> StatusCode {
    let url = format!("{}/pets/1.0.0/pets", sandbox.gateway());
    let request = sandbox.http.get(url).header("x-api-key", key);
    request.send().await.unwrap().status()
}

async fn shown(sandbox: &Sandbox, api: &Api, id: &str) -> Value {
    let path = format!("/applications/{}/api-keys/{id}", api.app);
    sandbox.call(Method::GET, &path, None).await.unwrap()
}

/// The last use of one text of a key, once there is one.
async fn used(sandbox: &Sandbox, api: &Api, id: &str, text: usize) -> u64 {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let key = shown(sandbox, api, id).await;
        let (of_key, of_text) = (&key["lastUsedUnixS"], &key["secrets"][text]);
        // Key and texts are read one after the other: the use may have been told between.
        let at = of_text["lastUsedUnixS"].as_u64();
        if let Some(at) = at.filter(|at| of_key.as_u64() >= Some(*at)) {
            return at;
        }
        assert!(tokio::time::Instant::now() < deadline, "{key}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A new key: its id and its text.
async fn key(sandbox: &Sandbox, api: &Api, limits: Value) -> (String, String) {
    let path = format!("/applications/{}/api-keys", api.app);
    let body = json!({"limits": limits});
    let made = sandbox.call(Method::POST, &path, Some(body)).await.unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn the_last_use_of_a_key_is_told_and_stays() {
    let backend = Backend::start().await.unwrap();
    let begun = now_s();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.usage_flush_interval = Some("50ms".parse().unwrap());
    });
    let sandbox = sandbox.await.unwrap();
    let api = sandbox.api("pets", PETS, &backend.url(), "Unlimited").await;
    let api = api.unwrap();
    let (id, old) = key(&sandbox, &api, json!({})).await;
    let (unused, _) = key(&sandbox, &api, json!({})).await;
    let (elsewhere, refused) = key(&sandbox, &api, json!({"ipRanges": ["203.0.113.0/24"]})).await;
    assert_eq!(
        shown(&sandbox, &api, &id).await["lastUsedUnixS"],
        Value::Null
    );
    assert_eq!(call(&sandbox, &refused).await, StatusCode::FORBIDDEN);
    for _ in 0..3 {
        assert_eq!(call(&sandbox, &old).await, StatusCode::OK);
    }
    let first = used(&sandbox, &api, &id, 0).await;
    assert!((begun..=now_s()).contains(&first), "{first}");

    // While the key is being replaced each text has its own.
    let rotate = format!("/applications/{}/api-keys/{id}/rotate", api.app);
    let made = sandbox.call(Method::POST, &rotate, Some(json!({})));
    let made = made.await.unwrap();
    let new = made["key"].as_str().unwrap();
    let texts = shown(&sandbox, &api, &id).await["secrets"].clone();
    // Of its three calls another one may have been told since.
    assert!(texts[0]["lastUsedUnixS"].as_u64() >= Some(first), "{texts}");
    assert_eq!(texts[1]["lastUsedUnixS"], Value::Null, "{texts}");
    assert_eq!(call(&sandbox, new).await, StatusCode::OK);
    let second = used(&sandbox, &api, &id, 1).await;
    assert!(second >= first);

    for id in [&unused, &elsewhere] {
        let key = shown(&sandbox, &api, id).await;
        assert_eq!(key["lastUsedUnixS"], Value::Null, "nobody was let in by it");
    }
    let sandbox = sandbox.restart().await.unwrap();
    let key = shown(&sandbox, &api, &id).await;
    assert_eq!(key["secrets"][1]["lastUsedUnixS"], second, "{key}");
    let last = key["lastUsedUnixS"].as_u64();
    assert!(last >= Some(second.max(first)), "{key}");
    assert!(last <= Some(now_s()), "{key}");
}
