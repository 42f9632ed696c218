//! Bad peers over HTTP/2, frame by frame.

use super::Beside;
use crate::sandbox::{Sandbox, Wire, soon};

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a request, all of it literal (RFC 7541 §6.2.2) but for two indexed fields.
fn head(method: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x86];
    for (index, value) in [(2, method), (4, path), (1, "x")] {
        block.extend([index, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    }
    block
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &head("GET", path),
    )
}

/// A connection that has said that it speaks HTTP/2.
async fn connect(sandbox: &Sandbox, settings: &[u8]) -> Wire {
    let mut bad = sandbox.connect().await;
    bad.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    bad.send(frame(SETTINGS, 0, 0, settings)).await;
    bad
}

/// The frames of what was received: type, stream, payload. One that was cut off ends them.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        found.push((head[3], stream, payload.to_vec()));
        bytes = rest;
    }
    found
}

/// Reads until a frame of this kind comes.
async fn until(bad: &mut Wire, wanted: u8) -> (u32, Vec<u8>) {
    loop {
        let head = bad.exactly(9).await;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = bad.exactly(length).await;
        if head[3] == wanted {
            return (u32::from_be_bytes(head[5..9].try_into().unwrap()), payload);
        }
    }
}

/// Sends so many of these until nobody takes them, and finds the connection ended with GOAWAY.
async fn floods(limit: &str, begin: Vec<u8>, each: impl Fn(u32) -> Vec<u8>) {
    let beside = Beside::start(|limits| {
        limits.h2.window_ms = 60_000;
        limits.h2.resets_max = 20;
        limits.h2.pings_max = 20;
        limits.h2.window_updates_max = 150;
        limits.h2.other_frames_max = 20;
    })
    .await;
    let mut bad = connect(&beside.sandbox, &[]).await;
    bad.send(begin).await;
    let mut flood = Vec::new();
    for index in 0..200 {
        flood.extend(each(index));
    }
    // It may be closed before all was sent.
    bad.try_send(&flood).await;
    let received = soon("the end", bad.rest_bytes()).await;
    if let Some((_, _, payload)) = frames(&received).iter().find(|(kind, ..)| *kind == GOAWAY) {
        assert_eq!(payload[7], ENHANCE_YOUR_CALM, "{limit}");
    } else {
        // What the client still sent has reset the connection before it could read why.
        assert!(received.len() < 1 << 20);
    }
    let sandbox = beside.hit(limit).await;
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 0")
        .await;
}

/// CVE-2023-44487.
#[tokio::test]
async fn one_that_resets_what_it_opens() {
    floods("h2_resets", Vec::new(), |index| {
        let stream = 2 * index + 1;
        let mut bytes = get(stream, "/shop/items/slow");
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        bytes
    })
    .await;
}

/// CVE-2025-8671.
#[tokio::test]
async fn one_that_has_its_streams_reset() {
    floods("h2_resets", Vec::new(), |index| {
        let stream = 2 * index + 1;
        let mut bytes = get(stream, "/shop/items/slow");
        if index >= 100 {
            return Vec::new();
        }
        // A window beyond the greatest is an error of the stream.
        bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
        bytes
    })
    .await;
}

/// CVE-2019-9512.
#[tokio::test]
async fn one_that_pings() {
    floods("h2_pings", Vec::new(), |_| frame(6, 0, 0, &[7; 8])).await;
}

/// CVE-2019-9515.
#[tokio::test]
async fn one_that_changes_its_settings() {
    floods("h2_settings", Vec::new(), |_| frame(SETTINGS, 0, 0, &[])).await;
}

/// CVE-2024-27316.
#[tokio::test]
async fn one_whose_head_does_not_end() {
    let begin = frame(HEADERS, 0, 1, &head("GET", "/"));
    floods("h2_continuations", begin, |_| {
        frame(CONTINUATION, 0, 1, &[])
    })
    .await;
}

/// CVE-2019-9518.
#[tokio::test]
async fn one_that_sends_data_without_data() {
    let begin = frame(HEADERS, END_HEADERS, 1, &head("PUT", "/shop/items/slow"));
    floods("h2_empty_data", begin, |_| frame(0, 0, 1, &[])).await;
}

#[tokio::test]
async fn one_that_updates_windows() {
    floods("h2_window_updates", Vec::new(), |_| {
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
    })
    .await;
}

/// CVE-2019-9513.
#[tokio::test]
async fn ones_that_send_what_nobody_needs() {
    floods("h2_other_frames", Vec::new(), |_| frame(2, 0, 1, &[0; 5])).await;
    floods("h2_other_frames", Vec::new(), |_| frame(0xbb, 0, 0, &[])).await;
}

#[tokio::test]
async fn one_that_opens_more_streams_than_it_may_is_refused_those() {
    let beside = Beside::start(|limits| limits.h2.streams_max = 5).await;
    let mut bad = connect(&beside.sandbox, &[]).await;
    for stream in 0..8 {
        bad.send(get(2 * stream + 1, "/shop/items/slow")).await;
    }
    for _ in 0..3 {
        let (stream, payload) = until(&mut bad, RST_STREAM).await;
        assert!(stream > 9, "{stream}");
        assert_eq!(payload[3], REFUSED_STREAM);
    }
    // The connection goes on.
    bad.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    bad.send(get(99, "/shop/items")).await;
    loop {
        let (stream, _) = until(&mut bad, HEADERS).await;
        if stream == 99 {
            break;
        }
    }
    let sandbox = beside.hit("h2_streams").await;
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"h2_streams\"} 3")
        .await;
}

#[tokio::test]
async fn one_that_begins_a_head_and_does_not_go_on() {
    for begun in [
        frame(HEADERS, 0, 1, &head("GET", "/")),
        get(1, "/shop/items")[..12].to_vec(),
        vec![0, 0, 8],
    ] {
        let beside = Beside::start(|limits| limits.head_timeout_ms = 1_000).await;
        let mut bad = connect(&beside.sandbox, &[]).await;
        bad.send(begun).await;
        soon("the end", bad.rest_bytes()).await;
        beside.hit("head_timeout").await;
    }
}

#[tokio::test]
async fn one_that_drips_its_body_loses_its_stream() {
    let beside = Beside::start(|limits| limits.body_timeout_ms = 1_000).await;
    let mut bad = connect(&beside.sandbox, &[]).await;
    bad.send(frame(
        HEADERS,
        END_HEADERS,
        1,
        &head("PUT", "/shop/items/slow"),
    ))
    .await;
    bad.send(frame(0, 0, 1, b"x")).await;
    let (stream, block) = until(&mut bad, HEADERS).await;
    assert_eq!(stream, 1);
    // `:status: 408`, as a literal with the name's index.
    assert!(
        block.windows(2).any(|pair| pair[0] & 0x0f == 8),
        "{block:?}"
    );
    bad.send(get(3, "/shop/items")).await;
    while until(&mut bad, HEADERS).await.0 != 3 {}
    beside.hit("body_timeout").await;
}

/// Its windows stay shut, for an answer that comes in parts and for one that is there at once.
#[tokio::test]
async fn one_that_does_not_take_its_answers() {
    let no_window = [0, 4, 0, 0, 0, 0];
    for path in ["/shop/items/large", "/shop/items"] {
        let beside = Beside::start(|limits| limits.answer_timeout_ms = 500).await;
        let mut bad = connect(&beside.sandbox, &no_window).await;
        bad.send(get(1, path)).await;
        until(&mut bad, HEADERS).await;
        let sandbox = beside.hit("answer_timeout").await;
        sandbox
            .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 0")
            .await;
    }
}

#[tokio::test]
async fn ones_that_send_long_heads_are_told_so() {
    let beside = Beside::start(|limits| {
        limits.target_bytes_max = 100;
        limits.head_bytes_max = 300;
    })
    .await;
    let mut bad = connect(&beside.sandbox, &[]).await;
    bad.send(get(1, &format!("/{}", "x".repeat(100)))).await;
    until(&mut bad, HEADERS).await;
    let sandbox = beside.hit("target").await;
    let mut bad = connect(&sandbox, &[]).await;
    let mut block = head("GET", "/");
    block.extend([0, 1, b'x', 120]);
    block.extend([b'1'; 120]);
    block.extend([0, 1, b'y', 120]);
    block.extend([b'1'; 120]);
    bad.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    until(&mut bad, HEADERS).await;
    super::hit(&sandbox, "head").await;
}

#[tokio::test]
async fn one_that_sends_many_trailers() {
    let beside = Beside::start(|limits| limits.trailers_max = 2).await;
    let mut bad = connect(&beside.sandbox, &[]).await;
    bad.send(frame(
        HEADERS,
        END_HEADERS,
        1,
        &head("PUT", "/shop/items/slow"),
    ))
    .await;
    bad.send(frame(0, 0, 1, b"body")).await;
    let mut block = Vec::new();
    for name in [b'a', b'b', b'c'] {
        block.extend([0, 1, name, 1, b'1']);
    }
    bad.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    beside.hit("trailers").await;
}
