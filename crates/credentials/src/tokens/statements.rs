//! What the issuer says to clients about users: ID tokens and logout tokens. They are no access tokens: their `typ` is
//! another one, and nothing here reads one as the other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Claims, Expectation};
use serde_json::Value;
use store::SigningAlgorithm;

use super::{JTI_BITS, TokenError, Tokens, TokensError};
use crate::random::random_text;

impl Tokens {
    /// Signs a statement for a client; `claims` has `sub` and `aud`.
    ///
    /// # Errors
    /// [`TokensError::NoKey`], [`TokensError::Key`], [`TokensError::Random`].
    ///
    /// Source: OpenID Connect Core §2, OpenID Connect Back-Channel Logout §2.4.
    pub fn mint_statement(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        mut claims: Value,
        lifetime_s: u64,
    ) -> Result<String, TokensError> {
        let now = self.0.clock.unix_s();
        claims["iss"] = self.issuer().into();
        claims["iat"] = now.into();
        let lifetime_s = lifetime_s.min(self.0.config.lifetime_max_s);
        claims["exp"] = now.saturating_add(lifetime_s).into();
        claims["jti"] = random_text("", JTI_BITS)
            .map_err(TokensError::Random)?
            .into();
        self.sign(algorithm, typ, &claims)
    }

    /// The claims of an access token of ours, JWT or opaque, that was not revoked, whatever it is for.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_user_token(&self, token: &str) -> Result<Claims, TokenError> {
        let claims = self.any_claims(token).await?;
        self.check_ended(&claims).await?;
        Ok(claims)
    }

    /// The claims of a statement of ours, over or not, for whatever client.
    ///
    /// # Errors
    /// [`TokenError::Refused`].
    pub fn read_statement(&self, typ: &str, token: &str) -> Result<Claims, TokenError> {
        let ring = self.0.ring.load();
        let expectation = Expectation {
            audience: claimed_audience(token),
            typ: typ.to_owned(),
            // Until the end of time: a hint is good when its token is over.
            leeway_s: u64::MAX,
            ..Expectation::access_token(self.issuer(), Vec::new())
        };
        jose::verify(token, &ring.public, &expectation, self.0.clock.unix_s())
            .map(|verified| verified.claims)
            .map_err(TokenError::Refused)
    }
}

/// The audience that a token says it has, before anything is believed: whoever reads it compares the verified claims.
fn claimed_audience(token: &str) -> Vec<String> {
    let claims: Option<Value> = token
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|payload| serde_json::from_slice(&payload).ok());
    match claims.as_ref().and_then(|claims| claims.get("aud")) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
