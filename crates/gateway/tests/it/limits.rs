//! Every limit has a number, a metric, and harms nobody but the one who hits it. req: S12

use std::sync::Arc;

use base::ManualClock;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, passing};
use crate::upstream_h2::Frames;

async fn with(change: impl FnOnce(&mut Setup)) -> (Peer, Sandbox) {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    change(&mut setup);
    (peer, setup.start())
}

async fn hit(sandbox: &Sandbox, limit: &str) {
    sandbox
        .counts(&format!(
            "tollway_gateway_limits_hit_total{{limit=\"{limit}\"}} 1"
        ))
        .await;
}

#[tokio::test]
async fn connections() {
    let (peer, sandbox) = with(|setup| setup.config.limits.connections_max = 1).await;
    let mut first = sandbox.connect().await;
    first.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    // It is told so before it asks.
    let mut second = sandbox.connect().await;
    let (head, body) = second.answer().await;
    assert!(head.starts_with("http/1.1 503 ") && body.contains("CONNECTION_LIMIT"));
    hit(&sandbox, "connections").await;
    backend.send(OK).await;
    assert_eq!(first.answer().await.1, "ok");
    // Room again once the first has gone.
    drop(first);
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"http/1.1\"} 0")
        .await;
    let mut third = sandbox.connect().await;
    third.send(GET).await;
    backend.head().await;
}

#[tokio::test]
async fn header_fields_and_size_of_the_head() {
    let many: String = (0..11).map(|index| format!("x-{index}: 1\r\n")).collect();
    let large = format!("x-large: {}\r\n", "x".repeat(2_000));
    for fields in [many, large] {
        let (_peer, sandbox) = with(|setup| {
            setup.config.limits.headers_max = 10;
            setup.config.limits.head_bytes_max = 1_000;
        })
        .await;
        let mut client = sandbox.connect().await;
        client
            .send(format!(
                "GET /shop/items HTTP/1.1\r\nhost: x\r\n{fields}\r\n"
            ))
            .await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 431 "), "{head}");
        assert!(body.contains("HEADER_TOO_LARGE"));
        assert!(client.closes().await);
        hit(&sandbox, "head").await;
    }
}

#[tokio::test]
async fn size_of_the_body_known_before() {
    let (_peer, sandbox) = with(|setup| setup.config.limits.body_bytes_max = 10).await;
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    assert!(body.contains("BODY_TOO_LARGE"));
    hit(&sandbox, "body").await;
}

#[tokio::test]
async fn size_of_the_body_found_out_while_it_comes() {
    let (peer, sandbox) = with(|setup| setup.config.limits.body_bytes_max = 10).await;
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n")
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.until("abcdef\r\n").await;
    client.send("6\r\nabcdef\r\n").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    assert!(body.contains("BODY_TOO_LARGE"));
    // The backend never sees an end.
    assert!(!backend.rest().await.contains("0\r\n\r\n"));
    hit(&sandbox, "body").await;
}

#[tokio::test]
async fn time_of_the_head() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (_peer, sandbox) = with(|setup| setup.clock = clock.clone()).await;
    let mut client = sandbox.connect().await;
    client.send("GET /shop/items HTTP/1.1\r\nhost:").await;
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"http/1.1\"} 1")
        .await;
    let (head, body) = passing("an answer", &clock, 11_000, client.answer()).await;
    assert!(head.starts_with("http/1.1 408 "), "{head}");
    assert!(body.contains("REQUEST_TIMEOUT"));
    assert!(client.closes().await);
    hit(&sandbox, "head_timeout").await;
}

#[tokio::test]
async fn time_of_the_first_byte() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (_peer, sandbox) = with(|setup| setup.clock = clock.clone()).await;
    let mut client = sandbox.connect().await;
    let silent = async {
        while !sandbox.metrics().contains("{limit=\"head_timeout\"} 1") {
            clock.advance_ms(11_000);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    crate::sandbox::soon("timeout", silent).await;
    assert!(client.closes().await);
}

#[tokio::test]
async fn time_without_a_request() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (_peer, sandbox) = with(|setup| {
        setup.clock = clock.clone();
        // One that is idle for longer than both is cut, and not counted.
        setup.config.limits.head_timeout_ms = 3_600_000;
    })
    .await;
    let mut client = sandbox.connect().await;
    client.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.answer().await;
    sandbox
        .counts("tollway_gateway_rejects_total{code=\"ROUTE_NOT_FOUND\"} 1")
        .await;
    clock.advance_ms(70_000);
    client.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.answer().await;
    assert!(passing("the end", &clock, 76_000, client.closes()).await);
    hit(&sandbox, "idle_timeout").await;
}

#[tokio::test]
async fn streams_of_http2_to_a_backend() {
    let (peer, sandbox) = with(|setup| {
        setup.backend.protocol = snapshot::Protocol::Http2;
        setup.config.upstream.h2_streams_max = 1;
    })
    .await;
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let _first = Frames::greet(&peer).await;
    // The first stream is not answered: the second call needs another connection.
    two.send(GET).await;
    let _second = peer.accept_stream().await;
    hit(&sandbox, "upstream_streams").await;
}
