//! Answers that policies give themselves.

use std::borrow::Cow;

use base::Code;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

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
    /// Why, for the operator who asks for the decision; never sent to the caller.
    pub reason: Option<Box<Reason>>,
    /// What is answered in place of the problem: the words of a service that decides.
    pub instead: Option<Box<Instead>>,
}

/// An answer in place of the problem. It is a refusal all the same, with its code in logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Which rule of a policy refused, and the facts that it compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule, in words joined by hyphens; stable.
    pub rule: &'static str,
    /// What was compared. Never a credential; of a token's claims no others than `sub`, `scope`, `aud`, `iss`, `jti`,
    /// `client_id`, roles and the times.
    pub facts: Vec<Fact>,
}

/// One comparison that did not come out as it had to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at: `claim exp`, `application`.
    pub name: &'static str,
    /// What was there; empty where nothing was.
    pub found: String,
    /// What would have passed.
    pub expected: String,
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
            reason: None,
            instead: None,
        }
    }

    /// Says which rule refused.
    #[must_use]
    pub fn because(mut self, rule: &'static str) -> Self {
        let facts = Vec::new();
        self.reason = Some(Box::new(Reason { rule, facts }));
        self
    }

    /// Adds what the rule compared; without [`Reject::because`] there is no rule, and it is not kept.
    #[must_use]
    pub fn fact(
        mut self,
        name: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        if let Some(reason) = &mut self.reason {
            reason.facts.push(Fact {
                name,
                found: found.into(),
                expected: expected.into(),
            });
        }
        self
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
