//! TLS on both sides.

use std::sync::Arc;

use gateway::TlsFiles;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use snapshot::Scheme;
use sync::calls::CaSource;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, Wire, endpoint, field, soon};

fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A connection that trusts the certificate in `folder`.
pub(crate) async fn connect_tls(
    sandbox: &Sandbox,
    folder: &std::path::Path,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let addr = sandbox.gateway.https_addr().unwrap();
    let tcp = soon("connect", TcpStream::connect(addr)).await.unwrap();
    tls_over(tcp, folder, alpn).await
}

/// TLS over a connection that is there, to the gateway whose certificate is in `folder`.
pub(crate) async fn tls_over(
    tcp: TcpStream,
    folder: &std::path::Path,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    try_tls_over(tcp, folder, alpn).await.unwrap()
}

async fn try_tls_over(
    tcp: TcpStream,
    folder: &std::path::Path,
    alpn: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.join("gateway-cert.pem")).unwrap();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    soon(
        "handshake",
        TlsConnector::from(Arc::new(config)).connect(name, tcp),
    )
    .await
}

pub(crate) fn https(setup: &mut Setup, folder: &std::path::Path) {
    setup.config.https = Some(([127, 0, 0, 1], 0).into());
    setup.config.tls = TlsFiles::SelfSigned {
        dir: folder.to_owned(),
    };
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own_and_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    https(&mut setup, folder.path());
    let sandbox = setup.start();
    let stream = connect_tls(&sandbox, folder.path(), b"http/1.1").await;
    let mut client = Wire::new(stream);
    client.send(GET).await;
    let mut backend = peer.accept().await;
    assert_eq!(
        field(&backend.head().await, "x-forwarded-proto"),
        Some("https")
    );
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");

    let stream = connect_tls(&sandbox, folder.path(), b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let (mut sender, connection) = builder
        .handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/none")
        .body(String::new())
        .unwrap();
    let response = soon("answer", sender.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 404);
    sandbox
        .counts("tollway_gateway_connections_accepted_total{protocol=\"h2\"} 1")
        .await;
    // Certificates of our own making do not end for a long time: with the year 4096.
    sandbox
        .counts("tollway_gateway_certificate_not_after_seconds{role=\"listener\",name=\"own\"} 67090118400")
        .await;
}

/// Renewed by whoever renews certificates, without a word to the gateway. The two files are not written at the same time:
/// between them they do not fit together, and what was shown before is shown on.
#[tokio::test]
async fn a_certificate_that_is_renewed_is_shown_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let issue = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let first = issue();
    std::fs::write(&key, first.signing_key.serialize_pem()).unwrap();
    std::fs::write(&cert, first.cert.pem()).unwrap();
    setup.config.https = Some(([127, 0, 0, 1], 0).into());
    setup.config.tls = TlsFiles::Files {
        cert: cert.clone(),
        key: key.clone(),
    };
    let sandbox = setup.start();
    // The trusted certificate is the one that must be shown.
    let trusted = tempfile::tempdir().unwrap();
    let shows = async |made: &rcgen::Certificate| {
        std::fs::write(trusted.path().join("gateway-cert.pem"), made.pem()).unwrap();
        let addr = sandbox.gateway.https_addr().unwrap();
        let tcp = TcpStream::connect(addr).await.unwrap();
        try_tls_over(tcp, trusted.path(), b"http/1.1").await.ok()
    };
    let stands = shows(&first.cert).await.expect("the first one is shown");
    let second = issue();
    std::fs::write(&cert, second.cert.pem()).unwrap();
    // Longer than it takes to look.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(shows(&first.cert).await.is_some());
    std::fs::write(&key, second.signing_key.serialize_pem()).unwrap();
    let shown = async {
        while shows(&second.cert).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("the second certificate", shown).await;
    assert!(shows(&first.cert).await.is_none());
    // A connection that stands is none the wiser.
    let mut client = Wire::new(stands);
    client.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_harms_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    https(&mut setup, folder.path());
    let sandbox = setup.start();
    let addr = sandbox.gateway.https_addr().unwrap();
    let mut client = Wire::new(TcpStream::connect(addr).await.unwrap());
    client.send(GET).await;
    client.rest_bytes().await;
    sandbox
        .counts("tollway_gateway_handshakes_failed_total 1")
        .await;
}

/// A certificate for `backend.test`, in PEM, and what a server needs of it.
pub(crate) fn backend_tls(alpn: &[&[u8]]) -> (String, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["backend.test".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_backend_over_tls_with_its_own_ca_and_name() {
    let peer = Peer::bind().await;
    let (pem, acceptor) = backend_tls(&[b"http/1.1"]);
    let mut setup = Setup::new(vec![endpoint(Scheme::Https, "127.0.0.1", peer.addr.port())]);
    setup.backend.calls.tls.ca = Some(CaSource::Inline(pem));
    setup.backend.calls.tls.sni = Some("backend.test".to_owned());
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let stream = acceptor.accept(peer.accept_stream().await).await.unwrap();
    assert_eq!(stream.get_ref().1.server_name(), Some("backend.test"));
    let mut backend = Wire::new(stream);
    for _ in 0..2 {
        backend.head().await;
        backend.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        client.send(GET).await;
    }
}

#[tokio::test]
async fn alpn_of_the_backend_decides_for_http2() {
    let peer = Peer::bind().await;
    let (pem, acceptor) = backend_tls(&[b"h2", b"http/1.1"]);
    let mut setup = Setup::new(vec![endpoint(Scheme::Https, "127.0.0.1", peer.addr.port())]);
    setup.backend.calls.tls.ca = Some(CaSource::Inline(pem));
    setup.backend.calls.tls.sni = Some("backend.test".to_owned());
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let stream = acceptor.accept(peer.accept_stream().await).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let service = hyper::service::service_fn(|request: http::Request<_>| async move {
        let _: &hyper::body::Incoming = request.body();
        Ok::<_, std::convert::Infallible>(http::Response::new(request.uri().to_string()))
    });
    let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    tokio::spawn(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
    let (_, body) = client.answer().await;
    assert_eq!(body, format!("https://{}/base/items/1?q=a%20b", peer.addr));
}

#[tokio::test]
async fn a_backend_that_is_not_trusted_is_not_reached() {
    let peer = Peer::bind().await;
    let (_, acceptor) = backend_tls(&[b"http/1.1"]);
    let (other, _) = backend_tls(&[b"http/1.1"]);
    let mut setup = Setup::new(vec![endpoint(Scheme::Https, "127.0.0.1", peer.addr.port())]);
    setup.backend.calls.tls.ca = Some(CaSource::Inline(other));
    setup.backend.calls.tls.sni = Some("backend.test".to_owned());
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let stream = peer.accept_stream().await;
    assert!(acceptor.accept(stream).await.is_err());
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 502 "));
    assert!(body.contains("BACKEND_TLS_FAILED"), "{body}");
}
