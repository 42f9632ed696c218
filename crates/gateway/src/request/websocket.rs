//! WebSocket handshakes: over HTTP/1.1 (RFC 6455 §4) and on a stream of an HTTP/2 connection (RFC 8441).
//!
//! A handshake is a call like any other: it is matched, authenticated and counted. The backend is asked over either, too,
//! whichever the client came over; between the two a handshake is what it is over HTTP/1.1. Only when it has switched, and has proved that it read this very handshake, does the client's
//! connection become a tunnel.

use aws_lc_rs::{digest, rand};
use base::code;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Extensions, HeaderMap, Method, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use policy::Reject;

use crate::connection::Connection;

/// What a server adds to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version of the protocol.
const VERSION: &str = "13";
/// A key is so many bytes in base64.
const KEY_BYTES: usize = 16;

/// A client's handshake that is as it has to be.
pub(super) struct Handshake {
    key: HeaderValue,
    /// The stream, over HTTP/2; `None`: the connection.
    stream: Option<OnUpgrade>,
}

/// Looks whether a request is a handshake; `None` where it is not.
///
/// A handshake of HTTP/2 becomes what it is over HTTP/1.1: a `GET` with a key.
///
/// # Errors
/// A [`Reject`] for one that is malformed.
pub(super) fn asked(
    connection: &Connection,
    method: &mut Method,
    headers: &mut HeaderMap,
    extensions: &mut Extensions,
) -> Option<Result<Box<Handshake>, Box<Reject>>> {
    if connection.waits() {
        return Some(over_h1(method, headers).map(Box::new));
    }
    if *method != Method::CONNECT {
        return None;
    }
    let protocol = extensions.remove::<Protocol>()?;
    if !protocol.as_str().eq_ignore_ascii_case("websocket") {
        return None;
    }
    let stream = extensions.remove::<OnUpgrade>()?;
    Some(over_h2(stream, method, headers).map(Box::new))
}

fn over_h1(method: &Method, headers: &HeaderMap) -> Result<Handshake, Box<Reject>> {
    if *method != Method::GET {
        return Err(malformed("the method is not GET"));
    }
    if !names(headers, CONNECTION, "upgrade") {
        return Err(malformed("Connection does not name Upgrade"));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(malformed("there is not one Sec-WebSocket-Key"));
    };
    let decoded = STANDARD.decode(key.as_bytes());
    if decoded.map_or(0, |bytes| bytes.len()) != KEY_BYTES {
        return Err(malformed("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    version(headers)?;
    Ok(Handshake {
        key: key.clone(),
        stream: None,
    })
}

fn over_h2(
    stream: OnUpgrade,
    method: &mut Method,
    headers: &mut HeaderMap,
) -> Result<Handshake, Box<Reject>> {
    version(headers)?;
    *method = Method::GET;
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| Box::new(Reject::new(code::INTERNAL, "no random bytes")))?;
    let key = HeaderValue::from_str(&STANDARD.encode(bytes)).expect("base64 is a legal value");
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    Ok(Handshake {
        key,
        stream: Some(stream),
    })
}

fn version(headers: &HeaderMap) -> Result<(), Box<Reject>> {
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    if matches!((versions.next(), versions.next()), (Some(one), None) if one == VERSION) {
        return Ok(());
    }
    let detail = "Sec-WebSocket-Version is not 13";
    // RFC 6455 §4.4: the versions that are spoken.
    let reject = Reject::new(code::WEBSOCKET_VERSION, detail)
        .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))
        .header(UPGRADE, HeaderValue::from_static("websocket"));
    Err(Box::new(reject.close()))
}

fn malformed(detail: &'static str) -> Box<Reject> {
    Box::new(Reject::new(code::WEBSOCKET_HANDSHAKE, detail).close())
}

/// Whether a list names this, in any case.
fn names(headers: &HeaderMap, field: http::HeaderName, wanted: &str) -> bool {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(wanted))
}

impl Handshake {
    /// What is wrong with a backend's 101; `None`: it answers this handshake.
    pub(super) fn fault(&self, answer: &HeaderMap) -> Option<&'static str> {
        if !names(answer, UPGRADE, "websocket") || !names(answer, CONNECTION, "upgrade") {
            return Some("the backend switched to something else than a WebSocket");
        }
        let mut accepts = answer.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        match (accepts.next(), accepts.next()) {
            (Some(accept), None) if accept.as_bytes() == self.accept().as_bytes() => None,
            _ => Some("the backend's Sec-WebSocket-Accept does not fit the key"),
        }
    }

    fn accept(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(self.key.as_bytes());
        context.update(GUID);
        STANDARD.encode(context.finish())
    }

    /// Makes the backend's answer the client's, and says where the tunnel begins: on a stream, or on the connection.
    pub(super) fn answer(&self, head: &mut http::response::Parts) -> Option<OnUpgrade> {
        let headers = &mut head.headers;
        headers.remove(CONTENT_LENGTH);
        if self.stream.is_some() {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            head.status = StatusCode::OK;
        } else {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            // A backend that was asked over HTTP/2 knows nothing of the key (RFC 8441 §5).
            let accept = HeaderValue::from_str(&self.accept()).expect("base64 is a legal value");
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            head.status = StatusCode::SWITCHING_PROTOCOLS;
        }
        head.version = Version::HTTP_11;
        self.stream.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_accept_of_the_specification() {
        let handshake = Handshake {
            key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
            stream: None,
        };
        assert_eq!(handshake.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn handshakes_are_checked() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        let headers = |changed: Option<(&'static str, &'static str)>, without: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in good.into_iter().filter(|(name, _)| *name != without) {
                headers.append(name, HeaderValue::from_static(value));
            }
            if let Some((name, value)) = changed {
                headers.insert(name, HeaderValue::from_static(value));
            }
            headers
        };
        let code = |method: Method, headers: HeaderMap| {
            over_h1(&method, &headers)
                .err()
                .map(|reject| reject.code.name)
        };
        assert_eq!(code(Method::GET, headers(None, "")), None);
        let handshake = Some("WEBSOCKET_HANDSHAKE");
        assert_eq!(code(Method::POST, headers(None, "")), handshake);
        assert_eq!(code(Method::GET, headers(None, "connection")), handshake);
        assert_eq!(
            code(Method::GET, headers(None, "sec-websocket-key")),
            handshake
        );
        for key in [
            "short",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZXh4eHg=",
        ] {
            let headers = headers(Some(("sec-websocket-key", key)), "");
            assert_eq!(code(Method::GET, headers), handshake, "{key}");
        }
        let mut twice = headers(None, "");
        twice.append(
            SEC_WEBSOCKET_KEY,
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        assert_eq!(code(Method::GET, twice), handshake);
        let version = Some("WEBSOCKET_VERSION");
        let eight = headers(Some(("sec-websocket-version", "8")), "");
        assert_eq!(code(Method::GET, eight), version);
        assert_eq!(
            code(Method::GET, headers(None, "sec-websocket-version")),
            version
        );
    }
}
