//! Bodies pass as they come, both ways, and never look complete when they are not.

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, called, field, passing};

/// req: L6
#[tokio::test]
async fn each_event_of_a_stream_passes_before_the_next_one_is_sent() {
    let mut call = called(GET).await;
    call.backend
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let head = call.client.head().await;
    assert_eq!(field(&head, "content-type"), Some("text/event-stream"));
    for event in ["data: 1\n\n", "data: 22\n\n", "data: 333\n\n"] {
        call.backend
            .send(format!("{:x}\r\n{event}\r\n", event.len()))
            .await;
        let chunk = call.client.until("\n\n\r\n").await;
        assert_eq!(
            chunk.to_ascii_lowercase(),
            format!("{:x}\r\n{event}\r\n", event.len())
        );
    }
    call.backend.send("0\r\n\r\n").await;
    assert_eq!(call.client.until("0\r\n\r\n").await, "0\r\n\r\n");
    // Both connections serve again.
    call.client.send(GET).await;
    call.backend.head().await;
    call.backend.send(OK).await;
    assert_eq!(call.client.answer().await.1, "ok");
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_passes_as_it_comes() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send("HTTP/1.0 200 OK\r\n\r\none").await;
    client.head().await;
    assert_eq!(client.until("one\r\n").await, "3\r\none\r\n");
    backend.send("two").await;
    assert_eq!(client.until("two\r\n").await, "3\r\ntwo\r\n");
    drop(backend);
    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_request_body_passes_as_it_comes_and_may_be_answered_early() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nfirst")
        .await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert_eq!(field(&head, "content-length"), Some("1000000"));
    assert_eq!(backend.exactly(5).await, b"first");
    client.send("second").await;
    assert_eq!(backend.exactly(6).await, b"second");
    // The backend does not want the rest.
    backend
        .send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 413 "));
    assert_eq!(body, "no");
    // A connection with half a request on it is not used again.
    assert!(backend.closes().await);
}

#[tokio::test]
async fn chunked_bodies_and_their_trailers_pass() {
    let mut call = called("POST /shop/items HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n").await;
    assert_eq!(field(&call.head, "transfer-encoding"), Some("chunked"));
    assert_eq!(
        call.backend.until("\r\n\r\n").await,
        "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n"
    );
    call.backend
        .send("HTTP/1.1 200 OK\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-end: 1\r\n\r\n")
        .await;
    call.client.head().await;
    assert_eq!(
        call.client.until("\r\n\r\n").await,
        "2\r\nhi\r\n0\r\nx-end: 1\r\n\r\n"
    );
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_backend_reads() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("http/1.1 100 "));
    client.send("body").await;
    let mut backend = peer.accept().await;
    backend.head().await;
    assert_eq!(backend.exactly(4).await, b"body");
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_body_that_breaks_never_ends_cleanly() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
    ];
    for (count, answer) in answers.into_iter().enumerate() {
        let peer = Peer::bind().await;
        let sandbox = Sandbox::to(&peer);
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backend.send(answer).await;
        client.until("part").await;
        drop(backend);
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{count}: {rest:?}");
        sandbox
            .counts("tollway_gateway_bodies_broken_total 1")
            .await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_to_the_backend() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    // Before the answer.
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    drop(client);
    assert!(backend.closes().await);
    // Within it.
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
        .await;
    client.until("part").await;
    drop(client);
    assert!(backend.closes().await);
    sandbox
        .counts("tollway_gateway_client_aborts_total 2")
        .await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_backend_back() {
    let mut call = called(GET).await;
    let size = 64 << 20;
    call.backend
        .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))
        .await;
    call.client.head().await;
    let stream = call.backend.into_inner();
    let chunk = vec![b'x'; 1 << 20];
    // Sent until nobody takes any more: buffers of sockets and of the gateway, far from the whole.
    let mut sent = 0;
    loop {
        let writable =
            tokio::time::timeout(std::time::Duration::from_millis(300), stream.writable());
        if writable.await.is_err() {
            break;
        }
        match stream.try_write(&chunk) {
            Ok(length) => sent += length,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert!(sent < size / 2, "{sent}");
    let mut stream = stream;
    let writer = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        stream.write_all(&vec![b'x'; size - sent]).await.unwrap();
        stream
    });
    assert_eq!(call.client.exactly(size).await.len(), size);
    writer.await.unwrap();
}

/// Knows its caller: the application with the id in `x-app`.
struct Known;

impl policy::Policy for Known {
    fn on_request<'a>(&'a self, cx: &'a mut policy::RequestCx) -> policy::Outcome<'a> {
        let id = cx.headers.get("x-app").unwrap().to_str().unwrap();
        cx.principal = Some(std::rc::Rc::new(policy::Principal {
            limits: None,
            token: None,
            org: base::Org::default_org(),
            application: Some(id.parse().unwrap()),
            credential: Some(base::CredentialId::generate()),
            key: None,
            environment: base::Environment::default(),
            identity: std::sync::Arc::default(),
        }));
        policy::Outcome::CONTINUE
    }
}

/// req: S9
#[tokio::test]
async fn open_answers_of_a_revoked_caller_end_and_others_go_on() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = || {
        let known = std::sync::Arc::new(Known);
        vec![policy::Step::new(
            "known",
            policy::Phase::Authenticate,
            known,
        )]
    };
    let sandbox = setup.start();
    let (revoked, other) = (
        base::ApplicationId::generate(),
        base::ApplicationId::generate(),
    );
    let mut open = Vec::new();
    for app in [revoked, other] {
        let mut client = sandbox.connect().await;
        client
            .send(GET.replace("\r\n\r\n", &format!("\r\nx-app: {app}\r\n\r\n")))
            .await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backend
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            .await;
        client.until("one\r\n").await;
        open.push((client, backend));
    }
    let closer = sandbox.gateway.closer();
    let reason = gateway::live::Reason::Revoked;
    closer.close_where(reason, move |caller| {
        caller.principal.application == Some(revoked)
    });
    let (mut client, mut backend) = open.remove(0);
    // Cut, not ended: nobody takes it for whole.
    assert!(client.closes().await);
    assert!(backend.closes().await);
    let (mut client, mut backend) = open.remove(0);
    backend.send("3\r\ntwo\r\n0\r\n\r\n").await;
    client.until("two\r\n0\r\n\r\n").await;
    sandbox
        .counts("tollway_gateway_answers_revoked_total 1")
        .await;
    sandbox
        .counts("tollway_gateway_bodies_broken_total 0")
        .await;
}

/// req: O6
#[tokio::test]
async fn an_answer_that_breaks_off_is_explained() {
    let peer = Peer::bind().await;
    let mut sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    client.until("half").await;
    drop(backend);
    assert!(client.closes().await);
    let decision = sandbox.decision().await;
    assert_eq!(decision.request.path, "/shop/1.0.0/items/1");
    assert_eq!(decision.matched.operation.unwrap().template, "/items/{id}");
    assert_eq!(decision.backend.unwrap().name, "shop");
    let answer = decision.answer;
    assert_eq!(
        (answer.status, answer.code.as_str()),
        (200, "BACKEND_FAILED")
    );
    assert_eq!(answer.rule, "answer-whole");
    assert!(!answer.facts[0].found.is_empty());
}

#[tokio::test]
async fn a_body_that_pauses_for_too_long_breaks_off() {
    let peer = Peer::bind().await;
    let clock = std::sync::Arc::new(base::ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    setup.backend.calls.body_idle_ms = Some(5_000);
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\none")
        .await;
    client.until("one").await;
    // Each part begins the time anew.
    clock.advance_ms(4_000);
    backend.send("two").await;
    client.until("two").await;
    clock.advance_ms(4_000);
    backend.send("abc").await;
    client.until("abc").await;
    assert!(passing("the end", &clock, 5_000, client.closes()).await);
    assert!(backend.closes().await);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"backend_body_idle\"} 1")
        .await;
}

/// Without a word in the document the node's limit holds, but not for answers that have nothing to say for a while.
#[tokio::test]
async fn the_limit_of_pauses_spares_events_and_grpc() {
    for (kind, said, ends) in [
        ("application/json", None, true),
        ("text/event-stream; charset=utf-8", None, false),
        ("application/grpc+proto", None, false),
        ("text/event-stream", Some(5_000), true),
        ("application/json", Some(0), false),
    ] {
        let peer = Peer::bind().await;
        let clock = std::sync::Arc::new(base::ManualClock::at(1_700_000_000_000));
        let mut setup = Setup::new(vec![peer.endpoint()]);
        setup.clock = clock.clone();
        setup.config.upstream.body_idle_ms = 5_000;
        setup.backend.calls.body_idle_ms = said;
        let sandbox = setup.start();
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backend
            .send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 6\r\n\r\none"
            ))
            .await;
        client.until("one").await;
        if ends {
            let closes = passing("the end", &clock, 6_000, client.closes()).await;
            assert!(closes, "{kind} {said:?}");
            continue;
        }
        clock.advance_ms(6_000);
        // Longer than it takes to look.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        backend.send("two").await;
        client.until("two").await;
    }
}
