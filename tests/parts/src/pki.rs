//! Certificates for tests: authorities, what they sign, and what they take back.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Issued {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The certificate, PEM.
    pub pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
    serial: SerialNumber,
}

/// Parameters of a certificate with this common name in the organisation `Example`, valid from 2000 to 2090, for clients.
fn params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Example");
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.serial_number = Some(serial.into());
    params
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = params(name, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params, KeyPair::generate().expect("a key"))
}

impl Authority {
    /// An authority that nobody stands above.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn root(name: &str) -> Self {
        let (params, key) = authority(name);
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// An authority below this one.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let (params, key) = authority(name);
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("a certificate"))
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A client's certificate: `CN=<name>,O=Example`, valid from 2000 to 2090, with what `change` makes of it. The serial
    /// numbers of one authority must differ where it takes certificates back.
    ///
    /// # Panics
    /// When no certificate can be made.
    pub fn issue(
        &self,
        name: &str,
        serial: u64,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = params(name, serial);
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            der: made.der().to_vec(),
            pem: made.pem(),
            key_pem: key.serialize_pem(),
            serial: serial.into(),
        }
    }

    /// A server's certificate for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn server(&self) -> Issued {
        self.issue("localhost", 2, |params| {
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let named = CertificateParams::new(names).expect("these are names");
            params.subject_alt_names = named.subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A revocation list (PEM) that takes these back; to be believed until that year.
    ///
    /// # Panics
    /// When no list can be made.
    #[must_use]
    pub fn revokes(&self, revoked: &[&Issued], until: i32) -> String {
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: issued.serial.clone(),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.0).expect("a list");
        list.pem().expect("PEM")
    }
}

impl Issued {
    /// Writes `tls.crt` and `tls.key` into a folder, which is made.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("tls.crt"), &self.pem).expect("a file");
        std::fs::write(folder.join("tls.key"), &self.key_pem).expect("a file");
    }
}
