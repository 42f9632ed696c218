//! The text of API keys: `twk_`, 52 random characters (260 bits), 7 characters of checksum.
//!
//! Characters are those of a base32 without `l`, `o`, `0` and `1`. The checksum is the CRC-32 (ISO 3309) over all that
//! stands before it, most significant bits first, five bits a character: whoever mistypes a key learns it without a
//! look-up, and who scans texts for lost keys is not misled by what only looks like one. It is no secret and proves
//! nothing. Keys of before had none: `twk_` and 52 characters.

/// What keys begin with.
pub const PREFIX: &str = "twk_";

/// The characters of keys and of every other random text.
pub const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Random characters of a key.
const RANDOM_CHARS: usize = 52;
/// Characters of the checksum: 35 bits hold 32.
const CHECKSUM_CHARS: usize = 7;

/// The text with its checksum behind it.
#[must_use]
pub fn with_checksum(mut text: String) -> String {
    let checksum = checksum(text.as_bytes());
    text.extend(checksum.map(char::from));
    text
}

/// Whether this can be a key: of the right length and with the right checksum. Whether it *is* one only a look-up tells.
#[must_use]
pub fn is_well_formed(key: &str) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX) else {
        return false;
    };
    match rest.len().checked_sub(RANDOM_CHARS) {
        Some(0) => true,
        Some(CHECKSUM_CHARS) => {
            let (text, found) = key.as_bytes().split_at(PREFIX.len() + RANDOM_CHARS);
            checksum(text) == *found
        }
        _ => false,
    }
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let crc = u64::from(crc32(text)) << 3;
    let mut chars = [0; CHECKSUM_CHARS];
    for (place, char) in chars.iter_mut().enumerate() {
        let bits = crc >> (5 * (CHECKSUM_CHARS - 1 - place));
        *char = ALPHABET[usize::from((bits & 31) as u8)];
    }
    chars
}

fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(!0, |crc, byte| {
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte as usize] = crc;
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "twk_abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuv";

    #[test]
    fn crc_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_typo_is_seen() {
        let key = with_checksum(KEY.to_owned());
        assert_eq!(key.len(), PREFIX.len() + 59);
        assert!(is_well_formed(&key));
        for at in PREFIX.len()..key.len() {
            let mut typo = key.clone().into_bytes();
            typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
            assert!(
                !is_well_formed(std::str::from_utf8(&typo).unwrap()),
                "at {at}"
            );
        }
        let mut swapped = key.clone().into_bytes();
        swapped.swap(10, 11);
        assert!(!is_well_formed(std::str::from_utf8(&swapped).unwrap()));
    }

    #[test]
    fn only_keys_look_like_keys() {
        assert!(is_well_formed(KEY), "keys of before have no checksum");
        for text in [
            "",
            "twk_",
            "tws_abc",
            "twk_\u{fc}",
            &KEY[1..],
            &KEY[..55],
            &format!("{KEY}aa"),
        ] {
            assert!(!is_well_formed(text), "{text}");
        }
        let wide = format!("twk_{}", "\u{fc}".repeat(26));
        assert!(
            is_well_formed(&wide),
            "length is all that older keys are held against"
        );
        assert!(!is_well_formed(&format!("twk_{}a", "\u{fc}".repeat(29))));
    }
}
