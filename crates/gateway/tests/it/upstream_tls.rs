//! TLS to a backend: who is trusted, what is shown, and what is said when it does not fit.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use snapshot::Scheme;
use sync::calls::CaSource;
use tokio_rustls::TlsAcceptor;

use crate::sandbox::{GET, Peer, Sandbox, Setup, Wire, endpoint};

/// Somebody who signs certificates.
struct Authority {
    pem: String,
    der: rustls_pki_types::CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity {
    cert: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            pem: cert.pem(),
            der: cert.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn signs(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert, key }
    }
}

impl Identity {
    /// As Kubernetes mounts it.
    fn mount(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("tls.crt"), self.cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), self.key.serialize_pem()).unwrap();
    }

    /// A server that shows it, and asks for certificates of `clients`.
    fn serves(
        &self,
        clients: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&crypto))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), crypto);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder
            .with_single_cert(vec![self.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A backend over TLS that the test plays, and a folder of secrets.
struct Scene {
    peer: Peer,
    authority: Authority,
    secrets: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self {
            peer: Peer::bind().await,
            authority: Authority::new(),
            secrets: tempfile::tempdir().unwrap(),
        }
    }

    fn setup(&self) -> Setup {
        let port = self.peer.addr.port();
        let mut setup = Setup::new(vec![endpoint(Scheme::Https, "127.0.0.1", port)]);
        setup.config.secrets_dir = self.secrets.path().to_owned();
        setup.backend.calls.tls.ca = Some(CaSource::Inline(self.authority.pem.clone()));
        setup.backend.calls.tls.sni = Some("backend.test".to_owned());
        setup
    }

    /// One call that reaches the backend.
    async fn passes(&self, sandbox: &Sandbox, acceptor: &TlsAcceptor) -> Vec<u8> {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let stream = acceptor.accept(self.peer.accept_stream().await).await;
        let mut backend = Wire::new(stream.unwrap());
        backend.head().await;
        backend
            .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.answer().await.1, "ok");
        let stream = backend.into_inner();
        let shown = stream.get_ref().1.peer_certificates();
        shown.map_or_else(Vec::new, |chain| chain[0].to_vec())
    }

    /// One call that does not, and what the operator is told.
    async fn fails(&self, mut sandbox: Sandbox, acceptor: &TlsAcceptor) -> String {
        let mut client = sandbox.connect().await;
        client.send(GET).await;
        let stream = self.peer.accept_stream().await;
        let serving = async {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                // TLS 1.3: the refusal shows behind the handshake.
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await;
            }
        };
        let ((), (head, body)) = tokio::join!(serving, client.answer());
        assert!(head.starts_with("http/1.1 502 "), "{head}");
        assert!(body.contains("BACKEND_TLS_FAILED"), "{body}");
        let decision = sandbox.decision().await;
        let tries = decision.backend.unwrap().tries;
        tries.last().unwrap().error.clone().unwrap()
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_both_versions_are_spoken() {
    for versions in [TLS12, TLS13] {
        let scene = Scene::new().await;
        let clients = Authority::new();
        let identity = clients.signs("gateway");
        identity.mount(&scene.secrets.path().join("orders-mtls"));
        let mut setup = scene.setup();
        setup.backend.calls.tls.client_certificate = Some("orders-mtls".to_owned());
        let sandbox = setup.start();
        let server = scene.authority.signs("backend.test");
        let acceptor = server.serves(Some(&clients), versions);
        let shown = scene.passes(&sandbox, &acceptor).await;
        assert_eq!(shown, identity.cert.der().to_vec());
        // rcgen's certificates end in the year 4096.
        sandbox
            .counts("tollway_gateway_certificate_not_after_seconds{role=\"backend_client\",name=\"orders-mtls\"} 67090118400")
            .await;
    }
}

#[tokio::test]
async fn a_backend_that_wants_a_certificate_says_so() {
    for versions in [TLS12, TLS13] {
        let scene = Scene::new().await;
        let server = scene.authority.signs("backend.test");
        let acceptor = server.serves(Some(&Authority::new()), versions);
        let said = scene.fails(scene.setup().start(), &acceptor).await;
        assert!(said.contains("client certificate"), "{said}");
    }
    // One of somebody else.
    let scene = Scene::new().await;
    let stranger = Authority::new().signs("gateway");
    stranger.mount(&scene.secrets.path().join("mine"));
    let mut setup = scene.setup();
    setup.backend.calls.tls.client_certificate = Some("mine".to_owned());
    let server = scene.authority.signs("backend.test");
    let acceptor = server.serves(Some(&Authority::new()), BOTH);
    let said = scene.fails(setup.start(), &acceptor).await;
    assert!(said.contains("refuses the client certificate"), "{said}");
}

#[tokio::test]
async fn another_ca_and_another_name_are_told_apart() {
    let scene = Scene::new().await;
    let stranger = Authority::new().signs("backend.test");
    let said = scene
        .fails(scene.setup().start(), &stranger.serves(None, BOTH))
        .await;
    assert!(said.contains("signed by nobody"), "{said}");

    let scene = Scene::new().await;
    let other = scene.authority.signs("other.test");
    let said = scene
        .fails(scene.setup().start(), &other.serves(None, BOTH))
        .await;
    assert!(said.contains("another name"), "{said}");
}

#[tokio::test]
async fn an_older_version_than_the_document_allows_is_not_spoken() {
    let scene = Scene::new().await;
    let server = scene.authority.signs("backend.test");
    scene
        .passes(&scene.setup().start(), &server.serves(None, TLS12))
        .await;
    let mut setup = scene.setup();
    setup.backend.calls.tls.only_tls13 = true;
    let said = scene
        .fails(setup.start(), &server.serves(None, TLS12))
        .await;
    assert!(said.contains("version"), "{said}");
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_bad_ones_change_nothing() {
    let scene = Scene::new().await;
    let clock = Arc::new(base::ManualClock::at(1_700_000_000_000));
    let ca = scene.secrets.path().join("orders");
    std::fs::create_dir_all(&ca).unwrap();
    std::fs::write(ca.join("ca.crt"), &scene.authority.pem).unwrap();
    let mut setup = scene.setup();
    setup.clock = clock.clone();
    setup.backend.calls.tls.ca = Some(CaSource::Secret("orders".to_owned()));
    let sandbox = setup.start();
    let server = scene.authority.signs("backend.test");
    scene.passes(&sandbox, &server.serves(None, BOTH)).await;
    // Half-written.
    std::fs::write(ca.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    clock.advance_ms(1_500);
    scene.passes(&sandbox, &server.serves(None, BOTH)).await;
    let successor = Authority::new();
    let both = format!("{}{}", scene.authority.pem, successor.pem);
    std::fs::write(ca.join("ca.crt"), both).unwrap();
    clock.advance_ms(1_500);
    let server = successor.signs("backend.test");
    scene.passes(&sandbox, &server.serves(None, BOTH)).await;

    let mut setup = scene.setup();
    setup.backend.calls.tls.ca = Some(CaSource::File("orders/ca.crt".to_owned()));
    scene
        .passes(&setup.start(), &server.serves(None, BOTH))
        .await;
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named() {
    let scene = Scene::new().await;
    let mut setup = scene.setup();
    setup.backend.calls.tls.client_certificate = Some("missing".to_owned());
    let mut sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client.send(GET).await;
    let (_, body) = client.answer().await;
    assert!(body.contains("BACKEND_TLS_FAILED"), "{body}");
    let tries = sandbox.decision().await.backend.unwrap().tries;
    let said = tries[0].error.as_deref().unwrap();
    assert!(said.contains("missing/tls.crt"), "{said}");
}
