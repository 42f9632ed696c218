//! How long connections to backends are kept.

use std::sync::Arc;

use base::ManualClock;
use sync::calls::KeepAliveRules;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, Wire, passing};

async fn with(rules: KeepAliveRules) -> (Peer, Sandbox, Arc<ManualClock>) {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    setup.backend.calls.keep_alive = rules;
    (peer, setup.start(), clock)
}

async fn served(client: &mut Wire, backend: &mut Wire, answer: &str) {
    backend.head().await;
    backend.send(answer).await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_connection_serves_so_many_calls() {
    let (peer, sandbox, _) = with(KeepAliveRules {
        requests_max: Some(2),
        ..KeepAliveRules::default()
    })
    .await;
    let mut client = sandbox.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        let mut backend = peer.accept().await;
        served(&mut client, &mut backend, OK).await;
        client.send(GET).await;
        served(&mut client, &mut backend, OK).await;
        assert!(backend.closes().await);
    }
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"worn\"} 2")
        .await;
}

#[tokio::test]
async fn a_connection_serves_for_so_long() {
    let (peer, sandbox, clock) = with(KeepAliveRules {
        age_max_ms: Some(3_000),
        ..KeepAliveRules::default()
    })
    .await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    served(&mut client, &mut backend, OK).await;
    clock.advance_ms(2_000);
    client.send(GET).await;
    backend.head().await;
    clock.advance_ms(1_000);
    // What is under way ends.
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    assert!(backend.closes().await);
}

#[tokio::test]
async fn an_unused_connection_is_kept_as_the_document_says() {
    let (peer, sandbox, clock) = with(KeepAliveRules {
        idle_ms: Some(60_000),
        ..KeepAliveRules::default()
    })
    .await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    served(&mut client, &mut backend, OK).await;
    clock.advance_ms(59_000);
    client.send(GET).await;
    served(&mut client, &mut backend, OK).await;
    assert!(passing("the end", &clock, 61_000, backend.closes()).await);
}

#[tokio::test]
async fn a_backend_that_says_how_long_it_keeps_one_is_believed() {
    let (peer, sandbox, clock) = with(KeepAliveRules {
        idle_ms: Some(60_000),
        ..KeepAliveRules::default()
    })
    .await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    let answer = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=5, max=100\r\ncontent-length: 2\r\n\r\nok";
    served(&mut client, &mut backend, answer).await;
    clock.advance_ms(3_900);
    client.send(GET).await;
    served(&mut client, &mut backend, OK).await;
    // One second before the backend closes it.
    assert!(passing("the end", &clock, 4_100, backend.closes()).await);
}

#[tokio::test]
async fn no_more_unused_ones_are_kept_than_the_document_says() {
    let (peer, sandbox, _) = with(KeepAliveRules {
        idle_max: Some(0),
        ..KeepAliveRules::default()
    })
    .await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    served(&mut client, &mut backend, OK).await;
    assert!(backend.closes().await);
}
