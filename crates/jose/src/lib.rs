//! Strict JWS, JWK and JWT: a key is pinned to its algorithm, use and type.
//!
//! Everything a token says about itself is checked here, member by member; aws-lc-rs below only checks the
//! signature's arithmetic. A JWT library between the two would parse the header a second time by rules of its own.
//! Knows nothing of HTTP (keys are never fetched, whatever a header asks for), stores, revocation or caches.
//!
//! Start reading at [`verify`]; [`SigningKey`] makes what it accepts.

mod algorithm;
mod assertion;
mod confirmation;
mod dpop;
mod error;
mod half_hash;
mod json;
mod jwk;
mod jws;
mod jwt;
mod key_set;
mod outside;
mod signing_key;

pub use algorithm::{ALGORITHMS, Algorithm};
pub use assertion::{AssertionExpectation, claimed_subject, verify_assertion};
pub use confirmation::Confirmation;
pub use dpop::{PROOF_BYTES_MAX, Proof, ProofExpectation, TYP_DPOP, sha256, verify_proof};
pub use error::{JoseError, JoseErrorKind, KeyError};
pub use half_hash::half_hash;
pub use json::to_base64url as base64url;
pub use jwk::Jwk;
pub use jws::{BYTES_MAX_DEFAULT, Jws, verify_jws};
pub use jwt::{Claims, Expectation, LEEWAY_S_DEFAULT, TYP_ACCESS_TOKEN, Verified, verify};
pub use key_set::{KeySet, KeySetRules};
pub use outside::{OutsideRules, VerifiedOutside, claimed_issuer, verify_outside};
pub use signing_key::SigningKey;
