//! What a certificate says.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::names;

/// A certificate cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the certificate cannot be read")]
pub struct Unreadable;

/// The names of a certificate and its dates. It says nothing of who vouches for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// The subject, as RFC 4514 writes it.
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// The common names of the subject; the organisations; the organisational units.
    pub common_names: Vec<String>,
    /// `O`
    pub organizations: Vec<String>,
    /// `OU`
    pub units: Vec<String>,
    /// Alternative names: DNS.
    pub dns: Vec<String>,
    /// Alternative names: URIs.
    pub uris: Vec<String>,
    /// Alternative names: mail addresses.
    pub emails: Vec<String>,
    /// Alternative names: IP addresses.
    pub ips: Vec<String>,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// From this second since 1970 it is valid.
    pub not_before_unix_s: i64,
    /// Until this second.
    pub not_after_unix_s: i64,
    der: Vec<u8>,
}

impl Description {
    /// Reads a certificate (DER). What is not text among its names is left out.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn read(der: &[u8]) -> Result<Self, Unreadable> {
        let (rest, read) = X509Certificate::from_der(der).map_err(|_| Unreadable)?;
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        let subject = read.subject();
        let texts =
            |found: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
                let texts = found.filter_map(|attribute| attribute.as_str().ok());
                texts.map(str::to_owned).collect::<Vec<_>>()
            };
        let validity = read.validity();
        let mut description = Self {
            subject: names::text(subject),
            issuer: names::text(read.issuer()),
            common_names: texts(&mut subject.iter_common_name()),
            organizations: texts(&mut subject.iter_organization()),
            units: texts(&mut subject.iter_organizational_unit()),
            dns: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            ips: Vec::new(),
            serial: hexadecimal(read.raw_serial()),
            not_before_unix_s: validity.not_before.timestamp(),
            not_after_unix_s: validity.not_after.timestamp(),
            der: der.to_vec(),
        };
        if let Some(alternatives) = read.subject_alternative_name().map_err(|_| Unreadable)? {
            for name in &alternatives.value.general_names {
                description.add(name);
            }
        }
        Ok(description)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
                let v6 =
                    <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
                self.ips.extend(v4.or(v6));
            }
            _ => {}
        }
    }

    /// Whether the subject is this name (RFC 4514), attribute by attribute, byte for byte.
    #[must_use]
    pub fn is_subject(&self, name: &str) -> bool {
        let read = X509Certificate::from_der(&self.der);
        read.is_ok_and(|(_, read)| names::is_subject(read.subject(), name))
    }

    /// Whether the subject ends with this name (RFC 4514): `OU=Tills,O=Example` for everybody in that unit.
    #[must_use]
    pub fn is_subject_below(&self, name: &str) -> bool {
        let read = X509Certificate::from_der(&self.der);
        read.is_ok_and(|(_, read)| names::is_below(read.subject(), name))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
