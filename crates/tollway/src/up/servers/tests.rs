use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Servers;

const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn serving() -> (Servers, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let mut servers = Servers::default();
    servers.add(socket, Router::new().route("/", get(|| async { "here" })));
    servers.start().unwrap();
    (servers, address)
}

/// A connection that the server has accepted, and behind it the answer to a call over another one: the queue is in order.
async fn accepted(address: SocketAddr) -> TcpStream {
    let silent = TcpStream::connect(address).await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    assert!(other.read(&mut [0; 512]).await.unwrap() > 0);
    silent
}

/// req: GW14
#[tokio::test]
async fn a_connection_accepted_before_the_stop_gets_its_answer_behind_it() {
    let (mut servers, address) = serving();
    let mut connection = accepted(address).await;
    let stop = tokio::spawn(async move {
        servers.stop(PATIENCE).await;
        servers
    });
    // One thread runs all: every task that the stop concerns has its turn before the client goes on.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    connection.write_all(REQUEST).await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("here"),
        "{text:?}"
    );
    // The sockets stay: who comes now is served after the next start.
    let mut servers = stop.await.unwrap();
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(REQUEST).await.unwrap();
    servers.start().unwrap();
    assert!(late.read(&mut [0; 512]).await.unwrap() > 0);
}

#[tokio::test]
async fn who_says_nothing_does_not_hold_up_the_stop() {
    let (mut servers, address) = serving();
    let mut silent = accepted(address).await;
    let stopped = tokio::time::timeout(PATIENCE, servers.stop(PATIENCE * 2)).await;
    assert!(stopped.is_ok());
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "it is closed");
}
