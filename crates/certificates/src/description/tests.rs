use parts::pki::Authority;
use rcgen::{DistinguishedName, DnType, SanType};

use super::*;

fn described(subject: &[(DnType, &str)]) -> Description {
    let issued = Authority::root("root").issue("till", 255, |params| {
        let mut name = DistinguishedName::new();
        for (kind, value) in subject {
            name.push(kind.clone(), *value);
        }
        params.distinguished_name = name;
        params.subject_alt_names = vec![
            SanType::DnsName("till-7.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/till/7".try_into().unwrap()),
            SanType::Rfc822Name("till@example.com".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 7].into()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ];
    });
    Description::read(&issued.der).unwrap()
}

#[test]
fn names_are_read() {
    let read = described(&[
        (DnType::OrganizationName, "Example"),
        (DnType::OrganizationalUnitName, "Tills"),
        (DnType::CommonName, "till-7"),
    ]);
    assert_eq!(read.subject, "CN=till-7,OU=Tills,O=Example");
    assert_eq!(read.issuer, "CN=root,O=Example");
    assert_eq!(read.common_names, ["till-7"]);
    assert_eq!(read.organizations, ["Example"]);
    assert_eq!(read.units, ["Tills"]);
    assert_eq!(read.dns, ["till-7.example.com"]);
    assert_eq!(read.uris, ["spiffe://example.com/till/7"]);
    assert_eq!(read.emails, ["till@example.com"]);
    assert_eq!(read.ips, ["192.0.2.7", "2001:db8::7"]);
    assert!(read.serial.ends_with("ff"), "{}", read.serial);
    assert!(read.not_before_unix_s < 1_000_000_000 && read.not_after_unix_s > 3_000_000_000);
}

#[test]
fn subjects_are_compared_whole_or_by_their_end() {
    let read = described(&[
        (DnType::OrganizationName, "Example, Inc."),
        (DnType::OrganizationalUnitName, "Tills"),
        (DnType::CommonName, "till-7"),
    ]);
    assert!(read.is_subject("CN=till-7,OU=Tills,O=Example\\, Inc."));
    assert!(read.is_subject(&read.subject), "{}", read.subject);
    assert!(!read.is_subject("OU=Tills,O=Example\\, Inc."));
    assert!(read.is_subject_below("OU=Tills,O=Example\\, Inc."));
    assert!(read.is_subject_below("O=Example\\, Inc."));
    for other in [
        "CN=till-7,OU=Tills,O=Example\\, Inc.",
        "OU=Tills",
        "OU=tills,O=Example\\, Inc.",
        "O=Inc.",
        "",
    ] {
        assert!(!read.is_subject_below(other), "{other}");
    }
}

/// What is written is read as the same name, whatever it holds.
#[test]
fn odd_names_are_escaped() {
    for value in [
        "a,b+c", " a ", "#a", "a\\b", "\"q\"", "<a>;", "Lučić", "a\r\nb", "a=b", " ",
    ] {
        let read = described(&[(DnType::CommonName, value)]);
        assert!(
            read.is_subject(&read.subject),
            "{value:?}: {}",
            read.subject
        );
        assert!(!read.subject.contains(['\r', '\n']));
        assert_eq!(read.common_names, [value]);
    }
}

#[test]
fn what_is_no_certificate_is_not_read() {
    assert_eq!(Description::read(b"nonsense"), Err(Unreadable));
    let mut longer = Authority::root("root").der();
    longer.push(0);
    assert_eq!(Description::read(&longer), Err(Unreadable));
}
