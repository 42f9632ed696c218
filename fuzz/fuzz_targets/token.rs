//! Tokens of other issuers: no text is taken that the issuer's key has not signed; of what it has signed, only what is its own, for us
//! and now.
#![no_main]

use std::sync::LazyLock;

use jose::{Algorithm, Expectation, JoseError, KeySet, OutsideRules, SigningKey};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const NOW_S: u64 = 1_800_000_000;
const ISSUER: &str = "https://login.example.com";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate_es256().expect("there is randomness"));
static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::from_keys(vec![KEY.public_jwk().clone()]).expect("one key"));
static EXPECT: LazyLock<Expectation> =
    LazyLock::new(|| Expectation::access_token(ISSUER.to_owned(), vec!["orders".to_owned()]));
static RULES: LazyLock<OutsideRules> = LazyLock::new(|| OutsideRules {
    types: vec!["at+jwt".to_owned(), "JWT".to_owned()],
    untyped: true,
    algorithms: vec![Algorithm::Es256],
});

fuzz_target!(|text: &str| {
    // As it came, from somebody who has no key.
    assert!(jose::verify_outside(text, &KEYS, &RULES, &EXPECT, NOW_S).is_err());
    let _ = jose::claimed_issuer(text, EXPECT.bytes_max);
    // As the claims of somebody who has one: the first line is `typ`.
    let (typ, claims) = text.split_once('\n').unwrap_or(("JWT", text));
    let Ok(claims @ Value::Object(_)) = serde_json::from_str(claims) else {
        return;
    };
    let Ok(token) = KEY.sign(typ, &claims) else {
        return;
    };
    match jose::verify_outside(&token, &KEYS, &RULES, &EXPECT, NOW_S) {
        Ok(verified) => {
            let said = &verified.claims;
            assert_eq!(said.iss, ISSUER);
            assert_eq!(
                jose::claimed_issuer(&token, EXPECT.bytes_max).as_deref(),
                Some(ISSUER)
            );
            assert!(said.aud.iter().any(|aud| aud == "orders"));
            assert!(said.exp.saturating_add(EXPECT.leeway_s) > NOW_S);
            assert!(said.nbf.is_none_or(|nbf| nbf <= NOW_S + EXPECT.leeway_s));
            assert_eq!(
                Some(verified.all.len()),
                claims.as_object().map(serde_json::Map::len)
            );
        }
        Err(error) => assert_ne!(error, JoseError::Signature, "{token}"),
    }
});
