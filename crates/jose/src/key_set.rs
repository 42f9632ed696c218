//! A set of public keys (RFC 7517 §5).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::json::object;
use crate::{Algorithm, Jwk, KeyError};

/// How a set of keys is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySetRules {
    /// The algorithm of RSA keys that do not state one; without it such keys are skipped.
    pub rsa_alg: Option<Algorithm>,
    /// The most keys in a set; default 64.
    pub keys_max: usize,
    /// The longest text of a set; default 256 KiB.
    pub bytes_max: usize,
}

impl Default for KeySetRules {
    fn default() -> Self {
        Self {
            rsa_alg: None,
            keys_max: 64,
            bytes_max: 256 * 1024,
        }
    }
}

/// Public keys by `kid`. The empty set verifies nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeySet {
    keys: Vec<Jwk>,
    skipped: Vec<KeyError>,
}

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    /// [`KeyError::DuplicateKid`].
    pub fn from_keys(keys: Vec<Jwk>) -> Result<Self, KeyError> {
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|other| other.kid() == key.kid()) {
                return Err(KeyError::DuplicateKid {
                    kid: key.kid().to_owned(),
                });
            }
        }
        Ok(Self {
            keys,
            skipped: Vec::new(),
        })
    }

    /// Reads a JWK Set. Keys that are not for verifying here (another `use`, an unknown `kty`, curve or `alg`,
    /// RSA that is too short) are skipped, as RFC 7517 §5 advises; [`KeySet::skipped`] tells why.
    ///
    /// # Errors
    /// The whole set is refused for a private member, a duplicate `kid`, a malformed key, too much of anything.
    pub fn from_json(json: &str, rules: &KeySetRules) -> Result<Self, KeyError> {
        if json.len() > rules.bytes_max {
            return Err(KeyError::TooLong {
                bytes: json.len(),
                bytes_max: rules.bytes_max,
            });
        }
        let members = object(json.as_bytes()).map_err(|cause| KeyError::Json { cause })?;
        Self::from_members(&members, rules)
    }

    /// The public JWK Set, ready to be served.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Jwk::to_json).collect::<Vec<_>>() })
    }

    /// The key of this id.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// All keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Why keys of the text are not in the set.
    #[must_use]
    pub fn skipped(&self) -> &[KeyError] {
        &self.skipped
    }

    fn from_members(members: &Map<String, Value>, rules: &KeySetRules) -> Result<Self, KeyError> {
        let listed = match members.get("keys") {
            Some(Value::Array(listed)) => listed,
            Some(_) => {
                return Err(KeyError::Member {
                    member: "keys",
                    problem: "not an array",
                });
            }
            None => {
                return Err(KeyError::Member {
                    member: "keys",
                    problem: "missing",
                });
            }
        };
        if listed.len() > rules.keys_max {
            return Err(KeyError::TooMany {
                found: listed.len(),
                keys_max: rules.keys_max,
            });
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for key in listed {
            let Value::Object(members) = key else {
                return Err(KeyError::Member {
                    member: "keys",
                    problem: "not an array of objects",
                });
            };
            match Jwk::from_members(members, rules.rsa_alg) {
                Ok(key) => keys.push(key),
                Err(reason @ KeyError::Unsuitable { .. }) => skipped.push(reason),
                Err(error) => return Err(error),
            }
        }
        let set = Self::from_keys(keys)?;
        Ok(Self { skipped, ..set })
    }
}

impl Serialize for KeySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        Self::from_members(&members, &KeySetRules::default()).map_err(serde::de::Error::custom)
    }
}
