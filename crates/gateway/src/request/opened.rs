//! A request when its head is there: made ready for matching and for its policies, or refused.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use base::code;
use http::header::{HOST, HeaderValue, TRAILER};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};
use policies::{hop_by_hop, normalize_path};
use policy::{Reject, RequestCx, Slots, Waits};

use super::websocket::{self, Handshake};
use crate::body::list_size;
use crate::connection::Connection;
use crate::guard;
use crate::metrics::Limit;
use crate::spans::Opening;
use crate::trace::{self, Arrival};
use crate::worker::Worker;

/// A request as policies see it, and what of it they do not need to see.
pub(super) struct Opened {
    pub(super) cx: RequestCx,
    pub(super) host: HeaderValue,
    pub(super) arrival: Arrival,
    /// Of a traced call.
    pub(super) opening: Option<Box<Opening>>,
    /// Why it is refused, where it is.
    pub(super) refused: Option<Reject>,
    /// The WebSocket that it asks for.
    pub(super) handshake: Option<Box<Handshake>>,
}

/// Makes a request ready for its policies.
pub(super) fn context(
    worker: &Rc<Worker>,
    connection: &Connection,
    begun: Instant,
    parts: Parts,
) -> Opened {
    let Parts {
        mut method,
        uri,
        version,
        mut headers,
        mut extensions,
        ..
    } = parts;
    let host = called_host(&uri, &headers);
    let (trace, arrival) = trace::begin(&headers, &worker.tracing, &worker.ids);
    let opening = Opening::of(&arrival, &headers, version, &host);
    let mut refused = if version == Version::HTTP_2 {
        beyond_limits(worker, &uri, &headers)
    } else {
        refused_by_guard(connection, &method)
    };
    let asked = websocket::asked(connection, &mut method, &mut headers, &mut extensions);
    let handshake = match asked {
        Some(Ok(handshake)) => Some(handshake),
        Some(Err(reject)) => {
            refused.get_or_insert(*reject);
            None
        }
        None => {
            refuse_method(&method, &mut refused);
            None
        }
    };
    let path = canonical_path(worker, &uri, &mut refused);
    if has_hop_by_hop(&headers)
        && let Err(reject) = keeping_trailer(&mut headers, hop_by_hop::strip_request)
    {
        refused.get_or_insert(reject);
    }
    let certificate = connection.certificate(&worker.core, &headers);
    connection.peer().replace(&mut headers, Some(&host));
    arrival.stamp(&mut headers, &trace);
    let mut slots = Slots::default();
    if arrival.recorded {
        slots.put(Waits::default());
    }
    if let Some(certificate) = certificate {
        slots.put(certificate);
    }
    let monotonic_ms = worker.clock_was(begun);
    let cx = RequestCx {
        method,
        path,
        rest_at: 0,
        query: uri.query().map(str::to_owned),
        headers,
        client: connection.client(),
        trace,
        unix_ms: worker.unix_ms(monotonic_ms),
        monotonic_ms,
        timeout_ms: None,
        body_bytes_max: None,
        principal: None,
        subscription: None,
        slots,
        core: Rc::clone(&worker.core),
    };
    Opened {
        cx,
        host,
        arrival,
        opening,
        refused,
        handshake,
    }
}

/// The authority of an absolute-form target, or of HTTP/2, goes before `Host` (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
fn called_host(uri: &Uri, headers: &HeaderMap) -> HeaderValue {
    match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
    .unwrap_or_else(|| HeaderValue::from_static(""))
}

/// The one path that everybody sees; what has none is refused.
fn canonical_path(worker: &Worker, uri: &Uri, refused: &mut Option<Reject>) -> String {
    match normalize_path::canonical(uri.path(), &worker.config.limits.path) {
        Ok(path) => path.into_owned(),
        Err(reject) => {
            refused.get_or_insert(reject);
            uri.path().to_owned()
        }
    }
}

/// Refuses methods that no API serves.
fn refuse_method(method: &Method, refused: &mut Option<Reject>) {
    if *method == Method::CONNECT {
        let detail = "no tunnels but WebSockets are served";
        refused.get_or_insert_with(|| Reject::new(code::UPGRADE_NOT_SUPPORTED, detail).close());
    } else if *method == Method::TRACE {
        let detail = "TRACE is not served";
        refused.get_or_insert_with(|| Reject::new(code::METHOD_NOT_SUPPORTED, detail));
    }
}

/// Whether there is anything to strip: to look at each name once is cheaper than to look up all that are stripped,
/// and most messages have none of them.
pub(super) fn has_hop_by_hop(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        hop_by_hop::is_framing(name) && name != "host" && name != "content-length"
    })
}

/// Strips, but keeps the announcement of trailers: hyper sends over HTTP/1.1 those alone that are announced.
pub(super) fn keeping_trailer<T>(
    headers: &mut HeaderMap,
    strip: impl FnOnce(&mut HeaderMap) -> T,
) -> T {
    let announced = headers.remove(TRAILER);
    let stripped = strip(headers);
    if let Some(announced) = announced {
        headers.insert(TRAILER, announced);
    }
    stripped
}

/// What is wrong with the head itself. Over HTTP/1.1 the guard has found it and put a request of its own in place of
/// the client's, and its limits are counted when the connection ends.
fn refused_by_guard(connection: &Connection, method: &Method) -> Option<Reject> {
    if method.as_str() != guard::REFUSED {
        return None;
    }
    let violation = connection.violation()?;
    Some(Reject::new(violation.code, violation.detail).close())
}

/// What is more than the limits allow; the guard has looked at heads of HTTP/1.1.
fn beyond_limits(worker: &Worker, uri: &Uri, headers: &HeaderMap) -> Option<Reject> {
    let limits = &worker.config.limits;
    let target = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let (limit, code, detail) = if target > limits.target_bytes_max {
        let detail = "the request target is too long";
        (Limit::Target, code::URI_TOO_LONG, detail)
    } else if headers.len() > limits.headers_max {
        let detail = "the request has too many header fields";
        (Limit::Head, code::HEADER_TOO_LARGE, detail)
    } else if list_size(headers) + target > limits.head_bytes_max {
        let detail = "the head of the request is too large";
        (Limit::Head, code::HEADER_TOO_LARGE, detail)
    } else {
        return None;
    };
    worker.numbers().limit(limit);
    Some(Reject::new(code, detail).close())
}

/// The host alone, in lower case: what APIs are looked up under.
pub(crate) fn host_key(host: &HeaderValue) -> Cow<'_, str> {
    let text = host.to_str().unwrap_or_default();
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or(text.len(), |index| index + 2),
        None => text.find(':').unwrap_or(text.len()),
    };
    let name = &text[..end];
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_looked_up_without_port_and_in_lower_case() {
        for (host, key) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8280", "api.example.com"),
            ("[::1]:8280", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_key(&HeaderValue::from_static(host)), key);
        }
    }
}
