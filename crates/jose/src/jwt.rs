//! Claims of a token (RFC 7519) and what an access token must have (RFC 9068).

use serde_json::{Map, Value};

use crate::error::cut;
use crate::json::object;
use crate::jws::{BYTES_MAX_DEFAULT, Compact, same_typ};
use crate::{JoseError, KeySet};

/// Clock skew that is tolerated unless stated otherwise, in seconds.
pub const LEEWAY_S_DEFAULT: u64 = 60;
/// The `typ` of an access token (RFC 9068 §2.1).
pub const TYP_ACCESS_TOKEN: &str = "at+jwt";

/// What a token has to be to be accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// `aud` must name at least one of these; with none, no token is accepted.
    pub audience: Vec<String>,
    /// `aud` may name anybody: for who issued the token and looks at its other claims.
    pub any_audience: bool,
    /// `typ`; for [`TYP_ACCESS_TOKEN`] also the claims that RFC 9068 §2.2 requires are checked.
    pub typ: String,
    /// Seconds by which `exp`, `nbf` and `iat` may be missed.
    pub leeway_s: u64,
    /// The longest token, in bytes.
    pub bytes_max: usize,
}

impl Expectation {
    /// An access token of this issuer for any of these audiences, with the default leeway and size.
    #[must_use]
    pub fn access_token(issuer: impl Into<String>, audience: Vec<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience,
            any_audience: false,
            typ: TYP_ACCESS_TOKEN.to_owned(),
            leeway_s: LEEWAY_S_DEFAULT,
            bytes_max: BYTES_MAX_DEFAULT,
        }
    }
}

/// The claims of a verified token. Times are seconds since 1970-01-01 UTC.
#[derive(Clone, PartialEq, Debug)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is about.
    pub sub: String,
    /// Whom it is for.
    pub aud: Vec<String>,
    /// When it ends.
    pub exp: u64,
    /// When it begins, if that is stated.
    pub nbf: Option<u64>,
    /// When it was issued; present in an access token.
    pub iat: Option<u64>,
    /// Its id; present in an access token.
    pub jti: Option<String>,
    /// The client it was issued to; present in an access token.
    pub client_id: Option<String>,
    /// The scopes, from the space-separated claim; empty when absent.
    pub scope: Vec<String>,
    /// Every other claim, as it came.
    pub other: Map<String, Value>,
}

/// A token that may be believed.
#[derive(Clone, PartialEq, Debug)]
pub struct Verified {
    /// The key that signed it.
    pub kid: String,
    /// What it says.
    pub claims: Claims,
}

/// Verifies a token: form, header, `typ`, key and algorithm, signature, then claims at `now_unix_s`.
///
/// The order means that nothing about claims is told to somebody who cannot sign. Revocation is the caller's, and
/// goes by `jti`: ECDSA lets anybody turn a signature into a second valid one, so a text is not a token's identity.
///
/// # Errors
/// [`JoseError`] tells the first thing that is wrong; [`JoseError::kind`] how to react.
///
/// Source: RFC 7515 §5.2, RFC 7519 §7.2, RFC 8725 §3, RFC 9068 §4.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expect: &Expectation,
    now_unix_s: u64,
) -> Result<Verified, JoseError> {
    let compact = Compact::parse(token, expect.bytes_max)?;
    compact.check_typ(&expect.typ)?;
    let kid = compact.kid()?.to_owned();
    let Some(key) = keys.get(&kid) else {
        return Err(JoseError::UnknownKid { kid: cut(&kid, 64) });
    };
    let jws = compact.verified(key)?;
    let members = object(&jws.payload).map_err(|cause| JoseError::Json {
        part: "payload",
        cause,
    })?;
    let claims = Claims::from_members(members)?;
    if same_typ(&expect.typ, TYP_ACCESS_TOKEN) {
        claims.check_access_token()?;
    }
    claims.check(expect, now_unix_s)?;
    Ok(Verified { kid, claims })
}

impl Claims {
    /// Reads claims from somewhere else than a JWT, where they are believed for another reason.
    ///
    /// # Errors
    /// [`JoseError`] for what is missing or has the wrong type.
    pub fn from_value(claims: Value) -> Result<Self, JoseError> {
        let Value::Object(members) = claims else {
            return Err(JoseError::Json {
                part: "payload",
                cause: "not an object".to_owned(),
            });
        };
        Self::from_members(members)
    }

    /// Holds claims against what a token has to be, as [`verify`] does after the signature.
    ///
    /// # Errors
    /// [`JoseError`] tells the first thing that is wrong.
    pub fn accept(&self, expect: &Expectation, now_unix_s: u64) -> Result<(), JoseError> {
        if same_typ(&expect.typ, TYP_ACCESS_TOKEN) {
            self.check_access_token()?;
        }
        self.check(expect, now_unix_s)
    }

    pub(crate) fn from_members(mut members: Map<String, Value>) -> Result<Self, JoseError> {
        let members = &mut members;
        Ok(Self {
            iss: required("iss", text(members, "iss")?)?,
            sub: required("sub", text(members, "sub")?)?,
            aud: audience(members)?,
            exp: required("exp", seconds(members, "exp", f64::floor)?)?,
            nbf: seconds(members, "nbf", f64::ceil)?,
            iat: seconds(members, "iat", f64::floor)?,
            jti: text(members, "jti")?,
            client_id: text(members, "client_id")?,
            scope: text(members, "scope")?
                .map(|scope| {
                    scope
                        .split(' ')
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            other: std::mem::take(members),
        })
    }

    /// All claims by their names, as a token has them.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        let mut members = self.other;
        members.insert("iss".to_owned(), self.iss.into());
        members.insert("sub".to_owned(), self.sub.into());
        members.insert("aud".to_owned(), self.aud.into());
        members.insert("exp".to_owned(), self.exp.into());
        let optional = [
            ("nbf", self.nbf.map(Value::from)),
            ("iat", self.iat.map(Value::from)),
            ("jti", self.jti.map(Value::from)),
            ("client_id", self.client_id.map(Value::from)),
            (
                "scope",
                (!self.scope.is_empty()).then(|| self.scope.join(" ").into()),
            ),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        }
        members
    }

    /// The claims of another issuer's token: subject and audience may be missing, and scopes are left alone.
    ///
    /// # Errors
    /// [`JoseError`] for what is missing or has the wrong type.
    pub fn outside(mut members: Map<String, Value>) -> Result<Self, JoseError> {
        let members = &mut members;
        let aud = match members.get("aud") {
            None => Vec::new(),
            Some(_) => audience(members)?,
        };
        Ok(Self {
            iss: required("iss", text(members, "iss")?)?,
            sub: text(members, "sub")?.unwrap_or_default(),
            aud,
            exp: required("exp", seconds(members, "exp", f64::floor)?)?,
            nbf: seconds(members, "nbf", f64::ceil)?,
            iat: seconds(members, "iat", f64::floor)?,
            jti: text(members, "jti")?,
            client_id: text(members, "client_id")?,
            scope: Vec::new(),
            other: std::mem::take(members),
        })
    }

    fn check_access_token(&self) -> Result<(), JoseError> {
        required("iat", self.iat)?;
        required("jti", self.jti.as_ref())?;
        required("client_id", self.client_id.as_ref())?;
        Ok(())
    }

    pub(crate) fn check(&self, expect: &Expectation, now_unix_s: u64) -> Result<(), JoseError> {
        if self.iss != expect.issuer {
            return Err(JoseError::Issuer {
                found: cut(&self.iss, 256),
                expected: expect.issuer.clone(),
            });
        }
        if !expect.any_audience && !self.aud.iter().any(|aud| expect.audience.contains(aud)) {
            return Err(JoseError::Audience {
                found: self.aud.iter().take(16).map(|aud| cut(aud, 256)).collect(),
                expected: expect.audience.clone(),
            });
        }
        let leeway_s = expect.leeway_s;
        // RFC 7519 §4.1.4: the current time must be before exp.
        if now_unix_s >= self.exp.saturating_add(leeway_s) {
            return Err(JoseError::Expired {
                by_s: now_unix_s - self.exp,
                leeway_s,
            });
        }
        for (claim, begins) in [("nbf", self.nbf), ("iat", self.iat)] {
            if let Some(begins) = begins
                && begins > now_unix_s.saturating_add(leeway_s)
            {
                return Err(JoseError::NotYetValid {
                    claim,
                    ahead_s: begins - now_unix_s,
                    leeway_s,
                });
            }
        }
        Ok(())
    }
}

fn required<T>(claim: &'static str, value: Option<T>) -> Result<T, JoseError> {
    value.ok_or(JoseError::ClaimMissing { claim })
}

fn text(
    members: &mut Map<String, Value>,
    claim: &'static str,
) -> Result<Option<String>, JoseError> {
    match members.shift_remove(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JoseError::ClaimType {
            claim,
            expected: "a string",
        }),
    }
}

/// One string or an array of them (RFC 7519 §4.1.3).
fn audience(members: &mut Map<String, Value>) -> Result<Vec<String>, JoseError> {
    const WRONG: JoseError = JoseError::ClaimType {
        claim: "aud",
        expected: "a string or an array of strings",
    };
    match members.shift_remove("aud") {
        None => Err(JoseError::ClaimMissing { claim: "aud" }),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) => many
            .into_iter()
            .map(|aud| {
                if let Value::String(aud) = aud {
                    Ok(aud)
                } else {
                    Err(WRONG)
                }
            })
            .collect(),
        Some(_) => Err(WRONG),
    }
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction; `round` takes it to the strict side.
pub(crate) fn seconds(
    members: &mut Map<String, Value>,
    claim: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, JoseError> {
    /// Beyond 2⁵³ a JSON number is no longer exact; no clock shows that.
    const MAX: u64 = 1 << 53;
    let Some(value) = members.shift_remove(claim) else {
        return Ok(None);
    };
    let whole = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => Some(whole),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range checked before"
        )]
        (None, Some(fraction)) if (0.0..9.0e15).contains(&fraction) => Some(round(fraction) as u64),
        _ => None,
    };
    whole
        .filter(|whole| *whole <= MAX)
        .map(Some)
        .ok_or(JoseError::ClaimType {
            claim,
            expected: "a number of seconds since 1970",
        })
}
