//! Answers that the gateway gives itself. The one place where a refusal becomes HTTP.

use base::problem::{MEDIA_TYPE, Problem};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use policy::{Reject, Trace};

use crate::trace;

/// A refusal as an RFC 9457 problem, with the trace id that logs and the backend see too; or what is answered instead.
pub(crate) fn problem(reject: &Reject, trace: &Trace) -> Response<Bytes> {
    if let Some(instead) = &reject.instead {
        let mut response = Response::new(instead.body.clone());
        *response.status_mut() = instead.status;
        *response.headers_mut() = instead.headers.clone();
        return response;
    }
    let body = body(reject, trace::id_text(trace));
    let mut response = Response::new(body);
    *response.status_mut() = status(reject);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in &reject.headers {
        headers.append(name, value.clone());
    }
    if let Some(seconds) = reject.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if reject.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer without its body, for `HEAD`: the header fields are those of the answer to `GET`.
pub(crate) fn without_body(response: &mut Response<Bytes>) {
    let length = response.body().len();
    *response.body_mut() = Bytes::new();
    if length > 0 {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// A whole HTTP/1.1 message, for a connection that never got as far as a request; the connection is closed after it.
pub(crate) fn raw_problem(reject: &Reject) -> Vec<u8> {
    let body = body(reject, String::new());
    let status = status(reject);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n",
        status.as_str(),
        body.len(),
    );
    if let Some(seconds) = reject.retry_after_s {
        text.push_str(&format!("retry-after: {seconds}\r\n"));
    }
    text.push_str("\r\n");
    let mut message = text.into_bytes();
    message.extend_from_slice(&body);
    message
}

fn status(reject: &Reject) -> StatusCode {
    StatusCode::from_u16(reject.code.status).expect("the table of codes has valid statuses")
}

fn body(reject: &Reject, trace_id: String) -> Bytes {
    let problem = Problem::new(reject.code, reject.detail.as_ref()).trace(trace_id);
    let text = serde_json::to_vec(&problem).expect("a problem holds nothing but texts");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: Trace = Trace {
        trace_id: [0xab; 16],
        span_id: [1; 8],
        flags: 0,
    };

    #[test]
    fn a_refusal_has_code_trace_id_and_headers() {
        let reject = Reject::new(base::code::QUOTA_EXCEEDED, "no more")
            .header(
                http::header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer"),
            )
            .retry_after(7)
            .close();
        let response = problem(&reject, &TRACE);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["connection"], "close");
        let body: Problem = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body.code, "QUOTA_EXCEEDED");
        assert_eq!(body.detail, "no more");
        assert_eq!(body.trace_id, "ab".repeat(16));
    }

    #[test]
    fn head_keeps_the_length_and_loses_the_body() {
        let reject = Reject::new(base::code::ROUTE_NOT_FOUND, "");
        let mut response = problem(&reject, &TRACE);
        let length = response.body().len().to_string();
        without_body(&mut response);
        assert!(response.body().is_empty());
        assert_eq!(response.headers()["content-length"], length.as_str());
    }

    #[test]
    fn a_raw_refusal_is_a_whole_message() {
        let reject = Reject::new(base::code::CONNECTION_LIMIT, "full").retry_after(1);
        let text = String::from_utf8(raw_problem(&reject)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(head.contains("\r\nretry-after: 1"));
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())));
    }
}
