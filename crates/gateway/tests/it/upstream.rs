//! Connections to backends: used again, replaced, given up.

use std::sync::Arc;

use base::ManualClock;
use snapshot::Scheme;

use crate::sandbox::{GET, Nobody, OK, Peer, Sandbox, Setup, called, endpoint, field, passing};

#[tokio::test]
async fn a_connection_is_used_again() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    for _ in 0..3 {
        backend.head().await;
        backend.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        client.send(GET).await;
    }
    backend.head().await;
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"opened\"} 1")
        .await;
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_replaced_whatever_the_method() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    client.answer().await;
    drop(backend);
    // The end has reached the gateway's socket before the next request does: both are on the loopback, in order.
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody")
        .await;
    let mut backend = peer.accept().await;
    assert!(backend.head().await.starts_with("post "));
    assert_eq!(backend.exactly(4).await, b"body");
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_connection_that_the_backend_will_close_is_not_kept() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut first = peer.accept().await;
    first.head().await;
    first
        .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        .await;
    let (head, _) = client.answer().await;
    assert_eq!(field(&head, "connection"), None);
    client.send(GET).await;
    peer.accept().await.head().await;
}

#[tokio::test]
async fn endpoints_are_taken_in_turn() {
    let (a, b) = (Peer::bind().await, Peer::bind().await);
    let sandbox = Setup::new(vec![a.endpoint(), b.endpoint()]).start();
    let mut client = sandbox.connect().await;
    let mut wires = Vec::new();
    for peer in [&a, &b] {
        client.send(GET).await;
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.send(OK).await;
        client.answer().await;
        wires.push(wire);
    }
    for wire in &mut wires {
        client.send(GET).await;
        wire.head().await;
        wire.send(OK).await;
        client.answer().await;
    }
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_a_problem() {
    let nobody = Nobody::bind();
    for target in [
        nobody.endpoint(),
        endpoint(Scheme::Http, "nowhere.invalid", 80),
    ] {
        let sandbox = Setup::new(vec![target]).start();
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 502 "), "{head}");
        assert!(body.contains("BACKEND_UNREACHABLE"));
        sandbox
            .counts("tollway_gateway_upstream_connections_total{event=\"connect_failed\"} 1")
            .await;
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_or_talks_nonsense_is_a_problem() {
    for answer in ["", "HTTP/1.1 20", "SSH-2.0-OpenSSH\r\n\r\n"] {
        let peer = Peer::bind().await;
        let sandbox = Sandbox::to(&peer);
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backend.send(answer).await;
        drop(backend);
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 502 "), "{head}");
        assert!(body.contains("BACKEND_FAILED"));
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_a_problem() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    clock.advance_ms(60_001);
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 504 "), "{head}");
    assert!(body.contains("BACKEND_TIMEOUT"));
    assert!(backend.closes().await);
}

#[tokio::test]
async fn what_is_idle_too_long_or_too_many_is_closed() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    setup.config.upstream.idle_max = 1;
    let sandbox = setup.start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let mut first = peer.accept().await;
    first.head().await;
    two.send(GET).await;
    let mut second = peer.accept().await;
    second.head().await;
    first.send(OK).await;
    one.answer().await;
    second.send(OK).await;
    two.answer().await;
    assert!(second.closes().await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"upstream_idle\"} 1")
        .await;
    assert!(passing("the end", &clock, 4_500, first.closes()).await);
    sandbox.counts("tollway_gateway_upstream_open 0").await;
}

#[tokio::test]
async fn an_answer_with_too_large_a_head_is_a_problem() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.upstream.headers_max = 5;
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    let fields: String = (0..6).map(|index| format!("x-{index}: 1\r\n")).collect();
    backend
        .send(format!(
            "HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"
        ))
        .await;
    let (_, body) = client.answer().await;
    assert!(body.contains("BACKEND_FAILED"), "{body}");
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_a_failure() {
    let mut call = called(GET).await;
    call.backend
        .send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
        .await;
    let (_, body) = call.client.answer().await;
    assert!(body.contains("BACKEND_FAILED"), "{body}");
}
