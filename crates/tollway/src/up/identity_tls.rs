//! The authorization server's TLS listener. It asks clients for a certificate and takes any, or none: whether one proves
//! anything is for the role to judge (RFC 8705). The handshake proves that the client holds the certificate's key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Extensions;
use axum::serve::Listener;
use certificates::AnyCertificate;
use identity::ClientCertificate;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshakes::{HANDSHAKES_MAX, Handshakes};
use super::{Options, UpError, connections, part};

/// How long a handshake may take, and how long still when the listener ends.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HANDSHAKE_AT_END: Duration = Duration::from_secs(1);

/// What the options say of the listener. Its files are read again when the operator says so; a connection that stands keeps
/// what it was shown.
#[derive(Clone)]
pub(super) struct Settings(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    read: ArcSwap<Read>,
    handshakes: Handshakes,
}

/// What the files say.
struct Read {
    acceptor: TlsAcceptor,
    /// Who vouches for clients' certificates; `None` = nobody.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl Settings {
    /// The settings, where the options want the listener.
    ///
    /// # Errors
    /// [`UpError`]: a file that cannot be read, a certificate that does not fit its key, options that lack each other.
    pub(super) fn of(options: &Options) -> Result<Option<Self>, UpError> {
        if options.identity_tls_listen.is_none() {
            return Ok(None);
        }
        let (Some(certificate), Some(key)) =
            (&options.identity_tls_cert, &options.identity_tls_key)
        else {
            return Err(UpError::Options(
                "--identity-tls-listen needs --identity-tls-cert and --identity-tls-key".into(),
            ));
        };
        let client_ca = options.identity_tls_client_ca.clone();
        let read = Read::of(certificate, key, client_ca.as_deref())?;
        let max = options.identity_tls_handshakes_max;
        Ok(Some(Self(Arc::new(Inner {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca,
            read: ArcSwap::from_pointee(read),
            handshakes: Handshakes::new(max.unwrap_or(HANDSHAKES_MAX)),
        }))))
    }

    /// Reads the files again: the listener's certificate and the authorities of clients' certificates, both or neither.
    ///
    /// # Errors
    /// [`UpError`]; everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), UpError> {
        let Inner {
            certificate,
            key,
            client_ca,
            read,
            ..
        } = &*self.0;
        read.store(Arc::new(Read::of(certificate, key, client_ca.as_deref())?));
        Ok(())
    }

    /// The handshakes that are under way.
    pub(super) fn handshakes(&self) -> Handshakes {
        self.0.handshakes.clone()
    }
}

impl Read {
    fn of(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, UpError> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&crypto))
            .with_safe_default_protocol_versions()
            .map_err(part("identity TLS"))?
            .with_client_cert_verifier(Arc::new(AnyCertificate::new(Arc::clone(&crypto), false)))
            .with_single_cert(chain, private)
            .map_err(file(certificate))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authorities: client_ca
                .map(|path| authorities(path, crypto))
                .transpose()?,
        })
    }
}

fn file<E: std::error::Error>(path: &Path) -> impl FnOnce(E) -> UpError {
    let path = path.to_owned();
    move |error| UpError::File {
        path,
        cause: error.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UpError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(file(path))
}

fn authorities(
    path: &Path,
    crypto: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, UpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(file(path))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto)
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(file(path))
}

/// Serves until `stopped` says so; who is in the handshake then is served still. A client that dawdles holds up nobody: each
/// handshake is a task, and there are so many.
pub(super) fn serve(
    mut listener: TcpListener,
    settings: Settings,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let handshakes = settings.handshakes();
        let mut served = JoinSet::new();
        loop {
            let (stream, address) = tokio::select! {
                accepted = Listener::accept(&mut listener) => accepted,
                () = connections::stop(&mut stopped) => break,
                Some(_) = served.join_next() => continue,
            };
            let Some(place) = handshakes.begin() else {
                continue;
            };
            let read = settings.0.read.load_full();
            let (router, mut stopped) = (router.clone(), stopped.clone());
            served.spawn(async move {
                let Some(stream) = shaken(&read.acceptor, stream, &mut stopped).await else {
                    return;
                };
                drop(place);
                let certificate = shown(&stream, read.authorities.as_deref());
                let show = move |extensions: &mut Extensions| {
                    extensions.insert(ConnectInfo(address));
                    if let Some(certificate) = &certificate {
                        extensions.insert(certificate.clone());
                    }
                };
                connections::serve(stream, router, show, stopped).await;
            });
        }
        drop(listener);
        served.join_all().await;
    })
}

/// The connection behind its handshake; `None` where that fails or takes too long.
async fn shaken(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    stopped: &mut watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let late = async {
        connections::stop(stopped).await;
        tokio::time::sleep(HANDSHAKE_AT_END).await;
    };
    tokio::select! {
        done = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => done.ok()?.ok(),
        () = late => None,
    }
}

fn shown(
    stream: &TlsStream<TcpStream>,
    authorities: Option<&dyn ClientCertVerifier>,
) -> Option<ClientCertificate> {
    let (own, chain) = stream.get_ref().1.peer_certificates()?.split_first()?;
    let trusted = authorities.is_some_and(|authorities| {
        let verified = authorities.verify_client_cert(own, chain, UnixTime::now());
        verified.is_ok()
    });
    Some(ClientCertificate {
        der: own.as_ref().into(),
        trusted,
    })
}
