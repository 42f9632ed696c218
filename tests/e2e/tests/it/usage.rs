//! Every call is counted, once (req: O1, O2).

use std::time::Duration;

use anyhow::ensure;
use e2e::{Api, Backend, PATIENCE, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::ConnectOptions as _;

const STATES: &str = r#"
openapi: 3.1.0
info: {title: States, version: 1.0.0}
paths:
  /status/{code}:
    get: {operationId: getStatus, responses: {"200": {description: ok}}}
    post: {operationId: postStatus, responses: {"200": {description: ok}}}
  /slow:
    get: {operationId: slow, responses: {"200": {description: ok}}}
"#;

async fn start() -> (Backend, Sandbox, Api) {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.usage_flush_interval = Some("50ms".parse().unwrap());
        options.node_name = Some("n1".into());
    })
    .await
    .unwrap();
    let api = sandbox
        .api("states", STATES, &backend.url(), "Gold")
        .await
        .unwrap();
    (backend, sandbox, api)
}

/// One call; gives its status and the size of its answer.
async fn call(sandbox: &Sandbox, api: &Api, path: &str) -> (StatusCode, u64) {
    let request = sandbox.http.get(format!("{}{path}", api.url));
    let answer = request.header("x-api-key", &api.key).send().await.unwrap();
    let status = answer.status();
    (status, answer.bytes().await.unwrap().len() as u64)
}

async fn usage(sandbox: &Sandbox, query: &str) -> Value {
    let path = format!("/usage?{query}");
    sandbox.call(Method::GET, &path, None).await.unwrap()
}

async fn reconciliation(sandbox: &Sandbox) -> Value {
    let path = "/usage/reconciliation";
    sandbox.call(Method::GET, path, None).await.unwrap()
}

/// Waits until so many requests are stored, and everything that was sent is.
async fn stored(sandbox: &Sandbox, requests: u64) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = reconciliation(sandbox).await;
        let found = told["storedRequests"].as_u64().unwrap();
        if found >= requests {
            ensure!(found == requests, "{found} are stored, not {requests}");
            ensure!(told["difference"] == 0, "{told:#}");
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{requests} never come: {told:#}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn item<'v>(report: &'v Value, key: &str, value: &str) -> &'v Value {
    let items = report["items"].as_array().unwrap();
    let found = items.iter().find(|item| item[key] == value);
    found.unwrap_or_else(|| panic!("no {key} {value} in {report:#}"))
}

#[tokio::test]
async fn every_call_is_counted_with_what_it_was() {
    let (_backend, sandbox, api) = start().await;
    let mut bytes_out = 0;
    for (path, status, times) in [
        ("/status/200", 200, 20),
        ("/status/404", 404, 5),
        ("/status/503", 503, 3),
        ("/nothing", 404, 2),
    ] {
        for _ in 0..times {
            let (found, bytes) = call(&sandbox, &api, path).await;
            assert_eq!(found, status, "{path}");
            bytes_out += bytes;
        }
    }
    let http = &sandbox.http;
    let stranger = http
        .get(format!("{}/status/200", api.url))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    bytes_out += stranger.bytes().await.unwrap().len() as u64;
    let nowhere = http
        .get(format!("{}/nowhere", sandbox.gateway()))
        .send()
        .await
        .unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    bytes_out += nowhere.bytes().await.unwrap().len() as u64;
    let posted = http
        .post(format!("{}/status/200", api.url))
        .header("x-api-key", &api.key)
        .body(vec![b'x'; 5_000])
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), StatusCode::OK);
    bytes_out += posted.bytes().await.unwrap().len() as u64;

    stored(&sandbox, 33).await.unwrap();
    let all = usage(&sandbox, "groupBy=status").await;
    let total = &all["total"];
    assert_eq!(
        (&total["requests"], &total["bytesIn"]),
        (&33.into(), &5_000.into())
    );
    assert_eq!(total["bytesOut"], bytes_out);
    assert_eq!(
        (&total["clientErrors"], &total["serverErrors"]),
        (&9.into(), &3.into())
    );
    for (status, requests) in [("2xx", 21), ("4xx", 9), ("5xx", 3)] {
        assert_eq!(
            item(&all, "status", status)["requests"],
            requests,
            "{status}"
        );
    }
    let by_api = usage(&sandbox, "groupBy=api,environment").await;
    let of_api = item(&by_api, "api", &api.name);
    assert_eq!(
        (&of_api["requests"], &of_api["environment"]),
        (&32.into(), &"production".into())
    );
    assert_eq!(item(&by_api, "api", "-")["requests"], 1);
    let by_operation = usage(&sandbox, "api=states:1.0.0&groupBy=operation").await;
    for (operation, requests) in [("getStatus", 29), ("postStatus", 1), ("", 2)] {
        let found = item(&by_operation, "operation", operation);
        assert_eq!(found["requests"], requests, "{operation}");
    }
    let by_app = usage(&sandbox, "groupBy=application,plan").await;
    let of_app = item(&by_app, "application", &api.app);
    assert_eq!(
        (&of_app["requests"], &of_app["plan"]),
        (&29.into(), &"Gold".into())
    );
    // Both times are there; asking a backend takes a part of the whole.
    let backend = &of_app["backend"];
    assert_eq!(backend["count"], 29);
    let p99 = |of: &Value| of["p99Us"].as_u64().unwrap();
    assert!(
        p99(backend) <= p99(&of_app["gateway"]) * 102 / 100,
        "{of_app:#}"
    );
    assert!(p99(backend) > 0);
    let unknown = item(&by_app, "application", "");
    assert_eq!(
        unknown["requests"], 4,
        "401, two paths that are none, and no API"
    );
}

/// A client that goes away while the backend is asked has called all the same.
#[tokio::test]
async fn a_call_that_was_given_up_counts_for_its_caller() {
    let (backend, sandbox, api) = start().await;
    let request = sandbox
        .http
        .get(format!("{}/slow?never", api.url))
        .header("x-api-key", &api.key);
    let asked = async {
        while backend.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = request.send() => panic!("{answer:?}"),
        asked = tokio::time::timeout(PATIENCE, asked) => asked.unwrap(),
    }
    stored(&sandbox, 1).await.unwrap();
    let found = usage(&sandbox, "groupBy=operation,application,status").await;
    let item = item(&found, "status", "none");
    assert_eq!(
        (&item["operation"], &item["application"]),
        (&"slow".into(), &api.app.as_str().into())
    );
}

/// The database takes nothing for a while, calls go on: all of them are there afterwards, and none twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_nothing_is_lost() {
    let (_backend, sandbox, api) = start().await;
    let calls = std::cell::Cell::new(0);
    let ok = async |times: u64| {
        for _ in 0..times {
            let (status, _) = call(&sandbox, &api, "/status/200").await;
            assert_eq!(status, StatusCode::OK);
            calls.set(calls.get() + 1);
        }
    };
    ok(20).await;
    stored(&sandbox, 20).await.unwrap();

    // Another process holds the database's one place for writers.
    let file = sandbox.data_dir().join("tollway.db");
    let mut other = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(PATIENCE)
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    ok(300).await;
    let waiting = async {
        // Until a batch was tried and failed, and more wait.
        while sandbox.metric("tollway_node_usage_failures_total").await == 0
            || sandbox.metric("tollway_node_usage_spool_bytes").await == 0
        {
            ok(1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let told = reconciliation(&sandbox).await;
    assert_eq!(told["storedRequests"], 20);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();

    ok(30).await;
    let calls = calls.get();
    assert!(calls >= 350, "{calls}");
    stored(&sandbox, calls).await.unwrap();
    assert_eq!(usage(&sandbox, "").await["total"]["requests"], calls);
    assert_eq!(
        sandbox
            .metric("tollway_node_usage_batches_lost_total")
            .await,
        0
    );
    assert_eq!(
        reconciliation(&sandbox).await["items"][0]["missingBatches"],
        0
    );
}

/// More rows than a core may hold: the calls are counted all the same, and the metrics tell (req: O1).
#[tokio::test]
async fn what_has_no_row_is_counted_as_overflow() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.usage_flush_interval = Some("1m".parse().unwrap());
        options.usage_rows_max = Some(1);
        options.gateway_workers = Some(1);
    })
    .await
    .unwrap();
    let api = sandbox
        .api("states", STATES, &backend.url(), "Gold")
        .await
        .unwrap();
    for path in [
        "/status/200",
        "/status/404",
        "/status/200",
        "/slow",
        "/slow",
    ] {
        call(&sandbox, &api, path).await;
    }
    // Counting happens after the answer has gone out.
    let shown = async {
        while sandbox.metric("tollway_gateway_usage_overflow_total").await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.unwrap();
    // A stop flushes.
    let sandbox = sandbox.restart().await.unwrap();
    stored(&sandbox, 5).await.unwrap();
    let found = usage(&sandbox, "groupBy=operation,application,status").await;
    let row = |operation: &str, status: &str| {
        let items = found["items"].as_array().unwrap();
        let is_it = |item: &&Value| item["operation"] == operation && item["status"] == status;
        items.iter().find(is_it).unwrap()["requests"].as_u64()
    };
    assert_eq!(row("getStatus", "2xx"), Some(2));
    assert_eq!(row("overflow", "4xx"), Some(1));
    assert_eq!(row("overflow", "2xx"), Some(2));
}

/// A stop loses nothing, and the next start does not call it a crash.
#[tokio::test]
async fn a_restart_keeps_the_usage() {
    let (_backend, sandbox, api) = start().await;
    for _ in 0..25 {
        call(&sandbox, &api, "/status/200").await;
    }
    let sandbox = sandbox.restart().await.unwrap();
    stored(&sandbox, 25).await.unwrap();
    let told = reconciliation(&sandbox).await;
    assert_eq!(told["uncleanBoots"], 0);
    let ends: Vec<&str> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|boot| boot["end"].as_str().unwrap())
        .collect();
    assert!(ends.contains(&"clean"), "{told:#}");
}
