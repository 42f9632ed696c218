//! Fields that belong to one connection and are not passed on (RFC 9110 §7.6.1). Called by the gateway for every
//! request and answer.

use base::code::BAD_REQUEST_FRAMING;
use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, HeaderValue, TE};
use policy::Reject;
use smallvec::SmallVec;

use crate::identity_headers;

/// Always of one connection, whether `Connection` names them or not.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a field (lower case) frames the message, names its receiver or belongs to one connection.
#[must_use]
pub fn is_framing(name: &str) -> bool {
    matches!(name, "connection" | "content-length" | "host" | "te") || is_of_connection(name)
}

/// Whether `Connection` may not name this field: a proxy that believed it would take away what says how long the
/// message is, for whom it is, who sent it, or where it came from (CVE-2026-6338 and its like).
///
/// `name` in any case. `Connection: te` is right (RFC 9110 §10.1.4), and so is naming what is hop-by-hop anyway.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "accept-encoding",
        "api-key",
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "origin",
        "range",
        "set-cookie",
        "traceparent",
        "transfer-encoding",
        "x-api-key",
    ];
    NAMES
        .iter()
        .any(|protected| name.eq_ignore_ascii_case(protected))
        || identity_headers::is_replaced(name)
        || name.get(..1) == Some(":")
}

/// Takes hop-by-hop fields out of a request; `TE: trailers` stays, since trailers are passed on.
///
/// # Errors
/// `BAD_REQUEST_FRAMING` (400, the connection is closed) when `Connection` names a protected field or is no list of
/// names.
pub fn strip_request(headers: &mut HeaderMap) -> Result<(), Reject> {
    if headers.contains_key(CONNECTION) {
        for name in named(headers)? {
            if is_protected(name.as_str()) {
                let detail = format!("Connection names the field {name}");
                return Err(Reject::new(BAD_REQUEST_FRAMING, detail).close());
            }
            if name != TE {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    strip_always(headers);
    if headers.contains_key(TE) {
        let trailers = accepts_trailers(headers);
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    Ok(())
}

/// Takes hop-by-hop fields out of an answer. What a backend's `Connection` names goes too, unless it is protected:
/// a confused backend shall not take away its own `Content-Type`.
pub fn strip_response(headers: &mut HeaderMap) {
    // One pass over the names; what most answers have of all that is `Connection: keep-alive`, or `close`.
    let found: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|name| *name == CONNECTION || *name == TE || is_of_connection(name.as_str()))
        .cloned()
        .collect();
    for name in found {
        if name == CONNECTION && !is_plain(headers) {
            for name in named(headers).unwrap_or_default() {
                if !is_protected(name.as_str()) {
                    headers.remove(name);
                }
            }
        }
        headers.remove(name);
    }
}

/// Whether `Connection` names no field.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    let one = values.next().filter(|_| values.next().is_none());
    one.is_some_and(|value| matches!(value.as_bytes(), b"keep-alive" | b"close"))
}

/// One pass over the names: most messages have none of them.
fn strip_always(headers: &mut HeaderMap) {
    let found: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|name| is_of_connection(name.as_str()))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

/// The fields that `Connection` names, without its options.
fn named(headers: &HeaderMap) -> Result<SmallVec<[HeaderName; 4]>, Reject> {
    let malformed =
        || Reject::new(BAD_REQUEST_FRAMING, "Connection is no list of field names").close();
    let mut names = SmallVec::new();
    for value in headers.get_all(CONNECTION) {
        let text = value.to_str().map_err(|_| malformed())?;
        for option in text
            .split(',')
            .map(|option| option.trim_matches([' ', '\t']))
        {
            let plain = ["", "close", "keep-alive"];
            if plain.iter().any(|plain| option.eq_ignore_ascii_case(plain)) {
                continue;
            }
            names.push(option.parse::<HeaderName>().map_err(|_| malformed())?);
        }
    }
    Ok(names)
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    /// req: S4
    #[test]
    fn hop_by_hop_fields_do_not_pass() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("connection", "Keep-Alive,, x-other"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("proxy-authenticate", "Basic"),
            ("te", "gzip, trailers;q=0.5"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABkAAQ"),
            ("accept", "*/*"),
        ];
        let mut request = headers(&fields);
        strip_request(&mut request).unwrap();
        assert_eq!(request, headers(&[("accept", "*/*")]));
        let mut response = headers(&fields);
        strip_response(&mut response);
        assert_eq!(response, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn te_trailers_passes() {
        let mut request = headers(&[("te", "gzip"), ("te", "Trailers"), ("connection", "TE")]);
        strip_request(&mut request).unwrap();
        assert_eq!(request, headers(&[("te", "trailers")]));
    }

    /// req: S4
    #[test]
    fn connection_must_not_name_what_matters() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "AUTHORIZATION",
            "cookie",
            "x-forwarded-for",
            "X-Forwarded-Anything",
            "forwarded",
            "x-api-key",
            "x-jwt-assertion",
            "x-real-ip",
            "content-type",
        ] {
            let mut request = headers(&[("connection", &format!("close, {name}"))]);
            let reject = strip_request(&mut request).unwrap_err();
            assert_eq!((reject.code.status, reject.close), (400, true), "{name}");
        }
        for text in ["a b", "x:y", "\"q\"", "x\u{e9}"] {
            let mut request = headers(&[]);
            request.insert(
                CONNECTION,
                HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            );
            assert!(strip_request(&mut request).is_err(), "{text}");
        }
    }

    #[test]
    fn a_confused_backend_keeps_its_content_type() {
        let mut response = headers(&[
            ("connection", "content-type, x-a"),
            ("content-type", "a/b"),
            ("x-a", "1"),
        ]);
        strip_response(&mut response);
        assert_eq!(response, headers(&[("content-type", "a/b")]));
    }
}
