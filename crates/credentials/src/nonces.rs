//! Nonces of the authorization server for DPoP proofs (RFC 9449 §8): made of the time, so that nobody remembers them, and
//! under a key that all processes on a database share.

use aws_lc_rs::hmac;

use crate::hashes::equal;
use crate::key_file::KeyFile;

/// How long a nonce is the present one, in seconds; the one before is good too.
const PERIOD_S: u64 = 120;
/// Bytes of a nonce: nobody guesses 128 bits in four minutes.
const BYTES: usize = 16;

/// Makes and knows nonces.
#[derive(Clone)]
pub struct Nonces(hmac::Key);

impl Nonces {
    /// Those of this key file.
    #[must_use]
    pub fn new(keys: &KeyFile) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            keys.proof_nonce().expose(),
        ))
    }

    /// The present nonce.
    #[must_use]
    pub fn present(&self, now_unix_s: u64) -> String {
        self.of(now_unix_s / PERIOD_S)
    }

    /// Whether a nonce is the present one or the one before.
    #[must_use]
    pub fn accepts(&self, nonce: &str, now_unix_s: u64) -> bool {
        let period = now_unix_s / PERIOD_S;
        [period, period.saturating_sub(1)]
            .into_iter()
            .any(|period| equal(nonce.as_bytes(), self.of(period).as_bytes()))
    }

    fn of(&self, period: u64) -> String {
        let tag = hmac::sign(&self.0, &period.to_be_bytes());
        jose::base64url(&tag.as_ref()[..BYTES])
    }
}

/// Without the key.
impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(***)")
    }
}

#[cfg(test)]
mod tests {
    use base::Secret;

    use super::*;

    /// They rotate, and the one before is good while requests are on their way.
    #[test]
    fn the_present_nonce_and_the_one_before_are_good() {
        let nonces = |byte| Nonces::new(&KeyFile::from_root(&Secret::new([byte; 32])).unwrap());
        let (ours, others) = (nonces(1), nonces(2));
        let nonce = ours.present(1000 * PERIOD_S);
        for (period, good) in [(999, false), (1000, true), (1001, true), (1002, false)] {
            assert_eq!(ours.accepts(&nonce, period * PERIOD_S), good, "{period}");
        }
        assert_ne!(nonce, ours.present(1001 * PERIOD_S));
        assert!(!others.accepts(&nonce, 1000 * PERIOD_S));
        assert!(!ours.accepts("", 1000 * PERIOD_S));
    }
}
