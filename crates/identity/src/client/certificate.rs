//! tls_client_auth and self_signed_tls_client_auth (RFC 8705 §2).

use std::sync::Arc;

use base::Digest;
use certificates::names;
use jose::Jwk;
use serde_json::{Value, json};
use store::{AuthMethod, ClientMetadata, Credential};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::IdentityState;

/// The certificate that a client showed in the TLS handshake, which has proved that it holds the key. The listener puts
/// it into the extensions of each request of the connection.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, DER.
    pub der: Arc<[u8]>,
    /// Whether its chain ends at an authority that is trusted for clients, at the time of the handshake.
    pub trusted: bool,
}

impl ClientCertificate {
    /// What tokens are bound to: its SHA-256, base64url (RFC 8705 §3.1).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        jose::base64url(Digest::of(&self.der).as_bytes())
    }
}

impl IdentityState {
    /// Whether a certificate is this client's, by the method it is registered for.
    pub(super) async fn certificate_proves(
        &self,
        credential: &Credential,
        certificate: &ClientCertificate,
        method: AuthMethod,
    ) -> bool {
        let Some(client) = credential.client() else {
            return false;
        };
        let metadata = &client.metadata;
        let now_unix_s = self.clock.unix_s();
        let Ok((_, read)) = X509Certificate::from_der(&certificate.der) else {
            return false;
        };
        match method {
            AuthMethod::TlsClientAuth => certificate.trusted && is_named(&read, metadata),
            AuthMethod::SelfSignedTlsClientAuth => {
                let Some(shown) = key_of(&read).filter(|_| is_valid(&read, now_unix_s)) else {
                    return false;
                };
                let has = |keys: &jose::KeySet| {
                    let mut keys = keys.keys().iter();
                    keys.any(|key| key.thumbprint() == shown)
                };
                if has(&*self.proving.keys.of(metadata, now_unix_s).await) {
                    return true;
                }
                let newer = self.proving.keys.newer(metadata, now_unix_s).await;
                newer.is_some_and(|keys| has(&keys))
            }
            _ => false,
        }
    }
}

/// Whether a certificate has the one name that is registered (RFC 8705 §2.1.2).
fn is_named(certificate: &X509Certificate<'_>, metadata: &ClientMetadata) -> bool {
    if let Some(subject) = &metadata.tls_client_auth_subject_dn {
        return names::is_subject(certificate.subject(), subject);
    }
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return false;
    };
    let mut alternatives = alternatives.value.general_names.iter();
    if let Some(wanted) = &metadata.tls_client_auth_san_dns {
        return alternatives.any(
            |name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(wanted)),
        );
    }
    if let Some(wanted) = &metadata.tls_client_auth_san_uri {
        return alternatives.any(|name| matches!(name, GeneralName::URI(name) if name == wanted));
    }
    if let Some(wanted) = &metadata.tls_client_auth_san_email {
        return alternatives
            .any(|name| matches!(name, GeneralName::RFC822Name(name) if name == wanted));
    }
    if let Some(wanted) = &metadata.tls_client_auth_san_ip {
        let Ok(wanted) = wanted.parse::<std::net::IpAddr>() else {
            return false;
        };
        return alternatives.any(|name| match (name, wanted) {
            (GeneralName::IPAddress(bytes), std::net::IpAddr::V4(ip)) => *bytes == ip.octets(),
            (GeneralName::IPAddress(bytes), std::net::IpAddr::V6(ip)) => *bytes == ip.octets(),
            _ => false,
        });
    }
    false
}

fn is_valid(certificate: &X509Certificate<'_>, now_unix_s: u64) -> bool {
    let now = i64::try_from(now_unix_s).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    validity.not_before.timestamp() <= now && now <= validity.not_after.timestamp()
}

/// The thumbprint (RFC 7638) of a certificate's key, to be found among the registered ones.
fn key_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let key = certificate.public_key();
    let b64 = jose::base64url;
    let unpadded = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        b64(&number[zeros..])
    };
    let ec = |point: &[u8]| -> Option<Value> {
        let (4, xy) = point.split_first().map(|(first, rest)| (*first, rest))? else {
            return None;
        };
        let curve = match xy.len() {
            64 => "P-256",
            96 => "P-384",
            _ => return None,
        };
        let (x, y) = xy.split_at(xy.len() / 2);
        Some(json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) }))
    };
    const ED25519: &str = "1.3.101.112";
    let jwk = match key.parsed().ok()? {
        PublicKey::RSA(rsa) => json!({
            "kty": "RSA", "n": unpadded(rsa.modulus), "e": unpadded(rsa.exponent),
        }),
        PublicKey::EC(point) => ec(point.data())?,
        PublicKey::Unknown(raw) if key.algorithm.algorithm.to_id_string() == ED25519 => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(raw) })
        }
        _ => return None,
    };
    let read = Jwk::from_json(&jwk.to_string(), Some(jose::Algorithm::Rs256));
    read.ok().map(|key| key.thumbprint())
}

#[cfg(test)]
mod tests;
