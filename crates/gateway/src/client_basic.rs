//! How the gateway proves itself as an OAuth client by HTTP Basic.

use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use url::form_urlencoded::byte_serialize;

/// The value of `Authorization` for `client_secret_basic` (RFC 6749 §2.3.1): both parts are encoded as in forms first.
pub(crate) fn value(client_id: &str, secret: &Secret<String>) -> HeaderValue {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let (id, secret) = (encoded(client_id), Secret::new(encoded(secret.expose())));
    let pair = Secret::new(format!("{id}:{}", secret.expose()));
    let text = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
    let mut value = HeaderValue::from_str(text.expose()).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_twice() {
        // RFC 6749 §2.3.1, and its example of the encoding in §B.
        let value = value("a b", &Secret::new("ü:%".to_owned()));
        assert_eq!(value, "Basic YStiOiVDMyVCQyUzQSUyNQ==");
    }
}
