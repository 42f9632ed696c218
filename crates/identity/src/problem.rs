//! Problems (RFC 9457) as answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::{Code, Problem, code, problem};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

/// A problem and the headers that belong to it.
pub(crate) struct ProblemAnswer {
    problem: Box<Problem>,
    retry_after_s: Option<u64>,
}

impl ProblemAnswer {
    pub(crate) fn new(code: Code, detail: impl Into<String>, request: &HeaderMap) -> Self {
        Self {
            problem: Box::new(Problem::new(code, detail).trace(trace_id(request))),
            retry_after_s: None,
        }
    }

    pub(crate) fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.problem.trace_id
    }
}

impl IntoResponse for ProblemAnswer {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&*self.problem).expect("a problem is plain data");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.problem.status).expect("codes have valid statuses");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        if self.problem.status == 401 {
            let challenge = HeaderValue::from_static("Bearer realm=\"tollway\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A path of ours with a method that it does not have; axum adds `Allow`.
pub(crate) async fn method_not_allowed(headers: HeaderMap) -> ProblemAnswer {
    let detail = "the Allow header names the methods of this path";
    ProblemAnswer::new(code::CONTROL_METHOD_NOT_ALLOWED, detail, &headers)
}

/// The caller's trace id (W3C Trace Context), or a new one.
pub(crate) fn trace_id(headers: &HeaderMap) -> String {
    let given = headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split('-').nth(1))
        .filter(|id| {
            id.len() == 32
                && id
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                && id.bytes().any(|byte| byte != b'0')
        });
    given.map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
}
