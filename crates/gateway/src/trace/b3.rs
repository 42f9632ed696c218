//! B3, in one field (`b3`) or in several (`X-B3-*`).
//!
//! Source: github.com/openzipkin/b3-propagation. The single field goes before the several.

use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Trace;

use super::{Parent, hex, write_hex};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const SEVERAL: [HeaderName; 5] = [TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, FLAGS];

/// In how many fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `b3`
    Single,
    /// `X-B3-TraceId` and its kin.
    Multi,
}

/// What is said about recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Nothing: whoever comes next decides.
    #[default]
    Deferred,
    Denied,
    Accepted,
    /// Accepted, and not to be undone.
    Debug,
}

/// What a client sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct B3 {
    pub(super) form: Option<Form>,
    pub(super) parent: Option<Parent>,
    state: State,
}

/// What a backend gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    form: Form,
    debug: bool,
    /// Whether recording was decided, by the client or here.
    decided: bool,
}

/// Reads the fields. What is malformed says nothing, but the form is known.
pub(super) fn read(headers: &HeaderMap) -> B3 {
    if let Some(value) = headers.get(SINGLE) {
        let (parent, state) = single(value.as_bytes()).unwrap_or_default();
        return B3 {
            form: Some(Form::Single),
            parent,
            state,
        };
    }
    let text = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let state = match (text(&FLAGS), text(&SAMPLED)) {
        (Some(b"1"), _) => State::Debug,
        (_, Some(b"1" | b"true")) => State::Accepted,
        (_, Some(b"0" | b"false")) => State::Denied,
        _ => State::Deferred,
    };
    let parent = match (text(&TRACE_ID), text(&SPAN_ID)) {
        (Some(trace_id), Some(span_id)) => parent(trace_id, span_id),
        _ => None,
    };
    B3 {
        form: Some(Form::Multi),
        parent,
        state,
    }
}

/// `{TraceId}-{SpanId}[-{SamplingState}[-{ParentSpanId}]]`, or the state alone.
fn single(text: &[u8]) -> Option<(Option<Parent>, State)> {
    if let [_] = text {
        return Some((None, state(text)?));
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let parent = parent(parts.next()?, parts.next()?)?;
    let state = parts.next().map_or(Some(State::Deferred), state)?;
    Some((Some(parent), state))
}

fn state(text: &[u8]) -> Option<State> {
    Some(match text {
        b"0" => State::Denied,
        b"1" => State::Accepted,
        b"d" => State::Debug,
        _ => return None,
    })
}

/// Trace ids have 64 or 128 bits; the short ones are the low half.
fn parent(trace_id: &[u8], span_id: &[u8]) -> Option<Parent> {
    let mut long = [0; 16];
    match trace_id.len() {
        16 => long[8..].copy_from_slice(&hex::<8>(trace_id)?),
        32 => long = hex(trace_id)?,
        _ => return None,
    }
    if span_id.len() != 16 {
        return None;
    }
    let span_id: [u8; 8] = hex(span_id)?;
    (long != [0; 16] && span_id != [0; 8]).then_some(Parent {
        trace_id: long,
        span_id,
    })
}

impl B3 {
    /// What the client decided about recording.
    pub(super) fn sampled(&self) -> Option<bool> {
        match self.state {
            State::Deferred => None,
            State::Denied => Some(false),
            State::Accepted | State::Debug => Some(true),
        }
    }

    pub(super) fn passed_as(&self, form: Form, decided: bool) -> Passed {
        Passed {
            form,
            debug: self.state == State::Debug,
            decided,
        }
    }
}

impl Passed {
    /// Whether the fields are there.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(match self.form {
            Form::Single => SINGLE,
            Form::Multi => TRACE_ID,
        })
    }

    /// Writes the fields of this form; those of the other one would say something else, and go.
    pub(super) fn write(&self, headers: &mut HeaderMap, trace: &Trace, parent: Option<[u8; 8]>) {
        for name in SEVERAL {
            headers.remove(name);
        }
        headers.remove(SINGLE);
        let sampled = trace.flags & 1 == 1;
        let state = match (self.decided, sampled, self.debug) {
            (_, true, true) => Some("d"),
            (_, true, false) => Some("1"),
            (true, false, _) => Some("0"),
            (false, false, _) => None,
        };
        match self.form {
            Form::Single => {
                let mut text = format!("{}-{}", trace_id(trace), digits(&trace.span_id));
                if let Some(state) = state {
                    text.push('-');
                    text.push_str(state);
                    if let Some(parent) = parent {
                        text.push('-');
                        text.push_str(&digits(&parent));
                    }
                }
                headers.insert(SINGLE, value(&text));
            }
            Form::Multi => {
                headers.insert(TRACE_ID, value(&trace_id(trace)));
                headers.insert(SPAN_ID, value(&digits(&trace.span_id)));
                if let Some(parent) = parent {
                    headers.insert(PARENT_ID, value(&digits(&parent)));
                }
                match state {
                    Some("d") => headers.insert(FLAGS, HeaderValue::from_static("1")),
                    Some(state) => headers.insert(SAMPLED, HeaderValue::from_static(state)),
                    None => None,
                };
            }
        }
    }
}

/// A trace id of 64 bits stays one.
fn trace_id(trace: &Trace) -> String {
    if trace.trace_id[..8] == [0; 8] {
        digits(&trace.trace_id[8..])
    } else {
        digits(&trace.trace_id)
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut text);
    String::from_utf8(text).expect("digits are ASCII")
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and dashes are legal")
}
