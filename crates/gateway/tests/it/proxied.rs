//! The PROXY protocol: whose connection a load balancer passes on.

use std::net::SocketAddr;

use parts::HaProxy;
use tokio::net::{TcpSocket, TcpStream};

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, Wire, field, passing, soon, standing};
use crate::tls::{https, tls_over};

/// A gateway that believes this network alone.
async fn behind(network: &str, change: impl FnOnce(&mut Setup)) -> (Peer, Sandbox) {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.proxy_protocol_from = gateway::networks(&[network]).unwrap();
    change(&mut setup);
    (peer, setup.start())
}

/// Calls; what the backend hears of the client.
async fn told<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    client: &mut Wire<S>,
    peer: &Peer,
) -> String {
    client.send(GET).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    field(&head, "x-forwarded-for").unwrap().to_owned()
}

#[tokio::test]
async fn the_client_is_the_one_that_the_header_names() {
    let (peer, sandbox) = behind("127.0.0.0/8", |_| {}).await;
    let mut client = sandbox.connect().await;
    client
        .send("PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n")
        .await;
    assert_eq!(told(&mut client, &peer).await, "192.0.2.7");
    // For itself the load balancer speaks as itself.
    let mut client = sandbox.connect().await;
    client.send("PROXY UNKNOWN\r\n").await;
    assert_eq!(told(&mut client, &peer).await, "127.0.0.1");
}

#[tokio::test]
async fn without_a_header_or_from_others_nobody_comes_in() {
    let (_peer, sandbox) = behind("127.0.0.0/8", |_| {}).await;
    for begin in [
        GET,
        "PROXY TCP4 192.0.2.7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\n",
    ] {
        let mut client = sandbox.connect().await;
        client.try_send(begin.as_bytes()).await;
        assert!(client.closes().await, "{begin:?}");
    }
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"proxy_header\"} 3")
        .await;
    let (_peer, sandbox) = behind("192.0.2.0/24", |_| {}).await;
    let mut client = sandbox.connect().await;
    client
        .try_send(b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n")
        .await;
    assert!(client.closes().await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"proxy_header\"} 1")
        .await;
}

#[tokio::test]
async fn where_it_is_not_configured_a_header_is_no_request() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n\r\n")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(body.contains("BAD_REQUEST_FRAMING"));
}

/// req: S12
#[tokio::test]
async fn a_slow_header_ends_its_connection_and_clients_behind_one_proxy_are_told_apart() {
    let clock = standing();
    let (peer, sandbox) = behind("127.0.0.0/8", |setup| {
        setup.clock = clock.clone();
        setup.config.limits.opening_timeout_ms = 300;
        setup.config.limits.connections_per_client_max = 1;
    })
    .await;
    let mut slow = sandbox.connect().await;
    slow.send("PROXY TC").await;
    assert!(passing("the end", &clock, 301, slow.closes()).await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"opening_timeout\"} 1")
        .await;
    let mut held = Vec::new();
    for ip in ["192.0.2.1", "192.0.2.2"] {
        let mut client = sandbox.connect().await;
        client
            .send(format!("PROXY TCP4 {ip} 10.0.0.1 5000 443\r\n"))
            .await;
        assert_eq!(told(&mut client, &peer).await, ip);
        held.push(client);
    }
    let mut more = sandbox.connect().await;
    more.send("PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n")
        .await;
    assert!(more.closes().await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"connections_per_client\"} 1")
        .await;
}

/// A client with an address of its own.
async fn client_at(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((ip, 0).into()).unwrap();
    soon("connect", socket.connect(to)).await.unwrap()
}

#[tokio::test]
async fn haproxy_says_whose_connections_it_passes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, sandbox) = behind("127.0.0.1/32", |setup| https(setup, folder.path())).await;
    let clear = sandbox.gateway.http_addr().unwrap();
    let tls = sandbox.gateway.https_addr().unwrap();
    let haproxy = HaProxy::start(&[
        (clear, "send-proxy"),
        (clear, "send-proxy-v2"),
        (tls, "send-proxy"),
        (tls, "send-proxy-v2"),
        (clear, "send-proxy-v2-ssl-cn"),
    ]);
    let client_ip = [127, 0, 0, 9];
    for target in [0, 1, 4] {
        let tcp = client_at(client_ip, haproxy.address(target)).await;
        assert_eq!(told(&mut Wire::new(tcp), &peer).await, "127.0.0.9");
    }
    for target in [2, 3] {
        let tcp = client_at(client_ip, haproxy.address(target)).await;
        let stream = tls_over(tcp, folder.path(), b"http/1.1").await;
        assert_eq!(told(&mut Wire::new(stream), &peer).await, "127.0.0.9");
    }
}
