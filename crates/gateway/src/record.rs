//! What is counted and logged of a request, exactly once, however it ends.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use policy::{Measure, Meter};

use crate::access_log::Line;
use crate::body::BodyState;
use crate::connection::Connection;
use crate::events::Events;
use crate::metrics::{Limit, SeriesId};
use crate::spans::{Call, Ended};
use crate::usage::table::{self, Row, Subject};
use crate::worker::Worker;

/// Counts a request when it is dropped: with the end of the answer's body, or with the client's going away.
pub(crate) struct Record {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    begun: Instant,
    bytes_out: u64,
    end: End,
    line: Option<Box<Line>>,
    /// What is recorded of a traced call.
    traced: Option<Box<Call>>,
    /// What it is counted under; `None` until the answer's head is known.
    usage: Option<Counted>,
    /// What limits count while the call goes on.
    metered: Option<Box<Metered>>,
}

/// What limits count of one call: bytes, events, and that it is there.
struct Metered {
    meter: Meter,
    /// Of an answer whose events are counted.
    events: Option<Events>,
    /// The request's body, where its bytes are counted.
    body: Option<Rc<BodyState>>,
}

/// What a request is counted under.
pub(crate) struct Counted {
    /// In the usage.
    pub(crate) row: Rc<Row>,
    /// In the metrics.
    pub(crate) series: SeriesId,
    /// The request's body, where there is one.
    pub(crate) body: Option<Rc<BodyState>>,
    pub(crate) backend_us: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Still under way; dropped like that, the client went away.
    Open,
    /// Everything was handed to the client's connection.
    Complete,
    /// The backend's body broke off.
    Broken,
    /// What let the call in is not good any more.
    Revoked,
    /// A limit on events has nothing left.
    Limited,
}

impl Metered {
    /// Bytes are counted and never held up; of events none passes that nothing is left for.
    fn sent(&mut self, data: &[u8], now_ms: u64) -> bool {
        self.meter.debit(Measure::Bytes, data.len() as u64, now_ms);
        let Some(events) = &mut self.events else {
            return true;
        };
        let ended = events.read(data);
        ended == 0 || self.meter.admit(Measure::Events, ended, now_ms)
    }
}

impl Record {
    pub(crate) fn begin(worker: &Rc<Worker>, connection: &Rc<Connection>) -> Self {
        connection.request_begins();
        Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            begun: Instant::now(),
            bytes_out: 0,
            end: End::Open,
            line: None,
            traced: None,
            usage: None,
            metered: None,
        }
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// What the access log says of it, where it says something.
    pub(crate) fn logged(&mut self, line: Option<Box<Line>>) {
        self.line = line;
    }

    /// The call is traced; it is handed over when it ends.
    pub(crate) fn trace(&mut self, call: Box<Call>) {
        self.traced = Some(call);
    }

    /// What limits count from here on. The meter goes when the call ends, in whichever way.
    pub(crate) fn meter(&mut self, meter: Meter, answer: &HeaderMap, body: Option<Rc<BodyState>>) {
        let streams_events = || {
            let media = answer.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
            media.is_some_and(|media| media.starts_with(b"text/event-stream"))
        };
        let events = meter.counts(Measure::Events) && streams_events();
        let body = body.filter(|_| meter.counts(Measure::Bytes));
        self.metered = Some(Box::new(Metered {
            events: events.then(Events::default),
            meter,
            body,
        }));
    }

    /// What the request is counted under.
    pub(crate) fn counts(&mut self, counted: Counted) {
        self.usage = Some(counted);
    }

    /// Counts the request in the usage. One that ended before its answer is counted as far as it is known.
    fn count_usage(&mut self, gateway_us: u64) {
        let counts = &self.worker.usage.table;
        let (row, call) = match self.usage.take() {
            Some(counted) => {
                let call = table::Call {
                    bytes_in: counted.body.map_or(0, |body| body.bytes()),
                    backend_us: counted.backend_us,
                    ..table::Call::default()
                };
                (counted.row, call)
            }
            None => counts
                .unanswered()
                .unwrap_or_else(|| (counts.row(&Subject::UNKNOWN), table::Call::default())),
        };
        let call = table::Call {
            bytes_out: self.bytes_out,
            gateway_us,
            ..call
        };
        if !counts.count(&row, call) {
            self.worker.numbers().usage_overflow.add(1);
        }
    }

    /// A part of the answer's body is about to be handed on; whether limits leave anything for it.
    pub(crate) fn sent(&mut self, data: Option<&Bytes>) -> bool {
        let Some(data) = data else { return true };
        self.bytes_out += data.len() as u64;
        match &mut self.metered {
            None => true,
            Some(metered) => metered.sent(data, self.worker.now_ms.get()),
        }
    }

    pub(crate) fn complete(&mut self) {
        self.end = End::Complete;
    }

    pub(crate) fn broken(&mut self) {
        self.end = End::Broken;
    }

    pub(crate) fn revoked(&mut self) {
        self.end = End::Revoked;
    }

    /// A limit on events has nothing left.
    pub(crate) fn limited(&mut self) {
        self.end = End::Limited;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let numbers = self.worker.numbers();
        if let Some(counted) = &self.usage {
            numbers.requests[counted.series as usize].add(1);
        }
        match self.end {
            End::Complete => {}
            End::Open => numbers.client_aborts.add(1),
            End::Broken => numbers.bodies_broken.add(1),
            End::Revoked => numbers.answers_revoked.add(1),
            End::Limited => numbers.limit(Limit::Events),
        }
        numbers.bytes_out.add(self.bytes_out);
        let total_us = micros(self.begun.elapsed());
        numbers.total.record(total_us);
        if let Some(Metered {
            meter,
            body: Some(body),
            ..
        }) = self.metered.as_deref()
        {
            meter.debit(Measure::Bytes, body.bytes(), self.worker.now_ms.get());
        }
        self.count_usage(total_us);
        if let (Some(line), Some(log)) = (self.line.take(), &self.worker.shared.access_log) {
            let complete = self.end == End::Complete;
            if !log.write(&line, total_us, self.bytes_out, complete) {
                self.worker.shared.numbers.log_lines_dropped.add_shared();
            }
        }
        if let Some(call) = self.traced.take() {
            self.hand_over(call);
        }
        self.connection.request_ended(self.worker.now_ms.get());
    }
}

impl Record {
    fn hand_over(&self, mut call: Box<Call>) {
        call.ended_at = Instant::now();
        call.ended = match self.end {
            End::Complete => Ended::Whole,
            End::Open => Ended::Abandoned,
            End::Broken | End::Revoked | End::Limited => Ended::Broken,
        };
        let sink = &self.worker.config.tracing.sink;
        let dropped = sink
            .as_ref()
            .is_none_or(|sink| sink.try_send(call).is_err());
        if dropped {
            self.worker.numbers().traces_dropped.add(1);
        }
    }
}

/// Whole microseconds.
pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
