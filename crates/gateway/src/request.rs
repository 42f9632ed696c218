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
use policy::{Chain, Permit, Reject, RequestCx, Slots, Stop, Waits};
use snapshot::{Api, Found, Gate, MethodSet, Operation, Snapshot};
use usage::StatusClass;

use crate::access_log::{self, Line};
use crate::answer;
use crate::body::{AnswerBody, BodyState, RequestBody};
use crate::connection::Connection;
use crate::decisions::{self, Matched, Refused};
use crate::guard;
use crate::metrics::{Limit, Series, method_label};
use crate::record::{Counted, Record, micros};
use crate::spans::{Opening, Try};
use crate::trace::{self, Arrival};
use crate::upstream::tries::Tries;
use crate::upstream::{self, Ask, Failure, Source, Target};
use crate::usage::table::{Subject, Waiting};
use crate::worker::Worker;

/// How long a client should wait for a node that is starting, in seconds.
const NOT_READY_RETRY_S: u64 = 1;

const NO_OPERATION: &str = "the API has no operation with this path";
const WRONG_METHOD: &str = "the path exists, the method does not";

/// An answer before it is handed to the client's connection.
struct Answer {
    head: http::response::Parts,
    content: Content,
    /// Why, where it is a refusal.
    refused: Option<Box<Reject>>,
    /// How long the backend took, where it was asked.
    backend_us: Option<u64>,
    /// What was tried to reach the backend, as far as it was noted.
    tries: Vec<Try>,
    /// The request's body, where one went to the backend.
    body: Option<Rc<BodyState>>,
}

enum Content {
    Own(Bytes),
    Upstream(Source),
}

/// Where a request is served.
#[derive(Clone, Copy)]
struct Scene<'s> {
    worker: &'s Rc<Worker>,
    connection: &'s Connection,
    snapshot: &'s Snapshot,
    arrival: Arrival,
}

/// A request as policies see it, and what of it they do not need to see.
struct Opened {
    cx: RequestCx,
    host: HeaderValue,
    arrival: Arrival,
    /// Of a traced call.
    opening: Option<Box<Opening>>,
    /// Why it is refused, where it is.
    refused: Option<Reject>,
}

/// Answers a request; the one entry point from a connection.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let mut record = Record::begin(&worker, &connection);
    let (parts, incoming) = request.into_parts();
    let mut opened = context(&worker, &connection, parts);
    let cx = &mut opened.cx;
    let snapshot = worker.snapshot();
    let (matched, answer) = match (opened.refused.take(), snapshot.get()) {
        (Some(reject), _) => (
            Matched::nothing("refused before matching"),
            Answer::refuse(&worker, cx, reject),
        ),
        (None, None) => {
            let reject = Reject::new(
                code::NODE_NOT_READY,
                "the node is loading its configuration",
            )
            .retry_after(NOT_READY_RETRY_S);
            let missing = "the node has no configuration yet";
            (
                Matched::nothing(missing),
                Answer::refuse(&worker, cx, reject),
            )
        }
        (None, Some(snapshot)) => {
            let scene = Scene {
                worker: &worker,
                connection: &connection,
                snapshot,
                arrival: opened.arrival,
            };
            route(scene, &opened.host, cx, incoming).await
        }
    };
    let environment = snapshot.get().map_or("", |snapshot| &*snapshot.environment);
    record.counts(counted(&worker, cx, environment, &matched, &answer));
    Ok(finish(&worker, opened, &matched, answer, record))
}

/// Makes a request ready for its policies.
fn context(worker: &Rc<Worker>, connection: &Connection, parts: Parts) -> Opened {
    let Parts {
        method,
        uri,
        version,
        mut headers,
        ..
    } = parts;
    // The authority of an absolute-form target, or of HTTP/2, goes before `Host` (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
    let host = match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
    .unwrap_or_else(|| HeaderValue::from_static(""));
    let (trace, arrival) = trace::begin(&headers, &worker.tracing, &worker.ids);
    let opening = Opening::of(&arrival, &headers, version, &host);
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
    arrival.stamp(&mut headers, &trace);
    let mut slots = Slots::default();
    if arrival.recorded {
        slots.put(Waits::default());
    }
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
        slots,
        core: Rc::clone(&worker.core),
    };
    Opened {
        cx,
        host,
        arrival,
        opening,
        refused,
    }
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
) -> (Matched<'s>, Answer) {
    let worker = scene.worker;
    match scene.snapshot.find(&host_key(host), &cx.path, &cx.method) {
        Found::Operation {
            api,
            operation,
            rest_at,
        } => {
            cx.rest_at = rest_at;
            let mut matched = Matched::operation(api, operation);
            let answer = operate(scene, &mut matched, operation, cx, incoming).await;
            (matched, answer)
        }
        Found::MethodNotAllowed { api, allow } => {
            let mut matched = Matched::api(api, WRONG_METHOD);
            let answer = method_missing(worker, &mut matched, api, &allow, cx).await;
            (matched, answer)
        }
        Found::NoOperation { api } => {
            let mut matched = Matched::api(api, NO_OPERATION);
            let answer = match closed(api.gate) {
                Some(reject) => {
                    matched.missing = "the API's life cycle does not let calls pass";
                    Answer::refuse(worker, cx, reject)
                }
                None => {
                    let reject = Reject::new(code::ROUTE_NOT_FOUND, NO_OPERATION);
                    let stop = |_: &RequestCx| Stop::Reject(Box::new(reject));
                    unrouted(worker, &mut matched, api, cx, stop).await
                }
            };
            (matched, answer)
        }
        Found::NoApi => {
            let detail = "no API is served at this host and path";
            let reject = Reject::new(code::ROUTE_NOT_FOUND, detail);
            (Matched::nothing(detail), Answer::refuse(worker, cx, reject))
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
async fn method_missing<'s>(
    worker: &Rc<Worker>,
    matched: &mut Matched<'s>,
    api: &'s Api,
    allow: &MethodSet,
    cx: &mut RequestCx,
) -> Answer {
    let allow = HeaderValue::from_str(&allow.to_string()).expect("methods are tokens");
    unrouted(worker, matched, api, cx, |cx| {
        if cx.method == Method::OPTIONS {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(ALLOW, allow);
            Stop::Respond(Box::new(response))
        } else {
            let reject = Reject::new(code::METHOD_NOT_ALLOWED, WRONG_METHOD).header(ALLOW, allow);
            Stop::Reject(Box::new(reject))
        }
    })
    .await
}

/// An answer that no operation makes still passes the API's own policies for such answers: a preflight is answered,
/// and a browser may read the refusal.
async fn unrouted<'s>(
    worker: &Rc<Worker>,
    matched: &mut Matched<'s>,
    api: &'s Api,
    cx: &mut RequestCx,
    otherwise: impl FnOnce(&RequestCx) -> Stop,
) -> Answer {
    let (passed, run) = api.preflight.run(cx).await;
    let (stop, by_policy) = match run {
        Ok(_) => (otherwise(cx), false),
        Err(stop) => (stop, true),
    };
    matched.ran(&api.preflight, passed, by_policy);
    let mut answer = Answer::stopped(worker, cx, stop);
    answer.pass_back(&api.preflight, passed, cx);
    answer
}

/// Runs an operation's policies and asks its backend.
async fn operate<'s>(
    scene: Scene<'_>,
    matched: &mut Matched<'s>,
    operation: &'s Operation,
    cx: &mut RequestCx,
    incoming: Incoming,
) -> Answer {
    let (passed, run) = operation.chain.run(cx).await;
    matched.ran(&operation.chain, passed, run.is_err());
    let mut answer = match run {
        Ok(permit) => ask(scene, matched, operation, permit, cx, incoming).await,
        Err(stop) => Answer::stopped(scene.worker, cx, stop),
    };
    answer.pass_back(&operation.chain, passed, cx);
    answer
}

async fn ask<'s>(
    scene: Scene<'_>,
    matched: &mut Matched<'s>,
    operation: &'s Operation,
    permit: Permit,
    cx: &mut RequestCx,
    incoming: Incoming,
) -> Answer {
    let worker = scene.worker;
    if incoming.size_hint().lower() > worker.config.limits.body_bytes_max {
        worker.numbers().limit(Limit::Body);
        return Answer::refuse(worker, cx, Failure::BodyTooLarge.reject());
    }
    let environment = cx.principal.as_ref().map(|caller| caller.environment);
    let Some(key) = operation.backend_for(environment.unwrap_or_default()) else {
        return Answer::refuse(worker, cx, not_served(environment.unwrap_or_default()));
    };
    matched.backend = Some(key);
    let Some(backend) = scene.snapshot.backend(key) else {
        let reject = Failure::Unreachable
            .reject()
            .because("backend-exists")
            .fact("backend", "", &*key.name);
        return Answer::refuse(worker, cx, reject);
    };
    let (body, body_state) = RequestBody::new(incoming, worker);
    let counted = body_state.clone();
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
    let mut tries = Tries::new(begun, &cx.trace, &scene.arrival);
    let subject = Subject::of(cx, &scene.snapshot.environment, matched, StatusClass::NONE);
    let waiting = Waiting::new(worker, subject, counted.clone());
    let answered = upstream::call(worker, permit, backend, target, ask, &mut tries).await;
    waiting.answered();
    let backend_us = micros(begun.elapsed());
    let mut answer = match answered {
        // Nothing was upgraded: the headers that ask for it never go to a backend.
        Ok((head, _)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Answer::refuse(worker, cx, Failure::Failed.reject())
        }
        Ok((mut head, source)) => {
            if has_hop_by_hop(&head.headers) {
                keeping_trailer(&mut head.headers, hop_by_hop::strip_response);
            }
            Answer {
                head,
                content: Content::Upstream(source),
                refused: None,
                backend_us: None,
                tries: Vec::new(),
                body: None,
            }
        }
        Err(failure) => {
            let mut reject = failure.reject();
            if let (Failure::BodyBroken, Some(violation)) = (failure, scene.connection.violation())
            {
                reject.detail = violation.detail;
            }
            Answer::refuse(worker, cx, reject)
        }
    };
    answer.backend_us = Some(backend_us);
    answer.tries = tries.into_list();
    answer.body = counted;
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
            refused: None,
            backend_us: None,
            tries: Vec::new(),
            body: None,
        }
    }

    fn refuse(worker: &Worker, cx: &RequestCx, reject: Reject) -> Self {
        worker.numbers().reject(&reject.code);
        let answer = Self::own(answer::problem(&reject, &cx.trace));
        Self {
            refused: Some(Box::new(reject)),
            ..answer
        }
    }

    fn code(&self) -> Option<&'static str> {
        self.refused.as_ref().map(|reject| reject.code.name)
    }

    fn stopped(worker: &Worker, cx: &RequestCx, stop: Stop) -> Self {
        match stop {
            Stop::Respond(response) => Self::own(*response),
            Stop::Reject(reject) => Self::refuse(worker, cx, *reject),
        }
    }

    /// Shows the head to the policies that were entered.
    fn pass_back(&mut self, chain: &Chain, passed: policy::Passed, cx: &mut RequestCx) {
        chain.run_response(passed, cx, self.head.status, &mut self.head.headers);
    }
}

/// What the request is counted under in the usage.
fn counted(
    worker: &Worker,
    cx: &RequestCx,
    environment: &str,
    matched: &Matched<'_>,
    answer: &Answer,
) -> Counted {
    let status = StatusClass::of(answer.head.status.as_u16());
    let subject = Subject::of(cx, environment, matched, status);
    Counted {
        row: worker.usage.table.row(&subject),
        body: answer.body.clone(),
        backend_us: answer.backend_us,
    }
}

/// Counts, logs, and ties the record to the body's end.
fn finish(
    worker: &Worker,
    opened: Opened,
    matched: &Matched<'_>,
    mut answer: Answer,
    mut record: Record,
) -> Response<AnswerBody> {
    let Opened {
        mut cx,
        host,
        arrival,
        opening,
        ..
    } = opened;
    let status = answer.head.status;
    let plan = cx
        .subscription
        .as_ref()
        .and_then(|subscription| subscription.plan.as_ref())
        .map_or("", |plan| plan.name.as_str());
    let series = Series {
        api: matched.api_label(),
        operation: matched.operation_label(),
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
        .map(|_| Box::new(line(&cx, &host, matched, plan, &answer)));
    record.answered(&series, line);
    if let Some(reject) = &answer.refused {
        decisions::note(
            worker,
            &Refused {
                cx: &cx,
                host: &host,
                begun: record.begun(),
                matched: *matched,
                reject,
                status: status.as_u16(),
                tries: &answer.tries,
            },
        );
    }
    if let Some(opening) = opening {
        let tries = std::mem::take(&mut answer.tries);
        let mut call = opening.call(&mut cx, &arrival, record.begun(), matched, tries);
        call.status = status.as_u16();
        call.code = answer.code();
        record.trace(call);
    }
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
    matched: &Matched<'_>,
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
        code: answer.code(),
        api: matched.api_label().to_owned(),
        operation: matched.operation_label().to_owned(),
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
