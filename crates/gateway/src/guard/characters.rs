//! Which characters may stand where in a head: one look into a table for each, since a head is read character by character.

/// A method, a field's name, an option (RFC 9110 §5.6.2).
pub(super) const TOKEN: u8 = 1;
/// A host name or an IPv4 address (RFC 3986 §3.2.2), without percent signs and what only grammar allows.
pub(super) const HOST: u8 = 1 << 1;
/// The path of a request's target: visible ASCII, but for a few that clients encode there.
pub(super) const PATH: u8 = 1 << 2;
/// Its query, with the question mark: likewise, for a query.
pub(super) const QUERY: u8 = 1 << 3;

/// Whether each of these characters may stand there.
pub(super) fn is_all(text: &[u8], place: u8) -> bool {
    // Nearly always all of them may: to look at each without a way out between is cheapest.
    let common = text
        .iter()
        .fold(u8::MAX, |common, byte| common & PLACES[usize::from(*byte)]);
    common & place != 0
}

static PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        places[byte as usize] = places_of(byte);
        byte += 1;
    }
    places
};

const fn places_of(byte: u8) -> u8 {
    let mut places = 0;
    if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~") {
        places |= TOKEN;
    }
    if byte.is_ascii_alphanumeric() || is_one_of(byte, b"-._~") {
        places |= HOST;
    }
    if byte.is_ascii_graphic() && !is_one_of(byte, b"#<>`") {
        places |= PATH;
    }
    if byte.is_ascii_graphic() && !is_one_of(byte, b"#<>\"") {
        places |= QUERY;
    }
    places
}

const fn is_one_of(byte: u8, bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests;
