//! The authorization server's TLS listener. It asks clients for a certificate and takes any, or none: whether one proves
//! anything is for the role to judge (RFC 8705). The handshake proves that the client holds the certificate's key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::serve::{IncomingStream, Listener};
use certificates::AnyCertificate;
use identity::ClientCertificate;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Options, UpError, part};

/// Handshakes at a time.
const HANDSHAKES_MAX: usize = 256;
/// How long one may take, and how long still when the listener ends.
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
        Ok(Some(Self(Arc::new(Inner {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca,
            read: ArcSwap::from_pointee(read),
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
        } = &*self.0;
        read.store(Arc::new(Read::of(certificate, key, client_ca.as_deref())?));
        Ok(())
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

/// Serves until `stopped` says so; who is in the handshake then is served still.
pub(super) fn serve(
    listener: TcpListener,
    settings: Settings,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let router = router.layer(middleware::from_fn(show));
    let router = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => {
                tracing::error!(%error, "the TLS listener of identity has no address");
                return;
            }
        };
        let (sender, connections) = mpsc::channel(16);
        tokio::spawn(accept(listener, settings, sender, stopped));
        let ended = Arc::<Notify>::default();
        let listener = Handshaken {
            connections,
            ended: Arc::clone(&ended),
            address,
        };
        let stop = async move { ended.notified().await };
        let served = axum::serve(listener, router).with_graceful_shutdown(stop);
        if let Err(error) = served.await {
            tracing::error!(%error, "a listener ended");
        }
    })
}

/// Who is at the other end.
#[derive(Clone, Debug)]
struct Peer {
    address: SocketAddr,
    certificate: Option<ClientCertificate>,
}

/// Connections whose handshake is done.
struct Handshaken {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
    /// Told when nobody accepts any more and all handshakes have ended.
    ended: Arc<Notify>,
    address: SocketAddr,
}

impl Listener for Handshaken {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => {
                self.ended.notify_one();
                std::future::pending().await
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Peer> {
        Ok(Peer {
            address: self.address,
            certificate: None,
        })
    }
}

impl Connected<IncomingStream<'_, Handshaken>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Handshaken>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A client that dawdles holds up nobody: each handshake is a task, and there are so many.
async fn accept(
    listener: TcpListener,
    settings: Settings,
    connections: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
    stopped: watch::Receiver<bool>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut stop = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the sender is gone: then there is nothing to wait for either.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            continue;
        };
        let (read, connections) = (settings.0.read.load_full(), connections.clone());
        let mut stop = stopped.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let handshake = read.acceptor.accept(stream);
            let handshake = tokio::time::timeout(HANDSHAKE, handshake);
            let late = async {
                let _ = stop.wait_for(|stop| *stop).await;
                tokio::time::sleep(HANDSHAKE_AT_END).await;
            };
            let done = tokio::select! {
                done = handshake => done.ok(),
                () = late => None,
            };
            if let Some(Ok(stream)) = done {
                let certificate = shown(&stream, read.authorities.as_deref());
                let peer = Peer {
                    address,
                    certificate,
                };
                // Nobody takes it when the server has stopped.
                let _ = connections.send((stream, peer)).await;
            }
        });
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

/// Puts what the connection showed where the role looks for it.
async fn show(mut request: Request, next: Next) -> axum::response::Response {
    let extensions = request.extensions_mut();
    if let Some(ConnectInfo(peer)) = extensions.remove::<ConnectInfo<Peer>>() {
        extensions.insert(ConnectInfo(peer.address));
        if let Some(certificate) = peer.certificate {
            extensions.insert(certificate);
        }
    }
    next.run(request).await
}
