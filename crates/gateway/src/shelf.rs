//! The certificates that the gateway shows, read again when their files change or the operator says so. A connection that
//! stands keeps the one that it was shown.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::stamp::{self, Stamp};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;

use crate::config::{ClientCertificates, TlsFiles};
use crate::metrics::Numbers;
use crate::server_tls::{self, CertificateError};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All certificates in use.
pub(crate) struct Shelf {
    crypto: Arc<CryptoProvider>,
    numbers: Arc<Numbers>,
    shown: Mutex<Vec<Weak<Shown>>>,
}

/// The certificate of a listener.
pub(crate) struct Shown {
    files: TlsFiles,
    /// How clients are asked for theirs.
    pub(crate) clients: Option<ClientCertificates>,
    name: String,
    config: ArcSwap<ServerConfig>,
    /// How the files looked at the latest look; nobody waits for this but whoever looks.
    looks: Mutex<Vec<Stamp>>,
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
    pub(crate) fn open(
        &self,
        files: TlsFiles,
        clients: Option<ClientCertificates>,
        name: &str,
    ) -> Result<Arc<Shown>, CertificateError> {
        server_tls::make_missing(&files)?;
        let authorities = clients.as_ref().and_then(|clients| clients.ca.clone());
        let all = files.paths().into_iter().chain(authorities);
        let looks: Vec<_> = all.map(|path| Stamp::of(&path)).collect();
        let config = self.load(&files, clients.as_ref(), name)?;
        let shown = Arc::new(Shown {
            looks: Mutex::new(looks),
            files,
            clients,
            name: name.to_owned(),
            config: ArcSwap::new(config),
        });
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|shown| shown.strong_count() > 0);
        all.push(Arc::downgrade(&shown));
        Ok(shown)
    }

    /// Follows the files for ever. One that cannot be used, as while it is being written, is told of once, and what was
    /// shown before is shown on.
    pub(crate) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for shown in self.in_use() {
                let name = &*shown.name;
                match self.look(&shown) {
                    None => {}
                    Some(Ok(())) => tracing::info!(name, "a listener shows a new certificate"),
                    Some(Err(error)) => {
                        tracing::warn!(name, %error, "a listener's certificate has changed and cannot be used: the earlier one stays");
                    }
                }
            }
        }
    }

    fn in_use(&self) -> Vec<Arc<Shown>> {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Reads a certificate again whose files have changed.
    fn look(&self, shown: &Shown) -> Option<Result<(), CertificateError>> {
        let mut looks = shown.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if !stamp::any_changed(&mut looks) {
            return None;
        }
        let loaded = self.load(&shown.files, shown.clients.as_ref(), &shown.name);
        Some(loaded.map(|config| shown.config.store(config)))
    }

    /// Reads all of them again. Those that cannot be used stay what they were, and are told of. Says how many were read.
    pub(crate) fn reload(&self) -> (usize, Vec<CertificateError>) {
        let mut read = 0;
        let mut faults = Vec::new();
        for shown in self.in_use() {
            match self.load(&shown.files, shown.clients.as_ref(), &shown.name) {
                Ok(config) => {
                    shown.config.store(config);
                    read += 1;
                }
                Err(fault) => faults.push(fault),
            }
        }
        (read, faults)
    }

    fn load(
        &self,
        files: &TlsFiles,
        clients: Option<&ClientCertificates>,
        name: &str,
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let crypto = Arc::clone(&self.crypto);
        server_tls::load(files, clients, crypto, name, &self.numbers.certificates)
    }
}
