//! HTTP/2 to a backend: how calls spread over connections, and what happens when one ends.

use std::sync::Arc;

use base::ManualClock;
use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use snapshot::Protocol;
use tokio::sync::mpsc;

use crate::sandbox::{GET, Peer, Sandbox, Setup, Wire, passing, soon};

const POST: &str = "POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

fn setup(peer: &Peer) -> Setup {
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.protocol = Protocol::Http2;
    setup
}

/// A call that has arrived: over which connection, and how it is answered.
type Arrived = (usize, SendResponse<Bytes>);

/// Serves HTTP/2 with so many streams at a time.
fn serve(peer: Peer, streams_max: u32) -> mpsc::UnboundedReceiver<Arrived> {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for index in 0.. {
            let Ok(stream) = tokio::time::timeout(
                std::time::Duration::from_secs(60),
                peer.accept_stream_patiently(),
            )
            .await
            else {
                return;
            };
            let arrived = arrived.clone();
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.max_concurrent_streams(streams_max);
                let mut wire = builder.handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((_, respond))) = wire.accept().await {
                    let _ = arrived.send((index, respond));
                }
            });
        }
    });
    arrivals
}

async fn next(arrivals: &mut mpsc::UnboundedReceiver<Arrived>) -> Arrived {
    soon("a call", arrivals.recv()).await.unwrap()
}

fn answer(mut respond: SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

async fn ok(client: &mut Wire) {
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
}

async fn event(sandbox: &Sandbox, event: &str, count: u32) {
    sandbox
        .counts(&format!(
            "tollway_gateway_upstream_connections_total{{event=\"{event}\"}} {count}"
        ))
        .await;
}

#[tokio::test]
async fn a_peer_that_takes_one_stream_gets_a_connection_for_each_call() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut arrivals = serve(peer, 1);
    let (mut clients, mut calls) = (Vec::new(), Vec::new());
    for expected in 0..3 {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let (connection, respond) = next(&mut arrivals).await;
        assert_eq!(connection, expected);
        clients.push(client);
        calls.push(respond);
    }
    for (client, respond) in clients.iter_mut().zip(calls) {
        answer(respond);
        ok(client).await;
    }
    // Those that stand are used again.
    clients[0].send(GET).await;
    let (connection, respond) = next(&mut arrivals).await;
    assert!(connection < 3);
    answer(respond);
    ok(&mut clients[0]).await;
    event(&sandbox, "opened", 3).await;
}

#[tokio::test]
async fn a_connection_is_opened_before_the_streams_of_the_first_are_taken() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut arrivals = serve(peer, 100);
    let (mut clients, mut calls) = (Vec::new(), Vec::new());
    for count in 1..=75 {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let (connection, respond) = next(&mut arrivals).await;
        // Three quarters fill the first.
        assert_eq!(connection, 0, "{count}");
        if count == 74 {
            event(&sandbox, "opened", 1).await;
        }
        clients.push(client);
        calls.push(respond);
    }
    event(&sandbox, "opened", 2).await;
    // It is shared when the answer to its PING is there; a call before that takes a stream of the first, and gives it back.
    let mut client = sandbox.connect().await;
    let shared = async {
        loop {
            client.send(GET).await;
            match next(&mut arrivals).await {
                (0, respond) => {
                    answer(respond);
                    ok(&mut client).await;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                (_, respond) => return respond,
            }
        }
    };
    let respond = soon("the second connection", shared).await;
    clients.push(client);
    calls.push(respond);
    // The others go where there are fewer.
    for count in 77..=90 {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let (connection, respond) = next(&mut arrivals).await;
        assert_eq!(connection, 1, "{count}");
        clients.push(client);
        calls.push(respond);
    }
    event(&sandbox, "opened", 2).await;
    for (client, respond) in clients.iter_mut().zip(calls) {
        answer(respond);
        ok(client).await;
    }
}

#[tokio::test]
async fn with_as_many_connections_as_may_be_a_call_waits_for_a_stream() {
    let peer = Peer::bind().await;
    let mut setup = setup(&peer);
    setup.backend.calls.http2.connections_max = Some(1);
    setup.backend.calls.http2.streams_max = Some(1);
    let sandbox = setup.start();
    let mut arrivals = serve(peer, 100);
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let (_, first) = next(&mut arrivals).await;
    two.send(GET).await;
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"upstream_streams\"} 1")
        .await;
    answer(first);
    ok(&mut one).await;
    let (connection, second) = next(&mut arrivals).await;
    assert_eq!(connection, 0);
    answer(second);
    ok(&mut two).await;
}

#[tokio::test]
async fn a_connection_that_has_served_enough_is_replaced_and_ends_what_it_has() {
    let peer = Peer::bind().await;
    let mut setup = setup(&peer);
    setup.backend.calls.keep_alive.requests_max = Some(1);
    let sandbox = setup.start();
    let mut arrivals = serve(peer, 100);
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let (first, respond_first) = next(&mut arrivals).await;
    two.send(GET).await;
    let (second, respond_second) = next(&mut arrivals).await;
    assert_ne!(first, second);
    event(&sandbox, "worn", 1).await;
    answer(respond_second);
    ok(&mut two).await;
    answer(respond_first);
    ok(&mut one).await;
}

#[tokio::test]
async fn an_old_connection_takes_no_more_calls() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = setup(&peer);
    setup.clock = clock.clone();
    setup.backend.calls.keep_alive.age_max_ms = Some(60_000);
    setup.backend.calls.keep_alive.idle_ms = Some(600_000);
    let sandbox = setup.start();
    let mut arrivals = serve(peer, 100);
    let mut client = sandbox.connect().await;
    for (advance_ms, expected) in [(0, 0), (59_999, 0), (1, 1)] {
        clock.advance_ms(advance_ms);
        client.send(GET).await;
        let (connection, respond) = next(&mut arrivals).await;
        assert_eq!(connection, expected, "{advance_ms}");
        answer(respond);
        ok(&mut client).await;
    }
}

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END: u8 = 0x5;

/// HTTP/2 frame by frame.
pub(crate) struct Frames(Wire);

impl Frames {
    /// Greets, and answers the PING that asks for the settings.
    pub(crate) async fn greet(peer: &Peer) -> Self {
        let mut wire = peer.accept().await;
        wire.exactly(24).await;
        let mut frames = Self(wire);
        frames.send(SETTINGS, 0, 0, b"").await;
        let (_, _, payload) = frames.until(PING).await;
        frames.send(PING, ACK, 0, &payload).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.send(frame).await;
    }

    /// Passes over frames up to the first of this kind: its flags, stream and payload.
    async fn until(&mut self, wanted: u8) -> (u8, u32, Vec<u8>) {
        loop {
            let head = self.0.exactly(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = self.0.exactly(usize::try_from(length).unwrap()).await;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            // The same bit ends the stream of a head.
            let is_answer = head[4] & ACK != 0 && wanted != HEADERS;
            if head[3] == wanted && !is_answer {
                return (head[4], stream, payload);
            }
        }
    }

    /// A call; its stream.
    async fn call(&mut self) -> u32 {
        self.until(HEADERS).await.1
    }

    /// `:status: 200`, no body.
    async fn ok(&mut self, stream: u32) {
        self.send(HEADERS, END, stream, &[0x88]).await;
    }
}

#[tokio::test]
async fn what_a_backend_that_goes_away_has_not_looked_at_goes_elsewhere() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(POST).await;
    let mut first = Frames::greet(&peer).await;
    let stream = first.call().await;
    two.send(POST).await;
    assert!(first.call().await > stream);
    let last = [stream.to_be_bytes(), 0u32.to_be_bytes()].concat();
    first.send(GOAWAY, 0, 0, &last).await;
    let mut second = Frames::greet(&peer).await;
    let moved = second.call().await;
    second.ok(moved).await;
    ok(&mut two).await;
    // What it has looked at ends there.
    first.ok(stream).await;
    ok(&mut one).await;
    event(&sandbox, "goaway", 1).await;
    event(&sandbox, "retried", 1).await;
}

/// A backend that closes without a word, as a process that is killed does: the call goes over another connection, whatever
/// its method, when the end has come before its first byte was written. Here the driver mostly hears of it first; that a call
/// asks by itself, the test of `upstream::h2::wire` shows.
#[tokio::test]
async fn a_post_that_meets_a_connection_closed_without_goaway_goes_over_a_new_one() {
    const ROUNDS: u32 = 100;
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut client = sandbox.connect().await;
    client.send(POST).await;
    let mut backend = Frames::greet(&peer).await;
    let stream = backend.call().await;
    backend.ok(stream).await;
    ok(&mut client).await;
    for _ in 0..ROUNDS {
        // No wait between the two: the worker hears of both at the same time.
        drop(backend);
        client.send(POST).await;
        backend = Frames::greet(&peer).await;
        let stream = backend.call().await;
        backend.ok(stream).await;
        ok(&mut client).await;
    }
    event(&sandbox, "opened", ROUNDS + 1).await;
}

#[tokio::test]
async fn a_refused_stream_goes_over_another_connection_whatever_the_method() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut client = sandbox.connect().await;
    client.send(POST).await;
    let mut first = Frames::greet(&peer).await;
    let stream = first.call().await;
    first.send(RST_STREAM, 0, stream, &7u32.to_be_bytes()).await;
    let mut second = Frames::greet(&peer).await;
    let stream = second.call().await;
    second.ok(stream).await;
    ok(&mut client).await;
    event(&sandbox, "stream_refused", 1).await;
}

#[tokio::test]
async fn a_stream_that_the_backend_breaks_is_not_sent_again() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut client = sandbox.connect().await;
    client.send(POST).await;
    let mut backend = Frames::greet(&peer).await;
    let stream = backend.call().await;
    backend
        .send(RST_STREAM, 0, stream, &2u32.to_be_bytes())
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
    assert!(body.contains("BACKEND_FAILED"), "{body}");
    event(&sandbox, "opened", 1).await;
}

#[tokio::test]
async fn a_backend_that_does_not_answer_a_ping_loses_its_connection() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let mut setup = setup(&peer);
    setup.clock = clock.clone();
    setup.backend.calls.http2.ping_every_ms = Some(5_000);
    setup.backend.calls.http2.ping_timeout_ms = Some(2_000);
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = Frames::greet(&peer).await;
    let stream = backend.call().await;
    // One is answered.
    clock.advance_ms(5_000);
    let (_, _, payload) = backend.until(PING).await;
    backend.send(PING, ACK, 0, &payload).await;
    // Its answer has been read when that of a call behind it has.
    let mut other = sandbox.connect().await;
    other.send(GET).await;
    let behind = backend.call().await;
    backend.ok(behind).await;
    ok(&mut other).await;
    passing("a PING", &clock, 5_000, backend.until(PING)).await;
    clock.advance_ms(2_000);
    event(&sandbox, "ping_timeout", 1).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
    let _ = stream;
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http2_is_told_apart() {
    let peer = Peer::bind().await;
    let sandbox = setup(&peer).start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.exactly(24).await;
    backend
        .send("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        .await;
    drop(backend);
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
    assert!(body.contains("BACKEND_UNREACHABLE"), "{body}");
}
