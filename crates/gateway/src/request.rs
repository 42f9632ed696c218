//! One request: normalise, match, run its policies, ask the backend, answer.

use std::borrow::Cow;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use base::{Code, Environment, code};
use bytes::Bytes;
use http::header::{ALLOW, HOST, HeaderValue, TRAILER, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use policies::{hop_by_hop, normalize_path};
use policy::{Chain, Permit, Reject, RequestCx, Slots, Stop};
use snapshot::{Api, Found, Gate, MethodSet, Operation, Snapshot};

use crate::access_log::{self, Line};
use crate::body::{AnswerBody, RequestBody};
use crate::connection::Connection;
use crate::guard;
use crate::metrics::{Limit, Series, method_label};
use crate::record::{Record, micros};
use crate::upstream::{self, Ask, Failure, Source, Target};
use crate::worker::Worker;
use crate::{answer, trace};

/// How long a client should wait for a node that is starting, in seconds.
const NOT_READY_RETRY_S: u64 = 1;

/// An answer before it is handed to the client's connection.
struct Answer {
    head: http::response::Parts,
    content: Content,
    /// The code, where it is a refusal.
    code: Option<&'static str>,
    /// How long the backend took, where it was asked.
    backend_us: Option<u64>,
}

enum Content {
    Own(Bytes),
    Upstream(Source),
}

/// What a request is counted under.
#[derive(Clone, Copy, Default)]
struct Labels<'s> {
    api: &'s str,
    operation: &'s str,
}

/// Where a request is served.
#[derive(Clone, Copy)]
struct Scene<'s> {
    worker: &'s Rc<Worker>,
    connection: &'s Connection,
    snapshot: &'s Snapshot,
}

/// Answers a request; the one entry point from a connection.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let record = Record::begin(&worker, &connection);
    let (parts, incoming) = request.into_parts();
    let (mut cx, host, refused) = context(&worker, &connection, parts);
    let snapshot = worker.snapshot();
    let (labels, answer) = match (refused, snapshot.get()) {
        (Some(reject), _) => (Labels::default(), Answer::refuse(&worker, &cx, &reject)),
        (None, None) => {
            let reject = Reject::new(
                code::NODE_NOT_READY,
                "the node is loading its configuration",
            )
            .retry_after(NOT_READY_RETRY_S);
            (Labels::default(), Answer::refuse(&worker, &cx, &reject))
        }
        (None, Some(snapshot)) => {
            let scene = Scene {
                worker: &worker,
                connection: &connection,
                snapshot,
            };
            route(scene, &host, &mut cx, incoming).await
        }
    };
    Ok(finish(&worker, &cx, &host, labels, answer, record))
}

/// The request as policies see it, its host, and why it is refused, where it is.
fn context(
    worker: &Rc<Worker>,
    connection: &Connection,
    parts: Parts,
) -> (RequestCx, HeaderValue, Option<Reject>) {
    let Parts {
        method,
        uri,
        mut headers,
        ..
    } = parts;
    // The authority of an absolute-form target, or of HTTP/2, goes before `Host` (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
    let host = match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
    .unwrap_or_else(|| HeaderValue::from_static(""));
    let trace = trace::begin(&headers, &worker.ids);
    let mut refused = refused_by_guard(worker, connection, &method, &headers);
    if method == Method::CONNECT || asks_for_websocket(&headers) {
        let detail = "tunnels and protocol upgrades are not served";
        refused = refused.or(Some(
            Reject::new(code::UPGRADE_NOT_SUPPORTED, detail).close(),
        ));
    }
    let path = match normalize_path::canonical(uri.path(), &worker.config.limits.path) {
        Ok(path) => path.into_owned(),
        Err(reject) => {
            refused = refused.or(Some(reject));
            uri.path().to_owned()
        }
    };
    if has_hop_by_hop(&headers)
        && let Err(reject) = keeping_trailer(&mut headers, hop_by_hop::strip_request)
    {
        refused = refused.or(Some(reject));
    }
    connection.peer.replace(&mut headers, Some(&host));
    headers.insert(trace::TRACEPARENT, trace::header(&trace));
    let monotonic_ms = worker.read_clock();
    let cx = RequestCx {
        method,
        path,
        rest_at: 0,
        query: uri.query().map(str::to_owned),
        headers,
        client: connection.client,
        trace,
        unix_ms: worker.unix_ms(monotonic_ms),
        monotonic_ms,
        timeout_ms: None,
        principal: None,
        subscription: None,
        slots: Slots::default(),
        core: Rc::clone(&worker.core),
    };
    (cx, host, refused)
}

/// Whether there is anything to strip: to look at each name once is cheaper than to look up all that are stripped,
/// and most messages have none of them.
fn has_hop_by_hop(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        hop_by_hop::is_framing(name) && name != "host" && name != "content-length"
    })
}

/// Strips, but keeps the announcement of trailers: hyper sends over HTTP/1.1 those alone that are announced.
fn keeping_trailer<T>(headers: &mut HeaderMap, strip: impl FnOnce(&mut HeaderMap) -> T) -> T {
    let announced = headers.remove(TRAILER);
    let stripped = strip(headers);
    if let Some(announced) = announced {
        headers.insert(TRAILER, announced);
    }
    stripped
}

/// What is wrong with the head itself. Over HTTP/1.1 the guard has found it and put a request of its own in place of
/// the client's.
fn refused_by_guard(
    worker: &Worker,
    connection: &Connection,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Reject> {
    let reject = if method.as_str() == guard::REFUSED {
        let violation = connection.violation()?;
        Reject::new(violation.code, violation.detail)
    } else if headers.len() > worker.config.limits.headers_max {
        Reject::new(
            code::HEADER_TOO_LARGE,
            "the request has too many header fields",
        )
    } else {
        return None;
    };
    if reject.code == code::HEADER_TOO_LARGE {
        worker.numbers().limit(Limit::Head);
    }
    Some(reject.close())
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The host alone, in lower case: what APIs are looked up under.
fn host_key(host: &HeaderValue) -> Cow<'_, str> {
    let text = host.to_str().unwrap_or_default();
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or(text.len(), |index| index + 2),
        None => text.find(':').unwrap_or(text.len()),
    };
    let name = &text[..end];
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

async fn route<'s>(
    scene: Scene<'s>,
    host: &HeaderValue,
    cx: &mut RequestCx,
    incoming: Incoming,
) -> (Labels<'s>, Answer) {
    let worker = scene.worker;
    match scene.snapshot.find(&host_key(host), &cx.path, &cx.method) {
        Found::Operation {
            operation, rest_at, ..
        } => {
            let labels = Labels {
                api: &operation.api,
                operation: &operation.label,
            };
            cx.rest_at = rest_at;
            let answer = operate(scene, operation, cx, incoming).await;
            (labels, answer)
        }
        Found::MethodNotAllowed { api, allow } => {
            let answer = method_missing(worker, api, &allow, cx).await;
            (Labels::of(api), answer)
        }
        Found::NoOperation { api } => {
            let answer = match closed(api.gate) {
                Some(reject) => Answer::refuse(worker, cx, &reject),
                None => {
                    let detail = "the API has no operation with this path";
                    let reject = Reject::new(code::ROUTE_NOT_FOUND, detail);
                    unrouted(worker, api, cx, |_| Stop::Reject(Box::new(reject))).await
                }
            };
            (Labels::of(api), answer)
        }
        Found::NoApi => {
            let reject = Reject::new(
                code::ROUTE_NOT_FOUND,
                "no API is served at this host and path",
            );
            (Labels::default(), Answer::refuse(worker, cx, &reject))
        }
    }
}

impl<'s> Labels<'s> {
    fn of(api: &'s Api) -> Self {
        Self {
            api: &api.name,
            operation: "",
        }
    }
}

/// Why an API does not serve.
fn closed(gate: Gate) -> Option<Reject> {
    let (code, detail): (Code, &'static str) = match gate {
        Gate::Serve => return None,
        Gate::NotPublished => (code::API_NOT_PUBLISHED, "the API is not published yet"),
        Gate::Blocked => (code::API_BLOCKED, "the API is blocked for the time being"),
        Gate::Retired => (code::API_RETIRED, "the API was retired"),
        Gate::Broken => (
            code::API_BROKEN,
            "the API's document does not compile on this node",
        ),
    };
    Some(Reject::new(code, detail))
}

/// The path exists, the method does not. `OPTIONS` is always answered.
async fn method_missing(
    worker: &Rc<Worker>,
    api: &Api,
    allow: &MethodSet,
    cx: &mut RequestCx,
) -> Answer {
    let allow = HeaderValue::from_str(&allow.to_string()).expect("methods are tokens");
    unrouted(worker, api, cx, |cx| {
        if cx.method == Method::OPTIONS {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(ALLOW, allow);
            Stop::Respond(Box::new(response))
        } else {
            let detail = "the path exists, the method does not";
            let reject = Reject::new(code::METHOD_NOT_ALLOWED, detail).header(ALLOW, allow);
            Stop::Reject(Box::new(reject))
        }
    })
    .await
}

/// An answer that no operation makes still passes the API's own policies for such answers: a preflight is answered,
/// and a browser may read the refusal.
async fn unrouted(
    worker: &Rc<Worker>,
    api: &Api,
    cx: &mut RequestCx,
    otherwise: impl FnOnce(&RequestCx) -> Stop,
) -> Answer {
    let (passed, run) = api.preflight.run(cx).await;
    let stop = match run {
        Ok(_) => otherwise(cx),
        Err(stop) => stop,
    };
    let mut answer = Answer::stopped(worker, cx, stop);
    answer.pass_back(&api.preflight, passed, cx);
    answer
}

/// Runs an operation's policies and asks its backend.
async fn operate(
    scene: Scene<'_>,
    operation: &Operation,
    cx: &mut RequestCx,
    incoming: Incoming,
) -> Answer {
    let (passed, run) = operation.chain.run(cx).await;
    let mut answer = match run {
        Ok(permit) => ask(scene, operation, permit, cx, incoming).await,
        Err(stop) => Answer::stopped(scene.worker, cx, stop),
    };
    answer.pass_back(&operation.chain, passed, cx);
    answer
}

async fn ask(
    scene: Scene<'_>,
    operation: &Operation,
    permit: Permit,
    cx: &mut RequestCx,
    incoming: Incoming,
) -> Answer {
    let worker = scene.worker;
    if incoming.size_hint().lower() > worker.config.limits.body_bytes_max {
        worker.numbers().limit(Limit::Body);
        return Answer::refuse(worker, cx, &Failure::BodyTooLarge.reject());
    }
    let environment = cx.principal.as_ref().map(|caller| caller.environment);
    let Some(key) = operation.backend_for(environment.unwrap_or_default()) else {
        return Answer::refuse(worker, cx, &not_served(environment.unwrap_or_default()));
    };
    let Some(backend) = scene.snapshot.backend(key) else {
        return Answer::refuse(worker, cx, &Failure::Unreachable.reject());
    };
    let (body, body_state) = RequestBody::new(incoming, worker);
    let ask = Ask {
        method: cx.method.clone(),
        headers: std::mem::take(&mut cx.headers),
        body,
        body_state,
        deadline_ms: cx.monotonic_ms + cx.timeout_ms.unwrap_or(backend.timeout_ms),
    };
    let target = Target {
        rest: &cx.path[cx.rest_at..],
        query: cx.query.as_deref(),
    };
    let begun = Instant::now();
    let answered = upstream::call(worker, permit, backend, target, ask).await;
    let backend_us = micros(begun.elapsed());
    let mut answer = match answered {
        // Nothing was upgraded: the headers that ask for it never go to a backend.
        Ok((head, _)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Answer::refuse(worker, cx, &Failure::Failed.reject())
        }
        Ok((mut head, source)) => {
            if has_hop_by_hop(&head.headers) {
                keeping_trailer(&mut head.headers, hop_by_hop::strip_response);
            }
            Answer {
                head,
                content: Content::Upstream(source),
                code: None,
                backend_us: None,
            }
        }
        Err(failure) => {
            let mut reject = failure.reject();
            if let (Failure::BodyBroken, Some(violation)) = (failure, scene.connection.violation())
            {
                reject.detail = violation.detail;
            }
            Answer::refuse(worker, cx, &reject)
        }
    };
    answer.backend_us = Some(backend_us);
    answer
}

/// A call is never sent to the backend of another environment than that of its credential.
fn not_served(environment: Environment) -> Reject {
    let detail = match environment {
        Environment::Production => "the operation has no production backend",
        Environment::Sandbox => {
            "the operation has no sandbox backend, and a sandbox credential reaches no other"
        }
    };
    Reject::new(code::ENVIRONMENT_NOT_SERVED, detail)
}

impl Answer {
    fn own(response: Response<Bytes>) -> Self {
        let (head, bytes) = response.into_parts();
        Self {
            head,
            content: Content::Own(bytes),
            code: None,
            backend_us: None,
        }
    }

    fn refuse(worker: &Worker, cx: &RequestCx, reject: &Reject) -> Self {
        worker.numbers().reject(&reject.code);
        Self {
            code: Some(reject.code.name),
            ..Self::own(answer::problem(reject, &cx.trace))
        }
    }

    fn stopped(worker: &Worker, cx: &RequestCx, stop: Stop) -> Self {
        match stop {
            Stop::Respond(response) => Self::own(*response),
            Stop::Reject(reject) => Self::refuse(worker, cx, &reject),
        }
    }

    /// Shows the head to the policies that were entered.
    fn pass_back(&mut self, chain: &Chain, passed: policy::Passed, cx: &mut RequestCx) {
        chain.run_response(passed, cx, self.head.status, &mut self.head.headers);
    }
}

/// Counts, logs, and ties the record to the body's end.
fn finish(
    worker: &Worker,
    cx: &RequestCx,
    host: &HeaderValue,
    labels: Labels<'_>,
    answer: Answer,
    mut record: Record,
) -> Response<AnswerBody> {
    let status = answer.head.status;
    let plan = cx
        .subscription
        .as_ref()
        .and_then(|subscription| subscription.plan.as_ref())
        .map_or("", |plan| plan.name.as_str());
    let series = Series {
        api: labels.api,
        operation: labels.operation,
        method: method_label(&cx.method),
        status_class: u8::try_from(status.as_u16() / 100).unwrap_or(5),
        plan,
    };
    let elapsed = record.begun().elapsed();
    let numbers = worker.numbers();
    if let Some(backend_us) = answer.backend_us {
        numbers.backend.record(backend_us);
    }
    let own_us = micros(elapsed).saturating_sub(answer.backend_us.unwrap_or(0));
    numbers.gateway.record(own_us);
    let line = worker
        .shared
        .access_log
        .as_ref()
        .filter(|log| log.takes(worker.ids.next(), status.as_u16()))
        .map(|_| Box::new(line(cx, host, labels, plan, &answer)));
    record.answered(&series, line);
    match answer.content {
        Content::Upstream(source) => {
            Response::from_parts(answer.head, AnswerBody::upstream(source, record))
        }
        Content::Own(bytes) => {
            let mut own = Response::from_parts(answer.head, bytes);
            if cx.method == Method::HEAD {
                answer::without_body(&mut own);
            }
            own.map(|bytes| AnswerBody::whole(bytes, record))
        }
    }
}

fn line(
    cx: &RequestCx,
    host: &HeaderValue,
    labels: Labels<'_>,
    plan: &str,
    answer: &Answer,
) -> Line {
    Line {
        time_ms: cx.unix_ms,
        trace_id: trace::id_text(&cx.trace),
        client_ip: cx.client.ip.to_string(),
        method: cx.method.to_string(),
        host: host_key(host).into_owned(),
        path: cx.path.clone(),
        query: cx.query.as_deref().map(access_log::mask),
        status: answer.head.status.as_u16(),
        code: answer.code,
        api: labels.api.to_owned(),
        operation: labels.operation.to_owned(),
        application: cx
            .principal
            .as_ref()
            .map(|principal| principal.application.to_string()),
        plan: plan.to_owned(),
        backend_us: answer.backend_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_looked_up_without_port_and_in_lower_case() {
        for (host, key) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8280", "api.example.com"),
            ("[::1]:8280", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_key(&HeaderValue::from_static(host)), key);
        }
    }
}
