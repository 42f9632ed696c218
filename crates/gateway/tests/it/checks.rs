//! Checks of endpoints over TLS and over HTTP/2: by the same rules of trust as calls.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parts::GrpcHealth;
use snapshot::{Check, CheckAsk, Endpoint, Health, Protocol, Scheme};
use sync::calls::CaSource;

use crate::discovery::{grpc_check, says};
use crate::sandbox::{Peer, Setup};
use crate::tls::backend_tls;

/// A backend over TLS that answers by itself.
struct Secured {
    port: u16,
    ca: String,
    status: Arc<AtomicU16>,
    /// Checks that came over HTTP/1.1, and over HTTP/2.
    came: [Arc<AtomicUsize>; 2],
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Secured {
    async fn start(alpn: &[&[u8]]) -> Self {
        let peer = Peer::bind().await;
        let (ca, acceptor) = backend_tls(alpn);
        let port = peer.addr.port();
        let status = Arc::new(AtomicU16::new(200));
        let came: [Arc<AtomicUsize>; 2] = Default::default();
        let (answered, counted) = (Arc::clone(&status), came.clone());
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let tcp = peer.accept_stream_patiently().await;
                let (acceptor, status, came) =
                    (acceptor.clone(), Arc::clone(&answered), counted.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(move |request: Request<Incoming>| {
                        let at = usize::from(request.version() == Version::HTTP_2);
                        came[at].fetch_add(1, Ordering::SeqCst);
                        let mut response = Response::new(String::new());
                        let status = http::StatusCode::from_u16(status.load(Ordering::SeqCst));
                        *response.status_mut() = status.unwrap();
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let io = TokioIo::new(stream);
                    let _ = if h2 {
                        let builder =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(io, service).await
                    } else {
                        let builder = hyper::server::conn::http1::Builder::new();
                        builder.serve_connection(io, service).await
                    };
                });
            }
        });
        Self {
            port,
            ca,
            status,
            came,
            serving,
        }
    }

    fn setup(&self) -> Setup {
        let mut setup = trusting(self.port, &self.ca);
        setup.backend.health = Health {
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
            ..Health::default()
        };
        setup
    }
}

fn trusting(port: u16, ca: &str) -> Setup {
    let endpoint = Endpoint::new(Scheme::Https, "127.0.0.1", port).unwrap();
    let mut setup = Setup::new(vec![endpoint]);
    setup.backend.calls.tls.ca = Some(CaSource::Inline(ca.to_owned()));
    setup.backend.calls.tls.sni = Some("backend.test".to_owned());
    setup
}

/// req: GW2
#[tokio::test]
async fn http_checks_go_over_tls_in_the_version_that_is_agreed_on() {
    for (alpn, protocol, h2) in [
        (&[&b"http/1.1"[..]][..], Protocol::Auto, false),
        (&[&b"h2"[..], b"http/1.1"], Protocol::Auto, true),
        (&[&b"h2"[..], b"http/1.1"], Protocol::Http1, false),
        (&[&b"h2"[..]], Protocol::Http2, true),
    ] {
        let secured = Secured::start(alpn).await;
        let mut setup = secured.setup();
        setup.backend.protocol = protocol;
        let sandbox = setup.start();
        says(&sandbox, "healthy", "the check succeeds").await;
        secured.status.store(503, Ordering::SeqCst);
        says(&sandbox, "unhealthy", "answered 503").await;
        secured.status.store(204, Ordering::SeqCst);
        says(&sandbox, "healthy", "").await;
        let [over_h1, over_h2] = secured
            .came
            .each_ref()
            .map(|came| came.load(Ordering::SeqCst));
        let (right, wrong) = if h2 {
            (over_h2, over_h1)
        } else {
            (over_h1, over_h2)
        };
        assert!(
            right >= 3 && wrong == 0,
            "{protocol:?}: {over_h1} {over_h2}"
        );
    }
}

/// A check trusts whom calls trust.
#[tokio::test]
async fn a_check_says_why_tls_fails() {
    let secured = Secured::start(&[b"http/1.1"]).await;
    let mut setup = secured.setup();
    let (stranger, _) = backend_tls(&[]);
    setup.backend.calls.tls.ca = Some(CaSource::Inline(stranger));
    says(&setup.start(), "unhealthy", "the TLS handshake failed").await;
    let mut setup = secured.setup();
    setup.backend.calls.tls.sni = Some("other.test".to_owned());
    says(&setup.start(), "unhealthy", "the TLS handshake failed").await;
}

/// req: GW2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_checks_go_over_tls_to_a_real_health_service() {
    let made = rcgen::generate_simple_self_signed(vec!["backend.test".to_owned()]).unwrap();
    let (ca, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut server = GrpcHealth::start_tls(&ca, &key);
    server.set("shop.Orders", "SERVING");
    let mut setup = trusting(server.addr().port(), &ca);
    setup.backend.health = grpc_check("shop.Orders");
    let sandbox = setup.start();
    says(&sandbox, "healthy", "the check succeeds").await;
    server.set("shop.Orders", "NOT_SERVING");
    says(&sandbox, "unhealthy", "says NotServing").await;
    server.set("shop.Orders", "SERVING");
    says(&sandbox, "healthy", "").await;
    let (stranger, _) = backend_tls(&[]);
    let mut setup = trusting(server.addr().port(), &stranger);
    setup.backend.health = grpc_check("shop.Orders");
    says(&setup.start(), "unhealthy", "the TLS handshake failed").await;
}
