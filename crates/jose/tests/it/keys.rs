//! Keys and sets of keys, public and private.

use base::Secret;
use jose::{Algorithm, Jwk, KeyError, KeySet, KeySetRules, SigningKey, TYP_ACCESS_TOKEN};
use serde_json::{Value, json};

use crate::forge::{Forge, b64, unb64};
use crate::vectors::{ED25519_JWK, P256_JWK, RSA_JWK};

fn with(jwk: &str, changes: &[(&str, Value)]) -> String {
    let mut members: Value = serde_json::from_str(jwk).unwrap();
    for (member, value) in changes {
        members[*member] = value.clone();
        if value.is_null() {
            members.as_object_mut().unwrap().remove(*member);
        }
    }
    members.to_string()
}

fn error(jwk: &str) -> KeyError {
    Jwk::from_json(jwk, None).unwrap_err()
}

#[test]
fn a_key_is_pinned_to_one_algorithm() {
    assert_eq!(
        Jwk::from_json(P256_JWK, None).unwrap().alg(),
        Algorithm::Es256
    );
    assert_eq!(
        Jwk::from_json(ED25519_JWK, None).unwrap().alg(),
        Algorithm::EdDsa
    );
    let named = with(ED25519_JWK, &[("alg", json!("Ed25519"))]);
    assert_eq!(
        Jwk::from_json(&named, None).unwrap().alg(),
        Algorithm::EdDsa
    );
    assert_eq!(
        Jwk::from_json(RSA_JWK, None).unwrap().alg(),
        Algorithm::Rs256
    );
    let bare = with(RSA_JWK, &[("alg", json!(null))]);
    assert!(
        matches!(error(&bare), KeyError::Unsuitable { .. }),
        "an RSA key alone says too little"
    );
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let alg = Algorithm::from_name(alg).unwrap();
        assert_eq!(
            Jwk::from_json(&bare, Some(alg)).unwrap().alg(),
            alg,
            "as configured"
        );
    }
    assert_eq!(
        Jwk::from_json(RSA_JWK, Some(Algorithm::Ps512))
            .unwrap()
            .alg(),
        Algorithm::Rs256,
        "as stated"
    );
    assert!(Jwk::from_json(&bare, Some(Algorithm::Es256)).is_err());
    for (jwk, alg) in [
        (P256_JWK, "ES384"),
        (P256_JWK, "RS256"),
        (RSA_JWK, "ES256"),
        (RSA_JWK, "HS256"),
        (ED25519_JWK, "none"),
    ] {
        assert!(
            matches!(
                error(&with(jwk, &[("alg", json!(alg))])),
                KeyError::Unsuitable { .. }
            ),
            "{alg}"
        );
    }
}

#[test]
fn use_and_key_ops_must_allow_verifying() {
    for (member, value) in [
        ("use", json!("enc")),
        ("use", json!("")),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!([])),
    ] {
        assert!(matches!(
            error(&with(P256_JWK, &[(member, value)])),
            KeyError::Unsuitable { .. }
        ));
    }
    for (member, value) in [("use", json!("sig")), ("key_ops", json!(["verify"]))] {
        assert!(Jwk::from_json(&with(P256_JWK, &[(member, value)]), None).is_ok());
    }
    for (member, value) in [
        ("use", json!(1)),
        ("key_ops", json!("verify")),
        ("kid", json!(1)),
        ("kid", json!("")),
    ] {
        assert!(matches!(
            error(&with(P256_JWK, &[(member, value)])),
            KeyError::Member { .. }
        ));
    }
}

#[test]
fn private_members_are_refused_and_never_repeated() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let found = error(&with(P256_JWK, &[(member, json!("c2VjcmV0"))]));
        assert!(matches!(found, KeyError::Private { member: named } if named == member));
        assert!(!found.to_string().contains("c2VjcmV0"));
    }
    let symmetric = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}"#;
    assert!(matches!(
        error(symmetric),
        KeyError::Private { member: "k" }
    ));
}

#[test]
fn numbers_that_are_no_key_are_refused() {
    let changes: [(&str, &str, Value); 9] = [
        (P256_JWK, "x", json!(b64([1; 32]))),
        (P256_JWK, "y", json!(b64([0; 32]))),
        (P256_JWK, "x", json!(b64([1; 31]))),
        (P256_JWK, "x", json!(b64([0; 33]))),
        (
            P256_JWK,
            "x",
            json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="),
        ),
        (P256_JWK, "x", json!(null)),
        (ED25519_JWK, "x", json!(b64([7; 31]))),
        (RSA_JWK, "n", json!("")),
        (RSA_JWK, "e", json!(7)),
    ];
    for (jwk, member, value) in changes {
        let found = error(&with(jwk, &[(member, value.clone())]));
        assert!(
            matches!(found, KeyError::Member { .. } | KeyError::Rejected),
            "{member} {value}: {found}"
        );
    }
    let n = unb64(
        serde_json::from_str::<Value>(RSA_JWK).unwrap()["n"]
            .as_str()
            .unwrap(),
    );
    let short = error(&with(RSA_JWK, &[("n", json!(b64(&n[..255])))]));
    assert!(short.to_string().contains("2040 bits"), "{short}");
    let zero_led = [&[0], &n[..]].concat();
    assert!(matches!(
        error(&with(RSA_JWK, &[("n", json!(b64(zero_led)))])),
        KeyError::Member { member: "n", .. }
    ));
    for e in [vec![], vec![0, 1, 0, 1]] {
        assert!(Jwk::from_json(&with(RSA_JWK, &[("e", json!(b64(e)))]), None).is_err());
    }
    assert!(matches!(
        error(r#"{"kty":"EC","kty":"RSA"}"#),
        KeyError::Json { .. }
    ));
}

/// An RSA exponent of 1 would let everybody sign.
#[test]
fn an_rsa_exponent_of_one_verifies_nothing() {
    let Ok(key) = Jwk::from_json(&with(RSA_JWK, &[("e", json!(b64([1])))]), None) else {
        return;
    };
    let signed = format!("{}.{}", b64(r#"{"alg":"RS256"}"#), b64("{}"));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed.as_bytes());
    // With e = 1 the signature is the padded message itself (RFC 8017 §9.2).
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
    ];
    let mut padded = vec![0, 1];
    padded.resize(256 - 1 - prefix.len() - 32, 0xff);
    padded.push(0);
    padded.extend(prefix);
    padded.extend(digest.as_ref());
    assert_eq!(padded.len(), 256);
    assert!(jose::verify_jws(&format!("{signed}.{}", b64(padded)), &key, 16_384).is_err());
}

#[test]
fn sets_skip_what_is_not_for_them_and_refuse_what_is_dangerous() {
    let rules = KeySetRules::default();
    let set =
        |keys: &[&str]| KeySet::from_json(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")), &rules);
    let encryption = with(P256_JWK, &[("use", json!("enc")), ("kid", json!("e"))]);
    let unknown = r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","kid":"pq"}"#;
    let read = set(&[ED25519_JWK, &encryption, RSA_JWK, unknown]).unwrap();
    assert_eq!(read.keys().len(), 2);
    assert_eq!(read.skipped().len(), 2);
    assert!(read.get("pq").is_none() && read.get("e").is_none());
    assert_eq!(read.get("2011-04-29").map(Jwk::alg), Some(Algorithm::Rs256));

    let twin = with(P256_JWK, &[("kid", json!("2011-04-29"))]);
    assert_eq!(
        set(&[RSA_JWK, &twin]),
        Err(KeyError::DuplicateKid {
            kid: "2011-04-29".to_owned()
        })
    );
    let private = with(P256_JWK, &[("d", json!("AA"))]);
    assert!(matches!(
        set(&[RSA_JWK, &private]),
        Err(KeyError::Private { .. })
    ));
    assert!(matches!(
        set(&["1"]),
        Err(KeyError::Member { member: "keys", .. })
    ));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::from_json(text, &rules).is_err(), "{text}");
    }
    let many: Vec<String> = (0..65)
        .map(|kid| with(P256_JWK, &[("kid", json!(kid.to_string()))]))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        set(&many),
        Err(KeyError::TooMany {
            found: 65,
            keys_max: 64
        })
    );
    assert!(set(&many[..64]).is_ok());
    let tight = KeySetRules {
        bytes_max: 10,
        ..rules
    };
    assert_eq!(
        KeySet::from_json(r#"{"keys":[]}"#, &tight),
        Err(KeyError::TooLong {
            bytes: 11,
            bytes_max: 10
        })
    );
}

#[test]
fn a_set_travels_as_json() {
    let forge = Forge::new();
    let rsa = Jwk::from_json(RSA_JWK, None).unwrap();
    let edwards = Jwk::from_json(ED25519_JWK, None).unwrap();
    let set = KeySet::from_keys(vec![forge.key.public_jwk(), rsa, edwards]).unwrap();
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<KeySet>(&text).unwrap(), set);
    assert_eq!(
        KeySet::from_json(&text, &KeySetRules::default()).unwrap(),
        set
    );
    for key in set.to_json()["keys"].as_array().unwrap() {
        assert!(key["use"] == "sig" && key["alg"].is_string() && key["kid"].is_string());
        assert!(key.get("d").is_none());
    }
    assert!(serde_json::from_str::<KeySet>(r#"{"keys":[{"kty":"EC","d":"AA"}]}"#).is_err());
    assert_eq!(KeySet::default().to_json(), json!({ "keys": [] }));
}

#[test]
fn a_signing_key_is_stored_and_read_again_and_never_shown() {
    let forge = Forge::new();
    let stored = forge.key.to_pkcs8().unwrap();
    let again = SigningKey::from_pkcs8(&stored).unwrap();
    assert_eq!(again.kid(), forge.key.kid());
    assert_eq!(again.kid(), again.public_jwk().thumbprint());
    let token = again.sign(TYP_ACCESS_TOKEN, &Forge::claims()).unwrap();
    assert!(forge.verify(&token).is_ok());

    let shown = format!("{:?} {stored:?} {:?}", forge.key, forge.key.public_jwk());
    // The private scalar is 32 bytes inside the PKCS#8 text; look for any way of printing it.
    let hex: String = stored
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!shown.contains(&b64(stored.expose())) && !shown.contains(&hex[72..136]));
    assert!(shown.contains("***"));

    for wrong in [Vec::new(), vec![0x30; 138], stored.expose()[..100].to_vec()] {
        assert!(matches!(
            SigningKey::from_pkcs8(&Secret::new(wrong)),
            Err(KeyError::Signing { step: "read" })
        ));
    }
    assert_eq!(forge.key.sign("JWT", &"no object"), Err(KeyError::Claims));
}

/// Each algorithm's key signs, is stored, and read again as itself; its tokens say which algorithm it was.
#[test]
fn keys_of_all_algorithms_sign_and_are_read_again() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        assert_eq!(
            (key.algorithm(), key.public_jwk().alg()),
            (algorithm, algorithm)
        );
        let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.public_jwk(), key.public_jwk());
        let published = KeySet::from_keys(vec![key.public_jwk()])
            .unwrap()
            .to_json()
            .to_string();
        let read = KeySet::from_json(&published, &KeySetRules::default()).unwrap();
        assert_eq!(read, KeySet::from_keys(vec![key.public_jwk()]).unwrap());
        let token = again.sign(TYP_ACCESS_TOKEN, &Forge::claims()).unwrap();
        assert!(Forge::verify_with(&token, &read).is_ok(), "{algorithm}");
        let other = SigningKey::generate(algorithm).unwrap();
        let strangers = KeySet::from_keys(vec![other.public_jwk()]).unwrap();
        assert!(
            Forge::verify_with(&token, &strangers).is_err(),
            "{algorithm}"
        );
    }
    assert!(SigningKey::generate(Algorithm::Ps256).is_err());
}
