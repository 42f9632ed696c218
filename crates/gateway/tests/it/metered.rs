//! Limits on what lasts: calls at the same time, bytes, and events; each call gives back what it holds once, however it
//! ends. (req: TM1, TM2)

use futures_util::{SinkExt, StreamExt};
use policy::{CompileEnv, Phase, Step};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{accept_async, client_async};

use crate::sandbox::{GET, Peer, Sandbox, Setup, Wire, soon};

fn limited(config: &Value) -> Vec<Step> {
    let env = CompileEnv {
        org: base::Org::default_org(),
        api: "shop-1.0.0".to_owned(),
        told: policy::ApiTold::default(),
    };
    let limit = policies::find("rateLimit").unwrap();
    let limit = limit.compile(config, &env).unwrap();
    let admission = policies::admission::policy();
    vec![
        Step::new("rateLimit", Phase::Limit, limit.into()),
        Step::new("limits", Phase::Limit, admission.into()),
    ]
}

fn sandbox(peer: &Peer, policies: fn() -> Vec<Step>) -> Sandbox {
    Setup {
        policies,
        ..Setup::new(vec![peer.endpoint()])
    }
    .start()
}

fn two_at_a_time() -> Vec<Step> {
    limited(&json!({"name": "few", "concurrent": 2}))
}

const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf.";

async fn is_admitted(sandbox: &Sandbox) -> bool {
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let (head, body) = client.answer().await;
    if head.starts_with("http/1.1 429 ") {
        assert!(body.contains("2 requests at the same time"), "{body}");
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        assert!(
            head.contains("q=2;qu=\"concurrent-requests\"\r\n"),
            "{head}"
        );
    }
    head.starts_with("http/1.1 200 ")
}

/// Two calls are under way; how the first of them ends is the test's.
async fn two_under_way(sandbox: &Sandbox, peer: &Peer) -> [(Wire, Wire); 2] {
    let mut calls = Vec::new();
    for _ in 0..2 {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        calls.push((client, backend));
    }
    calls.try_into().unwrap_or_else(|_| panic!("there are two"))
}

/// Room comes again, a moment after the call has ended.
async fn has_room_again(sandbox: &Sandbox, peer: &Peer) {
    let trying = async {
        loop {
            let mut client = sandbox.connect().await;
            client.send(GET).await;
            let answers = async {
                let mut backend = peer.accept_when_it_comes().await;
                backend.head().await;
                backend
                    .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                    .await;
            };
            let answered = tokio::select! {
                () = answers => client.answer().await,
                answer = client.answer() => answer,
            };
            if answered.0.starts_with("http/1.1 200 ") {
                return;
            }
        }
    };
    soon("room", trying).await;
}

#[tokio::test]
async fn a_call_counts_until_its_answer_has_ended() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, two_at_a_time);
    let [(mut client, mut backend), _second] = two_under_way(&sandbox, &peer).await;
    backend.send(LONG).await;
    client.until("half.").await;
    assert!(!is_admitted(&sandbox).await, "its answer is on its way");
    backend.send("other").await;
    client.until("other").await;
    has_room_again(&sandbox, &peer).await;
}

#[tokio::test]
async fn a_call_whose_client_goes_away_gives_its_place_back() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, two_at_a_time);
    let [first, second] = two_under_way(&sandbox, &peer).await;
    assert!(!is_admitted(&sandbox).await);
    // Before the answer's head.
    drop(first.0);
    has_room_again(&sandbox, &peer).await;
    // In the middle of the answer.
    let (mut client, mut backend) = second;
    backend.send(LONG).await;
    client.until("half.").await;
    drop(client);
    has_room_again(&sandbox, &peer).await;
}

#[tokio::test]
async fn a_call_whose_backend_fails_gives_its_place_back() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, two_at_a_time);
    let [(_a, first), (mut client, mut backend)] = two_under_way(&sandbox, &peer).await;
    drop(first);
    has_room_again(&sandbox, &peer).await;
    backend.send(LONG).await;
    client.until("half.").await;
    drop(backend);
    has_room_again(&sandbox, &peer).await;
}

fn hundred_bytes() -> Vec<Step> {
    limited(&json!({"name": "bytes", "bytes": "100B/h"}))
}

/// The call that goes beyond the limit passes whole; the next one does not begin.
#[tokio::test]
async fn bytes_of_requests_and_answers_are_counted() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, hundred_bytes);
    let mut client = sandbox.connect().await;
    for round in 0..2 {
        client
            .send(format!(
                "POST /shop/items HTTP/1.1\r\nhost: a\r\ncontent-length: 30\r\n\r\n{}",
                "x".repeat(30)
            ))
            .await;
        if round == 0 {
            let mut backend = peer.accept().await;
            backend.head().await;
            backend.exactly(30).await;
            let body = "y".repeat(80);
            backend
                .send(format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: 80\r\nconnection: close\r\n\r\n{body}"
                ))
                .await;
            let (head, got) = client.answer().await;
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert_eq!(got, body);
            assert!(
                head.contains("\"bytes\";q=100;qu=\"content-bytes\";w=3600"),
                "{head}"
            );
        } else {
            let (head, body) = client.answer().await;
            assert!(head.starts_with("http/1.1 429 "), "{head}");
            assert!(body.contains("(100 bytes in 3600 s)"), "{body}");
        }
    }
}

fn four_events() -> Vec<Step> {
    limited(&json!({"name": "events", "events": "4/h"}))
}

#[tokio::test]
async fn messages_of_a_websocket_are_counted_both_ways() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, four_events);
    let request = "ws://shop.example/shop/items/live"
        .into_client_request()
        .unwrap();
    let stream = sandbox.connect_stream().await;
    let accepting = async { accept_async(peer.accept_stream().await).await.unwrap() };
    let (client, mut backend) = tokio::join!(client_async(request, stream), accepting);
    let mut client = client.unwrap().0;
    for round in 0..2 {
        client
            .send(Message::text(format!("to {round}")))
            .await
            .unwrap();
        client
            .send(Message::Ping("not counted".into()))
            .await
            .unwrap();
        let got = soon("message", backend.next()).await.unwrap().unwrap();
        assert!(got.is_text() || got.is_ping());
        backend.send(Message::text("back")).await.unwrap();
        while !soon("back", client.next())
            .await
            .unwrap()
            .unwrap()
            .is_text()
        {}
    }
    client.send(Message::text("one too many")).await.unwrap();
    while let Some(Ok(message)) = soon("the end", client.next()).await {
        assert!(!message.is_text(), "{message}");
    }
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"limited\"} 1")
        .await;
}

#[tokio::test]
async fn events_of_an_answer_are_counted() {
    let peer = Peer::bind().await;
    let sandbox = sandbox(&peer, four_events);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\n")
        .await;
    client.until("data: 2\n\n").await;
    backend.send("data: 3\n\n").await;
    client.until("data: 3\n\n").await;
    backend.send("data: 4\n\n").await;
    client.until("data: 4\n\n").await;
    backend.send("data: 5\n\n").await;
    let rest = client.rest().await;
    assert!(!rest.contains("data: 5"), "{rest}");
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"events\"} 1")
        .await;
}
