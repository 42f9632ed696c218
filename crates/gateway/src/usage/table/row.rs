//! The counts of one key in one interval.
//!
//! A call touches two lines of the processor's cache here. Where thousands of operations are called in turn that is what a
//! call costs: each line is a way to memory. So the times of a row's latest calls stand in the row as they are, and go to
//! the sketches, which take a dozen lines, together: when there is no more room, or when the interval is over, and then by
//! the collector's thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use usage::{Counts, Key, Sketch};

use crate::usage::keys::LastKey;

/// Times that wait in a row.
const KEPT: usize = 28;

/// Of a call that asked no backend.
const NOT_ASKED: u32 = u32::MAX;

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

/// The counts of one key. It outlives the interval, so that a request can hold on to it.
#[repr(C)]
pub struct Row {
    is_rest: bool,
    tallied: RefCell<Tallied>,
    key: Arc<Key>,
    /// The API key that was noted last among those that are counted here.
    last_key: LastKey,
}

/// What was counted under one key in one interval.
#[derive(Default)]
#[repr(C)]
pub struct Tallied {
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
    kept: u8,
    /// Whether anything was counted.
    counted: bool,
    times: [Times; KEPT],
    sketches: Option<Box<Sketches>>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    gateway_us: u32,
    backend_us: u32,
}

#[derive(Default)]
struct Sketches {
    gateway: Sketch,
    backend: Sketch,
}

impl Times {
    /// `None` of a call that took more than an hour.
    fn of(call: &Call) -> Option<Self> {
        let backend_us = match call.backend_us {
            None => NOT_ASKED,
            Some(us) => u32::try_from(us).ok().filter(|us| *us != NOT_ASKED)?,
        };
        Some(Self {
            gateway_us: u32::try_from(call.gateway_us).ok()?,
            backend_us,
        })
    }
}

impl Sketches {
    fn record(&mut self, gateway_us: u64, backend_us: Option<u64>) {
        self.gateway.record(gateway_us);
        if let Some(us) = backend_us {
            self.backend.record(us);
        }
    }

    fn record_kept(&mut self, times: &[Times]) {
        for times in times {
            let backend_us = Some(times.backend_us).filter(|us| *us != NOT_ASKED);
            self.record(times.gateway_us.into(), backend_us.map(u64::from));
        }
    }
}

impl Tallied {
    pub(super) fn add(&mut self, call: Call) {
        self.requests += 1;
        self.moved(call.bytes_in, call.bytes_out);
        let Some(times) = Times::of(&call) else {
            let sketches = self.sketches.get_or_insert_default();
            return sketches.record(call.gateway_us, call.backend_us);
        };
        if usize::from(self.kept) == KEPT {
            let sketches = self.sketches.get_or_insert_default();
            sketches.record_kept(&self.times);
            self.kept = 0;
        }
        self.times[usize::from(self.kept)] = times;
        self.kept += 1;
    }

    pub(super) fn moved(&mut self, bytes_in: u64, bytes_out: u64) {
        self.counted = true;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Adds this to other counts.
    pub fn add_to(mut self, counts: &mut Counts) {
        counts.requests += self.requests;
        counts.bytes_in += self.bytes_in;
        counts.bytes_out += self.bytes_out;
        let mut sketches = self.sketches.take().unwrap_or_default();
        sketches.record_kept(&self.times[..usize::from(self.kept)]);
        if counts.requests == self.requests {
            // Nothing was counted before.
            (counts.gateway, counts.backend) = (sketches.gateway, sketches.backend);
        } else {
            counts.gateway.merge(&sketches.gateway);
            counts.backend.merge(&sketches.backend);
        }
    }
}

impl Row {
    pub(super) fn new(key: Key) -> Rc<Self> {
        Self::make(key, false)
    }

    /// The row of what has none of its own.
    pub(super) fn rest(key: Key) -> Rc<Self> {
        Self::make(key, true)
    }

    fn make(key: Key, is_rest: bool) -> Rc<Self> {
        Rc::new(Self {
            is_rest,
            tallied: RefCell::default(),
            key: Arc::new(key),
            last_key: LastKey::default(),
        })
    }

    pub(super) fn is_rest(&self) -> bool {
        self.is_rest
    }

    /// Whether anything was counted since the last flush.
    pub(super) fn is_counted(&self) -> bool {
        self.tallied.borrow().counted
    }

    pub(super) fn last_key(&self) -> &LastKey {
        &self.last_key
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Tallied)) {
        change(&mut self.tallied.borrow_mut());
    }

    /// What was counted; begins anew.
    pub(super) fn take(&self) -> (Arc<Key>, Tallied) {
        (Arc::clone(&self.key), self.tallied.take())
    }
}
