//! Errors of the OAuth endpoints (RFC 6749 §5.2).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

/// An error answer of an OAuth endpoint.
#[derive(Debug)]
pub(crate) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after_s: Option<u64>,
    dpop_nonce: Option<String>,
}

impl OAuthError {
    /// What is wrong, for people.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    pub(crate) fn invalid_request(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// One text for every reason: which part was wrong is nobody's business.
    pub(crate) fn invalid_client() -> Self {
        let description = "client authentication failed: authenticate by the method that the client is registered for";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    pub(crate) fn unauthorized_client(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", description)
    }

    pub(crate) fn unsupported_grant_type() -> Self {
        let description = "the metadata of this server lists the grant types that there are";
        Self::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            description,
        )
    }

    pub(crate) fn invalid_scope(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", description)
    }

    /// Any error of a grant (RFC 6749 §5.2 and those that extend it).
    pub(crate) fn of(error: &'static str, description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, description)
    }

    /// A code or refresh token that gives nothing: one text for every reason that is not the client's own fault.
    pub(crate) fn invalid_grant(description: &str) -> Self {
        Self::of("invalid_grant", description)
    }

    /// Tells the nonce that the next DPoP proof has to repeat (RFC 9449 §8).
    pub(crate) fn with_nonce(mut self, nonce: String) -> Self {
        self.dpop_nonce = Some(nonce);
        self
    }

    /// Whether it says nothing about the request: it may come again.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(crate) fn too_large(status: StatusCode) -> Self {
        Self::new(
            status,
            "invalid_request",
            "the body cannot be read or is too large",
        )
    }

    pub(crate) fn server_error() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "a defect of the server; its log has the cause",
        )
    }

    /// RFC 7009 §2.2.1: with 503 the client has to assume that nothing was done.
    pub(crate) fn unavailable(description: &str, retry_after_s: u64) -> Self {
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                description,
            )
        }
    }

    fn new(status: StatusCode, error: &'static str, description: &str) -> Self {
        // The characters that RFC 6749 §5.2 allows in error_description.
        let allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        let description = description
            .chars()
            .map(|c| if allowed(c) { c } else { '?' })
            .collect();
        Self {
            status,
            error,
            description,
            retry_after_s: None,
            dpop_nonce: None,
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"tollway\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(nonce) = self.dpop_nonce {
            let nonce = HeaderValue::from_str(&nonce).expect("a nonce is base64url");
            headers.insert(crate::dpop::DPOP_NONCE, nonce);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
