//! The numbers of an RSA public key, out of what the crypto library gives: the DER of RFC 8017, appendix A.1.1.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// Modulus and exponent, without leading zeros.
pub(super) fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, rest) = element(der, SEQUENCE)?;
    let (n, after) = element(numbers, INTEGER)?;
    let (e, end) = element(after, INTEGER)?;
    (rest.is_empty() && end.is_empty()).then_some((positive(n)?, positive(e)?))
}

/// A DER element of this tag: its content, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A positive number has a zero byte before it where its first bit is set.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    let number = integer.strip_prefix(&[0]).unwrap_or(integer);
    (!number.is_empty()).then_some(number)
}
