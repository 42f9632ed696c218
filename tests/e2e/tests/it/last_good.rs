//! A gateway starts and serves while its database is away, and joins when it is back (req: GW14).

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Backend, PATIENCE, Sandbox};
use parts::Postgres;
use reqwest::{Client, Method, StatusCode};
use tollway::up::{Options, Role, Running};

use crate::PETS;

/// The options of a gateway process with this data folder.
fn gateway(url: &str, key_file: &Path, data: &Path) -> Options {
    let free = || Some(([127, 0, 0, 1], 0).into());
    Options {
        data_dir: Some(data.to_owned()),
        database_url: Some(url.parse().unwrap()),
        key_file: Some(key_file.to_owned()),
        role: Some(Role::Gateway),
        gateway_http_listen: free(),
        gateway_https_listen: free(),
        node_listen: free(),
        public_url: Some("http://tollway.test".into()),
        gateway_workers: Some(1),
        ..Options::default()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn text(http: &Client, running: &Running, path: &str) -> (StatusCode, String) {
    let url = format!("http://{}{path}", running.node());
    let answer = http.get(url).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_without_its_database_and_joins_it_later() {
    let postgres = Postgres::start();
    let url = postgres.database();
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start_in(tempfile::tempdir().unwrap(), |options| {
        options.database_url = Some(url.parse().unwrap());
    })
    .await
    .unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::copy(sandbox.data_dir().join("tollway.key"), &key_file).unwrap();
    let edge = folder.path().join("edge");
    let http = sandbox.http.clone();
    let call = async |running: &Running, key: &str| {
        let pets = format!("http://{}/pets/1.0.0/pets", running.gateway_http());
        let answer = http.get(pets).header("x-api-key", key).send().await;
        answer.unwrap().status()
    };

    // It has served once.
    let running = tollway::up::start(gateway(&url, &key_file, &edge))
        .await
        .unwrap();
    until("the first update", async || {
        call(&running, &api.key).await == StatusCode::OK
    })
    .await;
    until("what is kept", async || {
        let (_, metrics) = text(&http, &running, "/metrics").await;
        !metrics.contains("\ntollway_node_last_good_revision 0\n")
    })
    .await;
    running.shutdown().await;

    // The key is revoked while the gateway is down, and then the database goes too.
    let keys = format!("/applications/{}/api-keys", api.app);
    let listed = sandbox.call(Method::GET, &keys, None).await.unwrap();
    let items = listed["items"].as_array().or(listed.as_array()).unwrap();
    let id = items[0]["id"].as_str().unwrap().to_owned();
    sandbox
        .call(Method::DELETE, &format!("{keys}/{id}"), None)
        .await
        .unwrap();
    postgres.stop();
    let mut options = gateway(&url, &key_file, &edge);
    options.database_connect_timeout = Some("1s".parse().unwrap());
    let running = tollway::up::start(options).await.unwrap();
    // What it does not know it cannot hold against anybody.
    assert_eq!(call(&running, &api.key).await, StatusCode::OK);
    let (status, says) = text(&http, &running, "/readyz").await;
    assert!(
        status == StatusCode::OK && says.contains("the control plane is away"),
        "{says}"
    );
    assert!(
        text(&http, &running, "/metrics")
            .await
            .1
            .contains("tollway_node_last_good_age_seconds")
    );

    postgres.restart();
    until("the revocation", async || {
        call(&running, &api.key).await == StatusCode::UNAUTHORIZED
    })
    .await;
    // It is told what happened before it is told that this was all.
    until("nothing is away", async || {
        text(&http, &running, "/readyz").await == (StatusCode::OK, "ok\n".to_owned())
    })
    .await;
    running.shutdown().await;
}

/// What cannot work is said at the start.
#[tokio::test]
async fn a_gateway_alone_needs_a_database_that_others_have_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = gateway(
        "postgres://127.0.0.1:1/x",
        &folder.path().join("key"),
        folder.path(),
    );
    let error = tollway::up::start(options.clone()).await.err().unwrap();
    assert!(
        error.to_string().contains("the key file is not there"),
        "{error}"
    );
    options.database_url = None;
    let error = tollway::up::start(options).await.err().unwrap();
    assert!(error.to_string().contains("--database-url-file"), "{error}");
}
