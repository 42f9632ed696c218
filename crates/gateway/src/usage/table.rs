//! One core's counts of one interval.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::sync::Arc;

use base::{ApplicationId, Environment, Org};
use policy::RequestCx;
use usage::{Counts, Key, NO_API, StatusClass};

use crate::body::BodyState;
use crate::decisions::Matched;
use crate::worker::Worker;

/// What a call is counted under, borrowed from wherever it stands.
#[derive(Clone, Copy, Hash)]
pub struct Subject<'a> {
    /// The API's organisation.
    pub org: &'a str,
    /// The environment of the gateway.
    pub environment: &'a str,
    /// The API's document name.
    pub api: &'a str,
    /// The operation's label.
    pub operation: &'a str,
    /// Who calls.
    pub application: Option<ApplicationId>,
    /// Under which plan.
    pub plan: &'a str,
    /// The class of the answer.
    pub status: StatusClass,
}

/// Usage of calls with sandbox credentials stands under this environment, whatever the node's is.
const SANDBOX: &str = Environment::Sandbox.as_str();

impl Subject<'static> {
    /// A call that ended before anything of it was known.
    pub(crate) const UNKNOWN: Self = Self {
        org: Org::DEFAULT,
        environment: "",
        api: NO_API,
        operation: "",
        application: None,
        plan: "",
        status: StatusClass::NONE,
    };
}

impl<'a> Subject<'a> {
    /// What is known of a request, with the environment of the node's gateway. Calls that match no API belong to the
    /// first organisation.
    pub(crate) fn of(
        cx: &'a RequestCx,
        environment: &'a str,
        matched: &Matched<'a>,
        status: StatusClass,
    ) -> Self {
        let principal = cx.principal.as_ref();
        let sandbox = principal.is_some_and(|caller| caller.environment == Environment::Sandbox);
        let plan = cx.subscription.as_ref().and_then(|held| held.plan.as_ref());
        Self {
            org: matched.api.map_or(Org::DEFAULT, |api| api.org.as_str()),
            environment: if sandbox { SANDBOX } else { environment },
            api: matched.api.map_or(NO_API, |api| &api.name),
            operation: matched.operation_label(),
            application: principal.and_then(|caller| caller.application),
            plan: plan.map_or("", |plan| plan.name.as_str()),
            status,
        }
    }

    fn key(&self) -> Key {
        Key {
            org: Org::new(self.org),
            environment: self.environment.to_owned(),
            api: self.api.to_owned(),
            operation: self.operation.to_owned(),
            application: self
                .application
                .map(|id| id.to_string())
                .unwrap_or_default(),
            plan: self.plan.to_owned(),
            status: self.status,
        }
    }
}

/// The counts of one key. It outlives the interval, so that a request can hold on to it.
pub struct Row {
    key: Arc<Key>,
    counts: RefCell<Counts>,
    /// Whether anything was counted since the last flush.
    counted: Cell<bool>,
    overflow: OnceCell<Rc<Row>>,
}

impl Row {
    fn new(key: Key) -> Rc<Self> {
        Rc::new(Self {
            key: Arc::new(key),
            counts: RefCell::default(),
            counted: Cell::new(false),
            overflow: OnceCell::new(),
        })
    }
}

/// How one call went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// Bytes of the request's body that were passed on.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer, in microseconds.
    pub gateway_us: u64,
    /// Until the head of the backend's answer, where it was asked, in microseconds.
    pub backend_us: Option<u64>,
}

/// One core's counts. It has at most `rows_max` rows in an interval, and one more for each API and class of status.
pub struct Table {
    hasher: foldhash::quality::RandomState,
    rows_max: usize,
    /// Rows by the fingerprint of their key. Keys are told apart by a 64-bit hash with a random seed, as the series
    /// of the metrics are.
    known: RefCell<HashMap<u64, Rc<Row>, foldhash::fast::RandomState>>,
    /// The rows with counts.
    counted: RefCell<Vec<Rc<Row>>>,
    from_unix_ms: Cell<u64>,
    /// What the request that ends at this moment is counted under, where it ends without an answer.
    unanswered: Cell<Option<(Rc<Row>, Call)>>,
}

impl Table {
    /// An empty table, whose interval begins at this time.
    #[must_use]
    pub fn new(rows_max: usize, now_unix_ms: u64) -> Self {
        Self {
            hasher: foldhash::quality::RandomState::default(),
            rows_max: rows_max.max(1),
            known: RefCell::default(),
            counted: RefCell::default(),
            from_unix_ms: Cell::new(now_unix_ms),
            unanswered: Cell::default(),
        }
    }

    /// The row of a subject.
    pub fn row(&self, subject: &Subject<'_>) -> Rc<Row> {
        let fingerprint = self.hasher.hash_one(subject);
        let mut known = self.known.borrow_mut();
        if let Some(row) = known.get(&fingerprint) {
            return Rc::clone(row);
        }
        self.make_room(&mut known);
        let row = Row::new(subject.key());
        known.insert(fingerprint, Rc::clone(&row));
        row
    }

    /// Twice as many rows are remembered as may be counted: the interval before has its rows too.
    fn make_room(&self, known: &mut HashMap<u64, Rc<Row>, foldhash::fast::RandomState>) {
        let max = self.rows_max.saturating_mul(2);
        if known.len() >= max {
            known.retain(|_, row| row.counted.get());
        }
        if known.len() >= max {
            known.clear();
        }
    }

    /// Counts a call; `false` when its row had no room and the overflow row of its API took it.
    pub fn count(&self, row: &Rc<Row>, call: Call) -> bool {
        let fits = row.counted.get() || self.counted.borrow().len() < self.rows_max;
        let row = if fits { row } else { self.overflow(row) };
        if !row.counted.replace(true) {
            self.counted.borrow_mut().push(Rc::clone(row));
        }
        let mut counts = row.counts.borrow_mut();
        counts.requests += 1;
        counts.bytes_in += call.bytes_in;
        counts.bytes_out += call.bytes_out;
        counts.gateway.record(call.gateway_us);
        if let Some(us) = call.backend_us {
            counts.backend.record(us);
        }
        fits
    }

    /// Counts bytes of a tunnel whose call was counted when it began.
    pub fn moved(&self, row: &Rc<Row>, bytes_in: u64, bytes_out: u64) {
        let fits = row.counted.get() || self.counted.borrow().len() < self.rows_max;
        let row = if fits { row } else { self.overflow(row) };
        if !row.counted.replace(true) {
            self.counted.borrow_mut().push(Rc::clone(row));
        }
        let mut counts = row.counts.borrow_mut();
        counts.bytes_in += bytes_in;
        counts.bytes_out += bytes_out;
    }

    fn overflow<'r>(&self, row: &'r Row) -> &'r Rc<Row> {
        row.overflow.get_or_init(|| {
            let key = row.key.overflow();
            let fingerprint = self.hasher.hash_one(&key);
            let mut known = self.known.borrow_mut();
            let row = known.entry(fingerprint).or_insert_with(|| Row::new(key));
            Rc::clone(row)
        })
    }

    /// What was counted, and since when; a new interval begins.
    pub fn take(&self, now_unix_ms: u64) -> (u64, Vec<(Arc<Key>, Counts)>) {
        let from_unix_ms = self.from_unix_ms.replace(now_unix_ms);
        let counted = std::mem::take(&mut *self.counted.borrow_mut());
        let rows = counted
            .into_iter()
            .map(|row| {
                row.counted.set(false);
                (Arc::clone(&row.key), row.counts.take())
            })
            .collect();
        (from_unix_ms, rows)
    }

    /// See [`Waiting`].
    pub(crate) fn unanswered(&self) -> Option<(Rc<Row>, Call)> {
        self.unanswered.take()
    }
}

/// Stands while a request waits for its backend. A client that goes away ends the request there, by dropping it; then
/// this tells the table what it was, and the request's record, which is dropped next, counts it.
pub(crate) struct Waiting<'a> {
    worker: &'a Worker,
    subject: Subject<'a>,
    body: Option<Rc<BodyState>>,
    answered: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(
        worker: &'a Worker,
        subject: Subject<'a>,
        body: Option<Rc<BodyState>>,
    ) -> Self {
        Self {
            worker,
            subject,
            body,
            answered: false,
        }
    }

    /// There is an answer: the request goes on.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let table = &self.worker.usage.table;
        let call = Call {
            bytes_in: self.body.as_ref().map_or(0, |body| body.bytes()),
            ..Call::default()
        };
        table.unanswered.set(Some((table.row(&self.subject), call)));
    }
}

#[cfg(test)]
mod tests;
