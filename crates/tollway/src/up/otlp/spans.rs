//! A traced call as spans of OpenTelemetry.
//!
//! Names and attributes: OpenTelemetry semantic conventions for HTTP spans, and `tollway.*` for what is ours.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use gateway::spans::{Call, Ended, Try};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The methods that stand as they are (semantic conventions, `http.request.method`).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// The call's own span, one for each policy that waited, one for each try to reach the backend.
pub(super) fn of(call: &Call) -> Vec<SpanData> {
    let mut spans = Vec::with_capacity(1 + call.waits.len() + call.tries.len());
    spans.push(server(call));
    spans.extend(call.waits.iter().map(|wait| {
        let mut span = inner(call, (wait.begun, wait.ended));
        span.name = format!("policy {}", wait.policy).into();
        span.attributes = vec![text("tollway.policy", wait.policy.clone().into_owned())];
        span
    }));
    let last = call.tries.len().saturating_sub(1);
    let tries = call.tries.iter().enumerate();
    spans.extend(tries.map(|(index, tried)| client(call, tried, index, index == last)));
    spans
}

fn server(call: &Call) -> SpanData {
    let method = method(&call.method);
    let target = call.target.as_ref();
    let route = target.and_then(|target| target.route.as_deref());
    let name = match route {
        Some(route) => format!("{method} {route}").into(),
        None => Cow::Borrowed(method),
    };
    let host = call.host.as_str();
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse::<i64>().ok()),
        _ => (host, None),
    };
    let mut attributes = vec![
        text("http.request.method", method.to_owned()),
        text("url.path", call.path.clone()),
        text(
            "url.scheme",
            if call.tls { "https" } else { "http" }.to_owned(),
        ),
        text("server.address", host.to_owned()),
        text("network.protocol.version", call.protocol.to_owned()),
        text("client.address", call.client_ip.to_string()),
        number("http.response.status_code", call.status.into()),
    ];
    attributes.extend(port.map(|port| number("server.port", port)));
    attributes.extend(route.map(|route| text("http.route", route.to_owned())));
    if let Some(target) = target {
        attributes.push(text("tollway.api", target.api.clone()));
        attributes.push(text("tollway.version", target.version.clone()));
        let operation = target.operation.as_ref();
        attributes.extend(operation.map(|name| text("tollway.operation", name.to_string())));
    }
    let application = call.application.map(|id| id.to_string());
    attributes.extend(application.map(|id| text("tollway.application", id)));
    let plan = call.plan.as_ref().map(|plan| plan.name.clone());
    attributes.extend(plan.map(|name| text("tollway.plan", name)));
    attributes.extend(call.code.map(|code| text("tollway.code", code.to_owned())));
    if call.ended == Ended::Abandoned {
        attributes.push(KeyValue::new("tollway.client_aborted", true));
    }
    let error = call.error();
    // A call that was refused for its caller's fault is no error of the server (semantic conventions, span status).
    let failed = call.status >= 500 || call.ended == Ended::Broken;
    attributes.extend(error.map(|error| text("error.type", error.into_owned())));
    SpanData {
        span_context: context(call, call.span_id),
        parent_span_id: call.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: call.parent.is_some(),
        span_kind: SpanKind::Server,
        name,
        status: if failed {
            Status::error("")
        } else {
            Status::Unset
        },
        attributes,
        ..inner(call, (call.begun_at, call.ended_at))
    }
}

fn client(call: &Call, tried: &Try, index: usize, last: bool) -> SpanData {
    let method = method(&call.method);
    let mut attributes = vec![
        text("http.request.method", method.to_owned()),
        text("server.address", tried.host.clone()),
        number("server.port", tried.port.into()),
        text("tollway.connection", tried.via.label().to_owned()),
    ];
    if index > 0 {
        let again = i64::try_from(index).unwrap_or(i64::MAX);
        attributes.push(number("http.request.resend_count", again));
    }
    if let Some(status) = tried.status {
        attributes.push(number("http.response.status_code", status.into()));
        if status >= 400 {
            attributes.push(text("error.type", status.to_string()));
        }
    }
    let mut status = match tried.status {
        Some(400..) => Status::error(""),
        _ => Status::Unset,
    };
    if let Some(error) = &tried.error {
        // The last try is what the call failed of; those before it found a connection that was closed meanwhile.
        let code = call.code.filter(|_| last).unwrap_or("connection_closed");
        attributes.push(text("error.type", code.to_owned()));
        status = Status::error(error.clone());
    }
    SpanData {
        span_context: context(call, tried.span_id),
        span_kind: SpanKind::Client,
        name: method.into(),
        attributes,
        status,
        ..inner(call, (tried.begun, tried.ended))
    }
}

/// A span within the call's own.
fn inner(call: &Call, (begun, ended): (Instant, Instant)) -> SpanData {
    SpanData {
        span_context: context(call, rand_span_id()),
        parent_span_id: SpanId::from_bytes(call.span_id),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(""),
        start_time: time(call, begun),
        end_time: time(call, ended),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("tollway.gateway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn rand_span_id() -> [u8; 8] {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high.to_be_bytes()
}

fn context(call: &Call, span_id: [u8; 8]) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(call.trace_id),
        SpanId::from_bytes(span_id),
        TraceFlags::SAMPLED,
        false,
        // What is no valid list was not ours to mend.
        call.trace_state.parse::<TraceState>().unwrap_or_default(),
    )
}

/// The wall-clock time of a moment of the call.
fn time(call: &Call, at: Instant) -> SystemTime {
    call.begun + at.saturating_duration_since(call.begun_at)
}

fn method(name: &str) -> &'static str {
    let known = METHODS.iter().find(|known| **known == name);
    known.copied().unwrap_or("_OTHER")
}

fn text(name: &'static str, value: String) -> KeyValue {
    KeyValue::new(name, Value::from(value))
}

fn number(name: &'static str, value: i64) -> KeyValue {
    KeyValue::new(name, value)
}
