//! The label sets of the request counters: a bounded number for the whole process.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

/// Index of a label set's counter; 0 is `overflow`.
pub(crate) type SeriesId = u32;

/// The label that stands for all that has no place of its own.
pub(crate) const OVERFLOW: &str = "overflow";

/// What a request is counted under.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) api: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) method: &'static str,
    /// First digit of the status.
    pub(crate) status_class: u8,
    /// Empty where no plan applies.
    pub(crate) plan: &'a str,
}

/// The label sets that have a counter.
#[derive(Debug)]
pub(crate) struct Table {
    hasher: RandomState,
    max: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<u64, SeriesId>,
    /// By id, beginning with 1.
    labels: Vec<Arc<Labels>>,
}

/// A label set, as it is rendered.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) api: String,
    pub(crate) operation: String,
    pub(crate) method: &'static str,
    pub(crate) status_class: u8,
    pub(crate) plan: String,
}

impl Table {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            max,
            known: Mutex::default(),
        }
    }

    /// Label sets are told apart by a 64-bit hash under a random key; two that collide are counted together.
    pub(crate) fn fingerprint(&self, series: &Series<'_>) -> u64 {
        self.hasher.hash_one(series)
    }

    fn id(&self, fingerprint: u64, series: &Series<'_>) -> SeriesId {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.ids.get(&fingerprint) {
            return *id;
        }
        if known.labels.len() >= self.max {
            return 0;
        }
        known.labels.push(Arc::new(Labels {
            api: series.api.to_owned(),
            operation: series.operation.to_owned(),
            method: series.method,
            status_class: series.status_class,
            plan: series.plan.to_owned(),
        }));
        let id = SeriesId::try_from(known.labels.len()).unwrap_or(0);
        known.ids.insert(fingerprint, id);
        id
    }

    /// All label sets, in the order of their ids, which begin with 1.
    pub(crate) fn all(&self) -> Vec<Arc<Labels>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.labels.clone()
    }

    /// How many a worker's cache may hold: those that exist, and as many again that have no place.
    fn cache_max(&self) -> usize {
        self.max.saturating_mul(2).max(64)
    }
}

/// One worker's memory of ids, so that the shared table is asked once for each label set.
#[derive(Default)]
pub(crate) struct Cache(RefCell<HashMap<u64, SeriesId, foldhash::fast::RandomState>>);

impl Cache {
    pub(crate) fn id(&self, table: &Table, series: &Series<'_>) -> SeriesId {
        let fingerprint = table.fingerprint(series);
        let mut cache = self.0.borrow_mut();
        if let Some(id) = cache.get(&fingerprint) {
            return *id;
        }
        let id = table.id(fingerprint, series);
        if cache.len() >= table.cache_max() {
            cache.clear();
        }
        cache.insert(fingerprint, id);
        id
    }
}

/// The label of a method; unknown ones share one, because clients make them up.
pub(crate) fn method_label(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::DELETE => "DELETE",
        http::Method::HEAD => "HEAD",
        http::Method::OPTIONS => "OPTIONS",
        http::Method::PATCH => "PATCH",
        http::Method::TRACE => "TRACE",
        _ => "other",
    }
}
