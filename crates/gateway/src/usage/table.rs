//! One core's counts of one interval.

mod row;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::sync::Arc;

use base::{ApplicationId, Environment, Org};
use policy::RequestCx;
use snapshot::Mark;
use usage::{Key, KeyUse, NO_API, StatusClass};

use super::keys::UsedKeys;
use crate::body::BodyState;
use crate::decisions::Matched;
use crate::metrics::SeriesId;
use crate::worker::Worker;

pub use row::{Call, Row, Tallied};

/// What a call is counted under, borrowed from wherever it stands.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The API's organisation.
    pub org: &'a str,
    /// The environment of the gateway.
    pub environment: &'a str,
    /// The API's document name.
    pub api: &'a str,
    /// The operation's label.
    pub operation: &'a str,
    /// Where the operation keeps what these names are known by.
    pub mark: Option<&'a Mark>,
    /// The method's label, for metrics; usage does not tell methods apart.
    pub method: &'static str,
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
        mark: None,
        method: "",
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
            mark: matched.operation.map(|operation| &operation.mark),
            method: crate::metrics::method_label(&cx.method),
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

/// Subjects that are remembered, for each row that may be counted: of those that have no row too, so that they are not
/// looked at name by name at every call.
const REMEMBERED: usize = 8;

/// One core's counts. It has at most `rows_max` rows in an interval, and one more for each API and class of status.
pub struct Table {
    hasher: foldhash::quality::RandomState,
    rows_max: usize,
    known: RefCell<Memory>,
    /// The rows with counts.
    counted: RefCell<Vec<Rc<Row>>>,
    from_unix_ms: Cell<u64>,
    keys: UsedKeys,
    /// What the request that ends at this moment is counted under, where it ends without an answer.
    unanswered: Cell<Option<(Rc<Row>, Call)>>,
}

/// Where subjects are counted, by the fingerprint of the subject. Subjects are told apart by a 64-bit hash with a random
/// seed, as the series of the metrics are.
#[derive(Default)]
struct Memory {
    places: Places,
    /// Those that have a row of their own.
    own: usize,
    /// The rows of those that have none, by the fingerprint of the row's key.
    rests: HashMap<u64, Rc<Row>, foldhash::fast::RandomState>,
}

type Places = HashMap<u64, Place, foldhash::fast::RandomState>;

/// Where a subject is counted.
#[derive(Clone)]
struct Place {
    /// Its own row, or that of what has none.
    row: Rc<Row>,
    /// In the metrics; `None` until it is asked for.
    series: Option<SeriesId>,
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
            keys: UsedKeys::new(rows_max, now_unix_ms),
            unanswered: Cell::default(),
        }
    }

    /// The row of a subject.
    pub fn row(&self, subject: &Subject<'_>) -> Rc<Row> {
        let fingerprint = self.fingerprint(subject);
        let mut known = self.known.borrow_mut();
        self.place(&mut known, fingerprint, subject).row
    }

    /// The row of a subject, and its series in the metrics, which `find` tells where it is not known yet.
    pub(crate) fn row_and_series(
        &self,
        subject: &Subject<'_>,
        find: impl FnOnce() -> SeriesId,
    ) -> (Rc<Row>, SeriesId) {
        let fingerprint = self.fingerprint(subject);
        let mut known = self.known.borrow_mut();
        let Place { row, series } = self.place(&mut known, fingerprint, subject);
        let series = series.unwrap_or_else(|| {
            let series = find();
            if let Some(place) = known.places.get_mut(&fingerprint) {
                place.series = Some(series);
            }
            series
        });
        (row, series)
    }

    fn place(&self, known: &mut Memory, fingerprint: u64, subject: &Subject<'_>) -> Place {
        match known.places.get(&fingerprint) {
            Some(place) if !place.row.is_rest() || !self.has_room() => place.clone(),
            _ => self.remember(known, fingerprint, subject),
        }
    }

    fn fingerprint(&self, subject: &Subject<'_>) -> u64 {
        let names = || {
            self.hasher
                .hash_one((subject.org, subject.api, subject.operation))
        };
        let names = match subject.mark {
            Some(mark) => mark.get(names),
            None => names(),
        };
        self.hasher.hash_one((
            names,
            subject.application,
            subject.status,
            subject.environment,
            subject.plan,
            subject.method,
        ))
    }

    fn has_room(&self) -> bool {
        self.counted.borrow().len() < self.rows_max
    }

    /// Gives a subject a place: a row of its own where there is room for one in this interval.
    #[cold]
    fn remember(&self, known: &mut Memory, fingerprint: u64, subject: &Subject<'_>) -> Place {
        self.make_room(known);
        let series = known
            .places
            .get(&fingerprint)
            .and_then(|place| place.series);
        let row = if self.has_room() {
            known.own += 1;
            Row::new(subject.key())
        } else {
            self.rest_of(known, &subject.key())
        };
        let place = Place { row, series };
        known.places.insert(fingerprint, place.clone());
        place
    }

    /// Twice as many rows are remembered as may be counted: the interval before has its rows too. Rows that count stay.
    fn make_room(&self, known: &mut Memory) {
        let remembered = self.rows_max.saturating_mul(REMEMBERED);
        let is_full = known.places.len() >= remembered;
        if is_full || known.own >= self.rows_max.saturating_mul(2) {
            known.places.retain(|_, place| match place.row.is_rest() {
                true => !is_full,
                false => place.row.is_counted(),
            });
            let own = |place: &&Place| !place.row.is_rest();
            known.own = known.places.values().filter(own).count();
        }
        if known.rests.len() >= remembered {
            known.rests.retain(|_, row| row.is_counted());
        }
    }

    /// The row of all that have none of their own, of an API and a class of status.
    fn rest_of(&self, known: &mut Memory, key: &Key) -> Rc<Row> {
        let key = key.overflow();
        let fingerprint = self.hasher.hash_one(&key);
        let rests = known.rests.entry(fingerprint);
        Rc::clone(rests.or_insert_with(|| Row::rest(key)))
    }

    /// Counts a call; `false` when its row had no room and the overflow row of its API took it.
    pub fn count(&self, row: &Rc<Row>, call: Call) -> bool {
        self.with(row, |tallied| tallied.add(call))
    }

    /// Counts bytes of a tunnel whose call was counted when it began.
    pub fn moved(&self, row: &Rc<Row>, bytes_in: u64, bytes_out: u64) {
        self.with(row, |tallied| tallied.moved(bytes_in, bytes_out));
    }

    /// Changes what a row, or the one that takes what has no room, has counted; says whether there was room.
    fn with(&self, row: &Rc<Row>, change: impl FnOnce(&mut Tallied)) -> bool {
        if row.is_counted() {
            row.change(change);
            return !row.is_rest();
        }
        self.with_first(row, change)
    }

    #[cold]
    fn with_first(&self, row: &Rc<Row>, change: impl FnOnce(&mut Tallied)) -> bool {
        let rest;
        let (row, fits) = if row.is_rest() {
            (row, false)
        } else if self.has_room() {
            (row, true)
        } else {
            rest = self.rest_of(&mut self.known.borrow_mut(), row.key());
            (&rest, false)
        };
        if !row.is_counted() {
            self.counted.borrow_mut().push(Rc::clone(row));
        }
        row.change(change);
        fits
    }

    /// Notes that a call that is counted in this row was made with an API key.
    pub fn used(&self, row: &Row, key: KeyUse) {
        self.keys.used(row.last_key(), key);
    }

    /// The API keys that were used and not handed over yet, each once a minute.
    pub fn used_keys(&self) -> Vec<KeyUse> {
        self.keys.take()
    }

    /// What was counted, and since when; a new interval begins.
    pub fn take(&self, now_unix_ms: u64) -> (u64, Vec<(Arc<Key>, Tallied)>) {
        self.keys.turn(now_unix_ms);
        let from_unix_ms = self.from_unix_ms.replace(now_unix_ms);
        let counted = std::mem::take(&mut *self.counted.borrow_mut());
        let rows = counted.iter().map(|row| row.take()).collect();
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
