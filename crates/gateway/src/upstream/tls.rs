//! TLS to a backend: whom to trust, under which name, and what to show.
//!
//! Files of the node's folder of secrets are looked at again when a connection is made, at most every
//! [`LOOK_EVERY_MS`]; a file that cannot be used leaves in force what was.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::stamp::{self, LOOK_EVERY_MS, Stamp};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use snapshot::{Backend, Endpoint, Protocol};
use sync::calls::CaSource;

use super::pool::BackendPool;
use crate::metrics::certificates::Role;
use crate::worker::{Shared, Worker};

/// A backend's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsConfigError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the backend's CA is not a PEM certificate: {0}")]
    Ca(rustls_pki_types::pem::Error),
    #[error("the backend's CA cannot be trusted: {0}")]
    Trust(rustls::Error),
    #[error("the backend's CA has no certificate")]
    NoCa,
    #[error("{}: {source}", path.display())]
    ClientPem {
        path: PathBuf,
        source: rustls_pki_types::pem::Error,
    },
    #[error("the client certificate `{secret}` cannot be used: {source}")]
    ClientCertificate {
        secret: String,
        source: rustls::Error,
    },
    #[error("the TLS set-up failed: {0}")]
    Versions(rustls::Error),
    #[error("the backend's server name is none: {0}")]
    Name(InvalidDnsNameError),
}

/// The set-up of one backend at one worker.
#[derive(Default)]
pub(crate) struct TlsSetup(RefCell<Option<Made>>);

struct Made {
    config: Arc<ClientConfig>,
    files: Vec<Stamp>,
    looked_ms: u64,
}

/// The backend's configuration, made at its first use and when its files have changed.
pub(super) fn config(
    worker: &Worker,
    pool: &BackendPool,
) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let now_ms = worker.now_ms.get();
    let mut made = pool.tls.0.borrow_mut();
    let Some(current) = &mut *made else {
        let fresh = make(&worker.shared, &pool.backend, now_ms)?;
        return Ok(Arc::clone(&made.insert(fresh).config));
    };
    let due = now_ms.saturating_sub(current.looked_ms) >= LOOK_EVERY_MS;
    if due {
        current.looked_ms = now_ms;
        if stamp::any_changed(&mut current.files) {
            match make(&worker.shared, &pool.backend, now_ms) {
                Ok(fresh) => *current = fresh,
                Err(error) => {
                    let backend = &*pool.backend.key.name;
                    tracing::warn!(backend, %error, "a backend's certificates have changed and cannot be used: the earlier ones stay in force");
                }
            }
        }
    }
    Ok(Arc::clone(&current.config))
}

/// A configuration of its own, for whoever has no pool.
pub(super) fn fresh(shared: &Shared, backend: &Backend) -> Result<ClientConfig, TlsConfigError> {
    let made = make(shared, backend, 0)?;
    Ok(Arc::unwrap_or_clone(made.config))
}

fn make(shared: &Shared, backend: &Backend, now_ms: u64) -> Result<Made, TlsConfigError> {
    let rules = &backend.calls.tls;
    let secrets = &shared.config.secrets_dir;
    let mut files = Vec::new();
    let mut read = |path: PathBuf| {
        // Before it is read: a change in between is seen by the next look.
        files.push(Stamp::of(&path));
        std::fs::read(&path).map_err(|source| TlsConfigError::File { path, source })
    };
    let roots = match &rules.ca {
        None => shared.native_roots(),
        Some(CaSource::Inline(pem)) => Arc::new(read_ca(pem.as_bytes())?),
        Some(CaSource::Secret(secret)) => {
            Arc::new(read_ca(&read(secrets.join(secret).join("ca.crt"))?)?)
        }
        Some(CaSource::File(file)) => Arc::new(read_ca(&read(secrets.join(file))?)?),
    };
    let versions: &[_] = match rules.only_tls13 {
        true => &[&rustls::version::TLS13],
        false => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let builder = ClientConfig::builder_with_provider(shared.crypto.clone())
        .with_protocol_versions(versions)
        .map_err(TlsConfigError::Versions)?
        .with_root_certificates(roots);
    let mut config = match &rules.client_certificate {
        None => builder.with_no_client_auth(),
        Some(secret) => {
            let folder = secrets.join(secret);
            let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
            let pem = |path: &Path| {
                let path = path.to_owned();
                move |source| TlsConfigError::ClientPem { path, source }
            };
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(chain.clone())?)
                .collect::<Result<_, _>>()
                .map_err(pem(&chain))?;
            let private = PrivateKeyDer::from_pem_slice(&read(key.clone())?).map_err(pem(&key))?;
            let known = &shared.numbers.certificates;
            known.note(Role::BackendClient, secret, certificates.first());
            builder
                .with_client_auth_cert(certificates, private)
                .map_err(|source| TlsConfigError::ClientCertificate {
                    secret: secret.clone(),
                    source,
                })?
        }
    };
    config.alpn_protocols = match backend.protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Made {
        config: Arc::new(config),
        files,
        looked_ms: now_ms,
    })
}

fn read_ca(pem: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots
            .add(certificate.map_err(TlsConfigError::Ca)?)
            .map_err(TlsConfigError::Trust)?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoCa);
    }
    Ok(roots)
}

/// The name that is sent (SNI) and that the certificate must carry.
pub(super) fn server_name(
    backend: &Backend,
    endpoint: &Endpoint,
) -> Result<ServerName<'static>, TlsConfigError> {
    let name = backend.calls.tls.sni.as_ref().unwrap_or(&endpoint.host);
    ServerName::try_from(name.clone()).map_err(TlsConfigError::Name)
}

/// What went wrong between the two ends of TLS, where an error of a stream is that; for people. A backend that wants a
/// certificate says so behind its handshake in TLS 1.3: by then the request is under way.
pub(super) fn cause(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            // A CA that was made anew under the same name has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the backend's certificate is signed by nobody whom its `tls.ca` trusts".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the backend's certificate is for another name: {fault}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the backend's certificate has expired: {fault}")
            }
            fault => format!("the backend's certificate is refused: {fault}"),
        },
        rustls::Error::AlertReceived(alert) => alerted(*alert),
        rustls::Error::PeerIncompatible(fault) => {
            format!("the backend and the gateway have no way of TLS in common: {fault:?}")
        }
        error => format!("TLS failed: {error}"),
    })
}

fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the backend wants a client certificate and was shown none".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "the backend does not speak the version of TLS that is asked for".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            format!("the backend refuses the client certificate, or the lack of one: {alert:?}")
        }
        alert => format!("the backend ended TLS: {alert:?}"),
    }
}
