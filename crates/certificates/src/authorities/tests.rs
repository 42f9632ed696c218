use parts::pki::{Authority, Issued};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::*;

const NOW: u64 = 1_800_000_000;

fn verify(
    authorities: &Authorities,
    issued: &Issued,
    between: &[&Authority],
) -> Result<(), Refused> {
    let between = between.iter().map(|authority| authority.der());
    let chain: Vec<Vec<u8>> = std::iter::once(issued.der.clone()).chain(between).collect();
    authorities.verify(&chain, NOW)
}

#[test]
fn an_authority_vouches_for_what_it_has_signed_alone() {
    let (own, other) = (Authority::root("own"), Authority::root("own"));
    let trusted = Authorities::read(own.pem().as_bytes(), None).unwrap();
    let good = own.issue("till", 7, |_| {});
    assert_eq!(verify(&trusted, &good, &[]), Ok(()));
    let foreign = other.issue("till", 7, |_| {});
    assert_eq!(
        verify(&trusted, &foreign, &[]),
        Err(Refused::UnknownAuthority)
    );
    let expired = own.issue("till", 7, |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert_eq!(verify(&trusted, &expired, &[]), Err(Refused::Expired));
    let early = own.issue("till", 7, |params| {
        params.not_before = date_time_ymd(2080, 1, 1);
    });
    assert_eq!(verify(&trusted, &early, &[]), Err(Refused::NotYetValid));
    let server = own.issue("till", 7, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(verify(&trusted, &server, &[]), Err(Refused::Purpose));
    let nonsense: [&[u8]; 1] = [b"nonsense"];
    assert_eq!(trusted.verify(&nonsense, NOW), Err(Refused::Malformed));
    assert_eq!(trusted.verify::<&[u8]>(&[], NOW), Err(Refused::Malformed));
    // Several authorities in one text.
    let both = format!("{}{}", own.pem(), other.pem());
    let both = Authorities::read(both.as_bytes(), None).unwrap();
    assert_eq!(verify(&both, &foreign, &[]), Ok(()));
}

#[test]
fn a_chain_may_have_authorities_between() {
    let root = Authority::root("root");
    let between = root.below("between");
    let till = between.issue("till", 7, |_| {});
    let trusted = Authorities::read(root.pem().as_bytes(), None).unwrap();
    assert_eq!(verify(&trusted, &till, &[&between]), Ok(()));
    assert_eq!(verify(&trusted, &till, &[]), Err(Refused::UnknownAuthority));
    // A client's certificate is no authority.
    let forged = Authority::root("till").issue("admin", 1, |_| {});
    let chain = [forged.der.as_slice(), till.der.as_slice(), &between.der()];
    assert!(trusted.verify(&chain, NOW).is_err());
}

#[test]
fn what_was_taken_back_is_refused() {
    let root = Authority::root("root");
    let (good, bad) = (root.issue("a", 7, |_| {}), root.issue("b", 8, |_| {}));
    let read =
        |list: &str| Authorities::read(root.pem().as_bytes(), Some(list.as_bytes())).unwrap();
    let trusted = read(&root.revokes(&[&bad], 2080));
    assert_eq!(verify(&trusted, &good, &[]), Ok(()));
    assert_eq!(verify(&trusted, &bad, &[]), Err(Refused::Revoked));
    // A list that is out of date says nothing, and neither does one of another authority.
    let stale = read(&root.revokes(&[], 2020));
    assert_eq!(verify(&stale, &good, &[]), Err(Refused::RevocationUnknown));
    let foreign = read(&Authority::root("other").revokes(&[], 2080));
    assert_eq!(
        verify(&foreign, &good, &[]),
        Err(Refused::RevocationUnknown)
    );
    // Each of a chain is looked at.
    let between = root.below("between");
    let till = between.issue("till", 9, |_| {});
    let root_alone = read(&root.revokes(&[], 2080));
    assert_eq!(
        verify(&root_alone, &till, &[&between]),
        Err(Refused::RevocationUnknown)
    );
    let both = format!("{}{}", root.revokes(&[], 2080), between.revokes(&[], 2080));
    assert_eq!(verify(&read(&both), &till, &[&between]), Ok(()));
}

#[test]
fn what_is_no_authority_is_told() {
    let root = Authority::root("root");
    let read = |pem: &str, list: Option<&str>| {
        Authorities::read(pem.as_bytes(), list.map(str::as_bytes)).err()
    };
    assert!(matches!(
        read("nonsense", None),
        Some(AuthoritiesError::None)
    ));
    assert!(matches!(
        read(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            None
        ),
        Some(AuthoritiesError::Unusable(_))
    ));
    assert!(matches!(
        read(&root.pem(), Some("nonsense")),
        Some(AuthoritiesError::NoList)
    ));
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    assert!(matches!(
        read(&root.pem(), Some(broken)),
        Some(AuthoritiesError::List(_))
    ));
}
