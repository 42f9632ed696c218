//! Which endpoint gets a call: turns, checks, ejection, failover, what outlives an edit.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use base::Digest;
use snapshot::{Backend, Balance, Check, CheckAsk, Endpoint, HashBy, Health, Scheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::sandbox::{GET, Nobody, Sandbox, Setup, field, key, soon};

/// A backend that answers by itself: its name as the body, the status that the test sets.
pub(crate) struct Answering {
    pub(crate) addr: SocketAddr,
    pub(crate) status: Arc<AtomicU16>,
    pub(crate) calls: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Answering {
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::at("127.0.0.1:0", name).await.unwrap()
    }

    /// An error where somebody else is there.
    pub(crate) async fn at(addr: &str, name: &'static str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr().unwrap();
        let (status, calls) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
        let (answered, counted) = (Arc::clone(&status), Arc::clone(&calls));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    return;
                };
                let (status, calls) = (Arc::clone(&answered), Arc::clone(&counted));
                connections.spawn(async move {
                    let mut read = Vec::new();
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                        read.extend_from_slice(&bytes[..length]);
                        if !read.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let is_check = read.starts_with(b"GET /healthz");
                        read.clear();
                        calls.fetch_add(usize::from(!is_check), Ordering::SeqCst);
                        let status = status.load(Ordering::SeqCst);
                        let length = name.len();
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{name}"
                        );
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self {
            addr,
            status,
            calls,
            serving,
        })
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(Scheme::Http, "127.0.0.1", self.addr.port()).unwrap()
    }

    fn set(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// Who answered so many calls, and with which statuses.
pub(crate) async fn asked(sandbox: &Sandbox, calls: usize) -> BTreeMap<String, usize> {
    let mut client = Box::pin(sandbox.connect()).await;
    let mut counts = BTreeMap::new();
    for _ in 0..calls {
        client.send(GET).await;
        // Boxed: a wire's buffer is large, and a test's stack is not.
        let (head, body) = Box::pin(client.answer()).await;
        let name = if body.len() > 20 {
            head.split(' ').nth(1).unwrap_or_default().to_owned()
        } else {
            body
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Asks until `wanted` is true of who answered.
pub(crate) async fn until(
    what: &str,
    sandbox: &Sandbox,
    wanted: impl Fn(&BTreeMap<String, usize>) -> bool,
) {
    soon(what, async {
        while !wanted(&asked(sandbox, 4).await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn http_check() -> Health {
    Health {
        check: Some(Check {
            ask: CheckAsk::Http {
                target: "/healthz".to_owned(),
                host: None,
                expect: vec![(200, 299)],
            },
            every_ms: 20,
            timeout_ms: 60_000,
        }),
        healthy_after: 1,
        unhealthy_after: 1,
        eject_after: 0,
        ..Health::default()
    }
}

#[tokio::test]
async fn turns_go_by_weight() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let heavy = Endpoint {
        weight: 3,
        ..a.endpoint()
    };
    let sandbox = Setup::new(vec![heavy, b.endpoint()]).start();
    assert_eq!(asked(&sandbox, 8).await, counts(&[("a", 6), ("b", 2)]));
}

#[tokio::test]
async fn the_next_priority_takes_over_while_the_first_is_ejected() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let standby = Endpoint {
        priority: 1,
        ..b.endpoint()
    };
    let mut setup = Setup::new(vec![a.endpoint(), standby]);
    setup.backend.health.eject_after = 2;
    let sandbox = setup.start();
    assert_eq!(asked(&sandbox, 4).await, counts(&[("a", 4)]));
    a.set(503);
    // Two fail, then the endpoint is ejected.
    assert_eq!(asked(&sandbox, 5).await, counts(&[("a", 2), ("b", 3)]));
    let reports = sandbox.gateway.endpoints().reports();
    let first = &reports[0].endpoints[0];
    assert_eq!(first.health.as_str(), "ejected");
    assert_eq!(
        first.cause,
        "2 calls in a row failed, the last: answered 503"
    );
    // The floor: the one that is left is never ejected, however it fares.
    b.set(503);
    assert_eq!(asked(&sandbox, 6).await, counts(&[("b", 6)]));
    let metrics = sandbox.metrics();
    assert!(
        metrics.contains("tollway_gateway_ejections_spared_total"),
        "{metrics}"
    );
}

/// req: GW2
#[tokio::test]
async fn checks_take_an_endpoint_out_and_bring_it_back() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let mut setup = Setup::new(vec![a.endpoint(), b.endpoint()]);
    setup.backend.health = http_check();
    let sandbox = setup.start();
    until("both answer", &sandbox, |seen| seen.len() == 2).await;
    b.set(500);
    until("a alone answers", &sandbox, |seen| {
        *seen == counts(&[("a", 4)])
    })
    .await;
    let reports = sandbox.gateway.endpoints().reports();
    let ill = reports[0]
        .endpoints
        .iter()
        .find(|endpoint| !endpoint.health.is_called());
    assert_eq!(ill.map(|ill| &*ill.cause), Some("answered 500"));
    let wanted = format!("endpoint=\"http://{}\",health=\"unhealthy\"}} 1", b.addr);
    assert!(sandbox.metrics().contains(&wanted));
    b.set(200);
    until("both answer again", &sandbox, |seen| seen.len() == 2).await;
    // Where all fail, all are called: a check may be wrong, and to call nobody helps nobody.
    a.set(500);
    b.set(500);
    until("all are called", &sandbox, |seen| seen.len() == 2).await;
}

#[tokio::test]
async fn a_tcp_check_sees_that_nobody_listens() {
    let a = Answering::named("a").await;
    let nobody = Nobody::bind();
    let mut setup = Setup::new(vec![nobody.endpoint(), a.endpoint()]);
    let check = Check {
        ask: CheckAsk::Tcp,
        every_ms: 20,
        timeout_ms: 60_000,
    };
    setup.backend.health = Health {
        check: Some(check),
        ..http_check()
    };
    let sandbox = setup.start();
    until("a alone answers", &sandbox, |seen| {
        *seen == counts(&[("a", 4)])
    })
    .await;
}

#[tokio::test]
async fn another_backend_takes_over_and_gives_back() {
    let (a, dr) = (Answering::named("a").await, Answering::named("dr").await);
    let mut setup = Setup::new(vec![a.endpoint()]);
    setup.backend.health = http_check();
    let other = snapshot::BackendKey {
        name: "dr".into(),
        ..key()
    };
    setup.backend.failover = vec![other.clone()];
    setup.beside = vec![Backend::at(other, vec![dr.endpoint()])];
    let sandbox = setup.start();
    until("the backend answers", &sandbox, |seen| {
        *seen == counts(&[("a", 4)])
    })
    .await;
    a.set(500);
    until("the other one takes over", &sandbox, |seen| {
        *seen == counts(&[("dr", 4)])
    })
    .await;
    a.set(200);
    until("the backend is back", &sandbox, |seen| {
        *seen == counts(&[("a", 4)])
    })
    .await;
}

#[tokio::test]
async fn equal_cookies_reach_the_same_endpoint() {
    let backends = [
        Answering::named("a").await,
        Answering::named("b").await,
        Answering::named("c").await,
    ];
    let mut setup = Setup::new(backends.iter().map(Answering::endpoint).collect());
    setup.backend.balance = Balance::Hash {
        by: HashBy::Cookie("session".to_owned()),
        bound_percent: 150,
    };
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    let mut homes = BTreeMap::new();
    for round in 0..60 {
        let session = round % 20;
        let cookie =
            format!("GET /shop/items HTTP/1.1\r\nhost: x\r\ncookie: session={session}\r\n\r\n");
        client.send(cookie).await;
        let (head, body) = client.answer().await;
        assert!(field(&head, "content-length").is_some());
        assert_eq!(homes.entry(session).or_insert_with(|| body.clone()), &body);
    }
    let used: std::collections::BTreeSet<_> = homes.values().collect();
    assert_eq!(used.len(), 3, "{homes:?}");
}

#[tokio::test]
async fn an_expression_may_be_hashed() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let mut setup = Setup::new(vec![a.endpoint(), b.endpoint()]);
    let expr = expr::Expr::compile("request.headers['x-user'] + request.method").unwrap();
    setup.backend.balance = Balance::Hash {
        by: HashBy::Expr(Arc::new(expr)),
        bound_percent: 150,
    };
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    let mut first = None;
    for _ in 0..10 {
        client
            .send("GET /shop/items HTTP/1.1\r\nhost: x\r\nx-user: alice\r\n\r\n")
            .await;
        let (_, body) = client.answer().await;
        assert_eq!(first.get_or_insert_with(|| body.clone()), &body);
    }
    // Without the header there is no value: the endpoints take turns.
    assert_eq!(asked(&sandbox, 4).await, counts(&[("a", 2), ("b", 2)]));
}

/// req: C4
#[tokio::test]
async fn edits_under_load_keep_what_is_known_of_endpoints() {
    let (a, b) = (Answering::named("a").await, Answering::named("b").await);
    let mut setup = Setup::new(vec![a.endpoint(), b.endpoint()]);
    setup.backend.health.eject_after = 2;
    setup.backend.health.eject_for_ms = 600_000;
    let sandbox = setup.start();
    a.set(503);
    until("a is ejected", &sandbox, |seen| {
        *seen == counts(&[("b", 4)])
    })
    .await;
    a.set(200);
    a.calls.store(0, Ordering::SeqCst);
    for round in 0..20 {
        let mut edited = Setup::new(vec![a.endpoint(), b.endpoint()]);
        edited.backend.health.eject_after = 2;
        edited.backend.timeout_ms = 50_000 + round;
        edited.backend.digest = Digest::of(&round.to_le_bytes());
        sandbox.swap(edited.snapshot());
        assert_eq!(
            asked(&sandbox, 10).await,
            counts(&[("b", 10)]),
            "round {round}"
        );
    }
    assert_eq!(a.calls.load(Ordering::SeqCst), 0);
}
