//! Proofs of possession at the endpoints of this server (RFC 9449), and what tokens are bound to by them.

use base::Digest;
use http::{HeaderMap, HeaderName};
use jose::{Claims, Confirmation, Proof, ProofExpectation, verify_proof};

use crate::IdentityState;
use crate::client::Client;
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

impl IdentityState {
    /// What the tokens of a request are bound to: the key of its proof, or the certificate of its connection for a client
    /// that is registered so. A client that is registered for bound tokens gets no others.
    ///
    /// Source: RFC 9449 §5, RFC 8705 §3.
    pub(crate) async fn bound_to(
        &self,
        request: &OAuthRequest,
        client: &Client,
    ) -> Result<Option<Confirmation>, OAuthError> {
        let metadata = client.metadata();
        let key = self.proved_key(request).await?;
        if metadata.tls_client_certificate_bound_access_tokens {
            let certificate = client.certificate.as_ref();
            let certificate = certificate.ok_or_else(|| {
                OAuthError::invalid_request(
                    "the client's tokens are bound to its certificate, and the connection has shown none",
                )
            })?;
            return Ok(Some(Confirmation::Certificate(certificate.thumbprint())));
        }
        match key {
            Some(thumbprint) => Ok(Some(Confirmation::Key(thumbprint))),
            None if metadata.dpop_bound_access_tokens => Err(OAuthError::of(
                "invalid_dpop_proof",
                "the client's tokens are bound to a DPoP key, and the request carries no proof",
            )),
            None => Ok(None),
        }
    }

    /// The thumbprint of the key that a request proves to have; `None` when it carries no proof.
    ///
    /// # Errors
    /// `invalid_dpop_proof`; `use_dpop_nonce` with the nonce to use.
    pub(crate) async fn proved_key(
        &self,
        request: &OAuthRequest,
    ) -> Result<Option<String>, OAuthError> {
        let mut proofs = request.headers.get_all(&DPOP).iter();
        let Some(proof) = proofs.next() else {
            return Ok(None);
        };
        let invalid = |detail: &str| OAuthError::of("invalid_dpop_proof", detail);
        if proofs.next().is_some() {
            return Err(invalid("the request carries more than one DPoP proof"));
        }
        let now_unix_s = self.clock.unix_s();
        let proof = proof
            .to_str()
            .map_err(|_| invalid("the proof is no text"))?;
        let config = &self.proving.config;
        let at = |base: &str| {
            let url = format!("{base}{}", request.path);
            let expect = ProofExpectation {
                method: "POST",
                url: &url,
                token: None,
                now_unix_s,
                window_s: config.dpop_window_s,
            };
            verify_proof(proof, &expect)
        };
        let mut verified = at(self.tokens.issuer());
        if let (Err(_), Some(alias)) = (&verified, &config.mtls_url) {
            verified = at(alias).or(verified);
        }
        let proof = verified.map_err(|error| invalid(&format!("the DPoP proof: {error}")))?;
        let nonce = &self.proving.nonces;
        match &proof.nonce {
            Some(given) if nonce.accepts(given, now_unix_s) => {}
            None if !config.dpop_nonce => {}
            _ => return Err(self.use_nonce()),
        }
        let first = self.first_use(&proof).await;
        if first.map_err(|error| self.store_failed(&error))? {
            Ok(Some(proof.thumbprint))
        } else {
            Err(invalid("the DPoP proof was used before"))
        }
    }

    /// Whether a request that shows a token proves the key that the token is bound to; for a token that is bound to nothing
    /// it has nothing to prove. Tokens that are bound to certificates are for gateways.
    ///
    /// Source: RFC 9449 §7.1.
    pub(crate) async fn proves_binding(
        &self,
        headers: &HeaderMap,
        path: &str,
        token: &str,
        claims: &Claims,
    ) -> store::Result<bool> {
        let Some(bound) = claims.other.get("cnf") else {
            return Ok(true);
        };
        let mut proofs = headers.get_all(&DPOP).iter();
        let (Some(Confirmation::Key(wanted)), Some(proof), None) = (
            Confirmation::from_claim(bound),
            proofs.next(),
            proofs.next(),
        ) else {
            return Ok(false);
        };
        let proof = proof.to_str().unwrap_or_default();
        let url = format!("{}{path}", self.tokens.issuer());
        let window_s = self.proving.config.dpop_window_s;
        let verified = ["GET", "POST"].into_iter().find_map(|method| {
            let expect = ProofExpectation {
                method,
                url: &url,
                token: Some(token),
                now_unix_s: self.clock.unix_s(),
                window_s,
            };
            verify_proof(proof, &expect).ok()
        });
        match verified.filter(|proof| proof.thumbprint == wanted) {
            Some(proof) => self.first_use(&proof).await,
            None => Ok(false),
        }
    }

    async fn first_use(&self, proof: &Proof) -> store::Result<bool> {
        let jti = proof.jti.as_bytes();
        let id = Digest::of_list(&[b"dpop", proof.thumbprint.as_bytes(), jti]);
        let until = proof
            .iat
            .saturating_add(self.proving.config.dpop_window_s + 1);
        self.store.use_once(&id, until).await
    }

    /// RFC 9449 §8: the next proof has to repeat this nonce.
    fn use_nonce(&self) -> OAuthError {
        let nonce = self.proving.nonces.present(self.clock.unix_s());
        OAuthError::of(
            "use_dpop_nonce",
            "the DPoP proof has to repeat the nonce of the field DPoP-Nonce",
        )
        .with_nonce(nonce)
    }
}
