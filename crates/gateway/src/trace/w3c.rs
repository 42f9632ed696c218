//! W3C Trace Context, level 1.

use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Trace;

use super::{Parent, hex, hex_byte, write_hex};

/// §3.2
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// §3.3
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const LENGTH: usize = 55;

/// The parent, and whether it is recorded. Two fields are as bad as a malformed one.
pub(super) fn read(headers: &HeaderMap) -> Option<(Parent, bool)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// Later versions may append fields (§3.2.4); version `ff` is invalid.
fn parse(text: &[u8]) -> Option<(Parent, bool)> {
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
    let parent = Parent {
        trace_id: hex(&text[3..35])?,
        span_id: hex(&text[36..52])?,
    };
    let flags = hex_byte(text[53], text[54])?;
    (parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some((parent, flags & 1 == 1))
}

/// The `traceparent` of a trace. Flags other than `sampled` are not known here and are zero (§3.2.2.5).
pub(super) fn write(trace: &Trace) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&trace.trace_id, &mut text[3..35]);
    write_hex(&trace.span_id, &mut text[36..52]);
    write_hex(&[trace.flags], &mut text[53..55]);
    HeaderValue::from_bytes(&text).expect("digits and dashes are legal")
}
