//! Fields by which backends are told who calls and where from. Only the gateway may say that, so what a client sent is
//! dropped, on open operations too. Called by the gateway for every request.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HOST, HeaderName, HeaderValue};
use policy::Client;
use smallvec::SmallVec;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whole families. An underscore counts as a hyphen: CGI, WSGI and their like cannot tell them apart.
const PREFIXES: [&str; 9] = [
    "x-forwarded-",
    "x-tollway-",
    "x-authenticated-",
    "x-wso2-",
    "x-consumer-",
    "x-credential-",
    "x-ssl-",
    "x-client-cert",
    "x-arr-clientcert",
];

/// Single names. Those of the last two groups change the path (S1) or the method behind the gateway's back: what was
/// authorised would not be what the backend does.
const NAMES: [&str; 15] = [
    "forwarded",
    "x-jwt-assertion",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-remote-user",
    "remote-user",
    "x-anonymous-consumer",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Whether only the gateway may send this field (any case).
#[must_use]
pub fn is_replaced(name: &str) -> bool {
    // Most fields end here: all of ours begin so.
    match name.as_bytes().first() {
        Some(b'x' | b'X' | b'f' | b'F' | b't' | b'T' | b'r' | b'R') => {}
        // Certificates that proxies forward: RFC 9440, and what nginx's ingress controller sends.
        Some(b'c' | b'C') => return starts_with(name, "client-cert"),
        Some(b's' | b'S') => return starts_with(name, "ssl-client-"),
        _ => return false,
    }
    NAMES
        .iter()
        .any(|known| known.len() == name.len() && starts_with(name, known))
        || PREFIXES.iter().any(|prefix| starts_with(name, prefix))
}

fn starts_with(name: &str, prefix: &str) -> bool {
    let folded = |byte: u8| {
        if byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.len() >= prefix.len()
        && name
            .bytes()
            .map(folded)
            .zip(prefix.bytes())
            .all(|(a, b)| a == b)
}

/// What backends are told of the client of one connection; made once a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    forwarded_for: HeaderValue,
    forwarded_proto: HeaderValue,
}

impl Peer {
    /// The client of a connection. An IPv4 address that came over an IPv6 socket is told as IPv4.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let ip: IpAddr = client.ip.to_canonical();
        Self {
            forwarded_for: HeaderValue::from_str(&ip.to_string()).expect("an address is ASCII"),
            forwarded_proto: HeaderValue::from_static(if client.tls { "https" } else { "http" }),
        }
    }

    /// Drops what the client says of itself and sets `X-Forwarded-For`, `-Proto` and `-Host`. No proxy before the
    /// gateway is trusted, so the client's own values are not passed on.
    ///
    /// `host` is the authority that the client asked for (`Host`, or `:authority` in HTTP/2); `None` takes the field
    /// `Host`.
    pub fn replace(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        let stripped: SmallVec<[HeaderName; 4]> = headers
            .keys()
            .filter(|name| is_replaced(name.as_str()))
            .cloned()
            .collect();
        for name in stripped {
            headers.remove(name);
        }
        if let Some(host) = host.or_else(|| headers.get(HOST)).cloned() {
            headers.insert(FORWARDED_HOST, host);
        }
        headers.insert(FORWARDED_FOR, self.forwarded_for.clone());
        headers.insert(FORWARDED_PROTO, self.forwarded_proto.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(fields: &[(&'static str, &'static str)], ip: &str, tls: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let client = Client {
            ip: ip.parse().unwrap(),
            tls,
        };
        Peer::new(&client).replace(&mut headers, None);
        headers
    }

    /// req: S6
    #[test]
    fn what_the_client_says_of_itself_is_dropped() {
        let fields = [
            ("host", "api.example.com:8280"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/x"),
            ("x-forwarded-client-cert", "x"),
            ("client-cert", ":x:"),
            ("client-cert-chain", ":x:"),
            ("client_cert", "x"),
            ("ssl-client-cert", "x"),
            ("ssl-client-verify", "SUCCESS"),
            ("x-ssl-client-cert", "x"),
            ("x-arr-clientcert", "x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("true-client-ip", "1.2.3.4"),
            ("x-jwt-assertion", "x.y.z"),
            ("x_jwt_assertion", "x.y.z"),
            ("x-tollway-application", "admin"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-authenticated-user", "admin"),
            ("x-original-url", "/admin"),
            ("x-http-method-override", "DELETE"),
            ("x_http_method", "DELETE"),
            ("x-method-override", "DELETE"),
            ("x-request-id", "kept"),
            ("accept", "*/*"),
        ];
        let headers = replaced(&fields, "::ffff:192.0.2.7", false);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        let expected = [
            ("accept", "*/*"),
            ("host", "api.example.com:8280"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "api.example.com:8280"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "kept"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn without_a_host_none_is_told() {
        let headers = replaced(&[("x-forwarded-host", "evil")], "2001:db8::1", true);
        assert!(!headers.contains_key("x-forwarded-host"));
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn names_that_only_look_alike_stay() {
        for name in [
            "x-forwarded",
            "x-real-ip-2",
            "forwarded-by",
            "x-request-id",
            "client",
            "cookie",
            "ssl-session",
            "te",
            "referer",
            "",
        ] {
            assert!(!is_replaced(name), "{name}");
        }
        assert!(is_replaced("X-Forwarded-For"));
    }
}
