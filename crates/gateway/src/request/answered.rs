//! An answer, until it is handed to the client's connection: counted, logged, noted.

use std::rc::Rc;

use bytes::Bytes;
use http::Response;
use http::header::HeaderValue;
use policy::{Caller, Chain, Principal, Reject, RequestCx, Stop};
use usage::{KeyUse, StatusClass};

use super::opened::{Opened, host_key};
use crate::access_log::{self, Line};
use crate::answer;
use crate::body::{AnswerBody, BodyState};
use crate::broken::About;
use crate::decisions::{self, Matched, Refused};
use crate::metrics::{Series, SeriesId};
use crate::record::{Counted, Record, micros};
use crate::spans::Try;
use crate::trace;
use crate::tunnel::Slot;
use crate::upstream::{Far, Source};
use crate::usage::table::Subject;
use crate::worker::{Current, Worker};

/// An answer before it is handed to the client's connection. Passed on in a box: it goes through many hands.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    content: Content,
    /// Why, where it is a refusal.
    pub(super) refused: Option<Box<Reject>>,
    /// How long the backend took, where it was asked.
    pub(super) backend_us: Option<u64>,
    /// What was tried to reach the backend, as far as it was noted.
    pub(super) tries: Vec<Try>,
    /// The request's body, where one went to the backend.
    pub(super) body: Option<Rc<BodyState>>,
    /// The backend has changed the protocol.
    pub(super) switched: Option<Box<Switched>>,
}

/// A backend's end of a tunnel.
pub(super) struct Switched {
    pub(super) backend: Far,
    pub(super) slot: Slot,
}

enum Content {
    Own(Bytes),
    Upstream(Source),
}

impl Answer {
    fn new(head: http::response::Parts, content: Content) -> Box<Self> {
        Box::new(Self {
            head,
            content,
            refused: None,
            backend_us: None,
            tries: Vec::new(),
            body: None,
            switched: None,
        })
    }

    pub(super) fn own(response: Response<Bytes>) -> Box<Self> {
        let (head, bytes) = response.into_parts();
        Self::new(head, Content::Own(bytes))
    }

    /// A backend has changed the protocol.
    pub(super) fn switched(head: http::response::Parts, switched: Switched) -> Box<Self> {
        let mut answer = Self::upstream(head, Source::Complete(Bytes::new()));
        answer.switched = Some(Box::new(switched));
        answer
    }

    /// What a backend answered.
    pub(super) fn upstream(head: http::response::Parts, source: Source) -> Box<Self> {
        Self::new(head, Content::Upstream(source))
    }

    pub(super) fn refuse(worker: &Worker, cx: &RequestCx, reject: Reject) -> Box<Self> {
        worker.numbers().reject(&reject.code);
        let mut answer = Self::own(answer::problem(&reject, &cx.trace));
        answer.refused = Some(Box::new(reject));
        answer
    }

    /// Whether its body is still on its way.
    pub(super) fn streams(&self) -> bool {
        matches!(&self.content, Content::Upstream(Source::Streaming(_)))
    }

    /// What the client gets; the record is tied to the body's end. One that streams can be ended while its `caller` is known.
    pub(super) fn respond(
        self,
        worker: &Rc<Worker>,
        record: Record,
        caller: Option<Caller>,
        is_head: bool,
    ) -> Response<AnswerBody> {
        match self.content {
            Content::Upstream(source) => {
                let body = AnswerBody::upstream(source, record, worker, caller);
                Response::from_parts(self.head, body)
            }
            Content::Own(bytes) => {
                let mut own = Response::from_parts(self.head, bytes);
                if is_head {
                    answer::without_body(&mut own);
                }
                own.map(|bytes| AnswerBody::whole(bytes, record))
            }
        }
    }

    fn code(&self) -> Option<&'static str> {
        self.refused.as_ref().map(|reject| reject.code.name)
    }

    pub(super) fn stopped(worker: &Worker, cx: &RequestCx, stop: Stop) -> Box<Self> {
        match stop {
            Stop::Respond(response) => Self::own(*response),
            Stop::Reject(reject) => Self::refuse(worker, cx, *reject),
        }
    }

    /// Shows the head to the policies that were entered.
    pub(super) fn pass_back(&mut self, chain: &Chain, passed: policy::Passed, cx: &mut RequestCx) {
        chain.run_response(passed, cx, self.head.status, &mut self.head.headers);
    }
}

/// The API key that the caller is known by.
fn key_use(principal: &Principal) -> Option<KeyUse> {
    Some(KeyUse {
        credential: principal.credential?,
        mark: principal.key?,
    })
}

/// What the request is counted under in the usage.
pub(super) fn counted(
    worker: &Worker,
    cx: &RequestCx,
    environment: &str,
    matched: &Matched<'_>,
    answer: &Answer,
) -> Counted {
    let status = StatusClass::of(answer.head.status.as_u16());
    let subject = Subject::of(cx, environment, matched, status);
    let find = || series(worker, &subject, matched, status);
    let table = &worker.usage.table;
    let (row, series) = table.row_and_series(&subject, find);
    if let Some(used) = cx.principal.as_deref().and_then(key_use) {
        table.used(&row, used);
    }
    Counted {
        row,
        series,
        body: answer.body.clone(),
        backend_us: answer.backend_us,
    }
}

/// The counter of the metrics that a request belongs to.
fn series(
    worker: &Worker,
    subject: &Subject<'_>,
    matched: &Matched<'_>,
    status: StatusClass,
) -> SeriesId {
    let series = Series {
        api: matched.api_label(),
        operation: subject.operation,
        method: subject.method,
        status_class: status.digit(),
        plan: subject.plan,
    };
    worker.series.id(&worker.shared.numbers.series, &series)
}

/// Counts and logs.
pub(super) fn note(
    worker: &Rc<Worker>,
    opened: &mut Opened,
    matched: &Matched<'_>,
    answer: &mut Answer,
    record: &mut Record,
) {
    let Opened { cx, host, .. } = &opened;
    let status = answer.head.status;
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
        .map(|_| Box::new(line(cx, host, matched, answer)));
    record.logged(line);
    observe(worker, opened, matched, answer, record);
}

/// An answer whose body is still on its way: says whom it can be ended for, and keeps what is told if the backend breaks off.
pub(super) fn on_its_way(
    worker: &Worker,
    snapshot: &Rc<Current>,
    matched: &Matched<'_>,
    opened: Opened,
    record: &Record,
    answer: &mut Answer,
) -> Option<Caller> {
    let caller = opened.cx.caller();
    if let Content::Upstream(Source::Streaming(body)) = &mut answer.content
        && worker.shared.decisions[worker.index].is_some()
    {
        body.company().about = Some(Box::new(About {
            cx: opened.cx,
            host: opened.host,
            snapshot: Rc::downgrade(snapshot),
            passed: matched.passed(),
            begun: record.begun(),
            status: answer.head.status.as_u16(),
            tries: std::mem::take(&mut answer.tries),
        }));
    }
    caller
}

/// Notes why a call was refused, and what is recorded of a traced one.
fn observe(
    worker: &Worker,
    opened: &mut Opened,
    matched: &Matched<'_>,
    answer: &mut Answer,
    record: &mut Record,
) {
    let Opened {
        cx,
        host,
        arrival,
        opening,
        ..
    } = opened;
    let status = answer.head.status.as_u16();
    if let Some(reject) = &answer.refused {
        let refused = Refused {
            cx,
            host,
            begun: record.begun(),
            matched: *matched,
            reject,
            status,
            tries: &answer.tries,
        };
        decisions::note(worker, &refused);
    }
    if let Some(opening) = opening.take() {
        let tries = std::mem::take(&mut answer.tries);
        let mut call = opening.call(cx, arrival, record.begun(), matched, tries);
        call.status = status;
        call.code = answer.code();
        record.trace(call);
    }
}

fn line(cx: &RequestCx, host: &HeaderValue, matched: &Matched<'_>, answer: &Answer) -> Line {
    let held = cx.subscription.as_ref();
    let plan = held.and_then(|held| held.plan.as_ref());
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
            .and_then(|principal| principal.application)
            .map(|application| application.to_string()),
        plan: plan.map(|plan| plan.name.clone()).unwrap_or_default(),
        backend_us: answer.backend_us,
    }
}
