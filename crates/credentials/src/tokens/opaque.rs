//! Opaque access tokens: random texts that stand for the claims of a JWT, kept by digest.

use base::{Digest, Org, Secret, TokenMarks};
use jose::{Claims, Expectation};
use serde_json::Value;
use store::OpaqueToken;

use super::{AccessGrant, AccessToken, CONTROL_AUDIENCE, TokenError, Tokens, TokensError};
use super::{Code, gateway_audience};
use crate::random::random_text;

/// How opaque tokens begin; nodes know them by it.
const PREFIX: &str = "twa_";
/// Random bits of an opaque token: a fast hash of it tells nothing.
const BITS: usize = 256;

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It cannot be made.
    #[error("no token can be made")]
    Mint(#[from] TokensError),
    /// It cannot be kept.
    #[error("the token cannot be kept")]
    Store(#[source] store::StoreError),
}

impl IssueError {
    /// The code that the control API answers.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Mint(_) => base::code::INTERNAL,
            Self::Store(_) => base::code::STORE_UNAVAILABLE,
        }
    }
}

impl Tokens {
    /// Mints an opaque token for the gateways of an organisation. It is durable when this returns.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn mint_opaque_token(&self, grant: &AccessGrant) -> Result<AccessToken, IssueError> {
        let (claims, minted) = self.claims_of(grant)?;
        let text = random_text(PREFIX, BITS).map_err(TokensError::Random)?;
        let row = OpaqueToken {
            digest: Digest::of(text.as_bytes()),
            expires_unix_s: claims["exp"].as_u64().unwrap_or_default(),
            claims,
        };
        let kept = self.0.store.opaque_put(&row).await;
        kept.map_err(IssueError::Store)?;
        Ok(AccessToken {
            token: Secret::new(text),
            ..minted
        })
    }

    /// The claims of an access token of this organisation, JWT or opaque, whomever it is for and whether it was revoked or
    /// not.
    ///
    /// # Errors
    /// [`TokenError::Refused`], [`TokenError::Unknown`], [`TokenError::Store`].
    pub async fn access_claims(&self, org: &Org, token: &str) -> Result<Claims, TokenError> {
        let claims = self.any_claims(token).await?;
        self.of_org(org, claims)
    }

    /// The claims of an access token, whosoever it is.
    pub(super) async fn any_claims(&self, token: &str) -> Result<Claims, TokenError> {
        if !token.starts_with(PREFIX) || token.contains('.') {
            return self.claims(token, &self.any_audience());
        }
        let digest = Digest::of(token.as_bytes());
        let found = self.0.store.opaque_get(&digest).await;
        let found = found.map_err(TokenError::Store)?;
        let claims = found.ok_or(TokenError::Unknown)?.claims;
        let claims = Claims::from_value(claims).map_err(TokenError::Refused)?;
        claims
            .accept(&self.any_audience(), self.0.clock.unix_s())
            .map_err(TokenError::Refused)?;
        Ok(claims)
    }

    pub(super) fn any_audience(&self) -> Expectation {
        Expectation {
            any_audience: true,
            ..Expectation::access_token(self.issuer(), Vec::new())
        }
    }

    /// Claims that are of this organisation and not for the control API.
    pub(super) fn of_org(&self, org: &Org, claims: Claims) -> Result<Claims, TokenError> {
        let gateways = gateway_audience(org);
        let named = claims.other.get("org").and_then(Value::as_str);
        let ours = match named {
            Some(named) => named == org.as_str(),
            // Tokens of a time before the claim.
            None => claims.aud.contains(&gateways),
        };
        if ours && !claims.aud.iter().any(|aud| aud == CONTROL_AUDIENCE) {
            return Ok(claims);
        }
        Err(TokenError::Refused(jose::JoseError::Audience {
            found: claims.aud,
            expected: vec![gateways],
        }))
    }

    /// Whether a token was ended, by itself or with what it comes of.
    pub(super) async fn check_ended(&self, claims: &Claims) -> Result<(), TokenError> {
        // A jti has been required; without one nothing could be revoked, so nothing is accepted.
        let jti = claims.jti.as_deref().ok_or(TokenError::Revoked)?;
        let client_id = claims.client_id.as_deref().unwrap_or_default();
        let marks = TokenMarks::of_claims(jti, client_id, &claims.sub, &claims.other);
        match self.0.store.token_ended(&marks).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(TokenError::Revoked),
            Err(error) => Err(TokenError::Store(error)),
        }
    }
}
