//! `at_hash` and its like.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The left half of a token's hash in base64url: `at_hash` in an ID token that is signed with `alg`. Ed25519 hashes with
/// SHA-512 (RFC 8032 §5.1), the others that we sign with hash with SHA-256.
///
/// Source: OpenID Connect Core §3.1.3.6.
#[must_use]
pub fn half_hash(alg: &str, token: &str) -> String {
    let algorithm = match alg {
        "EdDSA" | "Ed25519" => &SHA512,
        _ => &SHA256,
    };
    let hash = digest(algorithm, token.as_bytes());
    let half = hash.as_ref().len() / 2;
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..half])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of OpenID Connect Core appendix A.3 (RS256).
    #[test]
    fn the_examples_hash_comes_out() {
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash("RS256", token), "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(half_hash("ES256", token).len(), 22);
        assert_eq!(half_hash("EdDSA", token).len(), 43);
    }
}
