//! Proofs of possession at the endpoints of this server (RFC 9449), and what tokens are bound to by them.

use base::Digest;
use http::{HeaderMap, HeaderName, Method};
use jose::{Claims, Confirmation, Proof, ProofExpectation, verify_proof};

use crate::IdentityState;
use crate::client::{Client, ClientCertificate};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How a token is shown (RFC 6750 §2.1, RFC 9449 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

/// A request that shows an access token of ours. No `Debug`: it holds a secret.
pub(crate) struct Shown<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'static str,
    pub(crate) headers: &'a HeaderMap,
    /// What the connection showed.
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) scheme: Scheme,
    pub(crate) token: &'a str,
}

/// Why a good token is refused: the error of RFC 9449 §7.1 and RFC 6750 §3.1, and a text for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unproved {
    pub(crate) error: &'static str,
    pub(crate) text: &'static str,
}

impl Unproved {
    const SCHEME: Self = Self {
        error: "invalid_token",
        text: "tokens that are bound to a DPoP key come with the scheme DPoP, all others with Bearer",
    };
    const CERTIFICATE: Self = Self {
        error: "invalid_token",
        text: "the token is bound to a certificate that this connection did not show",
    };
    const KEY: Self = Self {
        error: "invalid_token",
        text: "the DPoP proof is of another key than the token is bound to",
    };
    const PROOF: Self = Self {
        error: "invalid_dpop_proof",
        text: "the request does not carry one DPoP proof that was made for it and its token",
    };
    const REPLAYED: Self = Self {
        error: "invalid_dpop_proof",
        text: "the DPoP proof was used before",
    };
}

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

    /// Whether who shows a token proves to have what the token is bound to: the key of a DPoP proof, or the certificate of
    /// the connection. A token that is bound to nothing has nothing to prove.
    ///
    /// Source: RFC 9449 §7.1, RFC 8705 §3.
    pub(crate) async fn proves_binding(
        &self,
        shown: &Shown<'_>,
        claims: &Claims,
    ) -> store::Result<Result<(), Unproved>> {
        let bound = match claims.other.get("cnf") {
            None if shown.scheme == Scheme::Dpop => return Ok(Err(Unproved::SCHEME)),
            None => return Ok(Ok(())),
            Some(cnf) => Confirmation::from_claim(cnf),
        };
        let wanted = match bound {
            None => return Ok(Err(Unproved::CERTIFICATE)),
            Some(Confirmation::Certificate(wanted)) => {
                let own = shown.certificate.map(ClientCertificate::thumbprint);
                let proved = own.is_some_and(|own| own == wanted);
                return Ok(proved.then_some(()).ok_or(Unproved::CERTIFICATE));
            }
            Some(Confirmation::Key(_)) if shown.scheme == Scheme::Bearer => {
                return Ok(Err(Unproved::SCHEME));
            }
            Some(Confirmation::Key(wanted)) => wanted,
        };
        let Some(proof) = self.proof_of(shown) else {
            return Ok(Err(Unproved::PROOF));
        };
        if proof.thumbprint != wanted {
            return Ok(Err(Unproved::KEY));
        }
        let first = self.first_use(&proof).await?;
        Ok(first.then_some(()).ok_or(Unproved::REPLAYED))
    }

    /// The one proof of a request, made for it and its token.
    fn proof_of(&self, shown: &Shown<'_>) -> Option<Proof> {
        let mut proofs = shown.headers.get_all(&DPOP).iter();
        let (Some(proof), None) = (proofs.next(), proofs.next()) else {
            return None;
        };
        let proof = proof.to_str().ok()?;
        let config = &self.proving.config;
        let bases = [Some(self.tokens.issuer()), config.mtls_url.as_deref()];
        bases.into_iter().flatten().find_map(|base| {
            let expect = ProofExpectation {
                method: shown.method.as_str(),
                url: &format!("{base}{}", shown.path),
                token: Some(shown.token),
                now_unix_s: self.clock.unix_s(),
                window_s: config.dpop_window_s,
            };
            verify_proof(proof, &expect).ok()
        })
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
