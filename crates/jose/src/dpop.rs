//! DPoP proofs (RFC 9449): the one kind of JWS whose key stands in its own header.
//!
//! The key proves nothing but that the sender has it; who compares [`Proof::thumbprint`] with what a token is bound to
//! makes it worth something.

use serde_json::Value;

use crate::error::cut;
use crate::json::object;
use crate::jws::Compact;
use crate::jwt::seconds;
use crate::{Algorithm, JoseError, Jwk};

/// The `typ` of a proof (RFC 9449 §4.2).
pub const TYP_DPOP: &str = "dpop+jwt";
/// The longest proof, in bytes: an RSA key of 4096 bits and its signature take about 2 KiB.
pub const PROOF_BYTES_MAX: usize = 8 * 1024;
/// The longest `jti` of a proof, in bytes.
const JTI_BYTES_MAX: usize = 256;

/// What a proof has to be for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProofExpectation<'a> {
    /// The method of the request it came with.
    pub method: &'a str,
    /// The URL of that request; its query and fragment do not count.
    pub url: &'a str,
    /// The access token that it came with; `None` at the token endpoint.
    pub token: Option<&'a str>,
    /// Now, in seconds since 1970.
    pub now_unix_s: u64,
    /// How old it may be, and how far ahead of this clock, in seconds.
    pub window_s: u64,
}

/// A proof that is right but for what only its receiver knows: the nonce, and whether it was used before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The SHA-256 thumbprint of its key (RFC 7638): the `jkt` of tokens.
    pub thumbprint: String,
    /// Its id: good once.
    pub jti: String,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// The nonce that it repeats.
    pub nonce: Option<String>,
}

/// Verifies a proof: form, key, signature, then what it was made for.
///
/// # Errors
/// [`JoseError`]; of the claims, the first that is wrong.
///
/// Source: RFC 9449 §4.3, but for points 10 (nonce) and 11 (replay), which need memory.
pub fn verify_proof(proof: &str, expect: &ProofExpectation<'_>) -> Result<Proof, JoseError> {
    let compact = Compact::parse_with_jwk(proof, PROOF_BYTES_MAX)?;
    compact.check_typ(TYP_DPOP)?;
    let key = own_key(&compact)?;
    let jws = compact.verified(&key)?;
    let mut claims = object(&jws.payload).map_err(|cause| JoseError::Json {
        part: "payload",
        cause,
    })?;
    let iat = seconds(&mut claims, "iat", f64::floor)?;
    let iat = iat.ok_or(JoseError::ClaimMissing { claim: "iat" })?;
    let text = |claim: &'static str| match claims.get(claim) {
        None => Err(JoseError::ClaimMissing { claim }),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(JoseError::ClaimType {
            claim,
            expected: "a string",
        }),
    };
    let differs = |claim: &'static str, found: &str, expected: &str| JoseError::ClaimDiffers {
        claim,
        found: cut(found, 256),
        expected: cut(expected, 256),
    };
    let (method, url) = (text("htm")?, text("htu")?);
    if method != expect.method {
        return Err(differs("htm", method, expect.method));
    }
    if !same_url(url, expect.url) {
        return Err(differs("htu", url, expect.url));
    }
    if let Some(token) = expect.token {
        let wanted = sha256(token);
        let found = text("ath")?;
        if found != wanted {
            return Err(differs("ath", found, &wanted));
        }
    }
    check_iat(iat, expect)?;
    let jti = text("jti")?;
    if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
        return Err(JoseError::ClaimType {
            claim: "jti",
            expected: "a string of 1 to 256 bytes",
        });
    }
    let nonce = match claims.get("nonce") {
        None => None,
        Some(_) => Some(text("nonce")?.to_owned()),
    };
    Ok(Proof {
        thumbprint: key.thumbprint(),
        jti: jti.to_owned(),
        iat,
        nonce,
    })
}

/// The SHA-256 of a text, base64url: `ath` of a proof (RFC 9449 §4.2), an S256 challenge (RFC 7636 §4.2).
#[must_use]
pub fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    crate::json::to_base64url(digest.as_ref())
}

/// The key of the header, pinned to the header's own algorithm: an RSA key fits several, and there is nobody else to say.
fn own_key(compact: &Compact<'_>) -> Result<Jwk, JoseError> {
    let Some(Value::Object(members)) = compact.member("jwk") else {
        return Err(JoseError::HeaderMember {
            member: "jwk",
            reason: "a proof carries its public key there, as an object",
        });
    };
    let rsa_alg = Some(compact.alg()).filter(|alg: &Algorithm| alg.rsa().is_some());
    Jwk::from_members(members, rsa_alg).map_err(|error| JoseError::EmbeddedKey {
        cause: error.to_string(),
    })
}

fn check_iat(iat: u64, expect: &ProofExpectation<'_>) -> Result<(), JoseError> {
    let (now, leeway_s) = (expect.now_unix_s, expect.window_s);
    if iat > now.saturating_add(leeway_s) {
        return Err(JoseError::NotYetValid {
            claim: "iat",
            ahead_s: iat - now,
            leeway_s,
        });
    }
    if now > iat.saturating_add(leeway_s) {
        return Err(JoseError::Expired {
            by_s: now - iat,
            leeway_s,
        });
    }
    Ok(())
}

/// Whether two URLs name the same resource but for query and fragment: scheme and host without case, default ports and
/// an empty path as RFC 3986 §6.2.2 and §6.2.3 have them. Paths are compared as they are: what they mean encoded in
/// another way is the resource's business, and senders repeat what they requested.
fn same_url(one: &str, other: &str) -> bool {
    matches!((parts(one), parts(other)), (Some(one), Some(other)) if one == other)
}

/// Scheme, authority and path.
fn parts(url: &str) -> Option<(String, String, &str)> {
    let url = url.split(['?', '#']).next()?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let default = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    (!authority.is_empty() && !authority.contains('@'))
        .then(|| (scheme, authority.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::same_url;

    #[test]
    fn urls_are_compared_without_query_case_and_default_port() {
        let url = "https://api.example.com/pets/v1/list";
        for same in [
            url,
            "HTTPS://API.example.com:443/pets/v1/list",
            "https://api.example.com/pets/v1/list?a=b#c",
        ] {
            assert!(same_url(same, url), "{same}");
        }
        assert!(same_url("http://a:80", "http://a/"));
        for other in [
            "",
            "https://api.example.com/pets/v1/list/",
            "https://api.example.com/Pets/v1/list",
            "http://api.example.com/pets/v1/list",
            "https://api.example.com:8443/pets/v1/list",
            "https://api.example.com@evil.example/pets/v1/list",
            "//api.example.com/pets/v1/list",
            "/pets/v1/list",
        ] {
            assert!(!same_url(other, url), "{other}");
        }
    }
}
