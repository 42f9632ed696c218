//! Reading the head of an answer.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use super::latest::Latest;

/// Fields for which there is room on the stack. That room is not cleared first: it is 2 KiB.
const FIELDS_USUAL: usize = 64;

/// The head of a final answer.
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) framing: Framing,
    /// The backend will take another request on this connection.
    pub(super) keep_alive: bool,
}

/// Where an answer's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// At the end of the connection.
    Close,
}

/// What came is not an answer that can be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum HeadFault {
    #[error("the answer's head is too large")]
    TooLarge,
    #[error("the answer has too many header fields")]
    TooManyFields,
    #[error("the answer is not HTTP/1")]
    Malformed,
    /// Two readers could take its end for another place.
    #[error("the answer's length is ambiguous")]
    Framing,
}

/// Takes a head off the front of what was read; `None` while it is not all there. `seen` is how much was looked at
/// before.
pub(super) fn take(
    read: &mut BytesMut,
    seen: usize,
    fields_max: usize,
    method: &Method,
    latest: &mut Latest,
) -> Result<Option<Head>, HeadFault> {
    let Some(length) = ends_at(read, seen) else {
        return Ok(None);
    };
    let bytes = read.split_to(length).freeze();
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    match parse(&bytes, &mut usual, method, latest) {
        Err(HeadFault::TooManyFields) if fields_max > FIELDS_USUAL => {
            let mut many = vec![MaybeUninit::uninit(); fields_max];
            parse(&bytes, &mut many, method, latest)
        }
        Ok(head) if head.parts.headers.len() > fields_max => Err(HeadFault::TooManyFields),
        parsed => parsed,
    }
    .map(Some)
}

/// Behind the empty line. A line may end with a bare LF (RFC 9112 §2.2).
pub(super) fn ends_at(read: &[u8], seen: usize) -> Option<usize> {
    // The line end before the empty line may have been seen already.
    let from = seen.saturating_sub(3);
    memchr::memchr_iter(b'\n', &read[from..])
        .map(|at| from + at)
        .find_map(|at| match &read[at + 1..] {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        })
}

fn parse<'b>(
    bytes: &'b Bytes,
    room: &mut [MaybeUninit<httparse::Header<'b>>],
    method: &Method,
    latest: &mut Latest,
) -> Result<Head, HeadFault> {
    let mut answer = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut answer, bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooManyFields),
        Ok(httparse::Status::Partial) | Err(_) => return Err(HeadFault::Malformed),
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    let code = answer.code.ok_or(HeadFault::Malformed)?;
    parts.status = StatusCode::from_u16(code).map_err(|_| HeadFault::Malformed)?;
    parts.headers = fields(bytes, answer.headers, latest)?;
    let http_1_0 = answer.version == Some(0);
    let framing = framing(&parts, http_1_0, method)?;
    let keep_alive = keep_alive(&parts.headers, http_1_0) && framing != Framing::Close;
    Ok(Head {
        parts,
        framing,
        keep_alive,
    })
}

/// The fields; their values stay where they were read, or are those that are remembered.
pub(super) fn fields(
    bytes: &Bytes,
    found: &[httparse::Header<'_>],
    latest: &mut Latest,
) -> Result<HeaderMap, HeadFault> {
    // With room for what policies add, or the table would grow at the first of them.
    let mut headers = HeaderMap::with_capacity(found.len() + 4);
    latest.begin();
    for (place, field) in found.iter().enumerate() {
        let (name, value) = latest.read(place, bytes, field)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Source: RFC 9112 §6.3. A length beside a transfer coding, lengths that differ, and codings that we cannot take off
/// are refused: passed on, they could end elsewhere for the client.
fn framing(parts: &Parts, http_1_0: bool, method: &Method) -> Result<Framing, HeadFault> {
    let length = length(&parts.headers)?;
    let chunked = chunked(&parts.headers)?;
    if chunked && (length.is_some() || http_1_0) {
        return Err(HeadFault::Framing);
    }
    let bodiless = *method == Method::HEAD
        || parts.status.is_informational()
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    Ok(match (bodiless, chunked, length) {
        (true, _, _) => Framing::Length(0),
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::Close,
    })
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, HeadFault> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text = value.as_bytes();
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(HeadFault::Framing);
        }
        let length = value.to_str().ok().and_then(|text| text.parse().ok());
        let length: u64 = length.ok_or(HeadFault::Framing)?;
        if found.is_some_and(|found| found != length) {
            return Err(HeadFault::Framing);
        }
        found = Some(length);
    }
    Ok(found)
}

fn chunked(headers: &HeaderMap) -> Result<bool, HeadFault> {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(HeadFault::Framing),
    }
}

/// Source: RFC 9112 §9.3.
fn keep_alive(headers: &HeaderMap, http_1_0: bool) -> bool {
    // All that most backends say, if they say anything.
    let mut values = headers.get_all(CONNECTION).iter();
    if let (Some(value), None) = (values.next(), values.next())
        && value == "keep-alive"
    {
        return true;
    }
    let says = |option: &str| {
        headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .any(|found| found.trim().eq_ignore_ascii_case(option))
    };
    !says("close") && (!http_1_0 || says("keep-alive"))
}

/// How long the backend keeps the connection, as it says itself: `Keep-Alive: timeout=5`, in milliseconds.
pub(super) fn kept_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let mut parameters = text.split(',').filter_map(|part| part.split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let seconds: u64 = seconds.trim().parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests;
