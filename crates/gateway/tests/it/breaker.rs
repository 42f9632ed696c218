//! Circuit breakers: limits, and backends that are left alone while they fail.

use std::sync::Arc;

use base::{ManualClock, SystemClock};
use sync::calls::BreakerRules;

use crate::sandbox::{GET, Nobody, OK, Peer, Sandbox, Setup, Wire, field};

const FAILED: &str = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";

fn rules() -> BreakerRules {
    BreakerRules {
        connections_max: None,
        pending_max: None,
        requests_max: None,
        queue: None,
        error_percent: None,
        window_ms: 10_000,
        requests_min: 2,
        statuses: None,
        open_ms: 5_000,
        probes: 1,
    }
}

fn setup(peer: &Peer, rules: BreakerRules) -> Setup {
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.calls.breaker = Some(Box::new(rules));
    setup
}

/// Answers one call over a connection of its own.
async fn answered(peer: &Peer, client: &mut Wire, answer: &str) -> String {
    client.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(answer).await;
    client.answer().await.0
}

async fn refused(client: &mut Wire, code: &str, retry_after: &str) {
    client.send(GET).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(field(&head, "retry-after"), Some(retry_after), "{head}");
    assert!(body.contains(code), "{body}");
}

async fn hit(sandbox: &Sandbox, limit: &str, times: u32) {
    sandbox
        .counts(&format!(
            "tollway_gateway_limits_hit_total{{limit=\"{limit}\"}} {times}"
        ))
        .await;
}

/// The state belongs to the backend: two cores share it, and an edit of the document does not end it.
#[tokio::test]
async fn a_circuit_opens_for_all_cores_stays_open_across_an_edit_and_closes_after_a_probe() {
    let peer = Peer::bind().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let rules = BreakerRules {
        error_percent: Some(50),
        ..rules()
    };
    let make = |open_ms: u64| {
        let mut setup = setup(
            &peer,
            BreakerRules {
                open_ms,
                ..rules.clone()
            },
        );
        setup.clock = clock.clone();
        setup.config.workers = 2;
        // Each call has a connection of its own, whichever core serves it.
        setup.config.upstream.requests_max = 1;
        setup
    };
    let sandbox = make(5_000).start();
    let mut clients = [sandbox.connect().await, sandbox.connect().await];
    for client in &mut clients {
        let head = answered(&peer, client, FAILED).await;
        assert!(head.starts_with("http/1.1 500 "), "{head}");
    }
    sandbox
        .counts("tollway_gateway_backend_circuit{org=\"default\",backend=\"shop\"} 2")
        .await;
    for client in &mut clients {
        refused(client, "BACKEND_CIRCUIT_OPEN", "5").await;
    }
    hit(&sandbox, "circuit", 2).await;
    let edited = make(4_000).snapshot();
    sandbox.snapshots.store(Arc::new(Some(edited)));
    clock.advance_ms(1_000);
    for client in &mut clients {
        refused(client, "BACKEND_CIRCUIT_OPEN", "4").await;
    }
    // Half-open, one probe is let through, and only one.
    clock.advance_ms(4_000);
    let [one, two] = &mut clients;
    one.send(GET).await;
    let mut probe = peer.accept().await;
    probe.head().await;
    refused(two, "BACKEND_CIRCUIT_OPEN", "1").await;
    probe.send(FAILED).await;
    one.answer().await;
    refused(two, "BACKEND_CIRCUIT_OPEN", "4").await;
    clock.advance_ms(4_000);
    assert!(answered(&peer, two, OK).await.starts_with("http/1.1 200 "));
    assert!(answered(&peer, one, OK).await.starts_with("http/1.1 200 "));
    sandbox
        .counts("tollway_gateway_backend_circuit{org=\"default\",backend=\"shop\"} 0")
        .await;
    sandbox
        .counts("tollway_gateway_backend_circuit_opened_total{org=\"default\",backend=\"shop\"} 2")
        .await;
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_opens_the_circuit_too() {
    let nobody = Nobody::bind();
    let mut setup = Setup::new(vec![nobody.endpoint()]);
    setup.backend.calls.breaker = Some(Box::new(BreakerRules {
        error_percent: Some(100),
        ..rules()
    }));
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        assert!(client.answer().await.0.starts_with("http/1.1 502 "));
    }
    refused(&mut client, "BACKEND_CIRCUIT_OPEN", "5").await;
}

#[tokio::test]
async fn calls_at_a_time_are_limited_to_the_end_of_their_answers() {
    let peer = Peer::bind().await;
    let sandbox = setup(
        &peer,
        BreakerRules {
            requests_max: Some(1),
            ..rules()
        },
    )
    .start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha")
        .await;
    one.until("ha").await;
    refused(&mut two, "BACKEND_OVERLOADED", "1").await;
    hit(&sandbox, "backend_requests", 1).await;
    backend.send("lf").await;
    one.until("lf").await;
    two.send(GET).await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(two.answer().await.1, "ok");
}

#[tokio::test]
async fn what_needs_a_connection_too_many_waits_and_those_who_wait_are_limited() {
    let peer = Peer::bind().await;
    let sandbox = setup(
        &peer,
        BreakerRules {
            connections_max: Some(1),
            pending_max: Some(1),
            ..rules()
        },
    )
    .start();
    let mut clients = [
        sandbox.connect().await,
        sandbox.connect().await,
        sandbox.connect().await,
    ];
    let [one, two, three] = &mut clients;
    one.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    two.send(GET).await;
    hit(&sandbox, "backend_connections", 1).await;
    refused(three, "BACKEND_OVERLOADED", "1").await;
    hit(&sandbox, "backend_pending", 1).await;
    backend.send(OK).await;
    assert_eq!(one.answer().await.1, "ok");
    // The connection goes on to the one who waits.
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(two.answer().await.1, "ok");
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"opened\"} 1")
        .await;
}

#[tokio::test]
async fn a_core_gives_up_a_connection_that_another_waits_for() {
    let peer = Peer::bind().await;
    let mut setup = setup(
        &peer,
        BreakerRules {
            connections_max: Some(1),
            ..rules()
        },
    );
    setup.config.workers = 2;
    let sandbox = setup.start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    two.send(GET).await;
    hit(&sandbox, "backend_connections", 1).await;
    backend.send(OK).await;
    one.answer().await;
    assert!(backend.closes().await);
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(two.answer().await.1, "ok");
}

/// Calls beyond the limit wait for their turn, for a short time, and so many only. (req: TM1)
#[tokio::test]
async fn calls_wait_for_their_turn_at_a_full_backend() {
    let peer = Peer::bind().await;
    let queued = |calls_max, wait_ms| BreakerRules {
        requests_max: Some(1),
        queue: Some(sync::calls::QueueRules { calls_max, wait_ms }),
        ..rules()
    };
    let sandbox = setup(&peer, queued(1, 60_000)).start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    two.send(GET).await;
    hit(&sandbox, "backend_queue", 1).await;
    let mut three = sandbox.connect().await;
    refused(&mut three, "BACKEND_OVERLOADED", "1").await;
    hit(&sandbox, "backend_queue", 2).await;
    hit(&sandbox, "backend_requests", 1).await;
    backend.send(OK).await;
    assert_eq!(one.answer().await.1, "ok");
    // The second one's turn has come.
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(two.answer().await.1, "ok");
    // Somebody who waits and goes away is not waited for.
    one.send(GET).await;
    backend.head().await;
    two.send(GET).await;
    hit(&sandbox, "backend_queue", 3).await;
    drop(two);
    backend.send(OK).await;
    assert_eq!(one.answer().await.1, "ok");
    three.send(GET).await;
    backend.head().await;
    backend.send(OK).await;
    assert_eq!(three.answer().await.1, "ok");

    let mut setup = setup(&peer, queued(5, 30));
    setup.clock = Arc::new(SystemClock::new());
    let sandbox = setup.start();
    let (mut one, mut two) = (sandbox.connect().await, sandbox.connect().await);
    one.send(GET).await;
    let mut backend = peer.accept().await;
    backend.head().await;
    refused(&mut two, "BACKEND_OVERLOADED", "1").await;
    hit(&sandbox, "backend_queue", 1).await;
    hit(&sandbox, "backend_requests", 1).await;
}
