//! The compact JWS: one header, one payload, one signature, each in its one accepted form (RFC 7515 §7.1).

use serde_json::{Map, Value};

use crate::error::cut;
use crate::json::{base64url, object};
use crate::{Algorithm, JoseError, Jwk};

/// The longest token unless stated otherwise, in bytes.
pub const BYTES_MAX_DEFAULT: usize = 16 * 1024;

/// A JWS whose signature has been verified.
#[derive(Clone, PartialEq, Debug)]
pub struct Jws {
    /// All members of the header.
    pub header: Map<String, Value>,
    /// The signed bytes.
    pub payload: Vec<u8>,
}

/// Verifies a compact JWS with one key, without looking at `kid`, `typ` or the payload. Tokens go through
/// [`verify`](crate::verify); this is for signed texts that are no JWTs, and for test vectors.
///
/// # Errors
/// [`JoseError`]: too long, not compact, header not acceptable, `alg` not the key's, signature wrong.
pub fn verify_jws(token: &str, key: &Jwk, bytes_max: usize) -> Result<Jws, JoseError> {
    Compact::parse(token, bytes_max)?.verified(key)
}

/// A parsed token of which nothing is believed yet.
pub(crate) struct Compact<'t> {
    header: Map<String, Value>,
    alg: Algorithm,
    signed: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

/// Header members that are refused, and why. `crit` and `b64` change how the token is read, and no extension is
/// understood; the others offer a key of the sender's choice.
const REFUSED: &[(&str, &str)] = &[
    ("crit", "no critical extension is understood"),
    ("b64", "unencoded payloads are not understood"),
    ("zip", "compressed payloads are not understood"),
    ("jwk", "keys come from the issuer, never from the token"),
    ("jku", "keys come from the issuer, never from the token"),
    ("x5u", "keys come from the issuer, never from the token"),
    ("x5c", "keys come from the issuer, never from the token"),
];

impl<'t> Compact<'t> {
    pub(crate) fn parse(token: &'t str, bytes_max: usize) -> Result<Self, JoseError> {
        Self::parse_but(token, bytes_max, None)
    }

    /// As [`Compact::parse`], for what carries its own key.
    pub(crate) fn parse_with_jwk(token: &'t str, bytes_max: usize) -> Result<Self, JoseError> {
        Self::parse_but(token, bytes_max, Some("jwk"))
    }

    fn parse_but(
        token: &'t str,
        bytes_max: usize,
        allowed: Option<&str>,
    ) -> Result<Self, JoseError> {
        if token.len() > bytes_max {
            return Err(JoseError::TooLong {
                bytes: token.len(),
                bytes_max,
            });
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoseError::Parts {
                found: token.split('.').count(),
            });
        };
        let signed = &token[..header.len() + 1 + payload.len()];
        let header = base64url(header).ok_or(JoseError::Base64 { part: "header" })?;
        let header = object(&header).map_err(|cause| JoseError::Json {
            part: "header",
            cause,
        })?;
        for (member, reason) in REFUSED {
            if header.contains_key(*member) && allowed != Some(*member) {
                return Err(JoseError::HeaderMember { member, reason });
            }
        }
        let name = string(&header, "alg")?;
        let alg = Algorithm::from_name(name)
            .ok_or_else(|| JoseError::AlgUnsupported { alg: cut(name, 64) })?;
        let signature = base64url(signature).ok_or(JoseError::Base64 { part: "signature" })?;
        Ok(Self {
            alg,
            signed,
            payload,
            signature,
            header,
        })
    }

    /// A member of the header.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.header.get(name)
    }

    pub(crate) fn alg(&self) -> Algorithm {
        self.alg
    }

    pub(crate) fn kid(&self) -> Result<&str, JoseError> {
        string(&self.header, "kid")
    }

    /// `typ` must be the expected media type; `application/` may be left out, case does not matter (RFC 7515 §4.1.9).
    pub(crate) fn check_typ(&self, expected: &str) -> Result<(), JoseError> {
        let found = self
            .header
            .get("typ")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if same_typ(found, expected) {
            return Ok(());
        }
        Err(JoseError::Typ {
            found: cut(found, 64),
            expected: expected.to_owned(),
        })
    }

    pub(crate) fn verified(self, key: &Jwk) -> Result<Jws, JoseError> {
        if self.alg != key.alg() {
            return Err(JoseError::AlgMismatch {
                alg: self.alg,
                key_alg: key.alg(),
            });
        }
        if !key.signature_ok(self.signed.as_bytes(), &self.signature) {
            return Err(JoseError::Signature);
        }
        let payload = base64url(self.payload).ok_or(JoseError::Base64 { part: "payload" })?;
        Ok(Jws {
            header: self.header,
            payload,
        })
    }
}

fn string<'h>(header: &'h Map<String, Value>, member: &'static str) -> Result<&'h str, JoseError> {
    header
        .get(member)
        .and_then(Value::as_str)
        .ok_or(JoseError::HeaderMissing { member })
}

/// Whether two values of `typ` mean the same media type.
pub(crate) fn same_typ(one: &str, other: &str) -> bool {
    short_typ(one).eq_ignore_ascii_case(short_typ(other))
}

fn short_typ(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.get(..PREFIX.len()) {
        // A media type with a further slash cannot be shortened.
        Some(start) if start.eq_ignore_ascii_case(PREFIX) && !typ[PREFIX.len()..].contains('/') => {
            &typ[PREFIX.len()..]
        }
        _ => typ,
    }
}
