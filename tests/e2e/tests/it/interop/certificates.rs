//! Certificates of servers and clients, made for one test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use super::x5t;

/// Somebody who signs certificates.
pub(super) struct Authority {
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(super) struct Identity {
    cert: Certificate,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than those of the certificates that it signs: else they would look signed by themselves.
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// For names or addresses.
    pub(super) fn signs(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert, key }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

impl Identity {
    pub(super) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params(&[name]).self_signed(&key).unwrap();
        Self { cert, key }
    }

    /// Writes both into files.
    pub(super) fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let cert = folder.join(format!("{name}.crt"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&cert, self.cert.pem()).unwrap();
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        (cert, key)
    }

    /// What a script has to know of it.
    pub(super) fn told(&self, folder: &Path, name: &str) -> Value {
        let (cert, key) = self.write(folder, name);
        json!({
            "cert": self.cert.pem(),
            "key": self.key.serialize_pem(),
            "certFile": cert,
            "keyFile": key,
            "x5t": x5t(self.cert.der()),
        })
    }

    /// Its public key (RFC 7518 §6.2.1).
    pub(super) fn jwk(&self) -> Value {
        let raw = self.key.public_key_raw();
        let (x, y) = (jose::base64url(&raw[1..33]), jose::base64url(&raw[33..]));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    }
}
