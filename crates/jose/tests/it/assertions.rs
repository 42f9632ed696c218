//! What clients prove themselves with (RFC 7523 §3).

use jose::{
    AssertionExpectation, JoseError, JoseErrorKind, KeySet, claimed_subject, verify_assertion,
};
use serde_json::{Value, json};

use crate::forge::{Forge, NOW_S, changed};

const ISSUER: &str = "https://id.example.com";

fn expect() -> AssertionExpectation<'static> {
    AssertionExpectation {
        client_id: "twc_shop",
        audience: vec![ISSUER.to_owned()],
        now_unix_s: NOW_S,
        leeway_s: 10,
        lifetime_max_s: 300,
    }
}

fn claims() -> Value {
    json!({
        "iss": "twc_shop", "sub": "twc_shop", "aud": ISSUER, "jti": "a-1",
        "iat": NOW_S, "exp": NOW_S + 60,
    })
}

fn header(forge: &Forge) -> Value {
    json!({ "alg": "ES256", "kid": forge.key.kid() })
}

fn verify(forge: &Forge, assertion: &str) -> Result<(), JoseError> {
    verify_assertion(assertion, &forge.keys, &expect()).map(|_| ())
}

#[test]
fn a_client_is_who_signs_for_it() {
    let forge = Forge::new();
    let text = claims().to_string();
    let good = forge.token(&header(&forge).to_string(), &text);
    assert_eq!(claimed_subject(&good).unwrap(), "twc_shop");
    assert_eq!(verify(&forge, &good), Ok(()));
    for typ in ["JWT", "jwt", "client-authentication+jwt"] {
        let header = changed(header(&forge), &[("typ", typ.into())]);
        assert_eq!(
            verify(&forge, &forge.token(&header, &text)),
            Ok(()),
            "{typ}"
        );
    }
    // Without a kid any key of the algorithm may have signed.
    let nameless = forge.token(r#"{"alg":"ES256"}"#, &text);
    assert_eq!(verify(&forge, &nameless), Ok(()));
    let keys = [Forge::new().key.public_jwk(), forge.key.public_jwk()];
    let keys = KeySet::from_keys(keys.to_vec()).unwrap();
    assert!(verify_assertion(&nameless, &keys, &expect()).is_ok());
    assert!(verify_assertion(&nameless, &Forge::new().keys, &expect()).is_err());
    let unknown = verify_assertion(&good, &Forge::new().keys, &expect());
    assert_eq!(unknown.unwrap_err().kind(), JoseErrorKind::UnknownKid);
}

#[test]
fn whatever_else_a_client_holds_is_no_assertion() {
    let forge = Forge::new();
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt", ""] {
        let header = changed(header(&forge), &[("typ", typ.into())]);
        let assertion = forge.token(&header, &claims().to_string());
        assert!(verify(&forge, &assertion).is_err(), "{typ}");
    }
    for (member, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("jwk", forge.key.public_jwk().to_json()),
        ("jku", json!("https://evil.example")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!(7)),
    ] {
        let header = changed(header(&forge), &[(member, value.clone())]);
        let assertion = forge.token(&header, &claims().to_string());
        assert!(verify(&forge, &assertion).is_err(), "{member} {value}");
    }
    for (claim, value) in [
        ("iss", json!("twc_rival")),
        ("sub", json!("twc_rival")),
        ("sub", Value::Null),
        ("aud", json!("https://other.example.com")),
        ("aud", json!("https://id.example.com/")),
        ("aud", Value::Null),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(300))),
        ("exp", Value::Null),
        ("exp", json!(NOW_S - 10)),
        ("exp", json!(NOW_S + 311)),
        ("nbf", json!(NOW_S + 11)),
        ("iat", json!(NOW_S + 11)),
    ] {
        let text = changed(claims(), &[(claim, value.clone())]);
        let assertion = forge.token(&header(&forge).to_string(), &text);
        assert!(verify(&forge, &assertion).is_err(), "{claim} {value}");
    }
    for garbage in ["", "a.b", "a.b.c", "..", "e30.e30."] {
        assert!(claimed_subject(garbage).is_err(), "{garbage}");
    }
}
