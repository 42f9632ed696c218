use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn made(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "DE");
    name.push(DnType::OrganizationName, "Example, Inc.");
    name.push(DnType::CommonName, "client-1");
    params.distinguished_name = name;
    let uri = SanType::URI("https://client.example.com/a".try_into().unwrap());
    params.subject_alt_names.push(uri);
    let mail = SanType::Rfc822Name("ops@example.com".try_into().unwrap());
    params.subject_alt_names.push(mail);
    let ip = SanType::IpAddress([192, 0, 2, 7].into());
    params.subject_alt_names.push(ip);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().to_vec(), key)
}

/// RFC 8705 §2.1.2: the one registered name decides, and nothing that only looks like it.
#[test]
fn a_certificate_is_known_by_its_registered_name() {
    let (der, _) = made(|_| {});
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let none = ClientMetadata::default;
    let by = |set: fn(&mut ClientMetadata, String), value: &str| {
        let mut metadata = none();
        set(&mut metadata, value.to_owned());
        is_named(&certificate, &metadata)
    };
    let subject = |metadata: &mut ClientMetadata, value| {
        metadata.tls_client_auth_subject_dn = Some(value);
    };
    assert!(by(subject, "CN=client-1,O=Example\\, Inc.,C=DE"));
    assert!(by(subject, "cn=client-1, 2.5.4.10=Example\\2C Inc., C=DE"));
    for other in [
        "C=DE,O=Example\\, Inc.,CN=client-1",
        "CN=client-1",
        "CN=Client-1,O=Example\\, Inc.,C=DE",
        "CN=client-1,O=Example\\, Inc.,C=DE,DC=x",
        "",
    ] {
        assert!(!by(subject, other), "{other}");
    }
    let dns = |metadata: &mut ClientMetadata, value| metadata.tls_client_auth_san_dns = Some(value);
    assert!(by(dns, "Client.example.com") && !by(dns, "example.com") && !by(dns, "*.example.com"));
    let uri = |metadata: &mut ClientMetadata, value| metadata.tls_client_auth_san_uri = Some(value);
    assert!(by(uri, "https://client.example.com/a") && !by(uri, "https://client.example.com/A"));
    let mail =
        |metadata: &mut ClientMetadata, value| metadata.tls_client_auth_san_email = Some(value);
    assert!(by(mail, "ops@example.com") && !by(mail, "OPS@example.com"));
    let ip = |metadata: &mut ClientMetadata, value| metadata.tls_client_auth_san_ip = Some(value);
    assert!(by(ip, "192.0.2.7") && !by(ip, "192.0.2.8") && !by(ip, "x"));
    assert!(!is_named(&certificate, &none()), "no name, no client");
}

#[test]
fn the_key_of_a_certificate_has_the_thumbprint_of_its_jwk() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec![]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let raw = key.public_key_raw();
        let b64 = jose::base64url;
        let jwk = match raw.len() {
            32 => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(raw) }),
            65 => {
                json!({ "kty": "EC", "crv": "P-256", "x": b64(&raw[1..33]), "y": b64(&raw[33..]) })
            }
            _ => {
                json!({ "kty": "EC", "crv": "P-384", "x": b64(&raw[1..49]), "y": b64(&raw[49..]) })
            }
        };
        let jwk = Jwk::from_json(&jwk.to_string(), None).unwrap();
        assert_eq!(key_of(&certificate), Some(jwk.thumbprint()));
    }
}

#[test]
fn certificates_are_good_in_their_time() {
    let (der, _) = made(|params| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    });
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let (from, until) = (1_767_225_600, 1_798_761_600);
    for (now, good) in [
        (from - 1, false),
        (from, true),
        (until, true),
        (until + 1, false),
    ] {
        assert_eq!(is_valid(&certificate, now), good, "{now}");
    }
}
