//! Who vouches for certificates of clients.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

/// Authorities that vouch for clients, and the lists of what they have taken back.
#[derive(Clone)]
pub struct Authorities(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities")
    }
}

/// Texts are no authorities.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It is no PEM.
    #[error("no PEM certificates: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// It holds no certificate.
    #[error("there is no certificate in it")]
    None,
    /// A certificate cannot be used.
    #[error("a certificate cannot be used as an authority: {0}")]
    Unusable(Error),
    /// The revocation lists are no PEM.
    #[error("no PEM revocation lists: {0}")]
    ListPem(rustls_pki_types::pem::Error),
    /// There is no revocation list in the text.
    #[error("there is no revocation list in it")]
    NoList,
    /// A revocation list cannot be used.
    #[error("a revocation list cannot be used: {0}")]
    List(String),
}

/// Why a certificate is not vouched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No authority has signed it.
    UnknownAuthority,
    /// It, or one between it and the authority, has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// Its authority has taken it back.
    Revoked,
    /// The revocation lists say nothing of it, or are too old to be believed.
    RevocationUnknown,
    /// It is not for clients.
    Purpose,
    /// It is malformed, or something of it is not understood.
    Malformed,
}

impl Refused {
    /// Why, for people; holds nothing that the client sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "it is signed by nobody who is trusted here",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Revoked => "it was revoked",
            Self::RevocationUnknown => "the revocation lists do not cover it, or are out of date",
            Self::Purpose => "it is not for clients (extended key usage)",
            Self::Malformed => "it is malformed or not understood",
        }
    }
}

impl Authorities {
    /// Authorities in PEM; with revocation lists in PEM, where there are some. With lists, every certificate of a chain has
    /// to be covered by one that is not out of date.
    ///
    /// # Errors
    /// [`AuthoritiesError`]
    pub fn read(pem: &[u8], lists: Option<&[u8]>) -> Result<Self, AuthoritiesError> {
        Self::build(pem, lists, false, true)
    }

    /// The same for a listener: clients are told whom it trusts. Unless `required`, a client may show none.
    ///
    /// # Errors
    /// [`AuthoritiesError`]
    pub fn for_listener(
        pem: &[u8],
        required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, AuthoritiesError> {
        Ok(Self::build(pem, None, true, required)?.0)
    }

    fn build(
        pem: &[u8],
        lists: Option<&[u8]>,
        hints: bool,
        required: bool,
    ) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(AuthoritiesError::Pem)?;
            roots.add(certificate).map_err(AuthoritiesError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(AuthoritiesError::None);
        }
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto);
        if let Some(lists) = lists {
            let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(lists)
                .collect::<Result<_, _>>()
                .map_err(AuthoritiesError::ListPem)?;
            if lists.is_empty() {
                return Err(AuthoritiesError::NoList);
            }
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        if !hints {
            builder = builder.clear_root_hint_subjects();
        }
        if !required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build();
        let verifier = verifier.map_err(|error| AuthoritiesError::List(error.to_string()))?;
        Ok(Self(verifier))
    }

    /// Whether the first certificate of a chain (DER) is vouched for at this time, by way of the others.
    ///
    /// # Errors
    /// [`Refused`]
    ///
    /// Source: RFC 5280 §6, as webpki does it.
    pub fn verify<C: AsRef<[u8]>>(&self, chain: &[C], now_unix_s: u64) -> Result<(), Refused> {
        let der = |certificate: &'_ C| CertificateDer::from(certificate.as_ref().to_vec());
        let mut chain = chain.iter().map(der);
        let own = chain.next().ok_or(Refused::Malformed)?;
        let between: Vec<_> = chain.collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_unix_s));
        let verified = self.0.verify_client_cert(&own, &between, now);
        verified.map(|_| ()).map_err(|error| refused(&error))
    }
}

fn refused(error: &Error) -> Refused {
    let Error::InvalidCertificate(fault) = error else {
        return Refused::Malformed;
    };
    match fault {
        // An authority that was made anew under the same name has another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Refused::UnknownAuthority
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refused::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Refused::NotYetValid
        }
        CertificateError::Revoked => Refused::Revoked,
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => Refused::RevocationUnknown,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Refused::Purpose
        }
        _ => Refused::Malformed,
    }
}

#[cfg(test)]
mod tests;
