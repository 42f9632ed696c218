//! Tokens that are bound to a key of their bearer.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::*;
use policy::ClientCertificate;

const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// A proof for `GET https://api.example.com/x`, signed by `key`, with these claims changed.
fn proof(bench: &Bench, key: &SigningKey, token: &str, changes: &[(&str, Value)]) -> HeaderValue {
    let mut claims = json!({
        "htm": "GET", "htu": "https://api.example.com/x", "jti": "p-1",
        "iat": bench.now_s(), "ath": jose::sha256(token),
    });
    for (claim, value) in changes {
        claims[*claim] = value.clone();
    }
    let jwk = key.public_jwk().to_json();
    let header = json!({ "typ": jose::TYP_DPOP, "alg": "ES256", "jwk": jwk });
    let b64 = |value: &Value| jose::base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", b64(&header), b64(&claims));
    let pkcs8 = key.to_pkcs8().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let proof = format!("{message}.{}", jose::base64url(signature.as_ref()));
    HeaderValue::from_str(&proof).unwrap()
}

/// A token that is bound as `cnf` says.
fn bound(bench: &Bench, cnf: &Value) -> String {
    let mut claims = bench.claims();
    claims["cnf"] = cnf.clone();
    bench.key.sign(jose::TYP_ACCESS_TOKEN, &claims).unwrap()
}

/// The code of the answer to a call with this credential and these proofs; an empty one for a call that passes.
fn called(bench: &Bench, credential: &str, proofs: &[HeaderValue]) -> (&'static str, String) {
    let mut cx = bench.request("GET", "/x");
    cx.headers.insert(PROTO, HeaderValue::from_static("https"));
    let host = HeaderValue::from_static("api.example.com");
    cx.headers.insert(HOST, host);
    cx.headers
        .insert(AUTHORIZATION, credential.parse().unwrap());
    for proof in proofs {
        cx.headers.append(super::super::bound::DPOP, proof.clone());
    }
    let outcome = bench.run(&*compile("jwt", json!({})), &mut cx);
    assert_eq!(cx.headers.len(), 2, "neither token nor proof goes upstream");
    match outcome {
        Ok(()) => ("", String::new()),
        Err(reject) => {
            assert!(cx.principal.is_none());
            let challenge = reject.headers[0].1.to_str().unwrap().to_owned();
            (reject.code.name, challenge)
        }
    }
}

/// RFC 9449 §7: with a proof of the key, for this request and this token, once.
#[test]
fn a_dpop_token_needs_a_proof_of_its_key() {
    let bench = Bench::new();
    let (key, stranger) = (
        SigningKey::generate_es256().unwrap(),
        SigningKey::generate_es256().unwrap(),
    );
    let token = bound(&bench, &json!({ "jkt": key.public_jwk().thumbprint() }));
    let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let good = proof(&bench, &key, &token, &[]);
    assert_eq!(called(&bench, &dpop, std::slice::from_ref(&good)).0, "");
    let (code, challenge) = called(&bench, &dpop, std::slice::from_ref(&good));
    assert_eq!(code, "PROOF_INVALID", "a replay");
    assert!(challenge.starts_with("DPoP "), "{challenge}");
    assert!(
        challenge.contains("error=\"invalid_dpop_proof\""),
        "{challenge}"
    );
    assert!(challenge.contains("algs=\"ES256"), "{challenge}");
    for (number, changes) in [
        vec![("htm", json!("POST"))],
        vec![("htu", json!("https://api.example.com/y"))],
        vec![("ath", json!(jose::sha256("another token")))],
        vec![("iat", json!(bench.now_s() - 61))],
    ]
    .into_iter()
    .enumerate()
    {
        let mut changes = changes;
        changes.push(("jti", json!(format!("other-{number}"))));
        let proof = proof(&bench, &key, &token, &changes);
        assert_eq!(
            called(&bench, &dpop, &[proof]).0,
            "PROOF_INVALID",
            "{changes:?}"
        );
    }
    let another = [("jti", json!("p-2"))];
    let fresh = proof(&bench, &key, &token, &another);
    let foreign = proof(&bench, &stranger, &token, &another);
    for (credential, proofs) in [
        (&bearer, vec![fresh.clone()]),
        (&bearer, vec![]),
        (&dpop, vec![]),
        (&dpop, vec![fresh.clone(), fresh.clone()]),
        (&dpop, vec![foreign]),
        (&dpop, vec![HeaderValue::from_static("garbage")]),
    ] {
        let count = proofs.len();
        assert_eq!(
            called(&bench, credential, &proofs).0,
            "PROOF_INVALID",
            "{count}"
        );
    }
    assert_eq!(
        called(&bench, &dpop, &[fresh]).0,
        "",
        "none of them used it up"
    );
    let plain = bench.bearer(&bench.claims());
    let plain = plain.to_str().unwrap().replace("Bearer", "DPoP");
    assert_eq!(
        called(&bench, &plain, &[good]).0,
        "PROOF_INVALID",
        "not bound"
    );
}

/// What is remembered of proofs is bounded: what does not fit is refused, not let through.
#[test]
fn proofs_that_cannot_be_remembered_are_refused() {
    let bench = Bench::new();
    bench.directory.tables().used_max = 1;
    let key = SigningKey::generate_es256().unwrap();
    let token = bound(&bench, &json!({ "jkt": key.public_jwk().thumbprint() }));
    let dpop = format!("DPoP {token}");
    let first = proof(&bench, &key, &token, &[]);
    let second = proof(&bench, &key, &token, &[("jti", json!("p-2"))]);
    assert_eq!(called(&bench, &dpop, &[first]).0, "");
    assert_eq!(called(&bench, &dpop, &[second]).0, "TOKEN_UNVERIFIED");
}

/// RFC 8705 §3: the connection has to show the certificate.
#[test]
fn a_certificate_bound_token_needs_its_connection() {
    let bench = Bench::new();
    let digest = [7; 32];
    let claims = json!({ "x5t#S256": jose::base64url(&digest) });
    let token = format!("Bearer {}", bound(&bench, &claims));
    let policy = compile("jwt", json!({}));
    for (shown, wanted) in [
        (None, "PROOF_INVALID"),
        (Some([8; 32]), "PROOF_INVALID"),
        (Some(digest), ""),
    ] {
        let mut cx = bench.request("GET", "/x");
        cx.headers.insert(AUTHORIZATION, token.parse().unwrap());
        if let Some(shown) = shown {
            let certificate = ClientCertificate {
                chain: Vec::new(),
                sha256: shown,
                forwarded: false,
            };
            cx.slots.put(std::sync::Arc::new(certificate));
        }
        let outcome = bench.run(&*policy, &mut cx);
        assert_eq!(outcome.err().map_or("", |reject| reject.code.name), wanted);
    }
}

#[test]
fn a_binding_that_is_not_understood_refuses() {
    let bench = Bench::new();
    for cnf in [
        json!({ "jku": "https://evil.example" }),
        json!({}),
        json!("jkt"),
        json!({ "jkt": "a", "x5t#S256": "b" }),
        json!({ "jkt": 7 }),
    ] {
        let token = format!("Bearer {}", bound(&bench, &cnf));
        assert_eq!(called(&bench, &token, &[]).0, "TOKEN_INVALID", "{cnf}");
    }
}
