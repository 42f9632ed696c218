//! Stopping: nothing new, what is in flight finishes, the rest is cut.

use std::time::Duration;

use gateway::Drained;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, field, passing, soon, standing};

#[tokio::test]
async fn what_is_in_flight_finishes_and_the_client_is_told() {
    let peer = Peer::bind().await;
    let clock = standing();
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    let sandbox = setup.start();
    let addr = sandbox.gateway.http_addr().unwrap();
    let mut idle = sandbox.connect().await;
    idle.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.answer().await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    let mut late = sandbox.connect().await;
    late.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    late.answer().await;
    let draining = tokio::spawn(sandbox.gateway.drain(Duration::from_mins(1)));
    // A request that was on its way when the drain began is answered, with word that it was the last one.
    // Those before the worker has heard of it are answered as ever.
    let told = async {
        loop {
            late.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let (head, _) = late.answer().await;
            if field(&head, "connection") == Some("close") {
                break;
            }
        }
    };
    soon("word of the end", told).await;
    assert!(late.closes().await);
    // The idle connection is closed after a moment.
    assert!(passing("the end of the idle one", &clock, 1_100, idle.closes()).await);
    let refused = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon("no new connections", refused).await;
    backend.send(OK).await;
    let (head, body) = client.answer().await;
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(body, "ok");
    assert!(client.closes().await);
    let drained = soon("drain", draining).await.unwrap();
    assert_eq!(drained, Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_finish_is_cut_and_counted() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    let drained = soon("drain", sandbox.gateway.drain(Duration::from_millis(50))).await;
    assert_eq!(drained, Drained { cut: 1 });
    assert!(client.closes().await);
    assert!(backend.closes().await);
}

#[tokio::test]
async fn http2_is_told_by_goaway() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let stream = sandbox.connect_stream().await;
    let (mut sender, connection) = builder
        .handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://x/shop/items")
        .body(String::new())
        .unwrap();
    let call = tokio::spawn(sender.send_request(request));
    let mut backend = peer.accept().await;
    backend.head().await;
    let draining = tokio::spawn(sandbox.gateway.drain(Duration::from_mins(1)));
    backend.send(OK).await;
    assert_eq!(soon("answer", call).await.unwrap().unwrap().status(), 200);
    soon("end", connection).await.unwrap().unwrap();
    assert_eq!(soon("drain", draining).await.unwrap().cut, 0);
}

/// RFC 9113 §6.8: first a GOAWAY that still lets in what is on its way, then one that names the last stream.
#[tokio::test]
async fn http2_is_told_in_two_steps() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send([PREFACE, SETTINGS].concat()).await;
    let draining = async {
        let mut goaways = Vec::new();
        loop {
            let head = client.exactly(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = client.exactly(usize::try_from(length).unwrap()).await;
            match (head[3], head[4]) {
                (7, _) => {
                    goaways.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                    if goaways.len() == 2 {
                        return goaways;
                    }
                }
                // A PING: its answer says that the first GOAWAY was seen.
                (6, 0) => {
                    let mut answer = vec![0, 0, 8, 6, 1, 0, 0, 0, 0];
                    answer.extend(payload);
                    client.send(answer).await;
                }
                _ => {}
            }
        }
    };
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 1")
        .await;
    let (goaways, drained) = tokio::join!(
        soon("two GOAWAYs", draining),
        sandbox.gateway.drain(Duration::from_mins(1))
    );
    assert_eq!(goaways, [(1 << 31) - 1, 0]);
    assert_eq!(drained.cut, 0);
}
