//! Policies that look at the beginning of a body: the backend gets all of it all the same, and limits hold.

use std::sync::Arc;

use policy::services::PeekFault;
use policy::{Ahead, Outcome, Phase, Policy, Reject, RequestCx, Step, Verdict};

use crate::messages::small_bodies;
use crate::sandbox::{OK, Peer, Sandbox, Setup, field};

/// Looks at four bytes, and tells the backend what it saw.
struct Looks;

impl Policy for Looks {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async move {
            let told = match cx.slots.get::<Ahead>().cloned() {
                None => "none".to_owned(),
                Some(Ahead(ahead)) => match ahead.peek(4).await {
                    Ok(peeked) => {
                        let text = String::from_utf8_lossy(&peeked.bytes).into_owned();
                        format!("{text} {}", if peeked.whole { "whole" } else { "more" })
                    }
                    Err(PeekFault::TooLong) => {
                        let reject = Reject::new(base::code::BODY_TOO_LARGE, "too long");
                        return Verdict::Reject(Box::new(reject));
                    }
                    Err(PeekFault::Broken) => "broken".to_owned(),
                },
            };
            cx.headers.insert("x-peeked", told.parse().unwrap());
            Verdict::Continue
        }))
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}

fn looks() -> Vec<Step> {
    vec![Step::new("looks", Phase::Authorize, Arc::new(Looks))]
}

fn looks_and_limits() -> Vec<Step> {
    [looks(), small_bodies()].concat()
}

fn start(peer: &Peer, change: impl FnOnce(&mut Setup)) -> Sandbox {
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = looks;
    change(&mut setup);
    setup.start()
}

#[tokio::test]
async fn the_backend_gets_what_was_looked_at_and_the_rest() {
    let peer = Peer::bind().await;
    let sandbox = start(&peer, |_| {});
    let mut client = sandbox.connect().await;
    let long = "0123456789".repeat(10_000);
    let mut backend = None;
    for (body, told) in [
        ("0123456789", "0123 more"),
        ("ab", "ab whole"),
        (&long, "0123 more"),
    ] {
        let length = body.len();
        let head =
            format!("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        client.send(head + body).await;
        if backend.is_none() {
            backend = Some(peer.accept().await);
        }
        let backend = backend.as_mut().unwrap();
        let head = backend.head().await;
        assert_eq!(field(&head, "x-peeked"), Some(told));
        assert_eq!(field(&head, "content-length"), Some(&*length.to_string()));
        assert_eq!(backend.exactly(length).await, body.as_bytes());
        backend.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
    }
    client
        .send("GET /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let head = backend.unwrap().head().await;
    assert_eq!(field(&head, "x-peeked"), Some("none"));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_waited_for_until_enough_is_there() {
    let peer = Peer::bind().await;
    let sandbox = start(&peer, |_| {});
    let mut client = sandbox.connect().await;
    client
        .send(
            "POST /shop/items HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        )
        .await;
    client.send("4\r\ncdef\r\n").await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert_eq!(field(&head, "x-peeked"), Some("abcd more"));
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    backend.until("cdef\r\n").await;
    client.send("1\r\ng\r\n0\r\n\r\n").await;
    backend.until("g\r\n0\r\n\r\n").await;
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

/// req: S12
#[tokio::test]
async fn limits_hold_for_what_was_looked_at() {
    let peer = Peer::bind().await;
    let sandbox = start(&peer, |setup| setup.config.limits.body_bytes_max = 3);
    let chunked =
        "POST /shop/items HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n";
    let mut client = sandbox.connect().await;
    client.send(chunked).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");

    // The API takes less than the node.
    let sandbox = start(&peer, |setup| setup.policies = looks_and_limits);
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n01234567890")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    let mut client = sandbox.connect().await;
    client.send(chunked).await;
    let mut backend = peer.accept().await;
    backend.until("abcdef\r\n").await;
    client.send("6\r\nabcdef\r\n").await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
}
