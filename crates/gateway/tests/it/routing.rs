//! From a request to an answer: what the backend gets, what the client gets.

use arc_swap::ArcSwap;
use base::SystemClock;
use gateway::{Config, StartError};
use policy::{NobodyKnown, Outcome, Phase, Policy, Reject, RequestCx, ResponseCx, Runtime, Step};
use snapshot::Gate;
use std::sync::Arc;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, field};

#[tokio::test]
async fn context_and_version_are_stripped_and_the_backend_is_told_who_asks() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("GET /shop/1.0.0/items/1?q=a%20b HTTP/1.1\r\nhost: Shop.example:80\r\nx-forwarded-for: 6.6.6.6\r\nconnection: x-mine, keep-alive\r\nx-mine: 1\r\nkeep-alive: 5\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert!(
        head.starts_with("get /base/items/1?q=a%20b http/1.1\r\n"),
        "{head}"
    );
    assert_eq!(field(&head, "host"), Some(peer.addr.to_string().as_str()));
    // req: S6
    assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-host"), Some("shop.example:80"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));
    // req: S4
    for gone in ["connection", "x-mine", "keep-alive"] {
        assert_eq!(field(&head, gone), None, "{gone}");
    }
    // req: O3: nothing is recorded here, so the client's span is the backend's parent
    assert_eq!(
        field(&head, "traceparent"),
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    );
    backend
        .send("HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-a: b\r\nkeep-alive: timeout=5\r\n\r\nok")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 201 created\r\n"), "{head}");
    assert_eq!(field(&head, "x-a"), Some("b"));
    assert_eq!(field(&head, "keep-alive"), None);
    assert_eq!(body, "ok");
    sandbox
        .counts(r#"tollway_gateway_requests_total{api="shop-1.0.0",operation="GET /items/{id}",method="GET",status="2xx",plan=""} 1"#)
        .await;
    sandbox
        .counts("tollway_gateway_response_bytes_total 2")
        .await;
    sandbox.counts("tollway_gateway_snapshot_revision 7").await;
}

#[tokio::test]
async fn the_default_version_is_served_at_the_bare_context() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("GET /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    assert!(
        backend
            .head()
            .await
            .starts_with("get /base/items http/1.1\r\n")
    );
}

#[tokio::test]
async fn what_is_not_served_is_a_problem() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    for (request, status, code) in [
        ("GET /none", "404", "ROUTE_NOT_FOUND"),
        ("GET /shop/none", "404", "ROUTE_NOT_FOUND"),
        ("DELETE /shop/items", "405", "METHOD_NOT_ALLOWED"),
        ("GET /shop/items/%2e%2e/x", "400", "BAD_PATH"),
    ] {
        client
            .send(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert_eq!(
            field(&head, "content-type"),
            Some("application/problem+json")
        );
        let problem: base::Problem = serde_json::from_str(&body).unwrap();
        assert_eq!(problem.code, code);
        assert_eq!(problem.trace_id.len(), 32);
        if status == "405" {
            assert_eq!(field(&head, "allow"), Some("get, head, options, post"));
        }
    }
    sandbox
        .counts("tollway_gateway_rejects_total{code=\"ROUTE_NOT_FOUND\"} 2")
        .await;
}

#[tokio::test]
async fn head_falls_to_get_and_has_no_body() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("HEAD /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    assert!(backend.head().await.starts_with("head /base/items "));
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n")
        .await;
    assert_eq!(field(&client.head().await, "content-length"), Some("99"));
    // A refusal has none either; the next answer follows at once.
    client.send("HEAD /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 404 "));
    assert!(
        field(&head, "content-length")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 100
    );
    client
        .send("OPTIONS /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("http/1.1 204 "));
}

#[tokio::test]
async fn options_without_an_operation_names_the_methods() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("OPTIONS /shop/items/3 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 204 "));
    assert_eq!(field(&head, "allow"), Some("get, head, options, put"));
}

#[tokio::test]
async fn a_gate_that_is_closed_says_why() {
    for (gate, status, code) in [
        (Gate::NotPublished, "404", "API_NOT_PUBLISHED"),
        (Gate::Blocked, "503", "API_BLOCKED"),
        (Gate::Retired, "410", "API_RETIRED"),
        (Gate::Broken, "503", "API_BROKEN"),
    ] {
        let peer = Peer::bind().await;
        let mut setup = Setup::new(vec![peer.endpoint()]);
        setup.gate = gate;
        let sandbox = setup.start();
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(body.contains(code), "{body}");
    }
}

#[tokio::test]
async fn tunnels_are_refused() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    for (request, status, code) in [
        (
            "CONNECT shop:80 HTTP/1.1\r\nhost: shop:80\r\n\r\n",
            "400",
            "BAD_REQUEST_FRAMING",
        ),
        (
            "GET /shop/items HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "400",
            "WEBSOCKET_HANDSHAKE",
        ),
    ] {
        let mut client = sandbox.connect().await;
        client.send(request).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(body.contains(code), "{body}");
        assert!(client.closes().await);
    }
}

/// Refuses everything, and marks every answer.
struct Gatekeeper;

impl Policy for Gatekeeper {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        if cx.headers.contains_key("x-pass") {
            return Outcome::CONTINUE;
        }
        Reject::new(base::code::CREDENTIALS_MISSING, "who are you?")
            .header(
                http::header::WWW_AUTHENTICATE,
                http::HeaderValue::from_static("Bearer"),
            )
            .into()
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        cx.headers
            .insert("x-marked", http::HeaderValue::from_static("yes"));
    }
}

#[tokio::test]
async fn policies_come_before_the_backend_and_see_every_answer() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = || {
        vec![Step::new(
            "gatekeeper",
            Phase::Authenticate,
            Arc::new(Gatekeeper),
        )]
    };
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    for request in ["GET /shop/items", "GET /shop/none", "DELETE /shop/items"] {
        client
            .send(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("http/1.1 401 "), "{head}");
        assert_eq!(field(&head, "www-authenticate"), Some("bearer"));
        assert_eq!(field(&head, "x-marked"), Some("yes"));
        assert!(body.contains("who are you?"));
    }
    client
        .send("GET /shop/items HTTP/1.1\r\nhost: x\r\nx-pass: 1\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    let (head, _) = client.answer().await;
    assert_eq!(field(&head, "x-marked"), Some("yes"));
}

#[tokio::test]
async fn a_malformed_head_is_refused_by_the_one_renderer() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    // req: S4
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(body.contains("BAD_REQUEST_FRAMING"), "{body}");
    assert!(client.closes().await);
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"opened\"} 0")
        .await;
}

#[tokio::test]
async fn before_the_first_snapshot_the_node_is_not_ready() {
    let runtime = Runtime::new(
        Arc::new(NobodyKnown),
        Arc::new(::limits::Authority::local(::limits::Quotas::new(
            ::limits::Room::for_keys(10),
        ))),
        Arc::new(SystemClock::new()),
    );
    let peer = Peer::bind().await;
    let setup = Setup::new(vec![peer.endpoint()]);
    let snapshots = Arc::new(ArcSwap::from_pointee(None));
    let gateway = gateway::start(
        setup.config.clone(),
        Arc::new(runtime),
        Arc::clone(&snapshots),
    )
    .unwrap();
    let sandbox = Sandbox { gateway, snapshots };
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 503 ") && body.contains("NODE_NOT_READY"));
    assert_eq!(field(&head, "retry-after"), Some("1"));
    // The swap is seen by the next request of the same connection.
    sandbox.snapshots.store(Arc::new(Some(setup.snapshot())));
    client.send(GET).await;
    peer.accept().await.head().await;
}

#[tokio::test]
async fn an_address_in_use_is_one_line() {
    let peer = Peer::bind().await;
    let runtime = Runtime::new(
        Arc::new(NobodyKnown),
        Arc::new(::limits::Authority::local(::limits::Quotas::new(
            ::limits::Room::for_keys(10),
        ))),
        Arc::new(SystemClock::new()),
    );
    let config = Config {
        http: Some(peer.addr),
        https: None,
        ..Config::default()
    };
    let none = Arc::new(ArcSwap::from_pointee(None));
    let Err(error) = gateway::start(config, Arc::new(runtime), none) else {
        panic!("the port is in use");
    };
    assert!(matches!(error, StartError::Listen { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("gateway address {}: Address", peer.addr)),
        "{text}"
    );
    assert!(!text.contains('\n'));
}
