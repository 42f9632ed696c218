use parts::pki::Authority;
use proptest::prelude::*;

use super::*;

fn forwarding(header: &'static str) -> Forwarding {
    Forwarding {
        from: vec!["10.0.0.0/8".parse().unwrap()],
        header: HeaderName::from_static(header),
    }
}

fn core() -> std::rc::Rc<Core> {
    let runtime = policy::Runtime::new(
        Arc::new(policy::NobodyKnown),
        Arc::new(limits::Authority::local(limits::Quotas::new(
            limits::Room::for_keys(10),
        ))),
        Arc::new(base::ManualClock::at(0)),
    );
    Core::new(Arc::new(runtime))
}

fn read(header: &'static str, fields: &[(&'static str, &str)]) -> Option<Vec<Vec<u8>>> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    let found = forwarding(header).certificate(&core(), &headers)?;
    assert!(found.forwarded);
    Some(found.chain.iter().map(|der| der.to_vec()).collect())
}

fn escaped(pem: &str) -> String {
    percent_encoding::utf8_percent_encode(pem, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Beyond it they are read anew.
#[test]
fn a_bounded_number_of_fields_is_remembered() {
    let mut runtime = policy::Runtime::new(
        Arc::new(policy::NobodyKnown),
        Arc::new(limits::Authority::local(limits::Quotas::new(
            limits::Room::for_keys(10),
        ))),
        Arc::new(base::ManualClock::at(0)),
    );
    runtime.remembered = Arc::new(policy::Remembered {
        forwarded_max: 2,
        ..policy::Remembered::default()
    });
    let core = Core::new(Arc::new(runtime));
    let root = Authority::root("root");
    let mut first = None;
    for (serial, forgotten) in [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4)] {
        let own = root.issue("till", serial, |_| {});
        let field = format!(":{}:", STANDARD.encode(&own.der));
        let headers = HeaderMap::from_iter([(CLIENT_CERT, field.parse().unwrap())]);
        let read = || {
            forwarding("client-cert")
                .certificate(&core, &headers)
                .unwrap()
        };
        let certificate = read();
        assert!(Arc::ptr_eq(&certificate, &read()), "it is remembered");
        first.get_or_insert((headers.clone(), certificate));
        let counted = core.runtime.remembered.forgotten(Memory::Forwarded);
        assert_eq!(counted, forgotten, "{serial}");
    }
    let (headers, before) = first.unwrap();
    let again = forwarding("client-cert").certificate(&core, &headers);
    assert!(!Arc::ptr_eq(&again.unwrap(), &before), "it was forgotten");
}

#[test]
fn rfc_9440() {
    let root = Authority::root("root");
    let own = root.issue("till", 7, |_| {});
    let of = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
    let (cert, chain) = (of(&own.der), of(&root.der()));
    let found = read("client-cert", &[("client-cert", &cert)]);
    assert_eq!(found, Some(vec![own.der.clone()]));
    let found = read(
        "client-cert",
        &[
            ("client-cert", &cert),
            ("client-cert-chain", &format!("{chain}, {chain}")),
        ],
    );
    assert_eq!(found, Some(vec![own.der.clone(), root.der(), root.der()]));
    let long = [chain.as_str(); CHAIN_MAX].join(",");
    for fields in [
        vec![],
        vec![("client-cert", "nonsense")],
        vec![("client-cert", ":***:")],
        vec![
            ("client-cert", cert.as_str()),
            ("client-cert", cert.as_str()),
        ],
        vec![("client-cert", cert.as_str()), ("client-cert-chain", "x")],
        vec![("client-cert", cert.as_str()), ("client-cert-chain", &long)],
        vec![("client-cert-chain", chain.as_str())],
        vec![("x-forwarded-client-cert", cert.as_str())],
    ] {
        assert_eq!(read("client-cert", &fields), None, "{fields:?}");
    }
}

#[test]
fn pem_percent_encoded_and_the_list_of_envoy() {
    let root = Authority::root("root");
    let own = root.issue("till", 7, |_| {});
    let (pem, both) = (
        escaped(&own.pem),
        escaped(&format!("{}{}", own.pem, root.pem())),
    );
    // nginx leaves some characters as they are.
    let nginx = own
        .pem
        .replace('\n', "%0A")
        .replace(' ', "%20")
        .replace('+', "%2B");
    let found = |value: &str| read("ssl-client-cert", &[("ssl-client-cert", value)]);
    assert_eq!(found(&pem), Some(vec![own.der.clone()]));
    assert_eq!(found(&nginx), Some(vec![own.der.clone()]));
    assert_eq!(found(&both), Some(vec![own.der.clone(), root.der()]));
    let envoy = |value: &str| {
        read(
            "x-forwarded-client-cert",
            &[("x-forwarded-client-cert", value)],
        )
    };
    let list = format!("By=spiffe://a;Hash=ab;Subject=\"CN=a,O=\\\"b;c\\\"\";Cert=\"{pem}\"");
    assert_eq!(envoy(&list), Some(vec![own.der.clone()]));
    let list = format!("Cert=\"{pem}\";Chain=\"{both}\";URI=");
    assert_eq!(envoy(&list), Some(vec![own.der.clone(), root.der()]));
    for none in [
        String::new(),
        "Hash=ab;Subject=\"CN=a\"".to_owned(),
        // Of two proxies, or twice: whose client?
        format!("Cert=\"{pem}\",Cert=\"{pem}\""),
        format!("Cert=\"{pem}\";Cert=\"{pem}\""),
        format!("Subject=\"a,Cert=\"{pem}\""),
        "-----BEGIN%20CERTIFICATE-----%0AAAAA".to_owned(),
        escaped(&own.key_pem),
    ] {
        assert_eq!(envoy(&none), None, "{none}");
    }
}

#[test]
fn what_was_read_is_remembered() {
    let own = Authority::root("root").issue("till", 7, |_| {});
    let mut headers = HeaderMap::new();
    headers.insert("ssl-client-cert", escaped(&own.pem).parse().unwrap());
    let (core, forwarding) = (core(), forwarding("ssl-client-cert"));
    let first = forwarding.certificate(&core, &headers).unwrap();
    let second = forwarding.certificate(&core, &headers).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn proxies_are_known_by_their_network() {
    let forwarding = forwarding("client-cert");
    assert!(forwarding.trusts([10, 1, 2, 3].into()));
    assert!(!forwarding.trusts([127, 0, 0, 1].into()));
}

proptest! {
    /// Whatever a proxy sends: it is a chain or none.
    #[test]
    fn no_text_brings_it_down(text in "[A-Za-z=\"\\\\;,:% -]{0,80}") {
        for header in ["client-cert", "ssl-client-cert", "x-forwarded-client-cert"] {
            let fields: [(&'static str, &str); 1] = [(header, &text)];
            prop_assert!(read(header, &fields).is_none());
        }
    }
}
