//! What can be wrong with a token or a key, said so that its sender can mend it.

use crate::Algorithm;

/// Why a token is refused. The texts may be shown to whoever sent the token: they repeat at most what it says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoseError {
    /// Longer than allowed.
    #[error("the token has {bytes} bytes, at most {bytes_max} are accepted")]
    TooLong {
        /// Length of the token.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Not a compact JWS (RFC 7515 §7.1).
    #[error("the token has {found} parts separated by dots, a compact JWS has 3")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// Not base64url as RFC 7515 §2 has it: no padding, no other characters, no stray bits at the end.
    #[error("the {part} is not unpadded base64url in its canonical form")]
    Base64 {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// Not JSON, or a member twice.
    #[error("the {part} is not acceptable JSON: {cause}")]
    Json {
        /// `header` or `payload`.
        part: &'static str,
        /// What the parser says.
        cause: String,
    },
    /// A header member that must not be there.
    #[error("the header has the member {member:?}, which is not accepted: {reason}")]
    HeaderMember {
        /// Its name.
        member: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A header member that must be there as a string.
    #[error("the header has no member {member:?} of type string")]
    HeaderMissing {
        /// Its name.
        member: &'static str,
    },
    /// `alg` names nothing that is understood; `none` and HMAC are among them.
    #[error("alg {alg:?} is not accepted")]
    AlgUnsupported {
        /// The value, cut to 64 characters.
        alg: String,
    },
    /// `alg` differs from what the key is for.
    #[error("alg {alg} does not match the key's {key_alg}")]
    AlgMismatch {
        /// The token's.
        alg: Algorithm,
        /// The key's.
        key_alg: Algorithm,
    },
    /// `typ` is not the expected one.
    #[error("typ is {found:?}, expected {expected:?}")]
    Typ {
        /// The token's, cut to 64 characters; empty when absent.
        found: String,
        /// The expected one.
        expected: String,
    },
    /// No key of this id. The issuer may have rotated its keys: fetching them anew may help.
    #[error("no key with kid {kid:?} is known")]
    UnknownKid {
        /// The token's, cut to 64 characters.
        kid: String,
    },
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
    /// A required claim is absent.
    #[error("the claim {claim:?} is missing")]
    ClaimMissing {
        /// Its name.
        claim: &'static str,
    },
    /// A claim has a type other than the one RFC 7519 or RFC 9068 gives it.
    #[error("the claim {claim:?} is not {expected}")]
    ClaimType {
        /// Its name.
        claim: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A claim has another value than it has to.
    #[error("the claim {claim:?} is {found:?}, expected {expected:?}")]
    ClaimDiffers {
        /// Its name.
        claim: &'static str,
        /// The token's, cut to 256 characters.
        found: String,
        /// The expected one, cut too.
        expected: String,
    },
    /// A claim that access tokens do not have.
    #[error(
        "the token has the claim {claim:?}: it is an ID token or a logout token, not an access token"
    )]
    OtherToken {
        /// Its name.
        claim: &'static str,
    },
    /// The key in the header of a proof is none that is accepted.
    #[error("the key in the header is not accepted: {cause}")]
    EmbeddedKey {
        /// What is wrong with it.
        cause: String,
    },
    /// It would be good for longer than anybody remembers that it was used.
    #[error("exp is {ahead_s}s ahead, at most {lifetime_max_s}s are accepted")]
    LivesTooLong {
        /// Seconds until `exp`.
        ahead_s: u64,
        /// The limit.
        lifetime_max_s: u64,
    },
    /// Issued by somebody else.
    #[error("iss is {found:?}, expected {expected:?}")]
    Issuer {
        /// The token's, cut to 256 characters.
        found: String,
        /// The expected one.
        expected: String,
    },
    /// Meant for somebody else.
    #[error("aud names none of {expected:?}")]
    Audience {
        /// The token's, the first 16 of them, each cut to 256 characters.
        found: Vec<String>,
        /// Any of these would do.
        expected: Vec<String>,
    },
    /// Over.
    #[error("exp {by_s}s ago (leeway {leeway_s}s)")]
    Expired {
        /// Seconds since `exp`.
        by_s: u64,
        /// Seconds that are tolerated.
        leeway_s: u64,
    },
    /// Not yet begun: the clock of the issuer or of this node is wrong.
    #[error("{claim} {ahead_s}s ahead (leeway {leeway_s}s)")]
    NotYetValid {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// Seconds that are left.
        ahead_s: u64,
        /// Seconds that are tolerated.
        leeway_s: u64,
    },
}

/// The four ways in which a caller reacts to a [`JoseError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoseErrorKind {
    /// Malformed, forged or meant for somebody else.
    Invalid,
    /// Was valid once.
    Expired,
    /// Will be valid.
    NotYetValid,
    /// Signed with a key that is not known (yet).
    UnknownKid,
}

impl JoseError {
    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> JoseErrorKind {
        match self {
            Self::Expired { .. } => JoseErrorKind::Expired,
            Self::NotYetValid { .. } => JoseErrorKind::NotYetValid,
            Self::UnknownKid { .. } => JoseErrorKind::UnknownKid,
            _ => JoseErrorKind::Invalid,
        }
    }
}

/// Why a key or a set of keys is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not JSON, or a member twice.
    #[error("not acceptable JSON: {cause}")]
    Json {
        /// What the parser says.
        cause: String,
    },
    /// Longer than allowed.
    #[error("the key set has {bytes} bytes, at most {bytes_max} are accepted")]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More keys than allowed.
    #[error("the key set has {found} keys, at most {keys_max} are accepted")]
    TooMany {
        /// How many there are.
        found: usize,
        /// The limit.
        keys_max: usize,
    },
    /// Two keys with one id: which of them a token means would be a guess.
    #[error("two keys have the kid {kid:?}")]
    DuplicateKid {
        /// The id.
        kid: String,
    },
    /// A private or symmetric key where a public one belongs.
    #[error(
        "the key has the private member {member:?}; publish only public members and replace this key"
    )]
    Private {
        /// The member's name; never its value.
        member: &'static str,
    },
    /// A member is absent or malformed.
    #[error("the key's member {member:?} is {problem}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A sound key of a kind, or for a use, that is not verified with here. A set skips it.
    #[error("the key is not for verifying signatures here: {reason}")]
    Unsuitable {
        /// Why.
        reason: String,
    },
    /// The numbers are no key: for example a point off the curve.
    #[error("the key's parameters are not a valid public key")]
    Rejected,
    /// A private key cannot be generated, read or written.
    #[error("the signing key cannot be {step}")]
    Signing {
        /// `generated`, `read`, `written` or `used`.
        step: &'static str,
    },
    /// The claims to be signed do not serialise to a JSON object.
    #[error("the claims do not serialise to a JSON object")]
    Claims,
}

/// At most `chars` characters of what a stranger sent.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
