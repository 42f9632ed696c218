//! Random text: every secret and id that somebody has to carry.

use base::key_text::ALPHABET;
use zeroize::Zeroize;

/// The system gives no randomness; nothing secret can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoRandomness;

/// `prefix` and then random characters that hold at least `bits` bits.
///
/// # Errors
/// [`NoRandomness`].
pub fn random_text(prefix: &str, bits: usize) -> Result<String, NoRandomness> {
    let mut bytes = vec![0; bits.div_ceil(5)];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    let mut text = String::with_capacity(prefix.len() + bytes.len());
    text.push_str(prefix);
    // 256 is a multiple of 32: taking the low bits prefers no character.
    text.extend(
        bytes
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte & 31)])),
    );
    bytes.zeroize();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn alphabet_has_32_different_characters() {
        assert_eq!(ALPHABET.iter().collect::<HashSet<_>>().len(), 32);
    }

    #[test]
    fn texts_have_prefix_and_length_and_differ() {
        let texts: HashSet<_> = (0..100)
            .map(|_| random_text("tws_", 256).unwrap())
            .collect();
        assert_eq!(texts.len(), 100);
        for text in texts {
            assert!(text.starts_with("tws_"));
            assert_eq!(text.len(), 4 + 52, "52 characters of 5 bits hold 256 bits");
        }
    }
}
