//! The texts that have a form: names, versions, contexts, hosts, headers, URLs. Each form is a `format` of the schema,
//! so that all faults of a text are found in one pass.

mod upstream;

use std::net::IpAddr;
use std::str::FromStr;

pub use upstream::status_range;

use crate::units::{Date, Duration, Frequency, Size};

/// The longest name of a document (that of Kubernetes: RFC 1123).
pub const NAME_MAX: usize = 253;
/// The longest context.
pub const CONTEXT_MAX: usize = 255;
/// The longest text of any form but a certificate's.
pub const TEXT_MAX: usize = 4096;
/// The longest version.
pub const VERSION_MAX: usize = 63;

/// What is wrong with a text, and what to do about it.
pub struct Fault {
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

type Check = fn(&str) -> Result<(), Fault>;

/// The formats of our schemas.
pub(crate) const FORMATS: &[(&str, Check)] = &[
    ("date", |text| unit(text.parse::<Date>())),
    ("tollway-duration", |text| unit(text.parse::<Duration>())),
    ("tollway-duration-positive", positive),
    ("tollway-size", |text| unit(text.parse::<Size>())),
    ("tollway-network", network),
    ("tollway-frequency", |text| unit(text.parse::<Frequency>())),
    ("tollway-name", name),
    ("tollway-plan-name", plan_name),
    ("tollway-version", version),
    ("tollway-context", context),
    ("tollway-host", host),
    ("tollway-header", header),
    ("tollway-method", method),
    ("tollway-origin", origin),
    ("tollway-url", url),
    ("tollway-public-url", public_url),
    ("tollway-operation", operation),
    ("tollway-scope", scope),
    ("tollway-file", file),
    ("tollway-pem", pem),
    ("tollway-secret-env", secret_env),
    ("tollway-dns-name", upstream::dns_name),
    ("tollway-path", upstream::path),
    ("tollway-check-path", upstream::check_path),
    ("tollway-percent", upstream::percent),
    ("tollway-percent-over", upstream::percent_over),
    ("tollway-statuses", upstream::statuses),
];

/// What is wrong with a text of one of our formats (`tollway-url`, …); nothing for other formats.
#[must_use]
pub fn fault(format: &str, text: &str) -> Option<Fault> {
    let (_, check) = FORMATS.iter().find(|(name, _)| *name == format)?;
    if text.len() > TEXT_MAX && format != "tollway-pem" {
        // The forms' own messages repeat the text.
        let message = format!(
            "the text has {} bytes, at most {TEXT_MAX} are accepted",
            text.len()
        );
        return wrong(message, "shorten it").err();
    }
    check(text).err()
}

/// The name of an API's document, where its author gave none: `orders-2.1.0`.
#[must_use]
pub fn api_document_name(name: &str, version: &str) -> String {
    let text = format!("{name}-{version}").to_lowercase();
    let text: String = text
        .chars()
        .map(|c| {
            if matches!(c, 'a'..='z' | '0'..='9' | '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    // A label ends with a letter or digit: `1.0.-x` has none between `.` and `-`.
    let labels = text.split('.').map(|label| label.trim_matches('-'));
    let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    labels.join(".")
}

/// The two halves of `POST /orders`.
#[must_use]
pub fn split_operation(text: &str) -> Option<(&str, &str)> {
    let (method, template) = text.split_once(' ')?;
    (is_method(method) && template.starts_with('/')).then_some((method, template))
}

fn wrong(message: impl Into<String>, mend: &str) -> Result<(), Fault> {
    Err(Fault {
        message: message.into(),
        mend: Some(mend.to_owned()),
    })
}

fn unit<T>(read: Result<T, crate::UnitError>) -> Result<(), Fault> {
    read.map(|_| ()).map_err(|error| Fault {
        message: error.to_string(),
        mend: None,
    })
}

fn positive(text: &str) -> Result<(), Fault> {
    match text.parse::<Duration>() {
        Ok(duration) if duration.is_zero() => {
            wrong("the duration is zero", "give it a length, as in `30s`")
        }
        other => unit(other),
    }
}

fn is_label(label: &str, upper: bool) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || byte == b'-'
            || (upper && byte.is_ascii_uppercase())
    };
    !label.is_empty()
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn name(text: &str) -> Result<(), Fault> {
    named(
        text,
        false,
        "lower-case letters, digits, `-` and `.`, as in `orders-2`",
    )
}

fn plan_name(text: &str) -> Result<(), Fault> {
    named(text, true, "letters, digits, `-` and `.`, as in `Gold`")
}

fn named(text: &str, upper: bool, form: &str) -> Result<(), Fault> {
    if text.len() > NAME_MAX {
        return wrong(
            format!(
                "the name has {} characters, at most {NAME_MAX} are accepted",
                text.len()
            ),
            "shorten it",
        );
    }
    if text.split('.').all(|label| is_label(label, upper)) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no name"),
        &format!("use {form}, with a letter or digit at both ends"),
    )
}

fn version(text: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = text.len() <= VERSION_MAX
        && text.bytes().all(allowed)
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no version"),
        "use letters, digits, `.`, `_` and `-`, at most 63, the first a letter or digit, as in `1.0.0`",
    )
}

fn context(text: &str) -> Result<(), Fault> {
    if text.len() > CONTEXT_MAX {
        return wrong(
            format!(
                "the context has {} characters, at most {CONTEXT_MAX} are accepted",
                text.len()
            ),
            "shorten it",
        );
    }
    let Some(rest) = text.strip_prefix('/') else {
        return wrong(
            format!("the context `{text}` does not begin with `/`"),
            &format!("write `/{text}`"),
        );
    };
    if rest.is_empty() {
        return wrong("the context is empty", "give it a segment, as in `/orders`");
    }
    if text.ends_with('/') {
        return wrong(
            format!("the context `{text}` ends with `/`"),
            &format!("write `{}`", text.trim_end_matches('/')),
        );
    }
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    let good = |segment: &str| {
        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(allowed)
    };
    if rest.split('/').all(good) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no context"),
        "use segments of letters, digits, `-`, `_`, `.` and `~`, as in `/shop/orders`",
    )
}

fn is_host(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text
            .split('.')
            .all(|label| label.len() <= 63 && is_label(label, false))
}

fn host(text: &str) -> Result<(), Fault> {
    if is_host(text) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no host"),
        "write a lower-case name without port and wildcard, as in `api.example.com`",
    )
}

/// RFC 9110 §5.6.2: token.
/// An address, or a network as `address/length` (RFC 4632, RFC 4291 §2.3).
fn network(text: &str) -> Result<(), Fault> {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => {
            return wrong(
                format!("`{text}` is no network"),
                "write for example 10.0.0.0/8",
            );
        }
    };
    match length.parse::<u8>() {
        Ok(length) if length <= most => Ok(()),
        _ => wrong(
            format!("`{text}` has no length of 0 to {most} behind the slash"),
            "write for example 10.0.0.0/8",
        ),
    }
}

fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

fn header(text: &str) -> Result<(), Fault> {
    if is_token(text) && text.len() <= 128 {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no header name"),
        "write it as in `X-API-Key`",
    )
}

fn is_method(text: &str) -> bool {
    is_token(text) && text.len() <= 32 && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn method(text: &str) -> Result<(), Fault> {
    if is_method(text) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no method"),
        "write it in upper case, as in `POST`",
    )
}

/// The rest behind `http://` or `https://`.
fn behind_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
}

fn origin(text: &str) -> Result<(), Fault> {
    let plain = behind_scheme(text).is_some_and(|rest| !rest.contains(['/', '?', '#', '@']));
    if text == "*"
        || (plain
            && http::Uri::from_str(text)
                .is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty())))
    {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no origin"),
        "write scheme and host without a path, as in `https://shop.example.com`, or `*`",
    )
}

/// Scheme, host and port, which paths are put behind.
fn public_url(text: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'"' | b'\\');
    if text.bytes().all(plain) && origin(text).is_ok() {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no URL that a gateway is reached at"),
        "write scheme and host, and the port where it is another one, as in `https://api.example.com`",
    )
}

/// Whether a backend may be at this URL: HTTP, without credentials, query and fragment.
#[must_use]
pub fn is_backend_url(text: &str) -> bool {
    url(text).is_ok()
}

fn url(text: &str) -> Result<(), Fault> {
    let form = "write scheme, host and path, as in `http://orders:8080/v1`";
    let Some(rest) = behind_scheme(text) else {
        return wrong(format!("`{text}` is no URL of HTTP"), form);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        // Not shown: it may be a password.
        return wrong(
            "the URL holds credentials",
            "a document never holds a secret: remove them",
        );
    }
    if text.contains(['?', '#']) {
        return wrong(
            format!("the URL `{text}` has a query or a fragment"),
            "remove it",
        );
    }
    let uri = http::Uri::from_str(text).ok();
    let port = authority
        .rsplit_once(']')
        .map_or(authority, |(_, port)| port);
    let port_holds = port
        .split_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    if port_holds && uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty())) {
        return Ok(());
    }
    wrong(format!("`{text}` is no URL"), form)
}

fn operation(text: &str) -> Result<(), Fault> {
    if split_operation(text).is_some() {
        return Ok(());
    }
    wrong(
        format!("`{text}` names no operation"),
        "write the method in upper case and the path of the definition, as in `GET /orders/{id}`",
    )
}

/// RFC 6749 §3.3: scope-token.
fn scope(text: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no scope"),
        "use visible ASCII characters without spaces, quotes and backslashes, as in `orders:write`",
    )
}

fn file(text: &str) -> Result<(), Fault> {
    let good = !text.is_empty()
        && text.len() <= 1024
        && !text.starts_with('/')
        && !text.contains(['\\', ':'])
        && !text.chars().any(char::is_control)
        && text.split('/').all(|segment| !matches!(segment, "" | ".."));
    if good {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no file beside the document"),
        "write a relative path without `..`, as in `orders.openapi.yaml`",
    )
}

/// Only variables that are meant for documents: who may write one shall not have all that the process knows sent somewhere.
fn secret_env(text: &str) -> Result<(), Fault> {
    let rest = text.strip_prefix("TOLLWAY_SECRET_");
    let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(good)) {
        return Ok(());
    }
    wrong(
        format!("`{text}` is no variable for secrets"),
        "use upper-case letters, digits and `_` behind `TOLLWAY_SECRET_`, as in `TOLLWAY_SECRET_KEYCLOAK`",
    )
}

fn pem(text: &str) -> Result<(), Fault> {
    if text.contains("PRIVATE KEY") {
        return wrong(
            "the text holds a private key",
            "a document never holds a secret: keep the certificates only",
        );
    }
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    wrong(
        "the text holds no certificate",
        "write it in PEM, from `-----BEGIN CERTIFICATE-----` on",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(format: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(fault(format, text).is_none(), "{format}: {text}");
        }
        for text in bad {
            assert!(fault(format, text).is_some(), "{format}: {text}");
        }
    }

    #[test]
    fn forms_of_names() {
        accepts(
            "tollway-name",
            &["orders", "orders-2.1.0", "0", "a.b"],
            &[
                "",
                "Orders",
                "-a",
                "a-",
                "a..b",
                "a_b",
                "a/b",
                "a#b",
                "ä",
                &"a".repeat(254),
            ],
        );
        accepts(
            "tollway-plan-name",
            &["Gold", "gold-1"],
            &["", "Gold plan", "-Gold"],
        );
        accepts(
            "tollway-version",
            &["1", "1.0.0-beta_2", "v1"],
            &["", "..", ".1", "1/2", "1 0", &"1".repeat(64)],
        );
        accepts(
            "tollway-scope",
            &["orders:write", "a"],
            &["", "a b", "a\"b", "a\\b", "ä"],
        );
        accepts(
            "tollway-file",
            &["a.yaml", "x/a.yaml"],
            &["", "/a", "../a", "a/../b", "a//b", "a\\b", "c:a", "a\0"],
        );
        accepts("tollway-duration-positive", &["1ms"], &["0s", "1"]);
    }

    #[test]
    fn forms_of_paths_and_of_http() {
        accepts(
            "tollway-context",
            &["/a", "/a/b.c/~d"],
            &[
                "",
                "/",
                "a",
                "/a/",
                "//a",
                "/a//b",
                "/./a",
                "/a/..",
                "/a%20b",
                "/a{b}",
                "/a?b",
                &format!("/{}", "a".repeat(255)),
            ],
        );
        accepts("tollway-header", &["X-API-Key"], &["", "X Key", "X:Y", "Ä"]);
        accepts("tollway-method", &["GET", "M-SEARCH"], &["", "get", "GET "]);
        accepts(
            "tollway-operation",
            &["GET /", "POST /orders/{id}"],
            &[
                "",
                "GET",
                "/orders",
                "get /orders",
                "GET orders",
                "GET  /orders",
            ],
        );
    }

    #[test]
    fn forms_of_hosts_and_urls() {
        accepts(
            "tollway-host",
            &["api.example.com", "localhost", "10.0.0.1"],
            &["", "API.example.com", "a:80", "*.a", "a..b", "a b"],
        );
        accepts(
            "tollway-origin",
            &["*", "https://*.a.b", "https://a.b", "http://localhost:3000"],
            &["", "a.b", "https://a.b/", "https://", "ftp://a"],
        );
        accepts(
            "tollway-public-url",
            &["https://a.b", "http://localhost:3000", "https://[::1]:8443"],
            &[
                "",
                "a.b",
                "https://a.b/",
                "https://a.b/c",
                "https://",
                "*",
                "https://*.b",
                "https://u@a.b",
            ],
        );
        accepts(
            "tollway-url",
            &[
                "http://a",
                "https://a:8443/v1/",
                "http://127.0.0.1:9000",
                "http://[::1]:80/x",
            ],
            &[
                "",
                "a",
                "ftp://a",
                "http://",
                "http:///x",
                "http://u:p@a",
                "http://a?b",
                "http://a#b",
                "http://a:99999",
                "http://a:0",
                "http://a b",
            ],
        );
    }

    #[test]
    fn networks() {
        accepts(
            "tollway-network",
            &["10.0.0.0/8", "192.0.2.1", "::/0", "2001:db8::/32", "::1"],
            &[
                "10.0.0.0/33",
                "10.0.0/8",
                "::/129",
                "x/8",
                "10.0.0.0/",
                "10.0.0.0/-1",
                "",
            ],
        );
    }

    #[test]
    fn messages_stay_short() {
        let long = "Ä".repeat(TEXT_MAX);
        for (format, _) in FORMATS {
            let fault = fault(format, &long).unwrap();
            assert!(fault.message.len() < 200, "{format}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_not_repeated() {
        let fault = fault("tollway-url", "http://user:hunter2@a/x").unwrap();
        assert!(!fault.message.contains("hunter2"));
    }

    #[test]
    fn filled_names_are_names() {
        for (name, version, expected) in [
            ("orders", "2.1.0", "orders-2.1.0"),
            ("orders", "2.1.0-Beta_1", "orders-2.1.0-beta-1"),
            ("orders", "1.-", "orders-1"),
            ("orders", "1..2", "orders-1.2"),
        ] {
            let filled = api_document_name(name, version);
            assert_eq!(filled, expected);
            assert!(fault("tollway-name", &filled).is_none());
        }
    }
}
