//! One public key (RFC 7517), pinned to one algorithm.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json::{base64url, object, to_base64url};
use crate::{Algorithm, KeyError};

/// A public key that verifies signatures of exactly one algorithm.
///
/// EC P-256 → ES256, EC P-384 → ES384, OKP Ed25519 → `EdDSA`; an RSA key of 2048 to 8192 bits has the algorithm
/// its `alg` states, or else the one the caller pins. A key without `kid` gets its RFC 7638 thumbprint as `kid`.
#[derive(Clone)]
pub struct Jwk {
    kid: String,
    alg: Algorithm,
    numbers: Numbers,
    key: Arc<ParsedPublicKey>,
}

/// The public parameters, base64url as they came (which is their only accepted form).
#[derive(Clone, PartialEq, Eq, Debug)]
enum Numbers {
    Ec {
        crv: &'static str,
        x: String,
        y: String,
    },
    Rsa {
        n: String,
        e: String,
    },
    Okp {
        x: String,
    },
}

/// Members that only private or symmetric keys have (RFC 7518 §6).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

impl Jwk {
    /// Reads one key from JSON. `rsa_alg` pins RSA keys that do not state their own `alg`.
    ///
    /// # Errors
    /// [`KeyError`]; `Unsuitable` for a key of an unknown kind or another use.
    pub fn from_json(json: &str, rsa_alg: Option<Algorithm>) -> Result<Self, KeyError> {
        let members = object(json.as_bytes()).map_err(|cause| KeyError::Json { cause })?;
        Self::from_members(&members, rsa_alg)
    }

    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm the key is for.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The SHA-256 thumbprint of RFC 7638, base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.numbers.thumbprint()
    }

    pub(crate) fn signature_ok(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    pub(crate) fn from_p256_point(point: &[u8]) -> Result<Self, KeyError> {
        // Uncompressed (SEC 1 §2.3.3): 4, then x and y of 32 bytes each.
        let Some((4, xy)) = point.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(KeyError::Rejected);
        };
        let (x, y) = xy.split_at_checked(32).ok_or(KeyError::Rejected)?;
        let numbers = Numbers::Ec {
            crv: "P-256",
            x: to_base64url(x),
            y: to_base64url(y),
        };
        Self::from_numbers(numbers, Algorithm::Es256)
    }

    pub(crate) fn from_ed25519(point: &[u8]) -> Result<Self, KeyError> {
        let numbers = Numbers::Okp {
            x: to_base64url(point),
        };
        Self::from_numbers(numbers, Algorithm::EdDsa)
    }

    pub(crate) fn from_rsa(n: &[u8], e: &[u8], alg: Algorithm) -> Result<Self, KeyError> {
        let numbers = Numbers::Rsa {
            n: to_base64url(n),
            e: to_base64url(e),
        };
        Self::from_numbers(numbers, alg)
    }

    fn from_numbers(numbers: Numbers, alg: Algorithm) -> Result<Self, KeyError> {
        let key = numbers.parse(alg)?;
        Ok(Self {
            kid: numbers.thumbprint(),
            alg,
            numbers,
            key: Arc::new(key),
        })
    }

    pub(crate) fn from_members(
        members: &Map<String, Value>,
        rsa_alg: Option<Algorithm>,
    ) -> Result<Self, KeyError> {
        for member in PRIVATE {
            if members.contains_key(*member) {
                return Err(KeyError::Private { member });
            }
        }
        check_use(members)?;
        let (numbers, natural) = numbers(members)?;
        let alg = pinned_alg(members, natural, rsa_alg)?;
        let key = numbers.parse(alg)?;
        let kid = match members.get("kid") {
            None => numbers.thumbprint(),
            Some(Value::String(kid)) if !kid.is_empty() => kid.clone(),
            Some(_) => {
                return Err(KeyError::Member {
                    member: "kid",
                    problem: "not a string or empty",
                });
            }
        };
        Ok(Self {
            kid,
            alg,
            numbers,
            key: Arc::new(key),
        })
    }

    /// The public members as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |name: &str, value: &str| members.insert(name.to_owned(), value.into());
        for (name, value) in self.numbers.members() {
            put(name, value);
        }
        put("use", "sig");
        put("alg", self.alg.name());
        put("kid", &self.kid);
        Value::Object(members)
    }
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.alg == other.alg && self.numbers == other.numbers
    }
}

impl Eq for Jwk {}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        Self::from_members(&members, None).map_err(serde::de::Error::custom)
    }
}

impl Numbers {
    /// The members in the order of their names, as RFC 7638 §3.2 wants them.
    fn members(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Ec { crv, x, y } => vec![("crv", crv), ("kty", "EC"), ("x", x), ("y", y)],
            Self::Rsa { n, e } => vec![("e", e), ("kty", "RSA"), ("n", n)],
            Self::Okp { x } => vec![("crv", "Ed25519"), ("kty", "OKP"), ("x", x)],
        }
    }

    fn thumbprint(&self) -> String {
        // Names and values are base64url or fixed words: nothing in them needs escaping.
        let members: Vec<String> = self
            .members()
            .iter()
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        to_base64url(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }

    fn parse(&self, alg: Algorithm) -> Result<ParsedPublicKey, KeyError> {
        let parsed = match self {
            Self::Ec { crv, x, y } => {
                let coordinate_bytes = if *crv == "P-256" { 32 } else { 48 };
                let mut point = vec![4];
                for (member, text) in [("x", x), ("y", y)] {
                    let bytes = decoded(member, text)?;
                    if bytes.len() != coordinate_bytes {
                        return Err(KeyError::Member {
                            member,
                            problem: "of the wrong length for its curve",
                        });
                    }
                    point.extend(bytes);
                }
                let check = match alg {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    _ => &signature::ECDSA_P384_SHA384_FIXED,
                };
                ParsedPublicKey::new(check, point)
            }
            Self::Okp { x } => {
                let bytes = decoded("x", x)?;
                if bytes.len() != signature::ED25519_PUBLIC_KEY_LEN {
                    return Err(KeyError::Member {
                        member: "x",
                        problem: "of the wrong length for its curve",
                    });
                }
                ParsedPublicKey::new(&signature::ED25519, bytes)
            }
            Self::Rsa { n, e } => {
                let (n, e) = (decoded("n", n)?, decoded("e", e)?);
                rsa_size_ok(&n)?;
                let params = alg.rsa().ok_or(KeyError::Rejected)?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(params)
            }
        };
        parsed.map_err(|_| KeyError::Rejected)
    }
}

fn rsa_size_ok(n: &[u8]) -> Result<(), KeyError> {
    let Some(first) = n.first().filter(|first| **first != 0) else {
        return Err(KeyError::Member {
            member: "n",
            problem: "empty or begins with a zero byte",
        });
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Ok(());
    }
    Err(KeyError::Unsuitable {
        reason: format!("RSA of {bits} bits, {RSA_BITS_MIN} to {RSA_BITS_MAX} are accepted"),
    })
}

fn decoded(member: &'static str, text: &str) -> Result<Vec<u8>, KeyError> {
    base64url(text).ok_or(KeyError::Member {
        member,
        problem: "not canonical base64url",
    })
}

fn string<'m>(members: &'m Map<String, Value>, member: &'static str) -> Result<&'m str, KeyError> {
    match members.get(member) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(KeyError::Member {
            member,
            problem: "not a string",
        }),
        None => Err(KeyError::Member {
            member,
            problem: "missing",
        }),
    }
}

fn optional<'m>(
    members: &'m Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'m str>, KeyError> {
    if members.contains_key(member) {
        string(members, member).map(Some)
    } else {
        Ok(None)
    }
}

/// `use` and `key_ops`, where present, must allow verifying (RFC 7517 §4.2, §4.3).
fn check_use(members: &Map<String, Value>) -> Result<(), KeyError> {
    if let Some(purpose) = optional(members, "use")?
        && purpose != "sig"
    {
        return Err(KeyError::Unsuitable {
            reason: format!("use is {purpose:?}"),
        });
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(KeyError::Unsuitable {
            reason: "key_ops lacks \"verify\"".to_owned(),
        }),
        Some(_) => Err(KeyError::Member {
            member: "key_ops",
            problem: "not an array",
        }),
    }
}

/// The parameters, and the algorithm that the kind of key implies.
fn numbers(members: &Map<String, Value>) -> Result<(Numbers, Option<Algorithm>), KeyError> {
    let text = |member| string(members, member).map(str::to_owned);
    match string(members, "kty")? {
        "EC" => {
            let (crv, alg) = match string(members, "crv")? {
                "P-256" => ("P-256", Algorithm::Es256),
                "P-384" => ("P-384", Algorithm::Es384),
                other => {
                    return Err(KeyError::Unsuitable {
                        reason: format!("curve {other:?}"),
                    });
                }
            };
            Ok((
                Numbers::Ec {
                    crv,
                    x: text("x")?,
                    y: text("y")?,
                },
                Some(alg),
            ))
        }
        "OKP" => match string(members, "crv")? {
            "Ed25519" => Ok((Numbers::Okp { x: text("x")? }, Some(Algorithm::EdDsa))),
            other => Err(KeyError::Unsuitable {
                reason: format!("curve {other:?}"),
            }),
        },
        "RSA" => Ok((
            Numbers::Rsa {
                n: text("n")?,
                e: text("e")?,
            },
            None,
        )),
        other => Err(KeyError::Unsuitable {
            reason: format!("kty {other:?}"),
        }),
    }
}

fn pinned_alg(
    members: &Map<String, Value>,
    natural: Option<Algorithm>,
    rsa_alg: Option<Algorithm>,
) -> Result<Algorithm, KeyError> {
    let stated = match optional(members, "alg")? {
        None => None,
        Some(name) => Some(
            Algorithm::from_name(name).ok_or_else(|| KeyError::Unsuitable {
                reason: format!("alg {name:?}"),
            })?,
        ),
    };
    match (natural, stated) {
        (Some(natural), None) => Ok(natural),
        (Some(natural), Some(stated)) if natural == stated => Ok(natural),
        (Some(natural), Some(stated)) => Err(KeyError::Unsuitable {
            reason: format!("alg {stated} on a key for {natural}"),
        }),
        (None, stated) => match stated.or(rsa_alg) {
            Some(alg) if alg.rsa().is_some() => Ok(alg),
            Some(alg) => Err(KeyError::Unsuitable {
                reason: format!("alg {alg} on an RSA key"),
            }),
            None => Err(KeyError::Unsuitable {
                reason: "an RSA key without alg, and none is configured for it".to_owned(),
            }),
        },
    }
}
