use std::fs;

use parts::pki::{Authority, Issued};
use policy::Nobody;
use rcgen::{DistinguishedName, DnType, SanType, date_time_ymd};
use serde_json::{Value, json};

use super::*;
use crate::testing::{APPLICATION, Bench, ManualTime, compile, compile_errors};

fn write(bench: &Bench, name: &str, text: &str) {
    let folder = bench.secrets.path().join("partners");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

fn with(bench: &Bench, shown: &Issued) -> RequestCx {
    let mut cx = bench.request("GET", "/x");
    let certificate = ClientCertificate::new(vec![shown.der.clone().into()], false);
    cx.slots.put(Arc::new(certificate.unwrap()));
    cx
}

#[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
fn config(more: Value) -> Value {
    let mut config = json!({"ca": {"secretRef": "partners"}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// The refusal's code and detail; empty where the certificate is taken.
fn told(bench: &Bench, policy: &dyn Policy, shown: &Issued) -> (&'static str, String) {
    let mut cx = with(bench, shown);
    match bench.run(policy, &mut cx) {
        Ok(()) => {
            assert!(cx.principal.is_some());
            ("", String::new())
        }
        Err(reject) => {
            assert!(cx.principal.is_none());
            (reject.code.name, reject.detail.into_owned())
        }
    }
}

fn till(root: &Authority) -> Issued {
    root.issue("till-7", 7, |params| {
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Example");
        name.push(DnType::OrganizationalUnitName, "Tills");
        name.push(DnType::CommonName, "till-7");
        params.distinguished_name = name;
        params.subject_alt_names = vec![
            SanType::DnsName("till-7.shop.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/tills/7".try_into().unwrap()),
            SanType::Rfc822Name("till-7@example.com".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 7].into()),
        ];
    })
}

#[test]
fn certificates_of_the_authority_pass_and_no_others() {
    let bench = Bench::new();
    let (root, other) = (Authority::root("partners"), Authority::root("partners"));
    write(&bench, "ca.crt", &root.pem());
    let policy = compile("mutualTls", config(json!({})));
    let mut cx = with(&bench, &till(&root));
    bench.run(&*policy, &mut cx).unwrap();
    let principal = cx.principal.unwrap();
    assert_eq!(principal.application, None);
    assert_eq!(principal.identity.scopes, Some(Vec::new()), "no scopes");
    let identity = &principal.identity;
    assert_eq!(
        identity.subject.as_deref(),
        Some("CN=till-7,OU=Tills,O=Example")
    );
    assert_eq!(identity.claims["cn"], "till-7");
    assert_eq!(identity.claims["dns"], json!(["till-7.shop.example.com"]));
    let foreign = told(&bench, &*policy, &till(&other));
    assert_eq!(foreign.0, "CERTIFICATE_INVALID");
    assert!(foreign.1.contains("nobody who is trusted"), "{}", foreign.1);
    let expired = root.issue("a", 8, |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let expired = told(&bench, &*policy, &expired);
    assert_eq!(expired.0, "CERTIFICATE_INVALID");
    assert!(expired.1.contains("expired"), "{}", expired.1);
    let mut cx = bench.request("GET", "/x");
    let reject = bench.run(&*policy, &mut cx).unwrap_err();
    assert_eq!(reject.code, CREDENTIALS_MISSING);
    assert_eq!(
        reject.headers[0].1,
        "ClientCertificate realm=\"pets-1.0.0\""
    );
}

#[test]
fn callers_are_told_apart_by_what_their_certificates_say() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let till = till(&root);
    for (caller, fits) in [
        (json!({"subject": "CN=till-7,OU=Tills,O=Example"}), true),
        (json!({"subject": "CN=till-7"}), false),
        (json!({"subjectBelow": "OU=Tills,O=Example"}), true),
        (json!({"subjectBelow": "OU=Offices,O=Example"}), false),
        (json!({"dns": "TILL-7.shop.example.com"}), true),
        (json!({"dns": "*.example.com"}), true),
        (json!({"dns": "*.ample.com"}), false),
        (json!({"dns": "shop.example.com"}), false),
        (json!({"uri": "spiffe://example.com/tills/7"}), true),
        (json!({"uri": "spiffe://example.com/tills/*"}), true),
        (json!({"uri": "spiffe://example.com/till/*"}), false),
        (json!({"email": "*@example.com"}), true),
        (json!({"email": "*@ample.com"}), false),
        (json!({"ip": "192.0.2.7"}), true),
        (json!({"ip": "192.0.2.8"}), false),
        (
            json!({"when": "principal.claims.cn.startsWith('till-')"}),
            true,
        ),
        (json!({"when": "'Tills' in principal.claims.ou"}), true),
        (json!({"when": "principal.claims.none == 'x'"}), false),
        (json!({"dns": "*.example.com", "ip": "192.0.2.8"}), false),
        (
            json!({"dns": "*.example.com", "when": "principal.claims.cn == 'x'"}),
            false,
        ),
    ] {
        let policy = compile("mutualTls", config(json!({"callers": [caller]})));
        let found = told(&bench, &*policy, &till);
        assert_eq!(found.0.is_empty(), fits, "{caller}: {found:?}");
        if !fits {
            assert_eq!(found.0, "CERTIFICATE_INVALID");
        }
    }
}

#[test]
fn the_first_entry_that_fits_says_which_application() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let own = |callers: Value| {
        let policy = compile(
            "mutualTls",
            config(json!({"callers": callers, "application": "other"})),
        );
        let mut cx = with(&bench, &till(&root));
        bench
            .run(&*policy, &mut cx)
            .map_err(|reject| reject.reason.unwrap().rule)?;
        Ok(cx.principal.unwrap().application)
    };
    let tills = json!({"dns": "*.shop.example.com", "application": APPLICATION});
    assert_eq!(
        own(json!([{"dns": "x"}, tills])),
        Ok(Some(bench.application))
    );
    // An application that is not there (any more) lets nobody in, rather than anybody.
    assert_eq!(
        own(json!([{"dns": "*.shop.example.com"}])),
        Err("application-exists")
    );
    assert_eq!(own(json!([{"dns": "x"}])), Err("certificate-caller"));
}

/// req: S9
#[test]
fn what_was_verified_is_not_believed_for_long() {
    let bench = Bench::new();
    let (root, next) = (Authority::root("partners"), Authority::root("next"));
    write(&bench, "ca.crt", &root.pem());
    let policy = compile("mutualTls", config(json!({"application": APPLICATION})));
    let shown = till(&root);
    assert_eq!(told(&bench, &*policy, &shown).0, "");
    // The application goes.
    let application = bench.directory.tables().applications.remove(APPLICATION);
    assert_eq!(told(&bench, &*policy, &shown).0, "CERTIFICATE_INVALID");
    let application = application.unwrap();
    bench
        .directory
        .tables()
        .applications
        .insert(APPLICATION.to_owned(), application);
    assert_eq!(told(&bench, &*policy, &shown).0, "");
    // The authority is another one.
    write(&bench, "ca.crt", &next.pem());
    bench.clock.advance_s(2);
    assert_eq!(told(&bench, &*policy, &shown).0, "CERTIFICATE_INVALID");
    assert_eq!(told(&bench, &*policy, &till(&next)).0, "");
    // What cannot be used leaves in force what was.
    write(&bench, "ca.crt", "nonsense");
    bench.clock.advance_s(2);
    assert_eq!(told(&bench, &*policy, &till(&next)).0, "");
}

/// Two of them in a test; what is forgotten is verified again.
#[test]
fn a_bounded_number_of_certificates_is_remembered() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let policy = compile("mutualTls", config(json!({"application": APPLICATION})));
    let forgotten = || {
        let remembered = &bench.core.runtime.remembered;
        remembered.forgotten(policy::Memory::Certificates)
    };
    for (serial, expected) in [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4)] {
        let shown = root.issue("till", serial, |_| {});
        for _ in 0..2 {
            assert_eq!(told(&bench, &*policy, &shown).0, "");
        }
        assert_eq!(forgotten(), expected, "{serial}");
    }
}

#[test]
fn a_certificate_that_expires_meanwhile_is_refused() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let policy = compile("mutualTls", config(json!({})));
    // The tests' clock stands at 15 January 2027.
    let shown = root.issue("a", 7, |params| {
        params.not_after = date_time_ymd(2027, 1, 16);
    });
    assert_eq!(told(&bench, &*policy, &shown).0, "");
    bench.clock.advance_s(86_400);
    assert_eq!(told(&bench, &*policy, &shown).0, "CERTIFICATE_INVALID");
}

#[test]
fn what_was_taken_back_is_refused_when_the_list_says_so() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    let shown = till(&root);
    write(&bench, "ca.crt", &root.pem());
    write(&bench, "ca.crl", &root.revokes(&[], 2080));
    let policy = compile(
        "mutualTls",
        config(json!({"crl": {"secretRef": "partners"}})),
    );
    assert_eq!(told(&bench, &*policy, &shown).0, "");
    write(&bench, "ca.crl", &root.revokes(&[&shown], 2080));
    bench.clock.advance_s(2);
    let refused = told(&bench, &*policy, &shown);
    assert!(refused.1.contains("revoked"), "{}", refused.1);
    // Inline authorities have their list in a file.
    let ca = json!({"inline": root.pem()});
    let inline = compile(
        "mutualTls",
        config(json!({"ca": ca, "crl": {"file": "partners/ca.crl"}})),
    );
    assert_eq!(told(&bench, &*inline, &shown).0, "CERTIFICATE_INVALID");
    assert_eq!(told(&bench, &*inline, &root.issue("b", 8, |_| {})).0, "");
    let without = compile("mutualTls", config(json!({"ca": ca})));
    assert_eq!(told(&bench, &*without, &shown).0, "");
}

#[test]
fn without_authorities_nobody_passes() {
    let bench = Bench::new();
    let policy = compile("mutualTls", config(json!({})));
    let shown = till(&Authority::root("partners"));
    assert_eq!(told(&bench, &*policy, &shown).0, "CREDENTIALS_UNVERIFIED");
}

#[test]
fn two_configurations_do_not_share_what_they_take() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let (all, none) = (json!({}), json!({"callers": [{"dns": "x"}]}));
    let shown = till(&root);
    assert_eq!(
        told(&bench, &*compile("mutualTls", config(all)), &shown).0,
        ""
    );
    let none = compile("mutualTls", config(none));
    assert_eq!(told(&bench, &*none, &shown).0, "CERTIFICATE_INVALID");
}

#[test]
fn who_shows_another_certificate_is_not_nobody() {
    let bench = Bench::new();
    let root = Authority::root("partners");
    write(&bench, "ca.crt", &root.pem());
    let policy = || vec![compile("mutualTls", config(json!({})))];
    let optional = crate::any_of::policy(policy(), true);
    let mut cx = with(&bench, &till(&Authority::root("other")));
    assert!(bench.run(&*optional, &mut cx).is_err());
    let mut cx = bench.request("GET", "/x");
    bench.run(&*optional, &mut cx).unwrap();
    assert!(cx.slots.get::<Nobody>().is_some());
}

#[test]
fn faults_of_the_configuration() {
    let pointers = |config: Value| -> Vec<String> {
        let faults = compile_errors("mutualTls", config);
        faults.into_iter().map(|fault| fault.pointer).collect()
    };
    assert_eq!(pointers(json!({"ca": {}})), ["/ca"]);
    assert_eq!(pointers(json!({"ca": {"inline": "x"}})), ["/ca/inline"]);
    assert_eq!(
        pointers(json!({"ca": {"inline": "x", "file": "y"}})),
        ["/ca"]
    );
    assert_eq!(pointers(json!({"ca": {"file": "/etc/ca"}})), ["/ca/file"]);
    let callers = |callers: Value| pointers(config(json!({"callers": callers})));
    assert_eq!(
        callers(json!([
            {},
            {"application": "shop"},
            {"subject": "till"},
            {"dns": "*"},
            {"dns": "*example.com"},
            {"uri": "https://*"},
            {"uri": "spiffe://example.com/a*"},
            {"email": "*"},
            {"ip": "192.0.2"},
            {"when": "request.path == '/'"},
            {"when": "principal.roles == []"},
            {"when": "x"},
        ])),
        [
            "/callers/0",
            "/callers/1",
            "/callers/2/subject",
            "/callers/3/dns",
            "/callers/4/dns",
            "/callers/5/uri",
            "/callers/6/uri",
            "/callers/7/email",
            "/callers/8/ip",
            "/callers/9/when",
            "/callers/10/when",
            "/callers/11/when",
        ]
    );
}
