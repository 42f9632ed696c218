//! The certificates that the gateway shows, read again when the operator says so. A connection that stands keeps the one
//! that it was shown.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;

use crate::config::TlsFiles;
use crate::metrics::Numbers;
use crate::server_tls::{self, CertificateError};

/// All certificates in use.
pub(crate) struct Shelf {
    crypto: Arc<CryptoProvider>,
    numbers: Arc<Numbers>,
    shown: Mutex<Vec<Weak<Shown>>>,
}

/// The certificate of a listener.
pub(crate) struct Shown {
    files: TlsFiles,
    name: String,
    config: ArcSwap<ServerConfig>,
}

impl Shown {
    /// What the next connection is shown.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

impl Shelf {
    pub(crate) fn new(crypto: Arc<CryptoProvider>, numbers: Arc<Numbers>) -> Self {
        Self {
            crypto,
            numbers,
            shown: Mutex::default(),
        }
    }

    /// Reads a certificate that is to be shown under this name of its listener.
    pub(crate) fn open(&self, files: TlsFiles, name: &str) -> Result<Arc<Shown>, CertificateError> {
        let config = self.load(&files, name)?;
        let shown = Arc::new(Shown {
            files,
            name: name.to_owned(),
            config: ArcSwap::new(config),
        });
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|shown| shown.strong_count() > 0);
        all.push(Arc::downgrade(&shown));
        Ok(shown)
    }

    /// Reads all of them again. Those that cannot be used stay what they were, and are told of. Says how many were read.
    pub(crate) fn reload(&self) -> (usize, Vec<CertificateError>) {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = 0;
        let mut faults = Vec::new();
        for shown in all.iter().filter_map(Weak::upgrade) {
            match self.load(&shown.files, &shown.name) {
                Ok(config) => {
                    shown.config.store(config);
                    read += 1;
                }
                Err(fault) => faults.push(fault),
            }
        }
        (read, faults)
    }

    fn load(&self, files: &TlsFiles, name: &str) -> Result<Arc<ServerConfig>, CertificateError> {
        let crypto = Arc::clone(&self.crypto);
        server_tls::load(files, crypto, name, &self.numbers.certificates)
    }
}
