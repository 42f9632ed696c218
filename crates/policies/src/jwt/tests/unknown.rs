//! Tokens that a node cannot judge by itself.

use base::Digest;

use super::*;

const OPAQUE: &str = "twa_abc";

fn opaque(bench: &Bench, claims: &Value) -> HeaderValue {
    let digest = Digest::of(OPAQUE.as_bytes());
    let mut tables = bench.directory.tables();
    let known = tables.opaque.as_mut().unwrap();
    known.insert(digest, claims.clone());
    HeaderValue::from_str(&format!("Bearer {OPAQUE}")).unwrap()
}

fn asked(bench: &Bench) -> usize {
    bench.directory.tables().asked
}

#[test]
fn an_opaque_token_is_asked_for_once_and_then_known() {
    let bench = Bench::new();
    let token = opaque(&bench, &bench.claims());
    for _ in 0..3 {
        let principal = call(&bench, &json!({}), &token).unwrap();
        assert_eq!(principal.application, Some(bench.application));
    }
    assert_eq!(asked(&bench), 1);
    // Revocations come by the feed, expiry by the clock; nobody has to be asked.
    bench.directory.tables().revoked.push("token-1".to_owned());
    assert_eq!(refused(&bench, &token).0, "TOKEN_REVOKED");
    bench.directory.tables().revoked.clear();
    call(&bench, &json!({}), &token).unwrap();
    bench.clock.advance_s(3600 + 60);
    assert_eq!(refused(&bench, &token).0, "TOKEN_EXPIRED");
}

#[test]
fn an_opaque_token_is_held_to_the_same_rules() {
    let bench = Bench::new();
    for (claim, value, code) in [
        ("aud", json!("another"), "TOKEN_INVALID"),
        ("iss", json!("https://other.example.com"), "TOKEN_INVALID"),
        ("exp", json!(bench.now_s() - 100), "TOKEN_EXPIRED"),
        ("client_id", json!("nobody"), "TOKEN_REVOKED"),
        ("jti", Value::Null, "TOKEN_INVALID"),
        ("cnf", json!({ "jkt": "a" }), "PROOF_INVALID"),
    ] {
        let mut claims = bench.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value;
        }
        let token = opaque(&bench, &claims);
        assert_eq!(refused(&bench, &token).0, code, "{claim}");
    }
}

/// What nobody knows is not asked for again for a while; who does not answer refuses nobody for good.
#[test]
fn an_opaque_token_that_nobody_knows_is_refused() {
    let bench = Bench::new();
    let token = HeaderValue::from_static("Bearer twa_nobody");
    for _ in 0..3 {
        assert_eq!(refused(&bench, &token).0, "TOKEN_INVALID");
    }
    assert_eq!(asked(&bench), 1);
    bench.clock.advance_s(10);
    assert_eq!(refused(&bench, &token).0, "TOKEN_INVALID");
    assert_eq!(asked(&bench), 2);

    let bench = Bench::new();
    let token = opaque(&bench, &bench.claims());
    let known = bench.directory.tables().opaque.take();
    let reject = call(&bench, &json!({}), &token).unwrap_err();
    assert_eq!(
        (reject.code.name, reject.retry_after_s),
        ("TOKEN_UNVERIFIED", Some(1))
    );
    bench.directory.tables().opaque = known;
    call(&bench, &json!({}), &token).unwrap();
}

/// A key that was made a moment ago: the first request that needs it succeeds (req: T1).
#[test]
fn an_unknown_key_is_asked_for_once() {
    let bench = Bench::new();
    let new = SigningKey::generate_es256().unwrap();
    let token = new.sign(jose::TYP_ACCESS_TOKEN, &bench.claims()).unwrap();
    let token = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    bench.directory.tables().newer = Some(issuer_of(&new));
    call(&bench, &json!({}), &token).unwrap();
    assert_eq!(asked(&bench), 1);
    call(&bench, &json!({}), &token).unwrap();

    let stranger = SigningKey::generate_es256().unwrap();
    let forged = stranger.sign(jose::TYP_ACCESS_TOKEN, &bench.claims());
    let forged = format!("Bearer {}", forged.unwrap()).parse().unwrap();
    for _ in 0..5 {
        let (code, challenge) = refused(&bench, &forged);
        assert_eq!(code, "TOKEN_INVALID");
        assert!(challenge.contains("no key with kid"), "{challenge}");
    }
    assert_eq!(asked(&bench), 2, "once in a while");
}

/// The audience of this API alone is one that it takes.
#[test]
fn a_token_for_this_api_alone_is_taken_here() {
    let bench = Bench::new();
    for (audience, good) in [
        ("urn:tollway:default:api:pets-1.0.0", true),
        ("urn:tollway:default:api:orders-1.0.0", false),
        ("urn:tollway:other:api:pets-1.0.0", false),
    ] {
        let mut claims = bench.claims();
        claims["aud"] = audience.into();
        claims["jti"] = audience.into();
        let outcome = call(&bench, &json!({}), &bench.bearer(&claims));
        assert_eq!(outcome.is_ok(), good, "{audience}");
    }
}

/// What nobody knows is asked for once, as long as there is room to remember it.
#[test]
fn what_nobody_knows_is_remembered_within_limits() {
    let bench = Bench::new();
    let token = |n: usize| HeaderValue::from_str(&format!("Bearer twa_nobody{n}")).unwrap();
    for n in (0..6).chain(0..6) {
        assert_eq!(refused(&bench, &token(n)).0, "TOKEN_INVALID");
    }
    // Four are remembered, two are asked for again.
    assert_eq!(asked(&bench), 8);
    assert_eq!(bench.directory.tables().not_remembered, 4);
}
