//! A request that is answered before its body was read (RFC 9112 §9.6): the connection stays where little is to come, and
//! otherwise the answer says that it ends; no answer is lost to a client that sends on.

use std::sync::Arc;

use base::ManualClock;
use bytes::Bytes;
use policy::{Ahead, Outcome, Phase, Policy, Reject, RequestCx, Step, Verdict};
use snapshot::{Endpoint, Protocol};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::sandbox::{Nobody, OK, Peer, Sandbox, Setup, Wire, field, passing, soon, standing};
use crate::tls::{connect_tls, https};

const NONE: &str = "GET /none HTTP/1.1\r\nhost: x\r\n\r\n";
const CLOSED: &str = "tollway_gateway_connections_open{protocol=\"http/1.1\"} 0";

/// Refuses everything; first it looks at so much of the body.
struct Refuses(usize);

impl Policy for Refuses {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async move {
            if let Some(Ahead(ahead)) = cx.slots.get::<Ahead>().cloned() {
                let peeked = ahead.peek(self.0).await;
                assert!(!peeked.unwrap().whole);
            }
            let reject = Reject::new(base::code::CALLER_NOT_ALLOWED, "no");
            Verdict::Reject(Box::new(reject))
        }))
    }

    fn looks_ahead(&self) -> bool {
        self.0 > 0
    }
}

fn refuses(bytes: usize) -> Vec<Step> {
    vec![Step::new(
        "refuses",
        Phase::Authorize,
        Arc::new(Refuses(bytes)),
    )]
}

/// Whose yes or no comes without the body.
fn blind(nobody: &Nobody) -> [(Sandbox, &'static str); 2] {
    let mut refused = Setup::new(vec![nobody.endpoint()]);
    refused.policies = || refuses(0);
    let failed = Setup::new(vec![nobody.endpoint()]);
    [(refused.start(), "403"), (failed.start(), "502")]
}

/// Those, and one who has looked at the beginning.
fn all(nobody: &Nobody) -> [(Sandbox, &'static str); 3] {
    let mut looked = Setup::new(vec![nobody.endpoint()]);
    looked.policies = || refuses(4);
    let [refused, failed] = blind(nobody);
    [refused, failed, (looked.start(), "403")]
}

/// Before this endpoint, with a clock that stands.
fn timed(endpoint: Endpoint, change: impl FnOnce(&mut Setup)) -> (Sandbox, Arc<ManualClock>) {
    let clock = standing();
    let mut setup = Setup::new(vec![endpoint]);
    setup.clock = clock.clone();
    change(&mut setup);
    (setup.start(), clock)
}

fn post(fields: &str) -> String {
    format!("POST /shop/items HTTP/1.1\r\nhost: x\r\n{fields}\r\n")
}

/// An answer behind `100 Continue`, or without.
async fn last_answer<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Wire<S>) -> (String, String) {
    let answer = client.answer().await;
    if answer.0.starts_with("http/1.1 100 ") {
        return client.answer().await;
    }
    answer
}

/// An answer that says whether it is the last one.
async fn answered<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Wire<S>,
    status: &str,
    closes: bool,
) {
    let (head, body) = last_answer(client).await;
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    let close = closes.then_some("close");
    assert_eq!(field(&head, "connection"), close, "{head}");
    assert!(!body.is_empty());
}

/// The other side ends, and does not break off.
async fn ends<S: AsyncRead + AsyncWrite + Unpin>(client: Wire<S>) -> S {
    let mut stream = client.into_inner();
    let read = soon("the end", stream.read(&mut [0])).await;
    assert_eq!(read.unwrap(), 0);
    stream
}

#[tokio::test]
async fn a_body_that_is_there_does_not_end_the_connection() {
    let nobody = Nobody::bind();
    for (sandbox, status) in all(&nobody) {
        let mut client = sandbox.connect().await;
        let length = post("content-length: 10\r\n") + "0123456789";
        let chunked =
            post("transfer-encoding: chunked\r\n") + "8\r\nGET /x H\r\n2\r\nab\r\n0\r\n\r\n";
        let expects = post("expect: 100-continue\r\ncontent-length: 10\r\n") + "0123456789";
        for request in [&length, &chunked, &expects] {
            client.send(request).await;
            answered(&mut client, status, false).await;
        }
        // With requests behind them.
        client
            .send([&length, NONE, &chunked, &length, NONE].concat())
            .await;
        for status in [status, "404", status, status, "404"] {
            answered(&mut client, status, false).await;
        }
    }
}

#[tokio::test]
async fn a_little_that_is_to_come_is_waited_for() {
    let nobody = Nobody::bind();
    for (sandbox, status) in blind(&nobody) {
        let mut client = sandbox.connect().await;
        let rest = "x".repeat(32 * 1024);
        for _ in 0..2 {
            client.send(post("content-length: 32768\r\n")).await;
            answered(&mut client, status, false).await;
            let (some, more) = rest.split_at(10_000);
            client.send(some).await;
            client.send(more.to_owned() + NONE).await;
            answered(&mut client, "404", false).await;
        }
    }
}

/// One that the backend answered before it had all of it.
#[tokio::test]
async fn a_little_that_a_backend_did_not_wait_for_is_waited_for() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    for _ in 0..2 {
        client.send(post("content-length: 10\r\n") + "01234").await;
        let mut backend = peer.accept().await;
        backend.until("01234").await;
        backend.send(OK).await;
        answered(&mut client, "200", false).await;
        assert!(backend.closes().await);
        client.send("56789").await;
        client.send(NONE).await;
        answered(&mut client, "404", false).await;
    }
}

/// HTTP/2 to the backend reads the body in a task of its own, which may let go of it at any time.
#[tokio::test]
async fn a_little_that_a_backend_over_http2_did_not_wait_for_is_waited_for() {
    let peer = Peer::bind().await;
    let (sandbox, clock) = timed(peer.endpoint(), |setup| {
        setup.backend.protocol = Protocol::Http2;
        setup.config.limits.head_timeout_ms = 3_600_000;
    });
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 10\r\n") + "01234").await;
    let stream = peer.accept_stream().await;
    let mut wire = soon("HTTP/2", h2::server::handshake(stream)).await.unwrap();
    let (request, mut respond) = soon("a call", wire.accept()).await.unwrap().unwrap();
    let answer = http::Response::builder().header("content-length", 2);
    let mut body = respond
        .send_response(answer.body(()).unwrap(), false)
        .unwrap();
    body.send_data(Bytes::from_static(b"ok"), true).unwrap();
    drop((request, respond, body));
    tokio::spawn(async move { while wire.accept().await.is_some() {} });
    answered(&mut client, "200", false).await;
    client.send("56789").await;
    let rests = sandbox.counts("tollway_gateway_connections_resting 1");
    passing("rest", &clock, 2_000, rests).await;
    client.send(NONE).await;
    answered(&mut client, "404", false).await;
}

/// What is read and dropped is no head, and no request that went before is answered twice.
#[tokio::test]
async fn what_is_waited_for_has_as_long_as_a_head() {
    let nobody = Nobody::bind();
    let (sandbox, clock) = timed(nobody.endpoint(), |_| ());
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 10\r\n") + "01234").await;
    answered(&mut client, "502", false).await;
    assert!(passing("the end", &clock, 11_000, client.closes()).await);
    hit(&sandbox, "head_timeout").await;
}

/// The connection rests like any other.
#[tokio::test]
async fn who_has_sent_all_owes_nothing() {
    let nobody = Nobody::bind();
    let (sandbox, clock) = timed(nobody.endpoint(), |setup| {
        setup.config.limits.head_timeout_ms = 3_600_000;
    });
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 10\r\n") + "01234").await;
    answered(&mut client, "502", false).await;
    client.send("56789").await;
    let rests = sandbox.counts("tollway_gateway_connections_resting 1");
    passing("rest", &clock, 2_000, rests).await;
    client.send(NONE).await;
    answered(&mut client, "404", false).await;
}

const LONG_BYTES: usize = 16 << 20;

/// Answers with more than any socket holds.
struct Tells;

impl Policy for Tells {
    fn on_request<'a>(&'a self, _: &'a mut RequestCx) -> Outcome<'a> {
        let response = http::Response::new(Bytes::from(vec![b'y'; LONG_BYTES]));
        Outcome::Now(Verdict::Respond(Box::new(response)))
    }
}

/// Time that the client has for what it owes behind an answer does not run while the answer is still being taken, and no other
/// answer comes into its middle.
#[tokio::test]
async fn an_answer_that_is_taken_late_comes_whole() {
    let nobody = Nobody::bind();
    let (sandbox, clock) = timed(nobody.endpoint(), |setup| {
        setup.policies = || vec![Step::new("tells", Phase::Authorize, Arc::new(Tells))];
        setup.config.limits.answer_timeout_ms = 3_600_000;
        setup.config.limits.idle_timeout_ms = 3_600_000;
    });
    let cases = [(20_000, 8, false), (300_000, 200_000, true)];
    for (number, (length, sent, closes)) in std::iter::zip(1.., cases) {
        let mut client = sandbox.connect().await;
        let head = post(&format!("content-length: {length}\r\n"));
        client.send(head + &"x".repeat(sent)).await;
        let handed =
            r#"{api="shop-1.0.0",operation="POST /items",method="POST",status="2xx",plan=""}"#;
        let handed = format!("tollway_gateway_requests_total{handed} {number}");
        sandbox.counts(&handed).await;
        // Somebody else's time is over meanwhile.
        let mut other = sandbox.connect().await;
        other.send("GET /none HTTP/1.1\r\n").await;
        let (head, _) = passing("the end", &clock, 11_000, other.answer()).await;
        assert!(head.starts_with("http/1.1 408 "), "{head}");
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert_eq!(field(&head, "connection"), closes.then_some("close"));
        assert!(body.len() == LONG_BYTES && body.bytes().all(|byte| byte == b'y'));
        if !closes {
            client.send("x".repeat(length - sent) + NONE).await;
            answered(&mut client, "404", false).await;
        }
    }
}

async fn hit(sandbox: &Sandbox, limit: &str) {
    let line = format!("tollway_gateway_limits_hit_total{{limit=\"{limit}\"}} 1");
    sandbox.counts(&line).await;
}

/// Requests of which much is to come, or nobody knows how much: what is there when they are answered, and what is sent
/// behind it by a client that does not look.
fn long() -> Vec<(String, Vec<u8>)> {
    let body = |length| vec![b'x'; length];
    let chunks = |count: usize| {
        ["3e8\r\n", &"x".repeat(1_000), "\r\n"]
            .concat()
            .repeat(count)
    };
    let length = |bytes: usize| post(&format!("content-length: {bytes}\r\n"));
    let chunked = post("transfer-encoding: chunked\r\n") + &chunks(1);
    vec![
        (length(300_000) + "01234567", body(300_000 - 8)),
        (length(20_000_000) + "01234567", body(20_000_000 - 8)),
        // Half of it.
        (length(300_000) + "01234567", body(150_000)),
        (chunked.clone(), (chunks(20_000) + "0\r\n\r\n").into_bytes()),
        (chunked, chunks(5).into_bytes()),
    ]
}

#[tokio::test]
async fn where_much_is_to_come_the_answer_is_the_last_one_and_arrives() {
    let nobody = Nobody::bind();
    for (sandbox, status) in all(&nobody) {
        for (head, body) in long() {
            // Who reads the answer first.
            let mut client = sandbox.connect().await;
            client.send(&head).await;
            answered(&mut client, status, true).await;
            let mut stream = ends(client).await;
            let sent = stream.write_all(&body);
            soon("the rest", sent).await.unwrap();
            drop(stream);
            // Who sends all first.
            let mut client = sandbox.connect().await;
            client.send([head.as_bytes(), &body].concat()).await;
            let (head, _) = client.answer().await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
            if field(&head, "connection").is_some() {
                ends(client).await;
            }
        }
        sandbox.counts(CLOSED).await;
    }
}

#[tokio::test]
async fn it_is_so_when_the_backend_answers_early_or_breaks_off() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    for (head, body) in long() {
        for (answer, status) in [(OK, "200"), ("", "502")] {
            let mut client = sandbox.connect().await;
            client.send(&head).await;
            let mut backend = peer.accept().await;
            backend.head().await;
            backend.exactly(8).await;
            backend.send(answer).await;
            drop(backend);
            answered(&mut client, status, true).await;
            let mut stream = ends(client).await;
            let sent = stream.write_all(&body);
            soon("the rest", sent).await.unwrap();
        }
    }
}

/// Over TLS the end is told, too.
#[tokio::test]
async fn it_is_so_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Nobody::bind();
    let mut setup = Setup::new(vec![nobody.endpoint()]);
    https(&mut setup, folder.path());
    let sandbox = setup.start();
    for (head, body) in long() {
        let mut client = Wire::new(connect_tls(&sandbox, folder.path(), b"http/1.1").await);
        client.send(&head).await;
        answered(&mut client, "502", true).await;
        let mut stream = ends(client).await;
        let sent = stream.write_all(&body);
        soon("the rest", sent).await.unwrap();
    }
}

/// Who has not been told to go on may send a body or another request: nobody could tell which.
#[tokio::test]
async fn a_body_that_was_not_asked_for_is_not_waited_for() {
    let nobody = Nobody::bind();
    for (sandbox, status) in blind(&nobody) {
        let mut client = sandbox.connect().await;
        client
            .send(post("expect: 100-continue\r\ncontent-length: 10\r\n"))
            .await;
        answered(&mut client, status, true).await;
        let mut stream = ends(client).await;
        let sent = stream.write_all(NONE.as_bytes());
        soon("another request", sent).await.unwrap();
        drop(stream);
        sandbox.counts(CLOSED).await;
    }
}

/// The answer to what is no HTTP arrives as well.
#[tokio::test]
async fn a_malformed_request_with_much_behind_it_is_answered() {
    let nobody = Nobody::bind();
    let sandbox = Setup::new(vec![nobody.endpoint()]).start();
    let much = "x".repeat(20_000_000);
    for request in [
        "GET /none HTTP/1.1\r\nhost: x\r\nno field\r\n\r\n".to_owned(),
        post("transfer-encoding: chunked\r\n") + "no chunk\r\n",
    ] {
        let mut client = sandbox.connect().await;
        client.send(request + &much).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("http/1.1 "), "{head}");
        assert_eq!(field(&head, "connection"), Some("close"));
        ends(client).await;
    }
}

/// req: S12
#[tokio::test]
async fn so_many_bytes_are_dropped() {
    let nobody = Nobody::bind();
    let mut setup = Setup::new(vec![nobody.endpoint()]);
    setup.config.limits.unread_bytes_max = 1_000_000;
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 50000000\r\n")).await;
    answered(&mut client, "502", true).await;
    let mut stream = ends(client).await;
    let much = vec![b'x'; 50_000_000];
    let sent = stream.write_all(&much);
    assert!(soon("the rest", sent).await.is_err());
    hit(&sandbox, "unread").await;
    sandbox.counts(CLOSED).await;
}

/// req: S12
#[tokio::test]
async fn for_so_long_they_are_dropped() {
    let nobody = Nobody::bind();
    let (sandbox, clock) = timed(nobody.endpoint(), |_| ());
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 300000\r\n")).await;
    answered(&mut client, "502", true).await;
    let stream = ends(client).await;
    passing("the end", &clock, 31_000, sandbox.counts(CLOSED)).await;
    hit(&sandbox, "body_timeout").await;
    drop(stream);
}

/// A node that stops does not wait for who may send on.
#[tokio::test]
async fn a_node_that_stops_drops_no_longer() {
    let nobody = Nobody::bind();
    let (sandbox, clock) = timed(nobody.endpoint(), |_| ());
    let mut client = sandbox.connect().await;
    client.send(post("content-length: 300000\r\n")).await;
    answered(&mut client, "502", true).await;
    let _stream = ends(client).await;
    let stopped = sandbox.gateway.drain(std::time::Duration::from_mins(1));
    let drained = passing("the end", &clock, 1_100, stopped).await;
    assert_eq!(drained.cut, 0);
}

/// RFC 9113 §8.1: a stream that is answered early is reset without an error, and its connection goes on.
#[tokio::test]
async fn over_http2_the_stream_alone_ends() {
    let nobody = Nobody::bind();
    for (sandbox, status) in blind(&nobody) {
        let stream = sandbox.connect_stream().await;
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut client = soon("ready", client.ready()).await.unwrap();
        for _ in 0..2 {
            let request = http::Request::post("http://x/shop/items").body(()).unwrap();
            let (answer, mut body) = client.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"0123"), false).unwrap();
            let answer = soon("the answer", answer).await.unwrap();
            assert_eq!(answer.status().as_str(), status);
            let mut told = answer.into_body();
            while let Some(data) = soon("the body", told.data()).await {
                data.unwrap();
            }
            let reason = soon("the reset", std::future::poll_fn(|cx| body.poll_reset(cx))).await;
            assert_eq!(reason.unwrap(), h2::Reason::NO_ERROR);
        }
    }
}
