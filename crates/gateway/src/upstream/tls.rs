//! TLS to a backend: whom to trust, and under which name.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use snapshot::{Backend, Endpoint, Protocol};

use super::pool::BackendPool;
use crate::worker::Worker;

/// A backend's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsConfigError {
    #[error("the backend's CA is not a PEM certificate: {0}")]
    Ca(rustls_pki_types::pem::Error),
    #[error("the backend's CA cannot be trusted: {0}")]
    Trust(rustls::Error),
    #[error("the backend's CA has no certificate")]
    NoCa,
    #[error("the TLS set-up failed: {0}")]
    Versions(rustls::Error),
    #[error("the backend's server name is none: {0}")]
    Name(InvalidDnsNameError),
}

/// The backend's configuration, made at its first use.
pub(super) fn config(
    worker: &Worker,
    pool: &BackendPool,
) -> Result<Arc<ClientConfig>, TlsConfigError> {
    if let Some(config) = pool.tls.get() {
        return Ok(Arc::clone(config));
    }
    let roots = match &pool.backend.ca_pem {
        Some(pem) => Arc::new(read_ca(pem)?),
        None => worker.shared.native_roots(),
    };
    let mut config = ClientConfig::builder_with_provider(worker.shared.crypto.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsConfigError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match pool.backend.protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::clone(pool.tls.get_or_init(|| Arc::new(config))))
}

fn read_ca(pem: &str) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
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
    let name = backend.sni.as_ref().unwrap_or(&endpoint.host);
    ServerName::try_from(name.clone()).map_err(TlsConfigError::Name)
}
