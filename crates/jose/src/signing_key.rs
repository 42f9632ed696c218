//! A private key of the platform's own issuer.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::Secret;
use serde::Serialize;
use serde_json::{Value, json};

use crate::json::to_base64url;
use crate::{Algorithm, Jwk, KeyError};

/// An ES256 key pair that signs tokens. `Debug` shows its id only.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl SigningKey {
    /// A new key for ES256.
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the system gives no randomness.
    pub fn generate_es256() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| KeyError::Signing { step: "generated" })?;
        Self::from_pair(pair)
    }

    /// Reads a key that [`SigningKey::to_pkcs8`] wrote (PKCS#8 DER, EC P-256).
    ///
    /// # Errors
    /// [`KeyError::Signing`] for anything else.
    pub fn from_pkcs8(pkcs8: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose())
            .map_err(|_| KeyError::Signing { step: "read" })?;
        Self::from_pair(pair)
    }

    /// The private key as PKCS#8 DER, to be stored encrypted.
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the crypto library fails.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let document = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| KeyError::Signing { step: "written" })?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    /// The id: the RFC 7638 thumbprint of the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
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
            json!({ "alg": Algorithm::Es256.name(), "typ": typ, "kid": self.kid() });
        let mut token = to_base64url(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&to_base64url(claims.to_string().as_bytes()));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| KeyError::Signing { step: "used" })?;
        token.push('.');
        token.push_str(&to_base64url(signature.as_ref()));
        Ok(token)
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = Jwk::from_p256_point(pair.public_key().as_ref())?;
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
