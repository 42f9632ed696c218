//! Why a call failed, as an RFC 9457 problem.

use axum::response::{IntoResponse, Response};
use base::{Code, Diagnostic, Problem, code};
use http::{HeaderName, HeaderValue, StatusCode};
use store::StoreError;

/// Result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A problem and the headers that go with it. The trace id is added on the way out, by [`super::trace`].
#[derive(Debug)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            problem: Problem::new(code, detail),
            header: None,
        }))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// Adds a member of the problem's own.
    pub(crate) fn extension(mut self, name: &str, value: serde_json::Value) -> Self {
        self.0.problem = self.0.problem.extension(name, value);
        self
    }

    /// Faults of documents, warnings among them.
    pub(crate) fn faulty(code: Code, errors: impl IntoIterator<Item = Diagnostic>) -> Self {
        let errors: Vec<_> = errors.into_iter().collect();
        let mut serious = errors
            .iter()
            .filter(|error| error.severity == base::Severity::Error);
        let detail = match (serious.next(), serious.count()) {
            (Some(only), 0) => match &only.mend {
                Some(mend) => format!("{} ({mend})", only.message),
                None => only.message.clone(),
            },
            (_, others) => format!("{} errors, listed in `errors`", others + 1),
        };
        let mut error = Self::new(code, detail);
        error.0.problem.errors = errors;
        error
    }

    /// The faults of documents that it is about.
    ///
    /// # Errors
    /// Itself, when it is about something else.
    pub(crate) fn into_diagnostics(self) -> Result<Vec<Diagnostic>, Self> {
        if self.0.problem.errors.is_empty() {
            return Err(self);
        }
        Ok(self.0.problem.errors)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(code::NOT_FOUND, format!("there is no {what}"))
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(code::BAD_REQUEST, detail)
    }

    /// A defect of ours: the cause goes to the log only.
    pub(crate) fn internal(step: &str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = chain(cause), "{step} failed");
        Self::new(code::INTERNAL, "")
    }

    /// The store does not answer: the cause goes to the log only.
    pub(crate) fn store_unavailable(cause: &StoreError) -> Self {
        tracing::error!(cause = chain(cause), "the store failed");
        Self::new(code::STORE_UNAVAILABLE, "")
    }

    #[cfg(test)]
    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }
}

/// An error and its sources in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Inner { problem, header } = *self.0;
        let mut response = StatusCode::from_u16(problem.status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(problem);
        response
    }
}

/// What a caller may know of a failing store.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Exists(_) => Self::new(code::CONFLICT, error.to_string()),
            StoreError::Missing(_) => Self::new(code::NOT_FOUND, error.to_string()),
            StoreError::Stale { .. } => Self::new(code::REVISION_CONFLICT, error.to_string()),
            StoreError::Database(_) => Self::store_unavailable(&error),
            StoreError::Corrupt(_) => Self::internal("reading the store", &error),
        }
    }
}
