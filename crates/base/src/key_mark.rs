//! Tells the texts of API keys apart, where the text itself must not be.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The beginning of the keyed hash of an API key's text. A key that is being replaced has two texts, and people want to
/// know which of them is still used. It is no secret:
/// nobody gets from it to the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyMark(NonZeroU64);

impl KeyMark {
    /// That of the text with this keyed hash.
    #[must_use]
    pub fn of(hash: &Digest) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        let start = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self(NonZeroU64::new(start).unwrap_or(NonZeroU64::MIN))
    }
}
