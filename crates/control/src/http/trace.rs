//! The trace id of a call, and the one place where problems become bodies.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::problem::MEDIA_TYPE;
use base::{Problem, code};
use http::{HeaderName, HeaderValue, header};
use tracing::Instrument as _;

/// The trace id of a call, for whoever handles it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceId(pub(crate) String);

/// The header of every answer that says the trace id: the audit names calls by it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the call a trace id, every answer that id, and every problem among them its body.
pub(crate) async fn trace(mut request: Request, next: Next) -> Response {
    let trace_id = request
        .headers()
        .get("traceparent")
        .and_then(|value| trace_id(value.to_str().ok()?))
        .unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    let span = tracing::info_span!(
        "control",
        %trace_id,
        method = %request.method(),
        path = request.uri().path()
    );
    request.extensions_mut().insert(TraceId(trace_id.clone()));
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::try_from(&trace_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        render(&mut response, &problem.trace(trace_id));
    }
    response
}

fn render(response: &mut Response, problem: &Problem) {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    *response.body_mut() = body.into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The answer to a call whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(crate) fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(cause = text, "a handler panicked");
    super::ApiError::new(code::INTERNAL, "").into_response()
}

/// The trace id of a `traceparent`; versions later than 00 may have more parts.
///
/// Source: W3C Trace Context, §3.2.
fn trace_id(value: &str) -> Option<String> {
    let mut parts = value.split('-');
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let version = parts.next().filter(|text| hex(text, 2) && *text != "ff")?;
    let id = parts.next().filter(|text| hex(text, 32))?;
    let parent = parts.next().filter(|text| hex(text, 16))?;
    parts.next().filter(|text| hex(text, 2))?;
    let extra = parts.next().is_some();
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let odd = zero(id) || zero(parent) || (extra && version == "00");
    (!odd).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn reads_traceparent() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let id = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        assert_eq!(trace_id(good), id);
        assert_eq!(trace_id(&good.replacen("00-", "cc-", 1)), id);
        assert_eq!(
            trace_id(&format!("{}-x", good.replacen("00-", "cc-", 1))),
            id
        );
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
