//! What a token says, and when. (req: T3)

use jose::{JoseError, JoseErrorKind, TYP_ACCESS_TOKEN, verify};
use serde_json::{Value, json};

use crate::forge::{AUDIENCE, Forge, ISSUER, NOW_S};

#[test]
fn a_good_token_tells_all_it_holds() {
    let forge = Forge::new();
    let claims = json!({
        "iss": ISSUER, "sub": "shop", "aud": ["urn:other", AUDIENCE], "client_id": "c-1", "jti": "t-1",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 600, "scope": "pets:read  pets:write", "roles": ["a"],
    });
    let token = forge.key.sign(TYP_ACCESS_TOKEN, &claims).unwrap();
    let verified = forge.verify(&token).unwrap();
    assert_eq!(verified.kid, forge.key.kid());
    let claims = verified.claims;
    assert_eq!((claims.iss.as_str(), claims.sub.as_str()), (ISSUER, "shop"));
    assert_eq!(claims.aud, ["urn:other", AUDIENCE]);
    assert_eq!(
        (claims.exp, claims.nbf, claims.iat),
        (NOW_S + 600, Some(NOW_S), Some(NOW_S))
    );
    assert_eq!(
        (claims.jti.as_deref(), claims.client_id.as_deref()),
        (Some("t-1"), Some("c-1"))
    );
    assert_eq!(claims.scope, ["pets:read", "pets:write"]);
    assert_eq!(Value::Object(claims.other), json!({ "roles": ["a"] }));
}

#[test]
fn times_hold_to_the_second_and_say_how_far_off_they_are() {
    let mut forge = Forge::new();
    forge.expect.leeway_s = 5;
    let exp_s = NOW_S + 600;
    let token = forge.with_claims(&[("nbf", json!(NOW_S + 12))]);
    let at = |now_s| verify(&token, &forge.keys, &forge.expect, now_s).map(|_| ());
    assert_eq!(
        at(NOW_S + 5).unwrap_err().to_string(),
        "nbf 7s ahead (leeway 5s)"
    );
    assert_eq!(
        at(NOW_S + 5).unwrap_err().kind(),
        JoseErrorKind::NotYetValid
    );
    assert!(at(NOW_S + 6).is_err());
    assert_eq!(at(NOW_S + 7), Ok(()), "inside the leeway");
    assert_eq!(at(exp_s), Ok(()));
    assert_eq!(at(exp_s + 4), Ok(()));
    assert_eq!(
        at(exp_s + 5),
        Err(JoseError::Expired {
            by_s: 5,
            leeway_s: 5
        }),
        "exp itself is too late"
    );
    assert_eq!(at(exp_s + 5).unwrap_err().kind(), JoseErrorKind::Expired);
    assert_eq!(at(0).unwrap_err().kind(), JoseErrorKind::NotYetValid);

    let issued_ahead = forge.with_claims(&[("iat", json!(NOW_S + 6))]);
    assert_eq!(
        forge.verify(&issued_ahead),
        Err(JoseError::NotYetValid {
            claim: "iat",
            ahead_s: 6,
            leeway_s: 5
        })
    );
    let fractions = forge.with_claims(&[("exp", json!(0.5)), ("nbf", json!(0.5))]);
    forge.expect.leeway_s = 0;
    let at = |now_s| verify(&fractions, &forge.keys, &forge.expect, now_s);
    assert!(
        matches!(at(0), Err(JoseError::Expired { .. })),
        "a fraction ends at the second before it"
    );
}

#[test]
fn every_claim_of_rfc_9068_is_required() {
    let mut forge = Forge::new();
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
        let error = forge
            .verify(&forge.with_claims(&[(claim, json!(null))]))
            .unwrap_err();
        assert!(
            matches!(error, JoseError::ClaimMissing { claim: named } if named == claim),
            "{claim}: {error}"
        );
        assert_eq!(error.kind(), JoseErrorKind::Invalid);
    }
    // Another kind of token, expected as such, needs fewer.
    forge.expect.typ = "JWT".to_owned();
    let claims = json!({ "iss": ISSUER, "sub": "u", "aud": AUDIENCE, "exp": NOW_S + 1 });
    let token = forge.key.sign("JWT", &claims).unwrap();
    assert!(forge.verify(&token).is_ok());
    // The prefix of the media type does not switch the check off.
    forge.expect.typ = "application/at+jwt".to_owned();
    let token = forge.key.sign("at+jwt", &claims).unwrap();
    assert_eq!(
        forge.verify(&token),
        Err(JoseError::ClaimMissing { claim: "iat" })
    );
}

#[test]
fn claims_have_the_types_of_their_rfc() {
    let forge = Forge::new();
    let wrong = [
        ("iss", json!(["a"])),
        ("sub", json!(1)),
        ("aud", json!({})),
        ("aud", json!([AUDIENCE, 1])),
        ("exp", json!("1900000000")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(true)),
        ("iat", json!([])),
        ("jti", json!(7)),
        ("client_id", json!({})),
        ("scope", json!(["pets:read"])),
    ];
    for (claim, value) in wrong {
        let error = forge
            .verify(&forge.with_claims(&[(claim, value.clone())]))
            .unwrap_err();
        assert!(
            matches!(error, JoseError::ClaimType { claim: named, .. } if named == claim),
            "{claim} {value}: {error}"
        );
    }
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    let mut forge = Forge::new();
    for iss in [
        "https://id.example/oauth2/",
        "HTTPS://id.example/oauth2",
        "https://id.example",
        "",
    ] {
        let error = forge
            .verify(&forge.with_claims(&[("iss", json!(iss))]))
            .unwrap_err();
        assert!(matches!(error, JoseError::Issuer { .. }), "{iss}: {error}");
    }
    for aud in [
        json!("urn:gatewa"),
        json!("urn:gateway "),
        json!([]),
        json!(["urn:other"]),
    ] {
        let error = forge
            .verify(&forge.with_claims(&[("aud", aud.clone())]))
            .unwrap_err();
        assert!(
            matches!(error, JoseError::Audience { .. }),
            "{aud}: {error}"
        );
    }
    forge.expect.audience = vec!["urn:a".to_owned(), AUDIENCE.to_owned()];
    assert!(
        forge.verify(&forge.with_claims(&[])).is_ok(),
        "any of them will do"
    );
    forge.expect.audience.clear();
    assert!(
        forge.verify(&forge.with_claims(&[])).is_err(),
        "expecting nobody accepts nothing"
    );
}
