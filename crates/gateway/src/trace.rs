//! W3C Trace Context: read from the client, or begun here; the backend gets this hop as its parent.

use std::cell::Cell;

use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Trace;

/// The header's name (W3C Trace Context §3.2).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const LENGTH: usize = 55;

/// Random numbers of one worker for trace and span ids: unique, not secret (wyrand).
pub(crate) struct IdSource(Cell<u64>);

impl IdSource {
    /// A source that begins at a place of its own.
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self(Cell::new(high ^ low))
    }

    /// The next number; never 0.
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.0.set(state);
        let wide = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
        let mixed = (wide >> 64) as u64 ^ wide as u64;
        mixed.max(1)
    }
}

/// The trace of a request: the client's, where its `traceparent` is well-formed, with a new span of ours.
pub(crate) fn begin(headers: &HeaderMap, ids: &IdSource) -> Trace {
    let span_id = ids.next().to_be_bytes();
    let parent = headers
        .get(TRACEPARENT)
        .and_then(|value| parse(value.as_bytes()));
    match parent {
        Some((trace_id, flags)) => Trace {
            trace_id,
            span_id,
            flags,
        },
        None => {
            let mut trace_id = [0; 16];
            trace_id[..8].copy_from_slice(&ids.next().to_be_bytes());
            trace_id[8..].copy_from_slice(&ids.next().to_be_bytes());
            Trace {
                trace_id,
                span_id,
                flags: 0,
            }
        }
    }
}

/// Trace id and flags of a `traceparent`. Later versions may append fields (§3.2.4); version `ff` is invalid.
fn parse(text: &[u8]) -> Option<([u8; 16], u8)> {
    if text.len() < LENGTH || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' {
        return None;
    }
    let version = hex_byte(text[0], text[1])?;
    if version == 0xff || (version == 0 && text.len() != LENGTH) {
        return None;
    }
    if text.len() > LENGTH && text[LENGTH] != b'-' {
        return None;
    }
    let trace_id: [u8; 16] = hex(&text[3..35])?;
    let parent_id: [u8; 8] = hex(&text[36..52])?;
    let flags = hex_byte(text[53], text[54])?;
    (trace_id != [0; 16] && parent_id != [0; 8]).then_some((trace_id, flags))
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_byte(pair[0], pair[1])?;
    }
    Some(bytes)
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Without a table and without a branch, so that the compiler does many at a time.
fn digit(nibble: u8) -> u8 {
    nibble + b'0' + (u8::from(nibble > 9) * (b'a' - b'0' - 10))
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8], into: &mut [u8]) {
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair[0] = digit(byte >> 4);
        pair[1] = digit(byte & 15);
    }
}

/// The `traceparent` that the backend gets.
pub(crate) fn header(trace: &Trace) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&trace.trace_id, &mut text[3..35]);
    write_hex(&trace.span_id, &mut text[36..52]);
    write_hex(&[trace.flags], &mut text[53..55]);
    HeaderValue::from_bytes(&text).expect("digits and dashes are legal")
}

/// The trace id as 32 hexadecimal digits.
pub(crate) fn id_text(trace: &Trace) -> String {
    let mut text = [0; 32];
    write_hex(&trace.trace_id, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(text: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, text.parse().unwrap());
        begin(&headers, &IdSource::new())
    }

    /// req: O3
    #[test]
    fn continues_the_callers_trace_with_a_span_of_its_own() {
        let trace = of(GOOD);
        let sent = header(&trace);
        let sent = sent.to_str().unwrap();
        assert_eq!(sent[..36], GOOD[..36]);
        assert_ne!(sent[36..52], GOOD[36..52]);
        assert_eq!(&sent[52..], "-01");
        assert_eq!(id_text(&trace), &GOOD[3..35]);
    }

    #[test]
    fn begins_a_trace_where_the_header_is_not_one() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(!id_text(&of(text)).contains("0af7651916cd43dd"), "{text}");
        }
        assert_ne!(of("").trace_id, of("").trace_id);
    }

    #[test]
    fn a_later_version_may_say_more() {
        let trace = of("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more");
        assert_eq!(id_text(&trace), "0af7651916cd43dd8448eb211c80319c");
    }
}
