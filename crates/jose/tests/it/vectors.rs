//! The examples of the RFCs.

use jose::{Algorithm, BYTES_MAX_DEFAULT, JoseError, Jwk, verify_jws};

/// RFC 7515 A.3.1, the public half.
pub(crate) const P256_JWK: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// RFC 8037 A.2.
pub(crate) const ED25519_JWK: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// RFC 7638 §3.1.
pub(crate) const RSA_JWK: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

#[test]
fn rfc_7515_a_3_es256() {
    let key = Jwk::from_json(P256_JWK, None).unwrap();
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let jws = verify_jws(token, &key, BYTES_MAX_DEFAULT).unwrap();
    assert_eq!(
        jws.payload,
        b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
    );
    assert_eq!(jws.header["alg"], "ES256");
    assert!(matches!(
        verify_jws(token, &key, 100),
        Err(JoseError::TooLong { .. })
    ));
}

#[test]
fn rfc_8037_a_4_ed25519() {
    let key = Jwk::from_json(ED25519_JWK, None).unwrap();
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(
        verify_jws(token, &key, BYTES_MAX_DEFAULT).unwrap().payload,
        b"Example of Ed25519 signing"
    );
    let flipped = token.replace(".hgyY", ".hgyZ");
    assert_eq!(
        verify_jws(&flipped, &key, BYTES_MAX_DEFAULT),
        Err(JoseError::Signature)
    );
}

#[test]
fn rfc_7638_and_rfc_8037_thumbprints() {
    let rsa = Jwk::from_json(RSA_JWK, None).unwrap();
    assert_eq!(
        rsa.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(rsa.kid(), "2011-04-29");
    let edwards = Jwk::from_json(ED25519_JWK, None).unwrap();
    assert_eq!(
        edwards.kid(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "a key without kid gets one"
    );
}

#[test]
fn algorithm_names_are_those_of_the_registry() {
    for name in [
        "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
    ] {
        assert_eq!(Algorithm::from_name(name).unwrap().to_string(), name);
    }
    assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
    for name in ["none", "HS256", "es256", "ES512", "ES256K", ""] {
        assert_eq!(Algorithm::from_name(name), None);
    }
}
