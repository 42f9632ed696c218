//! Forms of requests beyond the usual one (RFC 9112 §3.2, RFC 9110 §9, §10.1.1), and how large a body an API takes.

use policy::{CompileEnv, Reject, RequestCx, Step};

use crate::sandbox::{OK, Peer, Sandbox, Setup, called, field};

#[tokio::test]
async fn absolute_form_is_a_path_and_a_host() {
    let call = called(
        "GET http://Shop.example:80/shop/items?q=1 HTTP/1.1\r\nhost: Shop.example:80\r\n\r\n",
    )
    .await;
    assert!(
        call.head.starts_with("get /base/items?q=1 http/1.1\r\n"),
        "{}",
        call.head
    );
    assert_eq!(
        field(&call.head, "x-forwarded-host"),
        Some("shop.example:80")
    );
    // Which of the two a backend would believe cannot be known.
    answered(
        "GET http://shop.example/shop/items HTTP/1.1\r\nhost: other.example\r\n\r\n",
        400,
    )
    .await;
    answered(
        "GET ftp://shop.example/shop/items HTTP/1.1\r\nhost: shop.example\r\n\r\n",
        400,
    )
    .await;
}

/// What the gateway itself answers, and whether the connection stays open.
async fn answered(request: &str, status: u16) -> (bool, String) {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(request).await;
    let (head, body) = client.answer().await;
    assert!(
        head.starts_with(&format!("http/1.1 {status} ")),
        "{request:?}: {head}"
    );
    let closes = field(&head, "connection") == Some("close");
    (!closes, body)
}

#[tokio::test]
async fn a_proxys_methods_and_forms_are_not_served() {
    let (open, _) = answered(
        "CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443\r\n\r\n",
        400,
    )
    .await;
    assert!(!open);
    // It asks about the server as a whole, which is nobody's API.
    answered("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 400).await;
    let (_, body) = answered("TRACE /shop/items HTTP/1.1\r\nhost: x\r\n\r\n", 501).await;
    assert!(body.contains("METHOD_NOT_SUPPORTED"));
    answered("BREW /shop/items HTTP/1.1\r\nhost: x\r\n\r\n", 405).await;
}

#[tokio::test]
async fn an_http_1_0_connection_stays_when_asked_to() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    for _ in 0..2 {
        client
            .send("GET /none HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            .await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("http/1.0 404 "), "{head}");
        assert_eq!(field(&head, "connection"), Some("keep-alive"));
    }
    client.send("GET /none HTTP/1.0\r\n\r\n").await;
    client.answer().await;
    assert!(client.closes().await);
}

#[tokio::test]
async fn other_methods_in_headers_do_not_reach_the_backend() {
    let call = called("GET /shop/items HTTP/1.1\r\nhost: x\r\nx-http-method-override: DELETE\r\nx-http-method: PUT\r\nx-method-override: PUT\r\n\r\n").await;
    assert!(
        !call.head.contains("override") && !call.head.contains("x-http-method"),
        "{}",
        call.head
    );
}

/// Refuses everything.
struct Closed;

impl policy::Policy for Closed {
    fn on_request<'a>(&'a self, _: &'a mut RequestCx) -> policy::Outcome<'a> {
        Reject::new(base::code::CREDENTIALS_MISSING, "closed").into()
    }
}

/// A policy as documents name it.
fn named(name: &str, config: &serde_json::Value) -> Step {
    let kind = policies::find(name).unwrap();
    let env = CompileEnv {
        org: base::Org::default_org(),
        api: "shop-1.0.0".to_owned(),
        told: policy::ApiTold::default(),
    };
    let compiled = kind
        .compile(config, &env)
        .unwrap_or_else(|_| panic!("{name}"));
    Step::new(name.to_owned(), kind.phase(), compiled.into())
}

pub(crate) fn small_bodies() -> Vec<Step> {
    vec![named(
        "payloadLimits",
        &serde_json::json!({"maxBody": "10B"}),
    )]
}

const EXPECTING: &str =
    "POST /shop/items HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n";

/// Whoever waits for `100 Continue` is refused before a byte of the body was asked for.
#[tokio::test]
async fn a_body_of_a_call_that_is_refused_is_not_asked_for() {
    let closed: fn() -> Vec<Step> = || {
        vec![Step::new(
            "closed",
            policy::Phase::Authorize,
            std::sync::Arc::new(Closed),
        )]
    };
    for (policies, status) in [(closed, "401"), (small_bodies as fn() -> Vec<Step>, "413")] {
        let peer = Peer::bind().await;
        let mut setup = Setup::new(vec![peer.endpoint()]);
        setup.policies = policies;
        let sandbox = setup.start();
        let mut client = sandbox.connect().await;
        client.send(EXPECTING).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }
}

/// req: S12
#[tokio::test]
async fn an_api_takes_smaller_bodies_than_the_node() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = small_bodies;
    let sandbox = setup.start();
    // As much as it takes.
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n0123456789")
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    assert_eq!(backend.exactly(10).await, b"0123456789");
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    // More, found out while it comes.
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n")
        .await;
    backend.head().await;
    backend.until("abcdef\r\n").await;
    client.send("6\r\nabcdef\r\n").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    assert!(body.contains("BODY_TOO_LARGE"));
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"body\"} 1")
        .await;
}
