//! Makes tokens that the library would not make: any header, any payload, a true signature.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Expectation, JoseError, KeySet, SigningKey, Verified, verify};
use serde_json::{Value, json};

pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://id.example/oauth2";
pub(crate) const AUDIENCE: &str = "urn:gateway";

/// An issuer with one key, and what a gateway knows of it.
pub(crate) struct Forge {
    pub(crate) key: SigningKey,
    pair: EcdsaKeyPair,
    pub(crate) keys: KeySet,
    pub(crate) expect: Expectation,
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

impl Forge {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate_es256().unwrap();
        let pkcs8 = key.to_pkcs8().unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose()).unwrap();
        let keys = KeySet::from_keys(vec![key.public_jwk()]).unwrap();
        Self {
            key,
            pair,
            keys,
            expect: Expectation::access_token(ISSUER, vec![AUDIENCE.to_owned()]),
        }
    }

    pub(crate) fn claims() -> Value {
        json!({
            "iss": ISSUER, "sub": "shop", "aud": AUDIENCE, "client_id": "shop", "jti": "t-1",
            "iat": NOW_S, "exp": NOW_S + 600, "scope": "pets:read pets:write",
        })
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.key.kid() })
    }

    /// A token of exactly these texts.
    pub(crate) fn token(&self, header: &str, payload: &str) -> String {
        self.signed(&format!("{}.{}", b64(header), b64(payload)))
    }

    /// Signs whatever stands before the second dot.
    pub(crate) fn signed(&self, message: &str) -> String {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// A good token but for some header members.
    pub(crate) fn with_header(&self, changes: &[(&str, Value)]) -> String {
        self.token(
            &changed(self.header(), changes),
            &Self::claims().to_string(),
        )
    }

    /// A good token but for some claims; null removes one.
    pub(crate) fn with_claims(&self, changes: &[(&str, Value)]) -> String {
        self.token(
            &self.header().to_string(),
            &changed(Self::claims(), changes),
        )
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Verified, JoseError> {
        verify(token, &self.keys, &self.expect, NOW_S)
    }

    /// Whether these keys verify a token of [`Forge::claims`].
    pub(crate) fn verify_with(token: &str, keys: &KeySet) -> Result<Verified, JoseError> {
        let expect = Expectation::access_token(ISSUER, vec![AUDIENCE.to_owned()]);
        verify(token, keys, &expect, NOW_S)
    }
}

pub(crate) fn changed(mut members: Value, changes: &[(&str, Value)]) -> String {
    let object = members.as_object_mut().unwrap();
    for (member, value) in changes {
        if value.is_null() {
            object.remove(*member);
        } else {
            object.insert((*member).to_owned(), value.clone());
        }
    }
    members.to_string()
}
