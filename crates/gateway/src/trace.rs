//! The trace of a request: read from the client (W3C Trace Context, B3), or begun here, and passed to the backend.
//!
//! Who records a span becomes the parent of what comes next; where none is recorded, the client's own span stays the
//! parent, so that the backend's ancestors are unbroken either way. Start at [`begin`].

mod b3;
mod w3c;

use std::cell::Cell;

use http::HeaderMap;
use policy::Trace;

use crate::config::{Propagation, TracingConfig};
use b3::{B3, Form};

pub(crate) use w3c::TRACEPARENT;

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

    /// A new trace id.
    fn trace_id(&self) -> [u8; 16] {
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&self.next().to_be_bytes());
        trace_id[8..].copy_from_slice(&self.next().to_be_bytes());
        trace_id
    }
}

/// What is done with traces; made once a worker.
pub(crate) struct Rules {
    propagation: Propagation,
    /// Calls without a decision of the caller's are recorded where the trace id's end is below this.
    threshold: u64,
    /// Whether anything is recorded at all.
    records: bool,
}

/// Who the parent is, and whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Parent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

/// How a request's trace came here, and what is recorded of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The client's span.
    pub(crate) parent: Option<[u8; 8]>,
    /// Whether spans are recorded here.
    pub(crate) recorded: bool,
    /// The client sent a `tracestate` that belongs to no `traceparent`.
    stray_state: bool,
    /// The B3 fields that the backend gets, besides W3C's.
    b3: Option<b3::Passed>,
}

impl Rules {
    pub(crate) fn new(config: &TracingConfig) -> Self {
        Self {
            propagation: config.propagation,
            threshold: threshold(config.ratio),
            records: config.sink.is_some(),
        }
    }

    /// The ratio sampler: the same trace id gets the same answer on every node.
    fn samples(&self, trace_id: &[u8; 16]) -> bool {
        let mut end = [0; 8];
        end.copy_from_slice(&trace_id[8..]);
        self.threshold == u64::MAX || u64::from_be_bytes(end) < self.threshold
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of all numbers; the cast saturates"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio * u64::MAX as f64) as u64
}

/// The trace of a request, and how it came here. W3C goes before B3. Nothing is allocated.
pub(crate) fn begin(headers: &HeaderMap, rules: &Rules, ids: &IdSource) -> (Trace, Arrival) {
    let seen = Seen::of(headers, rules.propagation);
    let w3c = w3c::read(headers);
    let b3 = if seen.b3 {
        b3::read(headers)
    } else {
        B3::default()
    };
    let parent = w3c.map(|(parent, _)| parent).or(b3.parent);
    let decided = match w3c {
        Some((_, sampled)) => Some(sampled),
        None => b3.sampled(),
    };
    let trace_id = parent.map_or_else(|| ids.trace_id(), |parent| parent.trace_id);
    let recorded = rules.records && decided.unwrap_or_else(|| rules.samples(&trace_id));
    let span_id = match parent {
        Some(parent) if !recorded => parent.span_id,
        _ => ids.next().to_be_bytes(),
    };
    let trace = Trace {
        trace_id,
        span_id,
        flags: u8::from(recorded || decided == Some(true)),
    };
    let form = match rules.propagation {
        Propagation::Auto => b3.form,
        Propagation::W3c => None,
        Propagation::B3 => Some(Form::Multi),
        Propagation::B3Single => Some(Form::Single),
    };
    let arrival = Arrival {
        parent: parent.map(|parent| parent.span_id),
        recorded,
        stray_state: seen.state && w3c.is_none(),
        b3: form.map(|form| b3.passed_as(form, decided.is_some() || rules.records)),
    };
    (trace, arrival)
}

/// Which of the fields that most requests do not have are there: one pass is cheaper than to look up each.
struct Seen {
    b3: bool,
    state: bool,
}

impl Seen {
    fn of(headers: &HeaderMap, propagation: Propagation) -> Self {
        let mut seen = Self {
            b3: false,
            state: false,
        };
        for name in headers.keys() {
            let name = name.as_str();
            seen.b3 |= name == "b3" || name.starts_with("x-b3-");
            seen.state |= name == "tracestate";
        }
        seen.b3 &= propagation != Propagation::W3c;
        seen
    }
}

impl Arrival {
    /// Of a call of the gateway's own, which nothing is recorded of.
    pub(crate) fn unrecorded() -> Self {
        Self {
            parent: None,
            recorded: false,
            stray_state: false,
            b3: None,
        }
    }

    /// Puts the trace into what the backend gets.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap, trace: &Trace) {
        headers.insert(TRACEPARENT, w3c::write(trace));
        if self.stray_state {
            headers.remove(w3c::TRACESTATE);
        }
        if let Some(b3) = &self.b3 {
            let parent = self.parent.filter(|_| self.recorded);
            b3.write(headers, trace, parent);
        }
    }

    /// Makes another span of the same trace the parent of what the backend does; a field that a policy has taken out
    /// stays out.
    pub(crate) fn restamp(&self, headers: &mut HeaderMap, trace: &Trace, span_id: [u8; 8]) {
        let of_try = Trace { span_id, ..*trace };
        if let Some(value) = headers.get_mut(TRACEPARENT) {
            *value = w3c::write(&of_try);
        }
        if let Some(b3) = &self.b3
            && b3.is_in(headers)
        {
            b3.write(headers, &of_try, Some(trace.span_id));
        }
    }
}

/// The client's `tracestate`, its lines joined (W3C Trace Context §3.3.1.1); empty without one.
pub(crate) fn state_text(headers: &HeaderMap) -> String {
    let lines = headers.get_all(w3c::TRACESTATE).iter();
    let texts: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    texts.join(",")
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

/// The trace id as 32 hexadecimal digits.
pub(crate) fn id_text(trace: &Trace) -> String {
    let mut text = [0; 32];
    write_hex(&trace.trace_id, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests;
