//! Changes under load lose nothing (req: C4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::{Backend, PATIENCE, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::PETS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_under_load_fail_no_call() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    let (stop, passed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let request = sandbox
                .http
                .get(format!("{}/pets", api.url))
                .bearer_auth(&api.token);
            let (stop, passed) = (Arc::clone(&stop), Arc::clone(&passed));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = request.try_clone().unwrap().send().await.unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                    answer.bytes().await.unwrap();
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..20 {
        let mut object = sandbox
            .call(Method::GET, &format!("/apis/{}", api.name), None)
            .await
            .unwrap();
        object["metadata"]["labels"] = json!({"round": format!("r{round}")});
        object["spec"]["policies"] =
            json!([{"setHeaders": {"response": {"x-round": format!("{round}")}}}]);
        sandbox
            .call(Method::PUT, &format!("/apis/{}", api.name), Some(object))
            .await
            .unwrap();
        // The write has answered: the very next call shows it.
        let answer = sandbox
            .http
            .get(format!("{}/pets", api.url))
            .bearer_auth(&api.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-round"], round.to_string());
    }
    let load = async {
        while passed.load(Ordering::Relaxed) <= 20 {
            tokio::task::yield_now().await;
        }
    };
    let load = tokio::time::timeout(PATIENCE, load).await;
    assert!(load.is_ok(), "there was no load");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}
