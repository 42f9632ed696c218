//! A private key of the platform's own issuer.

mod rsa;

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base::Secret;
use serde::Serialize;
use serde_json::{Value, json};

use crate::json::to_base64url;
use crate::{Algorithm, Jwk, KeyError};

/// A key pair that signs tokens with one algorithm. `Debug` shows its id only.
pub struct SigningKey {
    pair: Pair,
    public: Jwk,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

fn failed<E>(step: &'static str) -> impl FnOnce(E) -> KeyError {
    move |_| KeyError::Signing { step }
}

impl SigningKey {
    /// A new key for ES256, `EdDSA` or RS256 (3072 bits, which takes a second or so).
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the system gives no randomness, or for another algorithm.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let step = "generated";
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::P256)
                .map_err(failed(step))?,
            Algorithm::EdDsa => Ed25519KeyPair::generate()
                .map(Pair::Ed25519)
                .map_err(failed(step))?,
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa3072)
                .map(Pair::Rsa)
                .map_err(failed(step))?,
            _ => return Err(KeyError::Signing { step }),
        };
        Self::from_pair(pair)
    }

    /// A new key for ES256.
    ///
    /// # Errors
    /// As [`SigningKey::generate`].
    pub fn generate_es256() -> Result<Self, KeyError> {
        Self::generate(Algorithm::Es256)
    }

    /// Reads a key that [`SigningKey::to_pkcs8`] wrote (PKCS#8 DER: EC P-256, Ed25519 or RSA, which tells the algorithm).
    ///
    /// # Errors
    /// [`KeyError::Signing`] for anything else.
    pub fn from_pkcs8(pkcs8: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let text = pkcs8.expose();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, text)
            .map(Pair::P256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(text).map(Pair::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(text).map(Pair::Rsa))
            .map_err(failed("read"))?;
        Self::from_pair(pair)
    }

    /// The private key as PKCS#8 DER, to be stored encrypted.
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the crypto library fails.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let step = "written";
        let document = match &self.pair {
            Pair::P256(pair) => pair.to_pkcs8v1().map_err(failed(step))?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8().map_err(failed(step))?.as_ref().to_vec(),
            Pair::Rsa(pair) => pair.as_der().map_err(failed(step))?.as_ref().to_vec(),
        };
        Ok(Secret::new(document))
    }

    /// The id: the RFC 7638 thumbprint of the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.alg()
    }

    /// What may be published.
    #[must_use]
    pub fn public_jwk(&self) -> Jwk {
        self.public.clone()
    }

    /// Signs claims as a compact JWS with this `typ`, for example [`TYP_ACCESS_TOKEN`](crate::TYP_ACCESS_TOKEN).
    ///
    /// # Errors
    /// [`KeyError::Claims`] when the claims are no JSON object, [`KeyError::Signing`] when the library fails.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let claims = serde_json::to_value(claims).map_err(|_| KeyError::Claims)?;
        if !claims.is_object() {
            return Err(KeyError::Claims);
        }
        let header: Value =
            json!({ "alg": self.algorithm().name(), "typ": typ, "kid": self.kid() });
        let mut token = to_base64url(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&to_base64url(claims.to_string().as_bytes()));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&to_base64url(&signature));
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let step = "used";
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&random, message).map_err(failed(step))?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed(step))?;
                Ok(signature)
            }
        }
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let public = match &pair {
            Pair::P256(pair) => Jwk::from_p256_point(pair.public_key().as_ref())?,
            Pair::Ed25519(pair) => Jwk::from_ed25519(pair.public_key().as_ref())?,
            Pair::Rsa(pair) => {
                let (n, e) = rsa::numbers(pair.public_key().as_ref()).ok_or(KeyError::Rejected)?;
                Jwk::from_rsa(n, e, Algorithm::Rs256)?
            }
        };
        Ok(Self { pair, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}
