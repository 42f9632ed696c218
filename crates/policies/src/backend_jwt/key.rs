//! The key that signs.

use base::Secret;
use jose::{Algorithm, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// Reads a private key out of the bytes of a file. The error says nothing of them.
pub(super) fn read(files: &[Vec<u8>]) -> Result<SigningKey, String> {
    let pem = files.first().map_or(&[][..], Vec::as_slice);
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| {
        "it is no private key in PKCS#8 and PEM (`BEGIN PRIVATE KEY`; `openssl pkcs8 -topk8 -nodes` makes one of others)"
            .to_owned()
    })?;
    let der = Secret::new(der.secret_pkcs8_der().to_vec());
    let key = SigningKey::from_pkcs8(&der)
        .map_err(|_| "it is no key for ES256, RS256 (2048 bits at least) or EdDSA".to_owned())?;
    match key.algorithm() {
        Algorithm::Es256 | Algorithm::Rs256 | Algorithm::EdDsa => Ok(key),
        other => Err(format!("its algorithm {} is not served", other.name())),
    }
}
