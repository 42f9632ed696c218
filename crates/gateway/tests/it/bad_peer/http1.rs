//! Bad peers over HTTP/1.1.

use super::Beside;
use crate::sandbox::field;

#[tokio::test]
async fn one_that_sends_its_head_byte_by_byte() {
    let beside = Beside::start(|limits| limits.head_timeout_ms = 1_000).await;
    let mut bad = beside.sandbox.connect().await;
    // One that says nothing at first is not answered; this one does.
    bad.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(bad.answer().await.0.starts_with("http/1.1 404 "));
    let mut alive = true;
    for byte in b"GET /shop/items HTTP/1.1\r\nx: "
        .iter()
        .cycle()
        .take(1_000)
    {
        alive = bad.try_send(&[*byte]).await;
        if !alive
            || beside
                .sandbox
                .metrics()
                .contains("{limit=\"head_timeout\"} 1")
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    if alive {
        assert!(bad.head().await.starts_with("http/1.1 408 "));
    }
    beside.hit("head_timeout").await;
}

#[tokio::test]
async fn one_that_drips_its_body() {
    let beside = Beside::start(|limits| limits.body_timeout_ms = 1_000).await;
    let mut bad = beside.sandbox.connect().await;
    bad.send("PUT /shop/items/slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    // Never silent for long, and yet far below 100 bytes a second.
    let drip = async {
        while bad.try_send(b"x").await
            && !beside
                .sandbox
                .metrics()
                .contains("{limit=\"body_timeout\"} 1")
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    crate::sandbox::soon("dripping", drip).await;
    let (head, body) = bad.answer().await;
    assert!(head.starts_with("http/1.1 408 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    assert!(body.contains("REQUEST_TIMEOUT"));
    beside.hit("body_timeout").await;
}

#[tokio::test]
async fn one_that_sends_nothing_of_its_body() {
    let beside = Beside::start(|limits| {
        limits.body_timeout_ms = 1_000;
        limits.rate_min = 0;
    })
    .await;
    let mut bad = beside.sandbox.connect().await;
    bad.send("PUT /shop/items/slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let (head, _) = bad.answer().await;
    assert!(head.starts_with("http/1.1 408 "), "{head}");
    beside.hit("body_timeout").await;
}

#[tokio::test]
async fn one_that_does_not_read_its_answer() {
    let beside = Beside::start(|limits| limits.answer_timeout_ms = 500).await;
    let mut bad = beside.sandbox.connect().await;
    bad.send("GET /shop/items/large HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    bad.head().await;
    let sandbox = beside.hit("answer_timeout").await;
    // Cut off, with what the backend would have had to send.
    assert!(bad.rest_bytes().await.len() < 64 << 20);
    sandbox
        .counts("tollway_gateway_client_aborts_total 1")
        .await;
}

#[tokio::test]
async fn one_that_sends_many_requests_in_advance() {
    let beside = Beside::start(|limits| limits.pipelined_max = 10).await;
    let mut bad = beside.sandbox.connect().await;
    bad.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100))
        .await;
    let mut answered = 0;
    let last = loop {
        let (head, body) = bad.answer().await;
        if !head.starts_with("http/1.1 404 ") {
            break (head, body);
        }
        answered += 1;
    };
    assert!((10..100).contains(&answered), "{answered}");
    assert!(last.0.starts_with("http/1.1 429 ") && last.1.contains("PIPELINE_LIMIT"));
    assert!(bad.closes().await);
    beside.hit("pipelined").await;
}

#[tokio::test]
async fn one_that_sends_a_long_target() {
    let beside = Beside::start(|limits| limits.target_bytes_max = 100).await;
    let mut bad = beside.sandbox.connect().await;
    let target = format!("/shop/items?q={}", "x".repeat(100));
    bad.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    let (head, body) = bad.answer().await;
    assert!(head.starts_with("http/1.1 414 "), "{head}");
    assert!(body.contains("URI_TOO_LONG"));
    assert!(bad.closes().await);
    beside.hit("target").await;
}

#[tokio::test]
async fn ones_that_send_much_around_a_body() {
    for (what, limit) in [
        (
            format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(50)),
            "chunk_extensions",
        ),
        (format!("0\r\n{}\r\n", "x: 1\r\n".repeat(3)), "trailers"),
        (format!("0\r\nx: {}\r\n\r\n", "1".repeat(50)), "trailers"),
    ] {
        let beside = Beside::start(|limits| {
            limits.chunk_extension_bytes_max = 40;
            limits.trailers_max = 2;
            limits.trailer_bytes_max = 40;
        })
        .await;
        let mut bad = beside.sandbox.connect().await;
        bad.send(format!(
            "PUT /shop/items/slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{what}"
        ))
        .await;
        assert!(bad.head().await.starts_with("http/1.1 4"));
        beside.hit(limit).await;
    }
}
