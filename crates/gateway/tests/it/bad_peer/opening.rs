//! Bad peers that never get as far as HTTP, or come too often.

use std::net::SocketAddr;

use gateway::TlsFiles;
use tokio::net::{TcpSocket, TcpStream};

use super::Beside;
use crate::sandbox::{GET, Peer, Setup, Wire, soon};

/// A connection from another address of this machine.
async fn from(client: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    soon("connect", socket.connect(to)).await.unwrap()
}

const OTHER: [u8; 4] = [127, 0, 0, 2];

async fn over_tls(change: impl FnOnce(&mut Setup)) -> (Beside, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.https = Some(([127, 0, 0, 1], 0).into());
    setup.config.tls = TlsFiles::SelfSigned {
        dir: folder.path().to_owned(),
    };
    change(&mut setup);
    (Beside::over(setup, peer).await, folder)
}

#[tokio::test]
async fn one_that_holds_many_connections() {
    let beside = Beside::start(|limits| limits.connections_per_client_max = 5).await;
    let gateway = beside.sandbox.gateway.http_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::new(from(OTHER, gateway).await);
        wire.send(GET).await;
        assert!(wire.answer().await.0.starts_with("http/1.1 200 "));
        held.push(wire);
    }
    let mut one_more = Wire::new(from(OTHER, gateway).await);
    let (head, body) = one_more.answer().await;
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    assert!(body.contains("CLIENT_CONNECTION_LIMIT"));
    let sandbox = beside.hit("connections_per_client").await;
    // With the end of one there is room again.
    held.pop();
    let served = async {
        loop {
            let mut wire = Wire::new(from(OTHER, gateway).await);
            wire.try_send(GET.as_bytes()).await;
            let head = wire.head_or_end().await;
            if head.is_some_and(|head| head.starts_with("http/1.1 200 ")) {
                break;
            }
        }
    };
    soon("room", served).await;
    drop(sandbox);
}

#[tokio::test]
async fn one_that_does_not_go_on_with_its_handshake() {
    let (beside, _folder) = over_tls(|setup| setup.config.limits.opening_timeout_ms = 1_000).await;
    let gateway = beside.sandbox.gateway.https_addr().unwrap();
    let mut bad = Wire::new(TcpStream::connect(gateway).await.unwrap());
    // The beginning of a record, and no more.
    bad.send([22, 3, 1, 1, 0, 1]).await;
    soon("the end", bad.rest_bytes()).await;
    beside.hit("opening_timeout").await;
}

#[tokio::test]
async fn one_that_begins_many_handshakes() {
    let (beside, _folder) = over_tls(|setup| setup.config.limits.openings_per_client_max = 5).await;
    let gateway = beside.sandbox.gateway.https_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(from(OTHER, gateway).await);
    }
    let mut one_more = Wire::new(from(OTHER, gateway).await);
    assert!(soon("the end", one_more.rest_bytes()).await.is_empty());
    let sandbox = beside.hit("openings").await;
    // Others still come in.
    let mut other = Wire::new(TcpStream::connect(gateway).await.unwrap());
    other.send("this is no TLS at all").await;
    assert!(!soon("an alert", other.rest_bytes()).await.is_empty());
    drop(sandbox);
}
