//! client_secret_basic (RFC 6749 §2.3.1): where it stands.

use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::form::decode;
use crate::oauth::OAuthError;

/// Id and secret of an `Authorization: Basic` header: each form-encoded, joined by a colon, in base64.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<(String, Secret<String>)>, OAuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(OAuthError::invalid_request(
            "there is more than one Authorization header",
        ));
    }
    parse_basic(value.as_bytes())
        .map(Some)
        .ok_or_else(OAuthError::invalid_client)
}

fn parse_basic(value: &[u8]) -> Option<(String, Secret<String>)> {
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = Secret::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = decoded.expose().iter().position(|byte| *byte == b':')?;
    let (id, secret) = decoded.expose().split_at(colon);
    Some((decode(id)?, Secret::new(decode(&secret[1..])?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<(String, String)> {
        let (id, secret) = parse_basic(value.as_bytes())?;
        Some((id, secret.expose().clone()))
    }

    /// RFC 6749 §2.3.1: id and secret are form-encoded before they are joined.
    #[test]
    fn basic_is_decoded_twice() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(parsed(&header("id:secret")), pair("id", "secret"));
        assert_eq!(
            parsed(&header("my%3Aid+x:a%25b%3A+c")),
            pair("my:id x", "a%b: c")
        );
        assert_eq!(parsed(&header("id:a:b")), pair("id", "a:b"));
        assert_eq!(parsed("bAsIc aWQ6c2VjcmV0"), pair("id", "secret"));
        for malformed in [
            "",
            "Basic",
            "Basic ",
            "Bearer aWQ6c2VjcmV0",
            "BasicaWQ6c2VjcmV0",
            "Basic aWQ6c2VjcmV0!",
            "Basic aWQ",
            &header("no colon"),
            &header("id:%zz"),
            &header("%f:x"),
        ] {
            assert_eq!(parsed(malformed), None, "{malformed}");
        }
    }
}
