//! What is recorded of a call, and of one that is refused.

use std::sync::Arc;
use std::time::Duration;

use gateway::spans::{Call, Ended, Via};
use policy::{Outcome, Phase, Policy, RequestCx, Step, Verdict};
use tokio::sync::mpsc;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, field, soon};

/// A policy that asks somebody, who takes his time.
struct Asks;

const TAKES: Duration = Duration::from_millis(5);

impl Policy for Asks {
    fn on_request<'a>(&'a self, _: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async {
            tokio::time::sleep(TAKES).await;
            Verdict::Continue
        }))
    }
}

/// A gateway that records this share of calls, and what it records.
fn recording(peer: &Peer, ratio: f64) -> (Sandbox, mpsc::Receiver<Box<Call>>) {
    let (sink, calls) = mpsc::channel(8);
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = || vec![Step::new("asks", Phase::Authenticate, Arc::new(Asks))];
    setup.config.tracing.ratio = ratio;
    setup.config.tracing.sink = Some(sink);
    (setup.start(), calls)
}

/// req: O3
#[tokio::test]
async fn policies_that_wait_and_tries_are_recorded_with_their_times() {
    let peer = Peer::bind().await;
    let (sandbox, mut calls) = recording(&peer, 1.0);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    backend.send(OK).await;
    client.answer().await;
    let call = soon("a call", calls.recv()).await.unwrap();
    assert_eq!(
        (call.status, call.ended, call.code),
        (200, Ended::Whole, None)
    );
    assert!(call.parent.is_none());
    let target = call.target.as_ref().unwrap();
    assert_eq!(target.route.as_deref(), Some("/shop/1.0.0/items/{id}"));
    let [waited] = call.waits.as_slice() else {
        panic!("{:?}", call.waits);
    };
    assert_eq!(waited.policy, "asks");
    assert!(waited.ended - waited.begun >= TAKES);
    let [tried] = call.tries.as_slice() else {
        panic!("{:?}", call.tries);
    };
    assert_eq!((tried.via, tried.status), (Via::New, Some(200)));
    assert!(call.begun_at <= waited.begun && waited.ended <= tried.begun);
    assert!(tried.ended <= call.ended_at);
    let span: String = tried
        .span_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let sent = field(&head, "traceparent").unwrap();
    assert_eq!(&sent[36..], format!("{span}-01"), "the try is the parent");

    // The same connection closes behind the next request: a second try, whose span the backend gets.
    drop(backend);
    client.send(GET).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")
        .await;
    client.head().await;
    drop(backend);
    client.rest().await;
    let call = soon("a call", calls.recv()).await.unwrap();
    assert_eq!(call.ended, Ended::Broken);
    assert_eq!(call.error().as_deref(), Some("backend_body_broken"));
    let last = call.tries.last().unwrap();
    let span: String = last
        .span_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(field(&head, "traceparent").unwrap().contains(&span));
    for failed in &call.tries[..call.tries.len() - 1] {
        assert_eq!((failed.via, failed.status), (Via::Reused, None));
        assert!(failed.error.is_some() && failed.span_id != last.span_id);
    }
}

#[tokio::test]
async fn what_is_not_sampled_is_not_recorded() {
    let peer = Peer::bind().await;
    let (sandbox, mut calls) = recording(&peer, 0.0);
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert!(field(&head, "traceparent").unwrap().ends_with("-00"));
    backend.send(OK).await;
    client.answer().await;
    sandbox
        .counts("tollway_gateway_request_duration_seconds_count 1")
        .await;
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn nobody_waits_for_a_full_queue() {
    let peer = Peer::bind().await;
    let (sink, _calls) = mpsc::channel(1);
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.tracing.ratio = 1.0;
    setup.config.tracing.sink = Some(sink);
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    for _ in 0..3 {
        client
            .send("GET /nowhere HTTP/1.1\r\nhost: h\r\n\r\n")
            .await;
        client.answer().await;
    }
    sandbox
        .counts("tollway_gateway_traces_dropped_total 2")
        .await;
}

/// req: O5
#[tokio::test]
async fn decisions_that_nobody_takes_are_counted_and_not_made() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.decisions_max = 2;
    let mut sandbox = setup.start();
    let mut client = sandbox.connect().await;
    for path in ["/a", "/b", "/c"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
        client.send(request).await;
        client.answer().await;
    }
    sandbox.counts("tollway_gateway_decisions_total 2").await;
    sandbox
        .counts("tollway_gateway_decisions_dropped_total 1")
        .await;
    let mut decisions = sandbox.gateway.take_decisions().unwrap();
    let taken = decisions.take();
    let paths: Vec<&str> = taken.iter().map(|one| one.request.path.as_str()).collect();
    assert_eq!(paths, ["/a", "/b"]);
    assert!(decisions.take().is_empty());
    client.send("GET /d HTTP/1.1\r\nhost: h\r\n\r\n").await;
    client.answer().await;
    assert_eq!(decisions.take().len(), 1, "there is room again");
}

#[tokio::test]
async fn decisions_can_be_turned_off() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.decisions_max = 0;
    let mut sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await;
    client.answer().await;
    sandbox
        .counts("tollway_gateway_decisions_dropped_total 0")
        .await;
    assert!(sandbox.gateway.take_decisions().unwrap().take().is_empty());
}

#[tokio::test]
async fn long_texts_are_cut() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.target_bytes_max = 64 * 1024;
    let mut sandbox = setup.start();
    let mut client = sandbox.connect().await;
    let long = "x".repeat(5000);
    let request = format!("GET /{long} HTTP/1.1\r\nhost: h\r\nuser-agent: {long}\r\n\r\n");
    client.send(request).await;
    client.answer().await;
    let taken = sandbox.gateway.take_decisions().unwrap().take();
    assert!(taken[0].request.path.len() < 1100);
    assert!(taken[0].request.headers[0].1.len() < 1100);
}
