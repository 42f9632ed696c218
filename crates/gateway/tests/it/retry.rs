//! Further tries: when a call is sent again, and that it never is when it must not be.

use std::sync::Arc;

use base::ManualClock;
use snapshot::Scheme;
use sync::calls::RetryRules;

use crate::sandbox::{GET, Nobody, OK, Peer, Sandbox, Setup, Wire, endpoint, field};

const POST: &str = "POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
const PUT: &str = "PUT /shop/items/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";

pub(crate) fn rules() -> RetryRules {
    RetryRules {
        attempts: 1,
        on_connect_failure: true,
        on_reset: true,
        on_refused_stream: true,
        on_timeout: true,
        on_statuses: vec![503],
        methods: None,
        per_try_ms: None,
        budget_percent: 20,
        budget_floor: 3,
        backoff_base_ms: 0,
        backoff_max_ms: 0,
        retry_after_max_ms: 1_000,
        body_bytes_max: 64,
    }
}

/// A gateway that sends again by these rules.
async fn with(change: impl FnOnce(&mut RetryRules)) -> (Peer, Sandbox) {
    let peer = Peer::bind().await;
    let mut rules = rules();
    change(&mut rules);
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.calls.retry = Some(Box::new(rules));
    (peer, setup.start())
}

/// A client and a backend's connection that has served one call.
async fn used(peer: &Peer, sandbox: &Sandbox) -> (Wire, Wire) {
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    client.answer().await;
    (client, backend)
}

async fn opened(sandbox: &Sandbox, count: u32) {
    sandbox
        .counts(&format!(
            "tollway_gateway_upstream_connections_total{{event=\"opened\"}} {count}"
        ))
        .await;
}

async fn retried(sandbox: &Sandbox, count: u32) {
    sandbox
        .counts(&format!(
            "tollway_gateway_upstream_connections_total{{event=\"retried\"}} {count}"
        ))
        .await;
}

async fn status(client: &mut Wire) -> String {
    let (head, _) = client.answer().await;
    head[9..12].to_owned()
}

#[tokio::test]
async fn without_rules_what_is_idempotent_survives_a_restart_of_the_backend() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut client, mut backend) = used(&peer, &sandbox).await;
    client.send(GET).await;
    backend.head().await;
    drop(backend);
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(status(&mut client).await, "200");
    retried(&sandbox, 1).await;
}

#[tokio::test]
async fn without_rules_nothing_else_is_sent_twice() {
    for request in [POST, PUT] {
        let peer = Peer::bind().await;
        let sandbox = Sandbox::to(&peer);
        let (mut client, mut backend) = used(&peer, &sandbox).await;
        client.send(request).await;
        backend.until("body").await;
        drop(backend);
        assert_eq!(status(&mut client).await, "502");
        opened(&sandbox, 1).await;
        retried(&sandbox, 0).await;
    }
}

/// A backend that has closed a pooled connection gets the call over another one, whatever the method and with its body:
/// before the first byte is written the system is asked whether the end has come.
#[tokio::test]
async fn a_post_that_meets_a_closed_connection_goes_over_a_new_one() {
    const ROUNDS: u32 = 200;
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut client, mut backend) = used(&peer, &sandbox).await;
    for _ in 0..ROUNDS {
        // No wait between the two: the worker hears of both at the same time.
        drop(backend);
        client.send(POST).await;
        backend = peer.accept().await;
        backend.until("body").await;
        backend.send(OK).await;
        assert_eq!(status(&mut client).await, "200");
    }
    opened(&sandbox, ROUNDS + 1).await;
    retried(&sandbox, 0).await;
}

/// As above, where the backend has broken the connection (RST), and over TLS or not the body is no obstacle.
#[tokio::test]
async fn a_post_that_meets_a_broken_connection_goes_over_a_new_one() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut client, mut backend) = used(&peer, &sandbox).await;
    for _ in 0..50 {
        let stream = backend.into_inner();
        stream.set_zero_linger().unwrap();
        drop(stream);
        client.send(POST).await;
        backend = peer.accept().await;
        backend.until("body").await;
        backend.send(OK).await;
        assert_eq!(status(&mut client).await, "200");
    }
    retried(&sandbox, 0).await;
}

#[tokio::test]
async fn without_rules_a_second_break_is_the_end() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let (mut client, mut backend) = used(&peer, &sandbox).await;
    client.send(GET).await;
    backend.head().await;
    drop(backend);
    let mut backend = peer.accept().await;
    backend.head().await;
    drop(backend);
    assert_eq!(status(&mut client).await, "502");
    opened(&sandbox, 2).await;
}

#[tokio::test]
async fn what_nobody_has_seen_goes_to_another_endpoint_whatever_the_method() {
    for with_rules in [false, true] {
        let (peer, nobody) = (Peer::bind().await, Nobody::bind());
        let mut setup = Setup::new(vec![nobody.endpoint(), peer.endpoint()]);
        setup.backend.calls.retry = with_rules.then(|| Box::new(rules()));
        let sandbox = setup.start();
        let mut client = sandbox.connect().await;
        let mut backend = None;
        for _ in 0..4 {
            client.send(POST).await;
            if backend.is_none() {
                backend = Some(peer.accept().await);
            }
            let wire = backend.as_mut().unwrap();
            assert!(wire.head().await.starts_with("post "));
            assert_eq!(wire.exactly(4).await, b"body");
            wire.send(OK).await;
            assert_eq!(status(&mut client).await, "200");
        }
        opened(&sandbox, 1).await;
    }
}

#[tokio::test]
async fn a_status_of_the_list_is_tried_again_and_another_is_passed_on() {
    let (peer, sandbox) = with(|_| {}).await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(BUSY).await;
    backend = answers_next(&peer, backend, OK).await;
    assert_eq!(status(&mut client).await, "200");
    client.send(GET).await;
    backend.head().await;
    backend
        .send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(status(&mut client).await, "500");
    retried(&sandbox, 1).await;
}

/// Answers the next try, over whichever connection it comes.
async fn answers_next(peer: &Peer, mut before: Wire, answer: &str) -> Wire {
    tokio::select! {
        mut fresh = peer.accept() => {
            fresh.head().await;
            fresh.send(answer).await;
            fresh
        }
        _ = before.head() => {
            before.send(answer).await;
            before
        }
    }
}

#[tokio::test]
async fn the_last_answer_is_passed_on_when_the_tries_are_used_up() {
    let (peer, sandbox) = with(|rules| rules.attempts = 2).await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(BUSY).await;
    for _ in 0..2 {
        backend = answers_next(&peer, backend, BUSY).await;
    }
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(body, "busy");
    retried(&sandbox, 2).await;
}

#[tokio::test]
async fn a_post_is_tried_again_only_when_the_document_says_so() {
    let (peer, sandbox) = with(|_| {}).await;
    let mut client = sandbox.connect().await;
    client.send(POST).await;
    let mut backend = peer.accept().await;
    backend.until("body").await;
    backend.send(BUSY).await;
    assert_eq!(status(&mut client).await, "503");
    retried(&sandbox, 0).await;

    let (peer, sandbox) = with(|rules| rules.methods = Some(vec!["POST".to_owned()])).await;
    let mut client = sandbox.connect().await;
    client.send(POST).await;
    let mut backend = peer.accept().await;
    backend.until("body").await;
    drop(backend);
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert_eq!(field(&head, "content-length"), Some("4"));
    assert_eq!(backend.exactly(4).await, b"body");
    backend.send(OK).await;
    assert_eq!(status(&mut client).await, "200");
}

#[tokio::test]
async fn a_body_is_sent_again_as_far_as_it_was_kept() {
    let (peer, sandbox) = with(|_| {}).await;
    let mut client = sandbox.connect().await;
    let head = "PUT /shop/items/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}3\r\nabc\r\n")).await;
    let mut backend = peer.accept().await;
    backend.until("abc\r\n").await;
    // The rest comes after the connection broke.
    drop(backend);
    let mut backend = peer.accept().await;
    backend.until("3\r\nabc\r\n").await;
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    backend.until("2\r\nde\r\n0\r\n\r\n").await;
    backend.send(OK).await;
    assert_eq!(status(&mut client).await, "200");

    let (peer, sandbox) = with(|rules| rules.body_bytes_max = 3).await;
    let mut client = sandbox.connect().await;
    client.send(PUT).await;
    let mut backend = peer.accept().await;
    backend.until("body").await;
    drop(backend);
    assert_eq!(status(&mut client).await, "502");
    opened(&sandbox, 1).await;
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"retry_body\"} 1")
        .await;
}

#[tokio::test]
async fn retry_after_is_waited_for_within_bounds() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.calls.retry = Some(Box::new(rules()));
    setup.clock = clock.clone();
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    let busy = |seconds: u32| {
        format!("HTTP/1.1 503 Busy\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n")
    };
    backend.send(busy(2)).await;
    // Longer than what is waited for: the client is told.
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(field(&head, "retry-after"), Some("2"));
    client.send(GET).await;
    backend.head().await;
    backend.send(busy(1)).await;
    retried(&sandbox, 1).await;
    clock.advance_ms(1_000);
    answers_next(&peer, backend, OK).await;
    assert_eq!(status(&mut client).await, "200");
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up_for_another() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    setup.backend.timeout_ms = 5_000;
    let mut rules = rules();
    (rules.per_try_ms, rules.attempts) = (Some(2_000), 2);
    setup.backend.calls.retry = Some(Box::new(rules));
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    for _ in 0..2 {
        let mut backend = peer.accept().await;
        backend.head().await;
        clock.advance_ms(2_000);
        assert!(backend.closes().await);
    }
    // The third try has what is left of the whole time.
    let mut backend = peer.accept().await;
    backend.head().await;
    clock.advance_ms(1_000);
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 504 "), "{head}");
    assert!(body.contains("BACKEND_TIMEOUT"), "{body}");
    retried(&sandbox, 2).await;
}

#[tokio::test]
async fn the_budget_holds() {
    let (peer, sandbox) = with(|rules| {
        (rules.budget_percent, rules.budget_floor) = (50, 0);
    })
    .await;
    // One call alone: a half of it is none.
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    drop(backend);
    assert_eq!(status(&mut client).await, "502");
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"retry_budget\"} 1")
        .await;
    // Of two at a time one may be tried again.
    let mut clients = [sandbox.connect().await, sandbox.connect().await];
    let mut backends = Vec::new();
    for client in &mut clients {
        client.send(GET).await;
        let mut backend = peer.accept().await;
        backend.head().await;
        backends.push(backend);
    }
    backends.clear();
    let mut again = peer.accept().await;
    again.head().await;
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"retry_budget\"} 2")
        .await;
    again.send(OK).await;
    let [one, two] = &mut clients;
    let mut statuses = [status(one).await, status(two).await];
    statuses.sort();
    assert_eq!(statuses, ["200", "502"]);
}

#[tokio::test]
async fn what_is_no_answer_is_not_asked_for_again() {
    let (peer, sandbox) = with(|_| {}).await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send("SSH-2.0-OpenSSH\r\n\r\n").await;
    assert_eq!(status(&mut client).await, "502");
    opened(&sandbox, 1).await;
}

#[tokio::test]
async fn half_an_answer_is_never_asked_for_again() {
    let (peer, sandbox) = with(|_| {}).await;
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert!(client.head().await.starts_with("http/1.1 200 "));
    client.until("half").await;
    drop(backend);
    assert!(client.closes().await);
    opened(&sandbox, 1).await;
}

/// A name that leads nowhere, beside one that leads to the peer.
#[tokio::test]
async fn a_name_that_leads_nowhere_is_passed_by() {
    let peer = Peer::bind().await;
    let nowhere = endpoint(Scheme::Http, "nowhere.invalid", 80);
    let sandbox = Setup::new(vec![nowhere, peer.endpoint()]).start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(status(&mut client).await, "200");
}
