//! Access tokens of other issuers, few of which follow RFC 9068 to the letter.

use serde_json::{Map, Value};

use crate::error::cut;
use crate::json::{base64url, object};
use crate::jws::{Compact, same_typ};
use crate::jwt::Claims;
use crate::{Algorithm, Expectation, JoseError, KeySet, TYP_ACCESS_TOKEN};

/// What the header of another issuer's token may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutsideRules {
    /// The values of `typ` that are accepted; none = every token needs to be without one.
    pub types: Vec<String>,
    /// Whether a header without `typ` is accepted.
    pub untyped: bool,
    /// The algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
}

/// A token of another issuer that may be believed.
#[derive(Clone, PartialEq, Debug)]
pub struct VerifiedOutside {
    /// The key that signed it.
    pub kid: String,
    /// What all tokens have. A subject or audience that it does not name is empty; `scope` is, whatever it says: issuers write it
    /// in several ways.
    pub claims: Claims,
    /// All that it says.
    pub all: Map<String, Value>,
}

/// Claims that ID tokens (OpenID Connect Core §3.3.2.11), logout tokens (OpenID Connect Back-Channel Logout §2.4) and security events
/// have, and access tokens have not.
const OF_OTHER_TOKENS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];

/// Verifies a token of another issuer, as [`crate::verify`] does, with its rules instead of the `typ` of the expectation. `aud` may
/// be missing where any audience will do, `sub`, `iat` and `jti` may be missing always. A token that does not say by its `typ` that it is an access token
/// must not look like an ID token or a logout token.
///
/// # Errors
/// [`JoseError`] tells the first thing that is wrong.
///
/// Source: RFC 7515 §5.2, RFC 7519 §7.2, RFC 8725 §3.
pub fn verify_outside(
    token: &str,
    keys: &KeySet,
    rules: &OutsideRules,
    expect: &Expectation,
    now_unix_s: u64,
) -> Result<VerifiedOutside, JoseError> {
    let compact = Compact::parse(token, expect.bytes_max)?;
    let is_access_token = rules.check_typ(&compact)?;
    if !rules.algorithms.contains(&compact.alg()) {
        return Err(JoseError::AlgUnsupported {
            alg: compact.alg().name().to_owned(),
        });
    }
    let kid = compact.kid()?.to_owned();
    let Some(key) = keys.get(&kid) else {
        return Err(JoseError::UnknownKid { kid: cut(&kid, 64) });
    };
    let jws = compact.verified(key)?;
    let all = object(&jws.payload).map_err(|cause| JoseError::Json {
        part: "payload",
        cause,
    })?;
    if !is_access_token {
        let other = OF_OTHER_TOKENS
            .into_iter()
            .find(|claim| all.contains_key(*claim));
        if let Some(claim) = other {
            return Err(JoseError::OtherToken { claim });
        }
    }
    let claims = Claims::outside(all.clone())?;
    claims.check(expect, now_unix_s)?;
    Ok(VerifiedOutside { kid, claims, all })
}

/// The `iss` that a token claims, before anything of it is believed: good for choosing whom to ask, and for nothing else.
#[must_use]
pub fn claimed_issuer(token: &str, bytes_max: usize) -> Option<String> {
    if token.len() > bytes_max {
        return None;
    }
    let payload = base64url(token.split('.').nth(1)?)?;
    match object(&payload).ok()?.get("iss") {
        Some(Value::String(issuer)) => Some(issuer.clone()),
        _ => None,
    }
}

impl OutsideRules {
    /// Whether the header says that this is an access token.
    fn check_typ(&self, compact: &Compact<'_>) -> Result<bool, JoseError> {
        let found = match compact.member("typ") {
            None if self.untyped => return Ok(false),
            Some(Value::String(found)) => found.as_str(),
            _ => "",
        };
        if self.types.iter().any(|typ| same_typ(found, typ)) {
            return Ok(same_typ(found, TYP_ACCESS_TOKEN));
        }
        Err(JoseError::Typ {
            found: cut(found, 64),
            expected: self.types.join(" or "),
        })
    }
}
