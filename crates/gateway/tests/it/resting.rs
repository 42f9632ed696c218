//! A connection without a request gives its buffers back, and nobody notices.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::ManualClock;
use tokio::time::timeout;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, Wire, passing};
use crate::tls::{connect_tls, https};

const NONE: &str = "GET /none HTTP/1.1\r\nhost: x\r\n\r\n";

async fn manual() -> (Peer, Sandbox, Arc<ManualClock>) {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    // One that is idle for longer than both is cut, and not counted.
    setup.config.limits.head_timeout_ms = 3_600_000;
    (peer, setup.start(), clock)
}

async fn rests(sandbox: &Sandbox, count: usize) {
    let line = format!("tollway_gateway_connections_resting {count}");
    sandbox.counts(&line).await;
}

#[tokio::test]
async fn a_connection_that_rests_serves_again() {
    let (_peer, sandbox, clock) = manual().await;
    let mut client = sandbox.connect().await;
    for _ in 0..3 {
        client.send(NONE).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
        rests(&sandbox, 0).await;
        clock.advance_ms(2_000);
        rests(&sandbox, 1).await;
    }
    // A head that comes in pieces wakes it all the same.
    client.send("GET /none HTTP/1.1\r\nho").await;
    rests(&sandbox, 0).await;
    clock.advance_ms(2_000);
    client.send("st: x\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    sandbox
        .counts("tollway_gateway_connections_accepted_total{protocol=\"http/1.1\"} 1")
        .await;
}

#[tokio::test]
async fn how_long_it_waits_for_that_is_an_option() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    setup.config.limits.rest_after_ms = 20_000;
    let sandbox = setup.start();
    let (mut early, mut late) = (sandbox.connect().await, sandbox.connect().await);
    early.send(NONE).await;
    early.answer().await;
    clock.advance_ms(15_000);
    late.send(NONE).await;
    late.answer().await;
    clock.advance_ms(6_000);
    rests(&sandbox, 1).await;
    clock.advance_ms(15_000);
    rests(&sandbox, 2).await;
}

#[tokio::test]
async fn over_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    https(&mut setup, folder.path());
    let sandbox = setup.start();
    let mut client = Wire::new(connect_tls(&sandbox, folder.path(), b"http/1.1").await);
    for _ in 0..2 {
        client.send(NONE).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
        clock.advance_ms(2_000);
        rests(&sandbox, 1).await;
    }
    assert!(passing("the end", &clock, 76_000, client.closes()).await);
    rests(&sandbox, 0).await;
}

#[tokio::test]
async fn one_that_rests_is_closed_when_it_is_idle_too_long_or_the_node_drains() {
    let (_peer, sandbox, clock) = manual().await;
    let mut client = sandbox.connect().await;
    client.send(NONE).await;
    client.answer().await;
    clock.advance_ms(2_000);
    rests(&sandbox, 1).await;
    assert!(passing("the end", &clock, 76_000, client.closes()).await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"idle_timeout\"} 1")
        .await;

    let mut client = sandbox.connect().await;
    client.send(NONE).await;
    client.answer().await;
    clock.advance_ms(2_000);
    rests(&sandbox, 1).await;
    let Sandbox { gateway, .. } = sandbox;
    let mut draining = std::pin::pin!(gateway.drain(std::time::Duration::from_mins(1)));
    // An idle one is left a moment, by the clock.
    let drained = loop {
        tokio::select! {
            drained = &mut draining => break drained,
            () = tokio::time::sleep(std::time::Duration::from_millis(5)) => clock.advance_ms(100),
        }
    };
    assert_eq!(drained.cut, 0);
    assert!(client.closes().await);
}

/// The rest of a body is never taken for a request: a connection rests between messages alone.
#[tokio::test]
async fn one_with_half_a_message_on_it_does_not_rest() {
    let (peer, sandbox, clock) = manual().await;
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\nfirst")
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    clock.advance_ms(2_000);
    // What looks like a request is the rest of the body.
    client
        .send("GET /nowhere/ HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    client.send(NONE).await;
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    sandbox
        .counts("tollway_gateway_rejects_total{code=\"ROUTE_NOT_FOUND\"} 1")
        .await;
}

#[tokio::test]
async fn one_that_waits_for_its_backend_does_not_rest() {
    let (peer, sandbox, clock) = manual().await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    // Longer than it takes to rest; another one that rests tells that it was looked for.
    let mut other = sandbox.connect().await;
    other.send(NONE).await;
    other.answer().await;
    clock.advance_ms(2_000);
    rests(&sandbox, 1).await;
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

/// req: S12
#[tokio::test]
async fn each_worker_has_memory_given_back_on_its_own_thread() {
    static GIVEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    fn give_back() {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().to_owned();
        GIVEN.lock().unwrap().insert(name);
    }
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.workers = 2;
    setup.config.give_back = give_back;
    let _sandbox = setup.start();
    let both = ["gateway-0", "gateway-1"].map(str::to_owned).into();
    let given = async {
        while *GIVEN.lock().unwrap() != both {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), given).await.unwrap();
}
