//! Until when the certificates are valid that this node shows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// To whom a certificate is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    /// To clients.
    Listener,
    /// To backends.
    BackendClient,
}

impl Role {
    fn label(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::BackendClient => "backend_client",
        }
    }
}

/// The certificates in use: by role and name, the time of their end in seconds since 1970. Written when one is loaded.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Mutex<BTreeMap<(Role, String), i64>>);

impl Certificates {
    /// Notes a certificate; the same name again is its successor.
    pub(crate) fn note(&self, role: Role, name: &str, certificate: Option<&CertificateDer<'_>>) {
        let parsed = certificate.and_then(|der| X509Certificate::from_der(der).ok());
        if let Some((_, found)) = parsed {
            let until = found.validity().not_after.timestamp();
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert((role, name.to_owned()), until);
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_certificate_not_after_seconds",
            "When a certificate ends that this node shows, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((role, name), until) in all.iter() {
            let labels = [("role", role.label()), ("name", name.as_str())];
            ConstGauge::new(*until).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
