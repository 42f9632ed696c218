//! Certificates of clients: shown in the handshake, or forwarded by a proxy.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway::{ClientCertificates, Forwarding, TlsFiles};
use parts::pki::{Authority, Issued};
use policy::{ClientCertificate, Outcome, Phase, Policy, RequestCx, Step};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::sandbox::{GET, Peer, Sandbox, Setup, Wire, field, soon};

/// An answer behind which the backend closes: the next call comes over a connection of its own.
const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// Writes what it sees of the client's certificate into a field of the backend's request.
struct Tells;

impl Policy for Tells {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let shown = cx.slots.get::<Arc<ClientCertificate>>();
        let text = shown.map_or("none".to_owned(), |shown| {
            let digest = base::Digest::from_bytes(shown.sha256);
            format!("{digest} {} {}", shown.chain.len(), shown.forwarded)
        });
        cx.headers.insert("x-told", text.parse().unwrap());
        Outcome::CONTINUE
    }
}

fn tells() -> Vec<Step> {
    vec![Step::new("tells", Phase::Transform, Arc::new(Tells))]
}

fn digest(shown: &Issued) -> String {
    base::Digest::of(&shown.der).to_string()
}

/// A gateway with a server certificate of this authority, which asks clients for theirs.
async fn gateway(
    folder: &Path,
    root: &Authority,
    clients: Option<ClientCertificates>,
    change: impl FnOnce(&mut Setup),
) -> (Peer, Sandbox) {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.policies = tells;
    root.server().write(folder);
    setup.config.https = Some(([127, 0, 0, 1], 0).into());
    setup.config.tls = TlsFiles::Files {
        cert: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    setup.config.client_certificates = clients;
    change(&mut setup);
    (peer, setup.start())
}

fn client(root: &Authority, shows: Option<&Issued>, alpn: &[u8]) -> Arc<ClientConfig> {
    client_of(root, shows, alpn, rustls::DEFAULT_VERSIONS)
}

/// A client of these versions of TLS, which keeps its sessions.
fn client_of(
    root: &Authority,
    shows: Option<&Issued>,
    alpn: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der())).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(shows) => {
            let key = PrivateKeyDer::from_pem_slice(shows.key_pem.as_bytes()).unwrap();
            let chain = vec![CertificateDer::from(shows.der.clone())];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

async fn connect(
    sandbox: &Sandbox,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let address = sandbox.gateway.https_addr().unwrap();
    let tcp = soon("connect", TcpStream::connect(address)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    soon("handshake", connector.connect(name, tcp)).await
}

/// Calls; what the gateway has seen of the certificate. The stream comes back, with its session's ticket.
async fn told<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    peer: &Peer,
    request: &str,
) -> (String, S) {
    let mut client = Wire::new(stream);
    client.send(request).await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    for stripped in ["client-cert", "ssl-client-cert", "x-forwarded-client-cert"] {
        assert_eq!(field(&head, stripped), None, "the backend got {stripped}");
    }
    backend.send(LAST).await;
    assert_eq!(client.answer().await.1, "ok");
    let told = field(&head, "x-told").unwrap().to_owned();
    (told, client.into_inner())
}

/// Whether the server let the client in: in TLS 1.3 it refuses a certificate behind the client's handshake.
async fn gets_in(sandbox: &Sandbox, config: &Arc<ClientConfig>) -> bool {
    let Ok(stream) = connect(sandbox, config).await else {
        return false;
    };
    let mut wire = Wire::new(stream);
    if !wire
        .try_send(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
    {
        return false;
    }
    soon("an answer", wire.head_or_end()).await.is_some()
}

#[tokio::test]
async fn who_is_not_asked_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let (peer, sandbox) = gateway(folder.path(), &root, None, |_| {}).await;
    let till = root.issue("till", 7, |_| {});
    let stream = connect(&sandbox, &client(&root, Some(&till), b"http/1.1")).await;
    assert_eq!(told(stream.unwrap(), &peer, GET).await.0, "none");
}

/// RFC 8705 §3: who vouches does not matter, the key does.
#[tokio::test]
async fn any_certificate_is_asked_for_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let any = ClientCertificates {
        required: false,
        ca: None,
    };
    let (peer, sandbox) = gateway(folder.path(), &root, Some(any), |_| {}).await;
    let till = other.issue("till", 7, |_| {});
    let config = client(&root, Some(&till), b"http/1.1");
    let stream = connect(&sandbox, &config).await.unwrap();
    let seen = format!("{} 1 false", digest(&till));
    let (first, stream) = told(stream, &peer, GET).await;
    assert_eq!(first, seen);
    assert_eq!(
        stream.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Full)
    );
    // A session that is resumed is still of the one who has shown it.
    let stream = connect(&sandbox, &config).await.unwrap();
    assert_eq!(
        stream.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Resumed)
    );
    assert_eq!(told(stream, &peer, GET).await.0, seen);
    // Certificates were read again: everybody shows theirs again.
    assert_eq!(sandbox.gateway.reload_certificates().0, 1);
    let stream = connect(&sandbox, &config).await.unwrap();
    assert_eq!(
        stream.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Full)
    );
    assert_eq!(told(stream, &peer, GET).await.0, seen);
    let without = client(&root, None, b"http/1.1");
    let stream = connect(&sandbox, &without).await.unwrap();
    assert_eq!(told(stream, &peer, GET).await.0, "none");
}

/// How a client that may have a session shakes hands, and what the gateway sees of its certificate then.
async fn shakes(
    sandbox: &Sandbox,
    peer: &Peer,
    config: &Arc<ClientConfig>,
) -> (HandshakeKind, String) {
    let stream = connect(sandbox, config).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    (kind, told(stream, peer, GET).await.0)
}

/// Shakes hands until no session is resumed. Each time the client has a session: it has read an answer, and with it what
/// the server said of sessions.
async fn shows_again(sandbox: &Sandbox, peer: &Peer, config: &Arc<ClientConfig>, seen: &str) {
    let shown = async {
        loop {
            let (kind, told) = shakes(sandbox, peer, config).await;
            assert_eq!(told, seen);
            match kind {
                HandshakeKind::Resumed => tokio::time::sleep(Duration::from_millis(50)).await,
                other => break other,
            }
        }
    };
    let kind = soon("the certificate is shown again", shown).await;
    assert_eq!(kind, HandshakeKind::Full);
}

/// A session keeps its client's certificate; it is resumed until any of the listener's files has changed, which nobody has
/// to tell the gateway.
#[tokio::test]
async fn sessions_are_resumed_until_the_files_change() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (Authority::root("root"), Authority::root("other"));
        let ca = folder.path().join("clients.pem");
        std::fs::write(&ca, root.pem()).unwrap();
        let asks = ClientCertificates {
            required: false,
            ca: Some(ca.clone()),
        };
        let (peer, sandbox) = gateway(folder.path(), &root, Some(asks), |_| {}).await;
        let till = root.issue("till", 7, |_| {});
        let config = client_of(&root, Some(&till), b"http/1.1", &[version]);
        let seen = format!("{} 1 false", digest(&till));
        let (full, resumed) = (
            (HandshakeKind::Full, seen.clone()),
            (HandshakeKind::Resumed, seen.clone()),
        );
        let shaken = || shakes(&sandbox, &peer, &config);
        assert_eq!(shaken().await, full, "{version:?}");
        for _ in 0..3 {
            assert_eq!(shaken().await, resumed, "{version:?}");
        }

        // The listener's own certificate is renewed.
        root.server().write(folder.path());
        shows_again(&sandbox, &peer, &config, &seen).await;
        assert_eq!(shaken().await, resumed, "{version:?}");
        // Other authorities; this client's is still among them.
        std::fs::write(&ca, format!("{}{}", root.pem(), other.pem())).unwrap();
        shows_again(&sandbox, &peer, &config, &seen).await;
        assert_eq!(shaken().await, resumed, "{version:?}");

        // It is no longer: who has a session is not let in by it.
        std::fs::write(&ca, other.pem()).unwrap();
        let out = async {
            while gets_in(&sandbox, &config).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("the client is not let in", out).await;
        let foreign = other.issue("till", 7, |_| {});
        let foreign = client_of(&root, Some(&foreign), b"http/1.1", &[version]);
        assert!(gets_in(&sandbox, &foreign).await, "{version:?}");
        assert!(!gets_in(&sandbox, &config).await, "{version:?}");
    }
}

#[tokio::test]
async fn over_http2_each_stream_is_of_the_connections_client() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let any = ClientCertificates {
        required: true,
        ca: None,
    };
    let (peer, sandbox) = gateway(folder.path(), &root, Some(any), |_| {}).await;
    let till = root.issue("till", 7, |_| {});
    let stream = connect(&sandbox, &client(&root, Some(&till), b"h2"))
        .await
        .unwrap();
    let builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = http::Request::get("https://localhost/shop/1.0.0/items").body(String::new());
        let answer = tokio::spawn(sender.send_request(request.unwrap()));
        let mut backend = peer.accept().await;
        let head = backend.head().await;
        let seen = format!("{} 1 false", digest(&till));
        assert_eq!(field(&head, "x-told"), Some(seen.as_str()));
        backend
            .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        assert_eq!(soon("answer", answer).await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_listener_may_require_certificates_of_its_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, root.pem()).unwrap();
    let required = ClientCertificates {
        required: true,
        ca: Some(ca.clone()),
    };
    let (_peer, sandbox) = gateway(folder.path(), &root, Some(required), |_| {}).await;
    let good = client(&root, Some(&root.issue("till", 7, |_| {})), b"http/1.1");
    let foreign = client(&root, Some(&other.issue("till", 7, |_| {})), b"http/1.1");
    let expired = root.issue("till", 8, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let expired = client(&root, Some(&expired), b"http/1.1");
    assert!(gets_in(&sandbox, &good).await);
    assert!(!gets_in(&sandbox, &foreign).await);
    assert!(!gets_in(&sandbox, &expired).await);
    assert!(!gets_in(&sandbox, &client(&root, None, b"http/1.1")).await);
    sandbox
        .counts("tollway_gateway_handshakes_failed_total 3")
        .await;
    // The authorities change: sessions of before are resumed no more.
    std::fs::write(&ca, other.pem()).unwrap();
    assert_eq!(sandbox.gateway.reload_certificates().0, 1);
    assert!(!gets_in(&sandbox, &good).await);
    assert!(gets_in(&sandbox, &foreign).await);
    // A file that cannot be used leaves in force what was.
    std::fs::write(&ca, "nonsense").unwrap();
    let (read, faults) = sandbox.gateway.reload_certificates();
    assert_eq!((read, faults.len()), (0, 1));
    assert!(
        faults[0].to_string().contains("clients.pem"),
        "{}",
        faults[0]
    );
    assert!(gets_in(&sandbox, &foreign).await);
}

#[tokio::test]
async fn a_listener_that_requests_lets_in_who_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, root.pem()).unwrap();
    let requested = ClientCertificates {
        required: false,
        ca: Some(ca),
    };
    let (_peer, sandbox) = gateway(folder.path(), &root, Some(requested), |_| {}).await;
    assert!(gets_in(&sandbox, &client(&root, None, b"http/1.1")).await);
    let foreign = client(&root, Some(&other.issue("till", 7, |_| {})), b"http/1.1");
    assert!(!gets_in(&sandbox, &foreign).await);
}

fn forwarding(network: &str) -> Option<Forwarding> {
    Some(Forwarding {
        from: gateway::networks(&[network]).unwrap(),
        header: http::HeaderName::from_static("client-cert"),
    })
}

fn forwarded(shown: &Issued) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(&shown.der);
    GET.replace("\r\n\r\n", &format!("\r\nclient-cert: :{text}:\r\n\r\n"))
}

/// req: S6
#[tokio::test]
async fn a_forwarded_certificate_is_taken_from_trusted_proxies_alone() {
    let till = Authority::root("root").issue("till", 7, |_| {});
    for (network, expected) in [
        (Some("127.0.0.0/8"), format!("{} 1 true", digest(&till))),
        (Some("192.0.2.0/24"), "none".to_owned()),
        (None, "none".to_owned()),
    ] {
        let peer = Peer::bind().await;
        let mut setup = Setup::new(vec![peer.endpoint()]);
        setup.policies = tells;
        setup.config.forwarded_certificate = network.and_then(forwarding);
        let sandbox = setup.start();
        let stream = sandbox.connect_stream().await;
        let (seen, stream) = told(stream, &peer, &forwarded(&till)).await;
        assert_eq!(seen, expected, "{network:?}");
        // The next request of the same connection is of another client.
        let (seen, _) = told(stream, &peer, GET).await;
        assert_eq!(seen, "none", "{network:?}");
    }
}

/// What a proxy shows in its own handshake is not its clients'.
#[tokio::test]
async fn a_trusted_proxys_own_certificate_counts_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let any = ClientCertificates {
        required: true,
        ca: None,
    };
    let (peer, sandbox) = gateway(folder.path(), &root, Some(any), |setup| {
        setup.config.forwarded_certificate = forwarding("127.0.0.1");
    })
    .await;
    let proxy = root.issue("proxy", 7, |_| {});
    let config = client(&root, Some(&proxy), b"http/1.1");
    let stream = connect(&sandbox, &config).await.unwrap();
    assert_eq!(told(stream, &peer, GET).await.0, "none");
    let till = root.issue("till", 8, |_| {});
    let stream = connect(&sandbox, &config).await.unwrap();
    let seen = told(stream, &peer, &forwarded(&till)).await.0;
    assert_eq!(seen, format!("{} 1 true", digest(&till)));
}

/// req: S6. With the PROXY protocol it is the proxy's address that counts, not the client's that it names.
#[tokio::test]
async fn who_is_named_by_the_proxy_protocol_is_not_trusted_for_it() {
    let till = Authority::root("root").issue("till", 7, |_| {});
    for (network, expected) in [
        ("127.0.0.1", format!("{} 1 true", digest(&till))),
        ("192.0.2.7", "none".to_owned()),
    ] {
        let peer = Peer::bind().await;
        let mut setup = Setup::new(vec![peer.endpoint()]);
        setup.policies = tells;
        setup.config.proxy_protocol_from = gateway::networks(&["127.0.0.1"]).unwrap();
        setup.config.forwarded_certificate = forwarding(network);
        let sandbox = setup.start();
        let stream = sandbox.connect_stream().await;
        let header = "PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n";
        let request = format!("{header}{}", forwarded(&till));
        assert_eq!(told(stream, &peer, &request).await.0, expected, "{network}");
    }
}
