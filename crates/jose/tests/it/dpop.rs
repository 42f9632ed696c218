//! DPoP proofs (RFC 9449 §4).

use jose::{JoseError, JoseErrorKind, Proof, ProofExpectation, sha256, verify_proof};
use serde_json::{Value, json};

use crate::forge::{Forge, NOW_S, changed};

const URL: &str = "https://api.example.com/pets/v1/list";

fn expect(token: Option<&str>) -> ProofExpectation<'_> {
    ProofExpectation {
        method: "GET",
        url: URL,
        token,
        now_unix_s: NOW_S,
        window_s: 60,
    }
}

fn header(forge: &Forge) -> Value {
    json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": forge.key.public_jwk().to_json() })
}

fn claims() -> Value {
    json!({ "htm": "GET", "htu": URL, "jti": "p-1", "iat": NOW_S, "nonce": "n" })
}

fn with_claims(forge: &Forge, changes: &[(&str, Value)]) -> String {
    forge.token(&header(forge).to_string(), &changed(claims(), changes))
}

fn with_header(forge: &Forge, changes: &[(&str, Value)]) -> String {
    forge.token(&changed(header(forge), changes), &claims().to_string())
}

#[test]
fn a_proof_tells_its_key_and_what_is_to_be_remembered() {
    let forge = Forge::new();
    let proof = verify_proof(&with_claims(&forge, &[]), &expect(None)).unwrap();
    let wanted = Proof {
        thumbprint: forge.key.public_jwk().thumbprint(),
        jti: "p-1".to_owned(),
        iat: NOW_S,
        nonce: Some("n".to_owned()),
    };
    assert_eq!(proof, wanted);
    let other = Forge::new();
    let other = verify_proof(&with_claims(&other, &[]), &expect(None)).unwrap();
    assert_ne!(other.thumbprint, proof.thumbprint);
}

/// RFC 9449 §7.1: the example's token and the hash of it.
#[test]
fn ath_is_the_hash_of_the_token() {
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let ath = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
    assert_eq!(sha256(token), ath);
    let forge = Forge::new();
    let bound = with_claims(&forge, &[("ath", ath.into())]);
    assert!(verify_proof(&bound, &expect(Some(token))).is_ok());
    assert!(verify_proof(&bound, &expect(Some("another"))).is_err());
    let unbound = with_claims(&forge, &[]);
    let missing = JoseError::ClaimMissing { claim: "ath" };
    assert_eq!(verify_proof(&unbound, &expect(Some(token))), Err(missing));
}

#[test]
fn a_proof_for_something_else_is_refused() {
    let forge = Forge::new();
    for (claim, value) in [
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htm", json!(1)),
        ("htm", Value::Null),
        ("htu", json!("https://api.example.com/pets/v1")),
        ("htu", json!("http://api.example.com/pets/v1/list")),
        ("htu", json!(["https://api.example.com/pets/v1/list"])),
        ("htu", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
        ("jti", Value::Null),
        ("nonce", json!(1)),
        ("iat", json!("now")),
        ("iat", json!(-1)),
        ("iat", Value::Null),
    ] {
        let proof = with_claims(&forge, &[(claim, value.clone())]);
        assert!(
            verify_proof(&proof, &expect(None)).is_err(),
            "{claim} {value}"
        );
    }
    for (iat, kind) in [
        (NOW_S - 60, None),
        (NOW_S + 60, None),
        (NOW_S - 61, Some(JoseErrorKind::Expired)),
        (NOW_S + 61, Some(JoseErrorKind::NotYetValid)),
    ] {
        let proof = with_claims(&forge, &[("iat", iat.into())]);
        let outcome = verify_proof(&proof, &expect(None));
        assert_eq!(outcome.err().map(|error| error.kind()), kind, "{iat}");
    }
}

/// req: S13
#[test]
fn a_header_that_is_no_proofs_is_refused() {
    let forge = Forge::new();
    let stranger = Forge::new().key.public_jwk().to_json();
    let mut private = forge.key.public_jwk().to_json();
    private["d"] = "AAAA".into();
    for (member, value) in [
        ("typ", json!("at+jwt")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("jwk", Value::Null),
        ("jwk", json!("key")),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("jwk", private),
        ("jwk", stranger),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
    ] {
        let proof = with_header(&forge, &[(member, value.clone())]);
        let outcome = verify_proof(&proof, &expect(None));
        assert!(outcome.is_err(), "{member} {value}");
    }
    let long = with_claims(&forge, &[("x", "y".repeat(8 * 1024).into())]);
    let outcome = verify_proof(&long, &expect(None));
    assert!(matches!(outcome, Err(JoseError::TooLong { .. })));
}

/// The key in the header counts for proofs alone.
#[test]
fn a_proof_is_no_token() {
    let forge = Forge::new();
    assert!(forge.verify(&with_claims(&forge, &[])).is_err());
}
