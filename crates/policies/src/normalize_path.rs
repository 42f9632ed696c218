//! One canonical path for router, policies and backend, computed once a request, before matching.
//!
//! Whatever two readers could understand differently is refused; what is left is brought into one form. So the router
//! decides over exactly the path that the backend gets (req: S1).
//!
//! Refused: dot-segments, plain or encoded, also with `;` behind them; encoded slash and backslash; raw backslash;
//! `%25` before two hexadecimal digits (double encoding); controls, raw or encoded; bytes beyond ASCII, unless encoded
//! and UTF-8; incomplete percent triplets; empty segments (`//`); a `;` behind other text in its segment (some backends
//! cut the segment there); a fragment.
//!
//! Brought into one form: what a path segment may hold as it is (RFC 3986 §3.3, `pchar` without `;`) is decoded; all
//! else is encoded, with digits in upper case.

use std::borrow::Cow;

use base::code::BAD_PATH;
use policy::Reject;

/// What a path may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathRules {
    /// The longest path, in bytes, as it came and in canonical form; default 8 KiB.
    pub bytes_max: usize,
    /// The most segments; default 256.
    pub segments_max: usize,
    /// Whether `;` may follow other text in a segment (`/cars;colour=red`); default no. A segment that begins with
    /// `;`, as OpenAPI's style `matrix` writes it, always may.
    pub segment_parameters: bool,
}

impl Default for PathRules {
    fn default() -> Self {
        Self {
            bytes_max: 8 * 1024,
            segments_max: 256,
            segment_parameters: false,
        }
    }
}

/// The canonical form of a path (without query), borrowed when it is canonical already. `canonical` of a canonical
/// path is that path.
///
/// # Errors
/// `BAD_PATH` (400) with what is wrong.
///
/// Source: RFC 3986 §2.1, §3.3, §6.2.2.
pub fn canonical<'p>(raw: &'p str, rules: &PathRules) -> Result<Cow<'p, str>, Reject> {
    check_length(raw, rules)?;
    if !raw.starts_with('/') {
        return Err(refuse("the path does not begin with a slash"));
    }
    match glance(raw.as_bytes(), rules.segments_max) {
        Glance::Canonical => return Ok(Cow::Borrowed(raw)),
        Glance::Look => check_segments(raw, rules)?,
        Glance::Recode => {
            let path = recode(raw)?;
            // Encoding makes three bytes of one.
            check_length(&path, rules)?;
            check_segments(&path, rules)?;
            return Ok(path);
        }
    }
    Ok(Cow::Borrowed(raw))
}

/// What one pass over the bytes shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Glance {
    /// Nothing can be wrong: no segment is empty or begins with a dot, and there is no semicolon.
    Canonical,
    /// All characters are plain; the segments have to be looked at.
    Look,
    /// Something has to be decoded, encoded or refused.
    Recode,
}

/// One look into a table for each byte, since every path comes by here: which marks there are, and which stand behind a slash.
fn glance(path: &[u8], segments_max: usize) -> Glance {
    let (mut seen, mut behind, mut before) = (0, 0, 0);
    for byte in path {
        let marks = MARKS[usize::from(*byte)];
        seen |= marks;
        behind |= (before << 1) & marks;
        before = marks;
    }
    // A segment has a slash: few bytes are few segments.
    let many = || path.iter().filter(|byte| **byte == b'/').count() > segments_max;
    if seen & NOT_PLAIN != 0 {
        Glance::Recode
    } else if behind & UNCLEAR_BEHIND_SLASH != 0
        || seen & SEMICOLON != 0
        || (path.len() > segments_max && many())
    {
        Glance::Look
    } else {
        Glance::Canonical
    }
}

const SLASH: u8 = 1;
/// A slash or a dot. One bit above [`SLASH`]: moved up by one, the marks of the byte before meet it.
const UNCLEAR_BEHIND_SLASH: u8 = SLASH << 1;
const SEMICOLON: u8 = 1 << 2;
const NOT_PLAIN: u8 = 1 << 3;

static MARKS: [u8; 256] = {
    let mut marks = [0; 256];
    let mut byte = 0_u8;
    loop {
        marks[byte as usize] = match (byte, class(byte)) {
            (b'/', _) => SLASH | UNCLEAR_BEHIND_SLASH,
            (b'.', _) => UNCLEAR_BEHIND_SLASH,
            (b';', _) => SEMICOLON,
            (_, Class::Plain) => 0,
            (_, Class::Percent | Class::Encode | Class::Refuse) => NOT_PLAIN,
        };
        if byte == u8::MAX {
            break marks;
        }
        byte += 1;
    }
};

/// The canonical form of a literal of a path template: as [`canonical`] would write it in a path. Percent triplets of
/// the literal are kept as text is: a template is not encoded.
#[must_use]
pub fn canonical_literal(literal: &str) -> Cow<'_, str> {
    if literal.bytes().all(|byte| class(byte) == Class::Plain) {
        return Cow::Borrowed(literal);
    }
    let bytes = literal.as_bytes();
    let mut text = String::with_capacity(literal.len() + 16);
    let mut at = 0;
    while at < bytes.len() {
        match triplet(&bytes[at..]) {
            Some(byte) => {
                push(&mut text, byte);
                at += 3;
            }
            None => {
                push(&mut text, bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(text)
}

fn check_length(path: &str, rules: &PathRules) -> Result<(), Reject> {
    if path.len() <= rules.bytes_max {
        return Ok(());
    }
    let detail = format!(
        "the path has {} bytes, at most {} are accepted",
        path.len(),
        rules.bytes_max
    );
    Err(Reject::new(BAD_PATH, detail))
}

fn refuse(detail: &'static str) -> Reject {
    Reject::new(BAD_PATH, detail)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands in a canonical path as it is.
    Plain,
    /// Begins a triplet.
    Percent,
    /// Has to be encoded; browsers and others send it raw nevertheless.
    Encode,
    /// Refused where it is raw.
    Refuse,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Plain,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => Class::Plain,
        b':' | b'@' | b'/' | b';' => Class::Plain,
        b'%' => Class::Percent,
        b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'[' | b']' => Class::Encode,
        _ => Class::Refuse,
    }
}

/// Decodes and encodes, so that one spelling is left of each text.
fn recode(raw: &str) -> Result<Cow<'_, str>, Reject> {
    let bytes = raw.as_bytes();
    let mut text = String::with_capacity(raw.len() + 16);
    // Decoded bytes beyond ASCII that stand side by side: together they must be UTF-8.
    let mut beyond: Vec<u8> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if byte != b'%' {
            flush(&mut beyond)?;
            match class(byte) {
                Class::Refuse => return Err(refuse(raw_fault(byte))),
                _ => push(&mut text, byte),
            }
            at += 1;
            continue;
        }
        let decoded = triplet(&bytes[at..])
            .ok_or_else(|| refuse("a percent sign is not followed by two hexadecimal digits"))?;
        at += 3;
        match decoded {
            b'/' | b'\\' => return Err(refuse("the path holds an encoded slash or backslash")),
            0..=0x1f | 0x7f => return Err(refuse("the path holds an encoded control character")),
            0x80.. => {
                beyond.push(decoded);
                encode(&mut text, decoded);
            }
            // Decoded, it would begin parameters of the segment.
            b';' => {
                flush(&mut beyond)?;
                encode(&mut text, decoded);
            }
            _ => {
                flush(&mut beyond)?;
                push(&mut text, decoded);
            }
        }
    }
    flush(&mut beyond)?;
    if is_double_encoded(text.as_bytes()) {
        return Err(refuse("the path is encoded twice"));
    }
    // Nothing but triplets that are canonical already: spares the caller a copy.
    Ok(if text == raw {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(text)
    })
}

fn raw_fault(byte: u8) -> &'static str {
    match byte {
        b'\\' => "the path holds a backslash",
        b'#' => "the path holds a fragment",
        0x80.. => "the path holds bytes beyond ASCII; encode them",
        _ => "the path holds a control character or a space",
    }
}

fn flush(beyond: &mut Vec<u8>) -> Result<(), Reject> {
    if !beyond.is_empty() && std::str::from_utf8(beyond).is_err() {
        return Err(refuse("the path holds encoded bytes that are not UTF-8"));
    }
    beyond.clear();
    Ok(())
}

fn push(text: &mut String, byte: u8) {
    if class(byte) == Class::Plain {
        text.push(char::from(byte));
    } else {
        encode(text, byte);
    }
}

fn encode(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The byte of a triplet at the start.
fn triplet(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Whether a second decoding would find a triplet. Asked of the result, since `%25%32%65` only shows there.
fn is_double_encoded(canonical: &[u8]) -> bool {
    canonical
        .windows(5)
        .any(|found| found.starts_with(b"%25") && found[3..].iter().all(u8::is_ascii_hexdigit))
}

fn check_segments(path: &str, rules: &PathRules) -> Result<(), Reject> {
    let mut segments = 0;
    let mut rest = &path[1..];
    loop {
        let (segment, next) = match rest.split_once('/') {
            Some((segment, next)) => (segment, Some(next)),
            None => (rest, None),
        };
        segments += 1;
        if segments > rules.segments_max {
            return Err(refuse("the path has too many segments"));
        }
        check_segment(segment, next.is_none(), rules)?;
        match next {
            Some(next) => rest = next,
            None => return Ok(()),
        }
    }
}

fn check_segment(segment: &str, last: bool, rules: &PathRules) -> Result<(), Reject> {
    let name = segment.split(';').next().unwrap_or_default();
    // Backends that decode before they cut parameters off see `..` in `..%3Bx`.
    if matches!(name.split("%3B").next(), Some("." | "..")) {
        return Err(refuse("the path holds a dot-segment"));
    }
    match name {
        // A trailing slash makes a last empty segment; `/;/` would be an empty one to backends that cut at `;`.
        "" if !last => return Err(refuse("the path holds an empty segment")),
        _ => {}
    }
    if !name.is_empty() && name.len() < segment.len() && !rules.segment_parameters {
        return Err(refuse(
            "a segment of the path has parameters behind a semicolon",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
