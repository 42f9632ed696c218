//! Certificates of clients that a proxy before the gateway tells of in a field: it has ended TLS, so it alone has seen them.
//!
//! The field is looked at where the connection comes from a proxy that the listener trusts, and only there. Every request
//! loses all fields of this kind, whoever sent it ([`policies::identity_headers`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;
use policy::{ClientCertificate, Core, Memory};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Certificates of a chain that are looked at; the size of a head bounds them, too.
const CHAIN_MAX: usize = 10;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// Whose word is taken for a client's certificate, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forwarding {
    /// Networks of the proxies.
    pub from: Vec<IpNet>,
    /// The field: `Client-Cert` as RFC 9440 has it, with `Client-Cert-Chain`; any other holds PEM, percent-encoded, or Envoy's
    /// list with `Cert` or `Chain`.
    pub header: HeaderName,
}

impl Forwarding {
    /// Whether a connection from there is of a proxy.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(&ip))
    }

    /// The certificate that a request of a proxy tells of. What cannot be read, and what stands there twice, is none.
    pub(crate) fn certificate(
        &self,
        core: &Core,
        headers: &HeaderMap,
    ) -> Option<Arc<ClientCertificate>> {
        let value = only(headers, &self.header)?;
        let chain = match self.header == CLIENT_CERT {
            true if headers.contains_key(&CLIENT_CERT_CHAIN) => {
                Some(only(headers, &CLIENT_CERT_CHAIN)?)
            }
            _ => None,
        };
        let memory = core.memory::<Remembered>();
        let mut memory = memory.borrow_mut();
        let chain_bytes = chain.map_or(&[][..], HeaderValue::as_bytes);
        // No field holds a zero byte.
        let key = [value.as_bytes(), chain_bytes].join(&0);
        if let Some(known) = memory.0.get(&key) {
            return Some(Arc::clone(known));
        }
        let read = match self.header == CLIENT_CERT {
            true => structured(value, chain),
            false => encoded(value),
        };
        let certificate = Arc::new(ClientCertificate::new(read?, true)?);
        let limits = &core.runtime.remembered;
        limits.make_room(Memory::Forwarded, &mut memory.0);
        memory.0.insert(key, Arc::clone(&certificate));
        Some(certificate)
    }
}

/// What fields said, by their values: a proxy sends many requests of few clients. Beyond `forwarded_max` of [`policy::Remembered`] all
/// are read anew.
#[derive(Default)]
struct Remembered(HashMap<Vec<u8>, Arc<ClientCertificate>, foldhash::quality::RandomState>);

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Byte sequences of RFC 8941, as RFC 9440 §2.2 and §2.3 have them.
fn structured(own: &HeaderValue, chain: Option<&HeaderValue>) -> Option<Vec<Box<[u8]>>> {
    let bytes = |text: &str| {
        let text = text.trim().strip_prefix(':')?.strip_suffix(':')?;
        STANDARD.decode(text).ok().map(Vec::into_boxed_slice)
    };
    let mut certificates = vec![bytes(own.to_str().ok()?)?];
    if let Some(chain) = chain {
        for text in chain.to_str().ok()?.split(',') {
            certificates.push(bytes(text)?);
        }
    }
    (certificates.len() <= CHAIN_MAX).then_some(certificates)
}

/// PEM, percent-encoded; alone, or in the only element of Envoy's list.
fn encoded(value: &HeaderValue) -> Option<Vec<Box<[u8]>>> {
    let text = value.to_str().ok()?.trim();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let alone = decoded(text);
    let pem = match alone.starts_with(b"-----BEGIN") {
        true => alone,
        false => decoded(of_list(text)?),
    };
    let certificates: Vec<Box<[u8]>> = CertificateDer::pem_slice_iter(&pem)
        .map(|read| read.map(|certificate| certificate.as_ref().into()))
        .collect::<Result<_, _>>()
        .ok()?;
    (1..=CHAIN_MAX)
        .contains(&certificates.len())
        .then_some(certificates)
}

/// `Chain`, else `Cert`, of a list of `key=value` with semicolons between them. Elements of several proxies have commas
/// between them: then it is not clear whose client is meant, and there is none.
fn of_list(text: &str) -> Option<&str> {
    let mut found = (None, None);
    for pair in parts(text)? {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        let place = match key.trim() {
            key if key.eq_ignore_ascii_case("chain") => &mut found.0,
            key if key.eq_ignore_ascii_case("cert") => &mut found.1,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    found.0.or(found.1)
}

/// The parts between semicolons; `None` where a comma stands outside of quotes.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return None,
            b';' if !quoted => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests;
