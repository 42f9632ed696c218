//! Answers that policies give themselves.

use std::borrow::Cow;

use base::Code;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

/// A complete answer made by a policy.
pub type Response = http::Response<Bytes>;

/// A refusal. The gateway renders it as an RFC 9457 problem with the request's trace id; there is one renderer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// What kind of refusal; it has the status.
    pub code: Code,
    /// What is wrong in this case; never a secret, never an internal.
    pub detail: Cow<'static, str>,
    /// Headers of the answer (`WWW-Authenticate`, `Allow`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The connection is closed after the answer.
    pub close: bool,
}

impl Reject {
    /// A refusal with this code and detail.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            headers: Vec::new(),
            retry_after_s: None,
            close: false,
        }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Closes the connection after the answer.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }
}
