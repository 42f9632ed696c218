//! Client authentication: client_secret_basic and client_secret_post.

use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use store::Credential;

use crate::IdentityState;
use crate::form::{OAuthRequest, decode};
use crate::oauth::OAuthError;

/// A client that has proved itself.
pub(crate) struct Client {
    pub(crate) credential: Credential,
    pub(crate) client_id: String,
}

impl IdentityState {
    /// The client that sent this request.
    ///
    /// Source: RFC 6749 §2.3.1. A client uses one way in a request (§2.3); neither is told apart in the answer.
    pub(crate) async fn client(&self, request: &OAuthRequest) -> Result<Client, OAuthError> {
        let presented = presented(request).inspect_err(|_| self.metrics.clients_refused.count())?;
        let (client_id, client_secret) = presented;
        let now = self.clock.unix_s();
        let found = self
            .secrets
            .client_authenticate(self.store.as_ref(), &client_id, &client_secret, now)
            .await
            .map_err(|error| self.store_failed(&error))?;
        match found {
            Some((credential, _)) => Ok(Client {
                credential,
                client_id,
            }),
            None => {
                self.metrics.clients_refused.count();
                Err(OAuthError::invalid_client())
            }
        }
    }

    /// The store failed: the cause goes to the log, the caller learns that it may come back.
    pub(crate) fn store_failed(&self, error: &store::StoreError) -> OAuthError {
        tracing::error!(error = error as &dyn std::error::Error, "the store failed");
        OAuthError::unavailable("the store does not answer", self.config.retry_after_s)
    }
}

fn presented(request: &OAuthRequest) -> Result<(String, Secret<String>), OAuthError> {
    let form = &request.form;
    let Some(basic) = basic(&request.headers)? else {
        let (Some(id), Some(secret)) = (form.get("client_id"), form.get("client_secret")) else {
            return Err(OAuthError::invalid_client());
        };
        return Ok((id.to_owned(), Secret::new(secret.to_owned())));
    };
    if form.get("client_secret").is_some() {
        return Err(OAuthError::invalid_request(
            "the client authenticates twice: by HTTP Basic and in the form",
        ));
    }
    if form.get("client_id").is_some_and(|id| id != basic.0) {
        return Err(OAuthError::invalid_request(
            "client_id in the form is not that of HTTP Basic",
        ));
    }
    Ok(basic)
}

/// Id and secret of an `Authorization: Basic` header: each form-encoded, joined by a colon, in base64.
fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret<String>)>, OAuthError> {
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
