//! What forgers try. Each token is refused for the stated reason, before anybody believes it. (req: S13)

use jose::{BYTES_MAX_DEFAULT, JoseError, JoseErrorKind};
use serde_json::json;

use crate::forge::{Forge, b64, unb64};

#[test]
fn the_forge_makes_good_tokens() {
    let forge = Forge::new();
    assert!(forge.verify(&forge.with_header(&[])).is_ok());
    for typ in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(
            forge
                .verify(&forge.with_header(&[("typ", json!(typ))]))
                .is_ok(),
            "{typ}"
        );
    }
}

#[test]
fn alg_none_and_symmetric_algorithms_do_not_exist() {
    let forge = Forge::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "es256", "ES256 ", "", "ES512",
        "RSA-OAEP",
    ] {
        let token = forge.with_header(&[("alg", json!(alg))]);
        assert_eq!(
            forge.verify(&token),
            Err(JoseError::AlgUnsupported {
                alg: alg.to_owned()
            })
        );
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(
            forge.verify(&format!("{signed}.")),
            Err(JoseError::AlgUnsupported {
                alg: alg.to_owned()
            }),
            "without a signature"
        );
    }
    let good = forge.with_header(&[]);
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        forge.verify(&format!("{signed}.")),
        Err(JoseError::Signature)
    );
}

#[test]
fn hs_rs_confusion_and_every_other_alg_than_the_keys_is_refused() {
    let forge = Forge::new();
    // The public key as the secret of an HMAC: what HS/RS confusion lives on.
    let public = forge.key.public_jwk().to_json().to_string();
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": forge.key.kid() }).to_string();
    let signed = format!("{}.{}", b64(header), b64(Forge::claims().to_string()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let token = format!(
        "{signed}.{}",
        b64(aws_lc_rs::hmac::sign(&secret, signed.as_bytes()))
    );
    assert_eq!(
        forge.verify(&token),
        Err(JoseError::AlgUnsupported {
            alg: "HS256".to_owned()
        })
    );

    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "EdDSA", "Ed25519",
    ] {
        let error = forge
            .verify(&forge.with_header(&[("alg", json!(alg))]))
            .unwrap_err();
        assert!(
            matches!(error, JoseError::AlgMismatch { .. }),
            "{alg}: {error}"
        );
    }
    let error = forge
        .verify(&forge.with_header(&[("alg", json!("RS256"))]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "alg RS256 does not match the key's ES256"
    );
    for alg in [json!(null), json!(["ES256"]), json!(1)] {
        let error = forge
            .verify(&forge.with_header(&[("alg", alg)]))
            .unwrap_err();
        assert_eq!(error, JoseError::HeaderMissing { member: "alg" });
    }
}

#[test]
fn keys_in_the_header_and_extensions_are_named_and_refused() {
    let forge = Forge::new();
    let members = [
        ("jwk", forge.key.public_jwk().to_json()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
    ];
    for (member, value) in members {
        let error = forge
            .verify(&forge.with_header(&[(member, value)]))
            .unwrap_err();
        assert!(
            matches!(error, JoseError::HeaderMember { member: named, .. } if named == member),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("{member:?}")));
    }
}

#[test]
fn another_type_of_token_is_not_an_access_token() {
    let forge = Forge::new();
    for typ in [
        "JWT",
        "id_token",
        "dpop+jwt",
        "logout+jwt",
        "at",
        "at+jwt ",
        "text/at+jwt",
        "application/x/at+jwt",
        "",
    ] {
        let error = forge
            .verify(&forge.with_header(&[("typ", json!(typ))]))
            .unwrap_err();
        assert!(matches!(error, JoseError::Typ { .. }), "{typ:?}: {error}");
    }
    for typ in [json!(null), json!(["at+jwt"]), json!({})] {
        let error = forge
            .verify(&forge.with_header(&[("typ", typ)]))
            .unwrap_err();
        assert!(matches!(error, JoseError::Typ { .. }), "{error}");
    }
}

#[test]
fn a_member_may_occur_once_in_header_and_claims() {
    let forge = Forge::new();
    let kid = forge.key.kid();
    let claims = Forge::claims().to_string();
    let twice = [
        format!(r#"{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","\u0061lg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","x":{{"a":1,"a":2}}}}"#),
    ];
    for header in twice {
        let error = forge.verify(&forge.token(&header, &claims)).unwrap_err();
        assert!(
            error.to_string().contains("occurs twice"),
            "{header}: {error}"
        );
    }
    let header = forge.header().to_string();
    let repeated = claims.replacen('{', r#"{"sub":"admin","#, 1);
    let nested = claims.replacen('{', r#"{"act":[{"sub":"a","sub":"b"}],"#, 1);
    for payload in [repeated, nested] {
        let error = forge.verify(&forge.token(&header, &payload)).unwrap_err();
        assert!(
            error.to_string().contains("occurs twice"),
            "{payload}: {error}"
        );
    }
}

#[test]
fn only_one_spelling_of_base64url_is_read() {
    let forge = Forge::new();
    let good = forge.with_header(&[]);
    let parts: Vec<&str> = good.split('.').collect();
    // 64 bytes leave four stray bits in the last character of the signature: set them.
    let (start, last) = parts[2].split_at(parts[2].len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet
        .chars()
        .nth(alphabet.find(last).unwrap() + 1)
        .unwrap();
    let signatures = [
        format!("{start}{next}"),
        format!("{}==", parts[2]),
        format!("{}=", parts[2]),
        format!("{} ", parts[2]),
        format!("\n{}", parts[2]),
        format!("{start}+"),
        format!("{start}/"),
        format!("{start}é"),
        format!("{start}\0"),
    ];
    for signature in signatures {
        let error = forge
            .verify(&format!("{}.{}.{signature}", parts[0], parts[1]))
            .unwrap_err();
        assert_eq!(
            error,
            JoseError::Base64 { part: "signature" },
            "{signature:?}"
        );
    }
    // Signed as it stands, and refused all the same: padding and the other alphabet are no spelling of a header.
    let header = forge.header().to_string() + " ";
    let padded = base64_padded(&header);
    assert!(padded.ends_with('='));
    let error = forge
        .verify(&forge.signed(&format!("{padded}.{}", parts[1])))
        .unwrap_err();
    assert_eq!(error, JoseError::Base64 { part: "header" });
    let error = forge
        .verify(&forge.signed(&format!("{}.{}=", parts[0], parts[1])))
        .unwrap_err();
    assert_eq!(error, JoseError::Base64 { part: "payload" });
}

fn base64_padded(text: &str) -> String {
    let mut text = text.to_owned();
    while text.len().is_multiple_of(3) {
        text.push(' ');
    }
    let bare = b64(&text);
    let padding = "=".repeat((4 - bare.len() % 4) % 4);
    bare + &padding
}

#[test]
fn size_and_shape_are_checked_first() {
    let forge = Forge::new();
    let long = forge.with_claims(&[("filler", json!("x".repeat(BYTES_MAX_DEFAULT)))]);
    assert!(matches!(
        forge.verify(&long),
        Err(JoseError::TooLong {
            bytes_max: BYTES_MAX_DEFAULT,
            ..
        })
    ));
    let good = forge.with_header(&[]);
    let mut short = Forge::new();
    short.expect.bytes_max = good.len() - 1;
    assert_eq!(
        short.verify(&good),
        Err(JoseError::TooLong {
            bytes: good.len(),
            bytes_max: good.len() - 1
        })
    );
    for (token, found) in [
        ("", 1),
        ("a", 1),
        ("a.b", 2),
        ("a.b.c.d", 4),
        ("a.b.c.d.e", 5),
        ("a.b.c.", 4),
    ] {
        assert_eq!(
            forge.verify(token),
            Err(JoseError::Parts { found }),
            "{token:?}"
        );
    }
    assert!(matches!(
        forge.verify(".."),
        Err(JoseError::Json { part: "header", .. })
    ));
    let json_form = format!(r#"{{"payload":"{}","signatures":[]}}"#, b64("{}"));
    assert_eq!(forge.verify(&json_form), Err(JoseError::Parts { found: 1 }));
}

#[test]
fn headers_and_payloads_that_are_no_plain_json_objects_are_refused() {
    let forge = Forge::new();
    let header = forge.header().to_string();
    let claims = Forge::claims().to_string();
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
    for text in [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}{}",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{\"a\":1e999}",
        &deep,
    ] {
        let error = forge.verify(&forge.token(text, &claims)).unwrap_err();
        assert!(
            matches!(error, JoseError::Json { part: "header", .. }),
            "{text:.20}: {error}"
        );
        let error = forge.verify(&forge.token(&header, text)).unwrap_err();
        assert!(
            matches!(
                error,
                JoseError::Json {
                    part: "payload",
                    ..
                }
            ),
            "{text:.20}: {error}"
        );
    }
    let message = format!(
        "{}.{}",
        b64(header),
        b64([b'{', b'"', 0xff, b'"', b':', b'1', b'}'])
    );
    assert!(matches!(
        forge.verify(&forge.signed(&message)),
        Err(JoseError::Json {
            part: "payload",
            ..
        })
    ));
}

#[test]
fn a_kid_is_only_ever_compared() {
    let forge = Forge::new();
    let kids = [
        "../../../../dev/null",
        "' OR 1=1 --",
        "",
        "\0",
        "https://evil.example/key",
        "*",
        "%00",
    ];
    for kid in kids {
        let error = forge
            .verify(&forge.with_header(&[("kid", json!(kid))]))
            .unwrap_err();
        assert_eq!(
            error,
            JoseError::UnknownKid {
                kid: kid.to_owned()
            }
        );
        assert_eq!(error.kind(), JoseErrorKind::UnknownKid);
    }
    let long = "k".repeat(5000);
    let error = forge
        .verify(&forge.with_header(&[("kid", json!(long))]))
        .unwrap_err();
    assert_eq!(
        error,
        JoseError::UnknownKid {
            kid: "k".repeat(64)
        },
        "an answer repeats at most 64 characters"
    );
    for kid in [json!(null), json!([forge.key.kid()]), json!(0)] {
        let error = forge
            .verify(&forge.with_header(&[("kid", kid)]))
            .unwrap_err();
        assert_eq!(error, JoseError::HeaderMissing { member: "kid" });
    }
}

#[test]
fn another_issuers_key_does_not_sign_for_this_one() {
    let (forge, other) = (Forge::new(), Forge::new());
    let token = other.with_header(&[("kid", json!(forge.key.kid()))]);
    assert_eq!(forge.verify(&token), Err(JoseError::Signature));
    assert!(matches!(
        forge.verify(&other.with_header(&[])),
        Err(JoseError::UnknownKid { .. })
    ));
}

#[test]
fn es256_signatures_have_one_length_and_one_encoding() {
    let forge = Forge::new();
    let good = forge.with_header(&[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let raw = unb64(signature);
    assert_eq!(raw.len(), 64);
    let (r, s) = raw.split_at(32);
    let integer = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [&[2, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat()
    };
    let body = [integer(r), integer(s)].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let variants = [
        der,
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [&[0], &raw[..]].concat(),
        [&[0], r, &[0], s].concat(),
        [s, r].concat(),
        [&raw[..], &raw[..]].concat(),
        vec![0; 64],
        vec![0xff; 64],
        Vec::new(),
    ];
    for variant in variants {
        let token = format!("{signed}.{}", b64(&variant));
        assert_eq!(
            forge.verify(&token),
            Err(JoseError::Signature),
            "{variant:?}"
        );
    }
}
