//! WebSockets through the gateway: real clients, real servers, and both ends by hand where it matters what comes when.

use std::time::Duration;

use base::Clock;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::sandbox::{OK, Peer, Sandbox, Setup, field, passing, runs, soon, standing};

/// The example of RFC 6455 §1.3.
pub(crate) const HANDSHAKE: &str = "GET /shop/items/live?x=1 HTTP/1.1\r\nhost: Shop.example\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: WebSocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
    sec-websocket-protocol: chat\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n";

type Socket = WebSocketStream<TcpStream>;

/// A client's and a backend's end of one WebSocket.
async fn opened(sandbox: &Sandbox, peer: &Peer) -> (Socket, Socket) {
    let request = "ws://shop.example/shop/items/live"
        .into_client_request()
        .unwrap();
    let stream = sandbox.connect_stream().await;
    let accepting = async {
        let stream = peer.accept_stream().await;
        accept_async(stream).await.unwrap()
    };
    let (client, backend) = tokio::join!(client_async(request, stream), accepting);
    (client.unwrap().0, backend)
}

/// One message, from one end to the other; answers to pings come in between.
async fn pass(from: &mut Socket, to: &mut Socket, message: &Message) {
    let receive = async {
        loop {
            match to.next().await.unwrap().unwrap() {
                Message::Pong(_) if !message.is_pong() => {}
                got => break got,
            }
        }
    };
    let (sent, got) = soon("message", async {
        tokio::join!(from.send(message.clone()), receive)
    })
    .await;
    sent.unwrap();
    assert!(got == *message, "another message came");
}

/// req: GW14
#[tokio::test]
async fn frames_of_all_kinds_pass_both_ways() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut client, mut backend) = opened(&sandbox, &peer).await;
    sandbox.counts("tollway_gateway_tunnels_open 1").await;
    let large: Vec<u8> = (0..5_000_000_u32)
        .map(|byte| u8::try_from(byte % 251).unwrap())
        .collect();
    let messages = [
        Message::text("a text"),
        Message::binary(vec![0, 255, 1]),
        Message::Ping("p".into()),
        Message::text(""),
        Message::binary(large),
    ];
    for message in messages {
        pass(&mut client, &mut backend, &message).await;
        pass(&mut backend, &mut client, &message).await;
    }
    let bye = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    client.close(Some(bye.clone())).await.unwrap();
    loop {
        match soon("close", backend.next()).await.unwrap().unwrap() {
            Message::Close(frame) => break assert_eq!(frame, Some(bye)),
            Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let _ = backend.flush().await;
    drop((client, backend));
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
    let text = sandbox.metrics();
    let bytes = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    assert!(bytes("tollway_gateway_tunnel_request_bytes_total") > 5_000_000);
    assert!(bytes("tollway_gateway_tunnel_response_bytes_total") > 5_000_000);
    sandbox.counts("tollway_gateway_upstream_open 0").await;
}

/// A request before it in the same segment is none of its business.
#[tokio::test]
async fn a_handshake_may_stand_behind_other_requests() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    let none = "GET /none HTTP/1.1\r\nhost: x\r\n\r\n";
    client.send(format!("{none}{none}{HANDSHAKE}")).await;
    for _ in 0..2 {
        let (head, _) = client.answer().await;
        assert!(head.starts_with("http/1.1 404 "), "{head}");
    }
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(SWITCHED).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
}

#[tokio::test]
async fn the_backend_gets_the_handshake_and_the_client_its_answer() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert!(
        head.starts_with("get /base/items/live?x=1 http/1.1\r\n"),
        "{head}"
    );
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(
        field(&head, "sec-websocket-key"),
        Some("dghlihnhbxbszsbub25jzq==")
    );
    assert_eq!(field(&head, "x-forwarded-host"), Some("shop.example"));
    // Bytes in the segment of the answer belong to the tunnel.
    backend.send(format!("{SWITCHED}first bytes")).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "sec-websocket-protocol"), Some("chat"));
    assert_eq!(
        field(&head, "sec-websocket-accept"),
        Some("s3pplmbitxaq9kygzzhzrbk+xoo=")
    );
    assert!(field(&head, "content-length").is_none(), "{head}");
    assert_eq!(client.exactly(11).await, b"first bytes");
    // What looks like HTTP is none any more.
    client.send("GET /x HTTP/1.1\n\n").await;
    assert_eq!(backend.exactly(17).await, b"GET /x HTTP/1.1\n\n");
}

/// The client does not wait for the answer: what it sent is held until the backend has switched.
#[tokio::test]
async fn bytes_behind_the_handshake_go_through_the_tunnel() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(format!("{HANDSHAKE}\u{1}ahead")).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    client.send(" and more").await;
    backend.send(SWITCHED).await;
    assert_eq!(backend.exactly(15).await, b"\x01ahead and more");
    client.head().await;
    backend.send("back").await;
    assert_eq!(client.exactly(4).await, b"back");
}

/// A backend that refuses answers like any other: the connection goes on with what was held.
#[tokio::test]
async fn a_refusal_is_an_answer_and_the_next_request_follows() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send(format!(
            "{HANDSHAKE}GET /shop/items/2 HTTP/1.1\r\nhost: x\r\n\r\n"
        ))
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 403 ") && body == "no", "{head}");
    assert!(backend.head().await.starts_with("get /base/items/2 "));
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    // And framing is still looked at.
    client.send("GET / HTTP/1.1\nhost: x\n\n").await;
    assert!(client.answer().await.0.starts_with("http/1.1 400 "));
    assert!(client.closes().await);
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
}

#[tokio::test]
async fn a_backend_that_switches_to_something_else_is_refused() {
    let wrong_accept = SWITCHED.replace("s3pP", "xxxx");
    let other = SWITCHED.replace("upgrade: websocket", "upgrade: h2c");
    for answer in [wrong_accept, other] {
        let peer = Peer::bind().await;
        let sandbox = Sandbox::to(&peer);
        let mut client = sandbox.connect().await;
        client.send(HANDSHAKE).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backend.send(answer).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 502 "), "{head}");
        assert!(body.contains("BACKEND_FAILED"), "{body}");
        assert!(backend.closes().await);
    }
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    for (change, with, status, code) in [
        ("GET", "PUT", "400", "WEBSOCKET_HANDSHAKE"),
        (
            "keep-alive, Upgrade",
            "keep-alive",
            "400",
            "WEBSOCKET_HANDSHAKE",
        ),
        ("dGhl", "", "400", "WEBSOCKET_HANDSHAKE"),
        ("version: 13", "version: 12", "426", "WEBSOCKET_VERSION"),
        (
            "Upgrade\r\n",
            "Upgrade, host\r\n",
            "400",
            "BAD_REQUEST_FRAMING",
        ),
        (
            "\r\n\r\n",
            "\r\ncontent-length: 1\r\n\r\n",
            "400",
            "BAD_REQUEST_FRAMING",
        ),
    ] {
        let mut client = sandbox.connect().await;
        client.send(HANDSHAKE.replacen(change, with, 1)).await;
        let (head, body) = client.answer().await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{with}: {head}"
        );
        assert!(body.contains(code), "{with}: {body}");
        assert!(client.closes().await, "{with}");
    }
    // Other protocols, and HTTP/1.0, are not upgraded: the request is served as if nothing was asked.
    for (change, with) in [("WebSocket", "h2c"), ("HTTP/1.1", "HTTP/1.0")] {
        let mut client = sandbox.connect().await;
        client.send(HANDSHAKE.replacen(change, with, 1)).await;
        let mut backend = peer.accept().await;
        let head = backend.head().await;
        assert!(field(&head, "upgrade").is_none() && field(&head, "connection").is_none());
        backend
            .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.answer().await.1, "ok");
    }
}

#[tokio::test]
async fn who_goes_away_ends_the_tunnel_for_the_other() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (client, mut backend) = opened(&sandbox, &peer).await;
    drop(client);
    assert!(matches!(
        soon("end", backend.next()).await,
        Some(Err(_)) | None
    ));
    drop(backend);
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"client\"} 1")
        .await;
    let (mut client, backend) = opened(&sandbox, &peer).await;
    drop(backend);
    assert!(matches!(
        soon("end", client.next()).await,
        Some(Err(Error::Protocol(_) | Error::Io(_))) | None
    ));
    drop(client);
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"backend\"} 1")
        .await;
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"http/1.1\"} 0")
        .await;
}

/// A client that goes away before the backend has answered takes its handshake along.
#[tokio::test]
async fn a_client_that_does_not_wait_for_the_answer_is_noticed() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    drop(client);
    assert!(backend.closes().await);
    sandbox
        .counts("tollway_gateway_client_aborts_total 1")
        .await;
}

/// req: S12
#[tokio::test]
async fn more_than_a_client_may_hold_is_refused() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.tunnels_per_client_max = 1;
    let sandbox = setup.start();
    let first = opened(&sandbox, &peer).await;
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(field(&head, "retry-after"), Some("10"));
    assert!(body.contains("TUNNEL_LIMIT"), "{body}");
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"tunnels_per_client\"} 1")
        .await;
    // Calls are none of it, on the same connection.
    client.send(crate::sandbox::GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    drop(first);
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
    let _second = opened(&sandbox, &peer).await;
}

#[tokio::test]
async fn more_than_the_node_may_hold_is_refused() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.tunnels_max = 1;
    let sandbox = setup.start();
    let _first = opened(&sandbox, &peer).await;
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    assert!(client.answer().await.1.contains("TUNNEL_LIMIT"));
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"tunnels\"} 1")
        .await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_comes_is_ended() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    let clock = standing();
    setup.clock = clock.clone();
    setup.config.limits.tunnel_idle_timeout_ms = 2_000;
    let sandbox = setup.start();
    let (mut client, mut backend) = opened(&sandbox, &peer).await;
    runs(&clock);
    // Longer than that in all, but never without a message for so long.
    for _ in 0..8 {
        let begun_ms = clock.monotonic_ms();
        while clock.monotonic_ms() < begun_ms + 300 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client.send(Message::text("x")).await.unwrap();
        soon("message", backend.next()).await.unwrap().unwrap();
    }
    assert!(
        soon("end", client.next())
            .await
            .is_none_or(|end| end.is_err())
    );
    assert!(
        soon("end", backend.next())
            .await
            .is_none_or(|end| end.is_err())
    );
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"idle\"} 1")
        .await;
}

/// req: GW14
#[tokio::test]
async fn a_drain_gives_tunnels_their_time_and_no_more() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    let clock = standing();
    setup.clock = clock.clone();
    setup.config.limits.tunnel_drain_ms = 400;
    let sandbox = setup.start();
    let (mut client, mut backend) = opened(&sandbox, &peer).await;
    let (ends, _held) = opened(&sandbox, &peer).await;
    let draining = tokio::spawn(sandbox.gateway.drain(Duration::from_mins(1)));
    drop(ends);
    // It still passes.
    client.send(Message::text("x")).await.unwrap();
    soon("message", backend.next()).await.unwrap().unwrap();
    assert!(
        passing("end", &clock, 400, client.next())
            .await
            .is_none_or(|end| end.is_err())
    );
    assert_eq!(soon("drain", draining).await.unwrap().cut, 0);
}

/// A connection of HTTP/2 to the gateway whose settings allow WebSockets, and the request for one (RFC 8441 section 5).
pub(crate) async fn asked_over_http2(
    sandbox: &Sandbox,
) -> (
    h2::client::SendRequest<bytes::Bytes>,
    http::Request<()>,
    tokio::task::JoinHandle<Result<(), h2::Error>>,
) {
    let stream = sandbox.connect_stream().await;
    let (sender, mut connection) = h2::client::handshake(stream).await.unwrap();
    let enabled = std::future::poll_fn(|cx| {
        let _ = std::pin::Pin::new(&mut connection).poll(cx);
        if sender.is_extended_connect_protocol_enabled() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    });
    soon("settings", enabled).await;
    let driving = tokio::spawn(connection);
    let sender = soon("ready", sender.ready()).await.unwrap();
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::CONNECT;
    *request.uri_mut() = "http://shop.example/shop/items/live".parse().unwrap();
    let version = http::HeaderValue::from_static("13");
    request
        .headers_mut()
        .insert("sec-websocket-version", version);
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    (sender, request, driving)
}

/// A stream of an HTTP/2 connection becomes a tunnel (RFC 8441).
#[tokio::test]
async fn over_http2() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut sender, request, driving) = asked_over_http2(&sandbox).await;
    let (answer, mut send) = sender.send_request(request, false).unwrap();
    let mut backend = accept_async(peer.accept_stream().await).await.unwrap();
    let answer = soon("answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    // A masked text frame "hi" with a mask of zeros.
    let frame: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    send.send_data(bytes::Bytes::from_static(frame), false)
        .unwrap();
    let message = soon("message", backend.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::text("hi"));
    backend.send(Message::text("ho")).await.unwrap();
    let mut body = answer.into_body();
    let data = soon("data", body.data()).await.unwrap().unwrap();
    assert_eq!(&data[..], [0x81, 2, b'h', b'o']);
    sandbox.counts("tollway_gateway_tunnels_open 1").await;
    send.send_reset(h2::Reason::CANCEL);
    assert!(
        soon("end", backend.next())
            .await
            .is_none_or(|end| end.is_err())
    );
    drop(backend);
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
    driving.abort();
}
