//! `extAuthz`: a service decides whether a call may pass.

mod ask;
mod change;
mod messages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::code::{
    BODY_TOO_LARGE, CALLER_NOT_ALLOWED, EXTERNAL_AUTHORIZATION_FAILED, REQUEST_TIMEOUT,
};
use base::{Diagnostic, Org};
use http::StatusCode;
use http::header::HeaderName;
use policy::services::PeekFault;
use policy::{
    Ahead, AuthorizationCounts, CompileEnv, Instead, Outcome, Peeked, Phase, Policy, PolicyKind,
    Reject, RequestCx, ResponseCx, ServiceCall, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;
use spec::units::{Duration, Size};

use crate::hop_by_hop;
use ask::{Denied, Said};
use change::{Allowed, Field};

/// The kind.
pub struct ExtAuthz;

const TIMEOUT_MAX: Duration = Duration::from_ms(60_000);
const BODY_MAX: Size = Size::from_bytes(1 << 20);
const ANSWER_MAX: Size = Size::from_bytes(1 << 20);
const NAMES_MAX: usize = 100;

/// Which service is asked, and what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The service: the name of a `Backend` document, which says its endpoints, TLS, health and circuit breaker. For `grpc` it
    /// has to speak HTTP/2.
    #[schemars(extend("format" = "tollway-name"))]
    backend: String,
    /// Envoy's gRPC protocol (`envoy.service.auth.v3.Authorization/Check`). Exactly one of `grpc`, `http`.
    grpc: Option<Grpc>,
    /// Envoy's HTTP protocol: the call's method and path, answered by 200 or a refusal.
    http: Option<Http>,
    /// Until when the answer has to be there, 1ms to 1m; default 200ms.
    timeout: Option<Duration>,
    /// Whether a call passes when the service gives no answer that can be understood; default no.
    #[serde(default)]
    failure_mode_allow: bool,
    /// Header fields of the call that the service is told. Default: with `grpc` all but `Authorization`, `Proxy-Authorization`
    /// and `Cookie`; with `http` none but `X-Forwarded-…` and `traceparent`.
    #[schemars(length(max = 100))]
    headers: Option<Vec<String>>,
    /// Header fields that the service may set for the backend. Clients cannot bring them: they are taken out of every request
    /// of the API. Default: with `grpc` any that do not belong to the gateway; with `http` none.
    #[schemars(length(max = 100))]
    upstream_headers: Option<Vec<String>>,
    /// Whether the service is told the call's body; default no.
    body: Option<Body>,
    /// The longest answer of the service, at most 1Mi; default 64Ki.
    max_answer: Option<Size>,
}

/// The gRPC protocol.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Grpc {
    /// `context_extensions` of the question, such as the name of a rule.
    #[serde(default)]
    context: BTreeMap<String, String>,
    /// Whether the body is sent as bytes (`raw_body`); default: as a text.
    #[serde(default)]
    raw: bool,
}

/// The HTTP protocol.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Http {
    /// What stands before the call's path in the question, such as `/check`.
    #[serde(default)]
    path_prefix: String,
    /// Header fields of a refusal that the client gets, beside `Content-Type`, `WWW-Authenticate` and `Location`.
    #[serde(default, deserialize_with = "names")]
    #[schemars(with = "Vec<String>")]
    client_headers: Vec<HeaderName>,
}

/// How much of the body.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Body {
    /// The first bytes that the service is told, at most 1Mi; default 8Ki.
    max_bytes: Option<Size>,
    /// Whether it is told the beginning of a longer body. Default no: such a call is refused with 413.
    #[serde(default)]
    allow_partial: bool,
}

fn names<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<HeaderName>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parse = |text: String| {
        let name: Option<HeaderName> = text.parse().ok();
        name.filter(|name| !hop_by_hop::is_framing(name.as_str()))
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no header of an answer")))
    };
    texts.into_iter().map(parse).collect()
}

/// Asks for each call, and waits for the answer. Nothing is remembered: the service may change its mind.
///
/// # Errors
/// What the service answers, 403 `CALLER_NOT_ALLOWED` where it says no more than no; `EXTERNAL_AUTHORIZATION_FAILED` (503)
/// when it gives no answer, too late, or one that cannot be understood or asks for what it may not; `BODY_TOO_LARGE` (413).
struct Running {
    org: Org,
    backend: Arc<str>,
    protocol: Protocol,
    timeout_ms: u64,
    failure_mode_allow: bool,
    headers: Option<Box<[HeaderName]>>,
    allowed: Allowed,
    /// How many bytes of the body, and whether it may be longer.
    body: Option<(usize, bool)>,
    answer_bytes_max: usize,
}

enum Protocol {
    Grpc(Grpc),
    Http(Http),
}

/// An answer that says neither yes nor no, and why.
#[derive(Debug)]
struct Misunderstood(&'static str);

/// In a slot: what the answer to the client gets.
struct ForClient(Vec<Field>);

impl PolicyKind for ExtAuthz {
    const NAME: &'static str = "extAuthz";
    const PHASE: Phase = Phase::Authorize;
    const SUMMARY: &'static str =
        "Lets a service of your own decide, by Envoy's ext_authz protocol (gRPC or HTTP).";
    type Config = Config;

    fn owned(config: &Config) -> Vec<HeaderName> {
        let names = config.upstream_headers.iter().flatten();
        names.filter_map(|name| name.parse().ok()).collect()
    }

    fn compile(
        &self,
        config: Config,
        env: &CompileEnv,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let mut fault = |rule: &'static str, pointer: &str, message: &str| {
            faults.push(Diagnostic::error(rule, pointer, message));
        };
        if let Some(of) = spec::names::fault("tollway-name", &config.backend) {
            fault("backend-name", "/backend", &of.message);
        }
        let timeout = config.timeout.unwrap_or(Duration::from_ms(200));
        if timeout.as_ms() == 0 || timeout > TIMEOUT_MAX {
            fault(
                "timeout-range",
                "/timeout",
                "the timeout must be between 1ms and 1m",
            );
        }
        let max_body = |body: Body| body.max_bytes.unwrap_or(Size::from_bytes(8 << 10));
        if config.body.is_some_and(|body| max_body(body) > BODY_MAX) {
            fault("size-range", "/body/maxBytes", "at most 1Mi are accepted");
        }
        let max_answer = config.max_answer.unwrap_or(Size::from_bytes(64 << 10));
        if max_answer > ANSWER_MAX {
            fault("size-range", "/maxAnswer", "at most 1Mi are accepted");
        }
        let protocol = match (config.grpc, config.http) {
            (Some(grpc), None) => Some(Protocol::Grpc(grpc)),
            (None, Some(http)) if is_prefix(&http.path_prefix) => Some(Protocol::Http(http)),
            (None, Some(_)) => {
                let message =
                    "a path is expected that begins with a slash and does not end with one";
                fault("path-prefix", "/http/pathPrefix", message);
                None
            }
            _ => {
                fault("one-key", "", "exactly one of `grpc`, `http` is expected");
                None
            }
        };
        let headers = config
            .headers
            .map(|names| parsed(&names, "/headers", &mut faults));
        let allowed = config.upstream_headers.map(|names| {
            let pointer = |index| format!("/upstreamHeaders/{index}");
            let names = names.iter().enumerate();
            let names = names.filter_map(|(index, text)| {
                crate::owned_headers::name(&pointer(index), text, &mut faults)
            });
            names.collect::<Vec<_>>()
        });
        let (Some(protocol), true) = (protocol, faults.is_empty()) else {
            return Err(faults);
        };
        let bytes = |size: Size| usize::try_from(size.as_bytes()).unwrap_or(usize::MAX);
        let allowed = match (allowed, &protocol) {
            (Some(names), _) => Allowed::Named(names.into()),
            (None, Protocol::Grpc(_)) => Allowed::Any,
            (None, Protocol::Http(_)) => Allowed::Named(Box::default()),
        };
        Ok(Box::new(Running {
            org: env.org.clone(),
            backend: config.backend.into(),
            protocol,
            timeout_ms: timeout.as_ms(),
            failure_mode_allow: config.failure_mode_allow,
            headers: headers.map(Into::into),
            allowed,
            body: config
                .body
                .map(|body| (bytes(max_body(body)), body.allow_partial)),
            answer_bytes_max: bytes(max_answer),
        }))
    }
}

fn is_prefix(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    text.is_empty() || (plain && text.starts_with('/') && !text.ends_with('/'))
}

fn parsed(names: &[String], pointer: &str, faults: &mut Vec<Diagnostic>) -> Vec<HeaderName> {
    if names.len() > NAMES_MAX {
        let message = format!("at most {NAMES_MAX} names are accepted");
        faults.push(Diagnostic::error("header-count", pointer, message));
    }
    let mut found = Vec::new();
    for (index, text) in names.iter().enumerate() {
        match text.parse() {
            Ok(name) => found.push(name),
            Err(_) => {
                let message = format!("{text:?} is no valid header name");
                let pointer = format!("{pointer}/{index}");
                faults.push(Diagnostic::error("header-name", pointer, message));
            }
        }
    }
    found
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        Outcome::Later(Box::pin(async move { self.decide(cx).await }))
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        if let Some(ForClient(fields)) = cx.request.slots.get::<ForClient>() {
            for field in fields {
                field.apply(cx.headers);
            }
        }
    }

    fn looks_ahead(&self) -> bool {
        self.body.is_some()
    }
}

impl Running {
    async fn decide(&self, cx: &mut RequestCx) -> Verdict {
        let body = match self.body(cx).await {
            Ok(body) => body,
            Err(reject) => return Verdict::Reject(Box::new(reject)),
        };
        let said = match self.asked(cx, body.as_ref()).await {
            Ok(said) => said,
            Err(fault) => return self.failed(cx, &fault),
        };
        let counts = &cx.core.runtime.authorization;
        match said {
            Said::Pass(changes) => {
                count(&counts.allowed);
                changes.apply(&mut cx.headers, &mut cx.query);
                if !changes.response.is_empty() {
                    cx.slots.put(ForClient(changes.response));
                }
                Verdict::Continue
            }
            Said::Deny(denied) => {
                count(&counts.denied);
                Verdict::Reject(Box::new(self.denied(denied)))
            }
        }
    }

    async fn body(&self, cx: &RequestCx) -> Result<Option<Peeked>, Reject> {
        let Some((bytes_max, allow_partial)) = self.body else {
            return Ok(None);
        };
        let Some(Ahead(ahead)) = cx.slots.get::<Ahead>().cloned() else {
            return Ok(None);
        };
        let peeked = ahead.peek(bytes_max).await.map_err(|fault| match fault {
            PeekFault::TooLong => Reject::new(BODY_TOO_LARGE, "the body is too long").close(),
            PeekFault::Broken => {
                Reject::new(REQUEST_TIMEOUT, "the body did not come to its end").close()
            }
        })?;
        if !peeked.whole && !allow_partial {
            count(&cx.core.runtime.authorization.too_long);
            let detail = "the body is longer than the service that decides may be told";
            return Err(Reject::new(BODY_TOO_LARGE, detail)
                .because("ext-authz-body")
                .fact("bytes", "more", format!("at most {bytes_max}")));
        }
        Ok(Some(peeked))
    }

    async fn asked(&self, cx: &RequestCx, body: Option<&Peeked>) -> Result<Said, String> {
        let headers = self.headers.as_deref();
        let question = match &self.protocol {
            Protocol::Grpc(grpc) => grpc.question(cx, body, headers),
            Protocol::Http(http) => http.question(cx, body, headers),
        };
        let services = cx.core.services();
        let services = services.ok_or_else(|| "no services are asked here".to_owned())?;
        let call = ServiceCall {
            org: self.org.clone(),
            backend: Arc::clone(&self.backend),
            method: question.method,
            path: question.path,
            query: question.query,
            headers: question.headers,
            body: question.body,
            timeout_ms: self.timeout_ms,
            answer_bytes_max: self.answer_bytes_max,
        };
        let answer = services.call(cx, call).await;
        let answer = answer.map_err(|fault| fault.to_string())?;
        let said = match &self.protocol {
            Protocol::Grpc(grpc) => grpc.understood(&answer, &self.allowed),
            Protocol::Http(http) => http.understood(&answer, &self.allowed),
        };
        said.map_err(|Misunderstood(fault)| fault.to_owned())
    }

    fn failed(&self, cx: &RequestCx, fault: &str) -> Verdict {
        let counts: &AuthorizationCounts = &cx.core.runtime.authorization;
        if self.failure_mode_allow {
            count(&counts.failed_open);
            return Verdict::Continue;
        }
        count(&counts.failed);
        let detail = "whether the call may pass could not be decided";
        let reject = Reject::new(EXTERNAL_AUTHORIZATION_FAILED, detail)
            .retry_after(1)
            .because("ext-authz-answer")
            .fact("service", fault, &*self.backend);
        Verdict::Reject(Box::new(reject))
    }

    fn denied(&self, denied: Denied) -> Reject {
        let bare = denied.status == StatusCode::FORBIDDEN
            && denied.headers.is_empty()
            && denied.body.is_empty();
        let status = denied.status.as_u16().to_string();
        let mut reject = Reject::new(CALLER_NOT_ALLOWED, "the caller is not allowed to do this")
            .because("ext-authz")
            .fact("service", status, &*self.backend);
        if !bare {
            reject.instead = Some(Box::new(Instead {
                status: denied.status,
                headers: denied.headers,
                body: denied.body,
            }));
        }
        reject
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
