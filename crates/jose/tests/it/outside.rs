//! Access tokens of other issuers. (req: S13)

use jose::{
    Algorithm, Expectation, JoseError, OutsideRules, VerifiedOutside, claimed_issuer,
    verify_outside,
};
use serde_json::{Value, json};

use crate::forge::{AUDIENCE, Forge, ISSUER, NOW_S, b64, changed};

fn rules() -> OutsideRules {
    OutsideRules {
        types: vec!["at+jwt".to_owned(), "JWT".to_owned()],
        untyped: true,
        algorithms: vec![Algorithm::Es256],
    }
}

fn verify(forge: &Forge, rules: &OutsideRules, token: &str) -> Result<VerifiedOutside, JoseError> {
    verify_outside(token, &forge.keys, rules, &forge.expect, NOW_S)
}

fn token(forge: &Forge, header: &[(&str, Value)], claims: &[(&str, Value)]) -> String {
    let header = changed(forge.header(), header);
    forge.token(&header, &changed(Forge::claims(), claims))
}

#[test]
fn less_is_needed_than_of_an_access_token_of_our_own() {
    let forge = Forge::new();
    let bare: Vec<_> = ["sub", "jti", "iat", "client_id", "scope"]
        .map(|claim| (claim, Value::Null))
        .to_vec();
    let verified = verify(&forge, &rules(), &token(&forge, &[], &bare)).unwrap();
    assert_eq!(verified.claims.sub, "");
    assert_eq!(verified.kid, forge.key.kid());
    let mut said: Vec<_> = verified.all.keys().collect();
    said.sort_unstable();
    assert_eq!(said, ["aud", "exp", "iss"]);
    // Scopes are the caller's to read, however they are written.
    let listed = token(&forge, &[], &[("scope", json!(["a"]))]);
    assert_eq!(
        verify(&forge, &rules(), &listed).unwrap().all["scope"],
        json!(["a"])
    );
    for claim in ["iss", "exp"] {
        let lacking = token(&forge, &[], &[(claim, Value::Null)]);
        assert_eq!(
            verify(&forge, &rules(), &lacking),
            Err(JoseError::ClaimMissing { claim })
        );
    }
    // Without an audience it is for nobody, unless anybody will do.
    let for_nobody = token(&forge, &[], &[("aud", Value::Null)]);
    let refused = verify(&forge, &rules(), &for_nobody);
    assert!(
        matches!(refused, Err(JoseError::Audience { .. })),
        "{refused:?}"
    );
    let any = Expectation {
        any_audience: true,
        ..Expectation::access_token(ISSUER, vec![AUDIENCE.to_owned()])
    };
    verify_outside(&for_nobody, &forge.keys, &rules(), &any, NOW_S).unwrap();
}

#[test]
fn types_and_algorithms_are_those_of_the_rules() {
    let forge = Forge::new();
    let none = OutsideRules {
        untyped: false,
        types: vec!["at+jwt".to_owned()],
        ..rules()
    };
    for (typ, general, strict) in [
        (json!("at+jwt"), true, true),
        (json!("application/at+JWT"), true, true),
        (json!("JWT"), true, false),
        (Value::Null, true, false),
        (json!("logout+jwt"), false, false),
        (json!(""), false, false),
        (json!(7), false, false),
    ] {
        let token = token(&forge, &[("typ", typ.clone())], &[]);
        assert_eq!(verify(&forge, &rules(), &token).is_ok(), general, "{typ}");
        assert_eq!(verify(&forge, &none, &token).is_ok(), strict, "{typ}");
    }
    let other = OutsideRules {
        algorithms: vec![Algorithm::Rs256],
        ..rules()
    };
    let good = token(&forge, &[], &[]);
    let alg = "ES256".to_owned();
    assert_eq!(
        verify(&forge, &other, &good),
        Err(JoseError::AlgUnsupported { alg })
    );
}

/// Only a token that says by its type that it is an access token may have what ID tokens and logout tokens have.
#[test]
fn other_tokens_are_no_access_tokens() {
    let forge = Forge::new();
    for claim in ["at_hash", "c_hash", "s_hash", "events"] {
        for typ in [json!("JWT"), Value::Null] {
            let token = token(&forge, &[("typ", typ)], &[(claim, json!("x"))]);
            assert_eq!(
                verify(&forge, &rules(), &token),
                Err(JoseError::OtherToken { claim })
            );
        }
        verify(
            &forge,
            &rules(),
            &token(&forge, &[], &[(claim, json!("x"))]),
        )
        .unwrap();
    }
}

#[test]
fn attacks_fail() {
    let forge = Forge::new();
    for header in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("kid", Value::Null),
        ("kid", json!("other")),
        ("jku", json!("https://evil.example")),
        ("x5u", json!("https://evil.example")),
        ("jwk", json!({})),
        ("crit", json!(["exp"])),
    ] {
        let token = token(&forge, std::slice::from_ref(&header), &[]);
        assert!(verify(&forge, &rules(), &token).is_err(), "{header:?}");
    }
    let stranger = Forge::new();
    let forged = stranger.token(&forge.header().to_string(), &Forge::claims().to_string());
    assert_eq!(verify(&forge, &rules(), &forged), Err(JoseError::Signature));
    // A member twice: which one is meant would be a guess.
    let twice = Forge::claims()
        .to_string()
        .replacen('{', "{\"iss\": \"x\", ", 1);
    let refused = verify(
        &forge,
        &rules(),
        &forge.token(&forge.header().to_string(), &twice),
    );
    assert!(
        matches!(refused, Err(JoseError::Json { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_a_token_claims_is_read_without_belief() {
    let of = |payload: &str| claimed_issuer(&format!("x.{}.z", b64(payload)), 1000);
    assert_eq!(
        of(r#"{"iss": "https://a.example"}"#).as_deref(),
        Some("https://a.example")
    );
    for payload in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"iss": 7}"#,
        r#"{"iss": "a", "iss": "b"}"#,
    ] {
        assert_eq!(of(payload), None, "{payload}");
    }
    for token in ["", ".", "opaque", "a.b!.c"] {
        assert_eq!(claimed_issuer(token, 1000), None, "{token}");
    }
    assert_eq!(
        claimed_issuer(&format!("x.{}.z", b64("{\"iss\": \"a\"}")), 5),
        None
    );
}
