//! What a client signs about itself to prove who it is (RFC 7523 §3, OpenID Connect Core §9).

use crate::error::cut;
use crate::json::{base64url, object};
use crate::jws::{BYTES_MAX_DEFAULT, Compact};
use crate::jwt::{Claims, Expectation};
use crate::{JoseError, Jwk, KeySet};

/// The longest `jti` of an assertion, in bytes.
const JTI_BYTES_MAX: usize = 256;
/// The types that an assertion may have: none, a plain JWT, and the one that was made for it. Every other kind of token
/// that a client can sign or hold has a type of its own, and is refused for it.
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// What an assertion has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AssertionExpectation<'a> {
    /// The client: `iss` and `sub`.
    pub client_id: &'a str,
    /// `aud` must name one of these.
    pub audience: Vec<String>,
    /// Now, in seconds since 1970.
    pub now_unix_s: u64,
    /// Seconds by which `nbf` and `iat` may be ahead, and `exp` may have passed.
    pub leeway_s: u64,
    /// How far ahead `exp` may be, in seconds: so long the id must be remembered.
    pub lifetime_max_s: u64,
}

/// Who an assertion says that it is of, before anything of it is verified: for finding the keys.
///
/// # Errors
/// [`JoseError`] when it is no JWT with a `sub`.
pub fn claimed_subject(assertion: &str) -> Result<String, JoseError> {
    Compact::parse(assertion, BYTES_MAX_DEFAULT)?;
    let payload = assertion.split('.').nth(1).unwrap_or_default();
    let payload = base64url(payload).ok_or(JoseError::Base64 { part: "payload" })?;
    let claims = object(&payload).map_err(|cause| JoseError::Json {
        part: "payload",
        cause,
    })?;
    let subject = claims.get("sub").and_then(serde_json::Value::as_str);
    subject
        .map(str::to_owned)
        .ok_or(JoseError::ClaimMissing { claim: "sub" })
}

/// Verifies a client's assertion. That its `jti` is new is for the caller to find out.
///
/// A header without `kid` is for every key of its algorithm.
///
/// # Errors
/// [`JoseError`]; with [`JoseError::UnknownKid`] newer keys may help.
///
/// Source: RFC 7523 §3, OpenID Connect Core §9.
pub fn verify_assertion(
    assertion: &str,
    keys: &KeySet,
    expect: &AssertionExpectation<'_>,
) -> Result<Claims, JoseError> {
    let compact = Compact::parse(assertion, BYTES_MAX_DEFAULT)?;
    if compact.member("typ").is_some() && !TYPES.iter().any(|typ| compact.check_typ(typ).is_ok()) {
        compact.check_typ(TYPES[0])?;
    }
    let jws = match compact.member("kid") {
        Some(_) => {
            let kid = compact.kid()?.to_owned();
            let key = keys.get(&kid);
            let key = key.ok_or_else(|| JoseError::UnknownKid { kid: cut(&kid, 64) })?;
            compact.verified(key)?
        }
        None => by_any(assertion, keys.keys(), &compact)?,
    };
    let members = object(&jws.payload).map_err(|cause| JoseError::Json {
        part: "payload",
        cause,
    })?;
    let claims = Claims::from_members(members)?;
    check(&claims, expect)?;
    Ok(claims)
}

fn by_any(assertion: &str, keys: &[Jwk], compact: &Compact<'_>) -> Result<crate::Jws, JoseError> {
    let mut told = JoseError::UnknownKid { kid: String::new() };
    for key in keys.iter().filter(|key| key.alg() == compact.alg()) {
        match crate::verify_jws(assertion, key, BYTES_MAX_DEFAULT) {
            Ok(jws) => return Ok(jws),
            Err(error) => told = error,
        }
    }
    Err(told)
}

fn check(claims: &Claims, expect: &AssertionExpectation<'_>) -> Result<(), JoseError> {
    let (now, leeway_s) = (expect.now_unix_s, expect.leeway_s);
    if claims.sub != expect.client_id {
        return Err(JoseError::ClaimDiffers {
            claim: "sub",
            found: cut(&claims.sub, 256),
            expected: cut(expect.client_id, 256),
        });
    }
    let times = Expectation {
        leeway_s,
        ..Expectation::access_token(expect.client_id, expect.audience.clone())
    };
    claims.check(&times, now)?;
    let ahead_s = claims.exp.saturating_sub(now);
    if ahead_s > expect.lifetime_max_s.saturating_add(leeway_s) {
        return Err(JoseError::LivesTooLong {
            ahead_s,
            lifetime_max_s: expect.lifetime_max_s,
        });
    }
    match claims.jti.as_deref() {
        None => Err(JoseError::ClaimMissing { claim: "jti" }),
        Some(jti) if jti.is_empty() || jti.len() > JTI_BYTES_MAX => Err(JoseError::ClaimType {
            claim: "jti",
            expected: "a string of 1 to 256 bytes",
        }),
        Some(_) => Ok(()),
    }
}
