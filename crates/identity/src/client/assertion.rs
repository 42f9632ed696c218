//! private_key_jwt (RFC 7523 §2.2, OpenID Connect Core §9).

use base::Digest;
use jose::{AssertionExpectation, JoseError, JoseErrorKind, verify_assertion};
use store::Credential;

use crate::IdentityState;
use crate::oauth::OAuthError;

/// By how much the clocks of clients may differ, in seconds.
const LEEWAY_S: u64 = 30;
/// How far ahead the end of an assertion may be, in seconds: so long its id is remembered. An hour, since that is what some
/// libraries always ask for (docs/adr/0040-assertions-last-an-hour.md).
const LIFETIME_MAX_S: u64 = 3600;

impl IdentityState {
    /// Whether an assertion is this client's, for this server, and used for the first time.
    ///
    /// It may name the issuer (preferred, FAPI 2.0 §5.3.2.1), the token endpoint (RFC 7523 §3) or the endpoint at `path`, to
    /// which it came (RFC 9126 §2), as its audience. Its id is taken last: what is refused for another reason is not used up.
    pub(super) async fn assertion_proves(
        &self,
        credential: &Credential,
        client_id: &str,
        assertion: &str,
        path: &str,
    ) -> Result<bool, OAuthError> {
        let Some(client) = credential.client() else {
            return Ok(false);
        };
        let now_unix_s = self.clock.unix_s();
        let bases = [
            Some(self.tokens.issuer()),
            self.proving.config.mtls_url.as_deref(),
        ];
        let endpoints = bases.into_iter().flatten().flat_map(|base| {
            let token = format!("{base}{}", crate::token::PATH);
            [token, format!("{base}{path}")]
        });
        let expect = AssertionExpectation {
            client_id,
            audience: [self.tokens.issuer().to_owned()]
                .into_iter()
                .chain(endpoints)
                .collect(),
            now_unix_s,
            leeway_s: LEEWAY_S,
            lifetime_max_s: LIFETIME_MAX_S,
        };
        let metadata = &client.metadata;
        let keys = self.proving.keys.of(metadata, now_unix_s).await;
        let mut verified = verify_assertion(assertion, &keys, &expect);
        let unknown = |error: &JoseError| error.kind() == JoseErrorKind::UnknownKid;
        if verified.as_ref().is_err_and(unknown) {
            // The client may have rotated its keys a moment ago (req: T1).
            let newer = self.proving.keys.newer(metadata, now_unix_s).await;
            if let Some(keys) = newer {
                verified = verify_assertion(assertion, &keys, &expect);
            }
        }
        let claims = match verified {
            Ok(claims) => claims,
            Err(error) => {
                tracing::info!(client_id, %error, "a client's assertion is refused");
                return Ok(false);
            }
        };
        let jti = claims.jti.unwrap_or_default();
        let id = Digest::of_list(&[b"assertion", client_id.as_bytes(), jti.as_bytes()]);
        let until = claims.exp.saturating_add(LEEWAY_S + 1);
        let first = self.store.use_once(&id, until).await;
        let first = first.map_err(|error| self.store_failed(&error))?;
        if !first {
            tracing::warn!(client_id, "a client's assertion was used again");
        }
        Ok(first)
    }
}
