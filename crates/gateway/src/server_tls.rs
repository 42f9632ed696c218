//! The HTTPS listener's certificate: from files, or made by ourselves at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certificates::{AnyCertificate, Authorities, AuthoritiesError};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ClientCertificates, TlsFiles};
use crate::metrics::certificates::{Certificates, Role};

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {source}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AuthoritiesError,
    },
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Generate(rcgen::Error),
    /// Certificate and key do not fit, or are of a kind that is not served.
    #[error("{cert} and {key}: {source}", cert = cert.display(), key = key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl TlsFiles {
    /// The certificate and the key.
    pub(crate) fn paths(&self) -> [PathBuf; 2] {
        match self {
            Self::Files { cert, key } => [cert.clone(), key.clone()],
            Self::SelfSigned { dir } => [dir.join("gateway-cert.pem"), dir.join("gateway-key.pem")],
        }
    }
}

/// The configuration of the HTTPS listener: TLS 1.2 and 1.3, HTTP/2 preferred. Under this name it is noted how long the
/// certificate is valid.
///
/// A session that is resumed keeps the certificate that its client has shown. Sessions live in the configuration: where it is
/// made anew, because the certificates were read again, every client shows its own again.
pub(crate) fn load(
    files: &TlsFiles,
    clients: Option<&ClientCertificates>,
    crypto: Arc<CryptoProvider>,
    name: &str,
    known: &Certificates,
) -> Result<Arc<ServerConfig>, CertificateError> {
    make_missing(files)?;
    let [cert, key] = files.paths();
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(&cert))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(pem(&key))?;
    known.note(Role::Listener, name, chain.first());
    let clients = clients
        .map(|clients| verifier(clients, &crypto))
        .transpose()?;
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = match clients {
                None => builder.with_no_client_auth(),
                Some(clients) => builder.with_client_cert_verifier(clients),
            };
            builder.with_single_cert(chain, private)
        })
        .map_err(|source| CertificateError::Unusable { cert, key, source })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Makes a certificate of our own where there is to be one and is none.
pub(crate) fn make_missing(files: &TlsFiles) -> Result<(), CertificateError> {
    let [cert, key] = files.paths();
    match files {
        TlsFiles::SelfSigned { .. } if !cert.exists() || !key.exists() => generate(&cert, &key),
        _ => Ok(()),
    }
}

/// Who looks at the certificates of clients in the handshake.
fn verifier(
    clients: &ClientCertificates,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let Some(path) = &clients.ca else {
        return Ok(Arc::new(AnyCertificate::new(
            Arc::clone(crypto),
            clients.required,
        )));
    };
    let path = path.clone();
    let pem = fs::read(&path).map_err(|source| CertificateError::File {
        path: path.clone(),
        source,
    })?;
    Authorities::for_listener(&pem, clients.required)
        .map_err(|source| CertificateError::Authorities { path, source })
}

/// Makes a self-signed certificate. The key is written first: a certificate never stands without its key.
fn generate(cert: &Path, key: &Path) -> Result<(), CertificateError> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(CertificateError::Generate)?;
    write(key, 0o600, &made.signing_key.serialize_pem())?;
    write(cert, 0o644, &made.cert.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), CertificateError> {
    let file = |source| CertificateError::File {
        path: path.to_owned(),
        source,
    };
    // A file from an earlier, broken start may have another mode.
    if path.exists() {
        fs::remove_file(path).map_err(file)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut open| {
            open.write_all(text.as_bytes())?;
            open.sync_all()
        })
        .map_err(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn crypto() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    #[test]
    fn the_first_start_makes_a_certificate_and_the_next_one_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles::SelfSigned {
            dir: folder.path().to_owned(),
        };
        load(&files, None, crypto(), "own", &Certificates::default()).unwrap();
        let key = folder.path().join("gateway-key.pem");
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = fs::read(&key).unwrap();
        load(&files, None, crypto(), "own", &Certificates::default()).unwrap();
        assert_eq!(first, fs::read(&key).unwrap());
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        fs::write(&key, "no key").unwrap();
        let files = TlsFiles::Files {
            cert: cert.clone(),
            key,
        };
        let error = load(&files, None, crypto(), "own", &Certificates::default()).unwrap_err();
        assert!(error.to_string().starts_with(&cert.display().to_string()));
    }
}
