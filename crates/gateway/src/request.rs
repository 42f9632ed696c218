//! One request: normalise, match, run its policies, ask the backend, answer.

mod answered;
mod backend_keys;
mod limited;
mod opened;
mod protected;
mod websocket;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use base::{Code, Environment, code};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use policies::hop_by_hop;
use policy::{Meter, Permit, Reject, RequestCx, Stop};
use snapshot::{Api, Found, Gate, MethodSet, Operation, Snapshot};
use usage::StatusClass;

use crate::ahead::Arriving;
use crate::body::AnswerBody;
use crate::connection::{Connection, Inflow};
use crate::decisions::Matched;
use crate::live;
use crate::metrics::Limit;
use crate::record::{Record, micros};
use crate::trace::Arrival;
use crate::tunnel::{self, Full, Slot, Tunnel};
use crate::upstream::tries::Tries;
use crate::upstream::{self, Answered, Ask, Destination, Failure, Source, Target};
use crate::usage::table::{Row, Subject, Waiting};
use crate::worker::Worker;
use answered::{Answer, Switched, counted, note, on_its_way};
pub(crate) use opened::host_key;
use opened::{context, has_hop_by_hop, keeping_trailer};
use websocket::Handshake;

/// How long a client should wait for a node that is starting, in seconds.
const NOT_READY_RETRY_S: u64 = 1;

/// How long a client should wait for a place for a tunnel, in seconds.
const TUNNEL_RETRY_S: u64 = 10;

const NO_OPERATION: &str = "the API has no operation with this path";
const WRONG_METHOD: &str = "the path exists, the method does not";

/// Where a request is served.
#[derive(Clone, Copy)]
struct Scene<'s> {
    worker: &'s Rc<Worker>,
    connection: &'s Connection,
    snapshot: &'s Snapshot,
    arrival: Arrival,
    handshake: Option<&'s Handshake>,
}

/// Answers a request; the one entry point from a connection.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let mut record = Record::begin(&worker, &connection);
    let (parts, incoming) = request.into_parts();
    let incoming = Inflow::new(&connection, &parts.headers, incoming);
    let mut opened = context(&worker, &connection, record.begun(), parts);
    let handshake = opened.handshake.take();
    let cx = &mut opened.cx;
    let snapshot = worker.snapshot();
    let (matched, mut answer) = match (opened.refused.take(), snapshot.get()) {
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
                handshake: handshake.as_deref(),
            };
            let (matched, mut answer) = route(scene, &opened.host, cx, incoming).await;
            protected::point(snapshot, &matched, &opened.host, cx, &mut answer);
            (matched, answer)
        }
    };
    let environment = snapshot.get().map_or("", |snapshot| &*snapshot.environment);
    let counted = counted(&worker, cx, environment, &matched, &answer);
    let meter = cx.slots.take::<Meter>();
    if let (Some(switched), Some(handshake)) = (answer.switched.take(), handshake.as_deref()) {
        let row = Rc::clone(&counted.row);
        let going_on = (row, meter);
        switch(
            &worker,
            &connection,
            cx,
            &mut answer,
            handshake,
            *switched,
            going_on,
        );
    } else {
        if let Some(meter) = meter {
            record.meter(meter, &answer.head.headers, answer.body.clone());
        }
        connection.stays();
    }
    record.counts(counted);
    note(&worker, &mut opened, &matched, &mut answer, &mut record);
    let is_head = opened.cx.method == Method::HEAD;
    let caller = if answer.streams() {
        on_its_way(&worker, &snapshot, &matched, opened, &record, &mut answer)
    } else {
        None
    };
    let mut response = answer.respond(&worker, record, caller, is_head);
    let closes = || response.headers().contains_key(CONNECTION);
    if connection.answer_begins(closes, &worker)
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    connection.answer_handed();
    Ok(response)
}

/// Makes a tunnel of the client's connection, or of its stream: it begins when the answer has gone out.
fn switch(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    cx: &RequestCx,
    answer: &mut Answer,
    handshake: &Handshake,
    switched: Switched,
    (row, meter): (Rc<Row>, Option<Meter>),
) {
    let idle_ms = worker.config.limits.tunnel_idle_timeout_ms;
    let live = live::Place::enter(worker, cx.caller(), Some(idle_ms));
    let Switched { backend, slot } = switched;
    let tunnel = Tunnel::new(worker, connection, backend, live, row, slot, meter);
    match handshake.answer(&mut answer.head) {
        Some(stream) => tunnel::on_stream(tunnel, stream),
        None => connection.switch(tunnel),
    }
}

async fn route<'s>(
    scene: Scene<'s>,
    host: &HeaderValue,
    cx: &mut RequestCx,
    incoming: Inflow,
) -> (Matched<'s>, Box<Answer>) {
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
            let key = host_key(host);
            let told = protected::metadata(scene, &key, cx);
            let told = told.or_else(|| backend_keys::keys(worker, scene.snapshot, &key, cx));
            if let Some(told) = told {
                return told;
            }
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
) -> Box<Answer> {
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
) -> Box<Answer> {
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
    incoming: Inflow,
) -> Box<Answer> {
    let arriving = Arriving::new(scene.worker, &operation.chain, cx, incoming);
    let (passed, run) = operation.chain.run(cx).await;
    matched.ran(&operation.chain, passed, run.is_err());
    let mut answer = match run {
        Ok(permit) => ask(scene, matched, operation, permit, cx, arriving).await,
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
    arriving: Arriving,
) -> Box<Answer> {
    let worker = scene.worker;
    let all_max = worker.config.limits.body_bytes_max;
    let bytes_max = cx.body_bytes_max.map_or(all_max, |max| max.min(all_max));
    if arriving.exceeds(bytes_max) {
        worker.numbers().limit(Limit::Body);
        return Answer::refuse(worker, cx, Failure::BodyTooLarge.reject());
    }
    if let Some(reject) = limited::refused(matched.api_label(), operation, cx) {
        return Answer::refuse(worker, cx, reject);
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
    let slot = match scene.handshake.map(|_| tunnel_slot(scene, cx)) {
        Some(Err(reject)) => return Answer::refuse(worker, cx, *reject),
        Some(Ok(slot)) => Some(Box::new(slot)),
        None => None,
    };
    let (body, body_state) = arriving.into_body(bytes_max, worker);
    let counted = body_state.clone();
    let ask = Ask {
        method: cx.method.clone(),
        headers: std::mem::take(&mut cx.headers),
        body,
        body_state,
        switches: slot.is_some(),
        deadline_ms: cx.monotonic_ms + cx.timeout_ms.unwrap_or(backend.timeout_ms),
    };
    let to = Destination {
        snapshot: scene.snapshot,
        backend,
        cx,
        target: Target {
            rest: &cx.path[cx.rest_at..],
            query: cx.query.as_deref(),
        },
    };
    let begun = Instant::now();
    let mut tries = Tries::new(begun, &cx.trace, &scene.arrival);
    let subject = Subject::of(cx, &scene.snapshot.environment, matched, StatusClass::NONE);
    let waiting = Waiting::new(worker, subject, counted.clone());
    let answered = upstream::call(worker, permit, to, ask, &mut tries).await;
    waiting.answered();
    if let Some(body) = &counted {
        body.answered();
    }
    let backend_us = micros(begun.elapsed());
    let mut answer = heard(scene, cx, answered, slot);
    answer.backend_us = Some(backend_us);
    answer.tries = tries.into_list();
    answer.body = counted;
    answer
}

/// What came of a try, as an answer.
fn heard(
    scene: Scene<'_>,
    cx: &RequestCx,
    answered: Result<Answered, Failure>,
    slot: Option<Box<Slot>>,
) -> Box<Answer> {
    let worker = scene.worker;
    match answered {
        Ok((mut head, Source::Switched(backend)))
            if let (Some(handshake), Some(slot)) = (scene.handshake, slot) =>
        {
            let fault = handshake.fault(&head.headers);
            if let Some(fault) = fault.filter(|_| backend.proves()) {
                let reject = Reject::new(code::BACKEND_FAILED, fault);
                return Answer::refuse(worker, cx, reject);
            }
            hop_by_hop::strip_response(&mut head.headers);
            let slot = *slot;
            Answer::switched(head, Switched { backend, slot })
        }
        // Nobody asked for another protocol.
        Ok((head, _)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Answer::refuse(worker, cx, Failure::Failed.reject())
        }
        Ok((mut head, source)) => {
            if has_hop_by_hop(&head.headers) {
                keeping_trailer(&mut head.headers, hop_by_hop::strip_response);
            }
            Answer::upstream(head, source)
        }
        Err(failure) => {
            let mut reject = failure.reject();
            if let (Failure::BodyBroken, Some(violation)) = (failure, scene.connection.violation())
            {
                reject.code = violation.code;
                reject.detail = violation.detail;
            }
            Answer::refuse(worker, cx, reject)
        }
    }
}

/// A place for one more tunnel.
fn tunnel_slot(scene: Scene<'_>, cx: &RequestCx) -> Result<Slot, Box<Reject>> {
    let worker = scene.worker;
    Slot::take(&worker.shared, cx.client.ip).map_err(|full| {
        let (limit, detail) = match full {
            Full::Process => (Limit::Tunnels, "the node holds as many tunnels as it may"),
            Full::Client => (
                Limit::TunnelsPerClient,
                "the client's address holds as many tunnels as it may",
            ),
        };
        worker.numbers().limit(limit);
        Box::new(Reject::new(code::TUNNEL_LIMIT, detail).retry_after(TUNNEL_RETRY_S))
    })
}

/// A call is never sent to the backend of another environment than that of its credential.
fn not_served(environment: Environment) -> Reject {
    let detail = match environment {
        Environment::Production => "the operation has no production backend",
        Environment::Sandbox => {
            "the operation has no sandbox backend, and a sandbox credential reaches no other"
        }
    };
    Reject::new(code::ENVIRONMENT_NOT_SERVED, detail).because("environment-served")
}
