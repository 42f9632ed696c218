//! How many counters there may be: of all limits, of those whose keys strangers choose, and of each of these.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

use crate::quotas::LimitId;

/// How many counters a process keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// In all. Three quarters of them are open to limits whose keys callers choose, so that these never take the counters
    /// of plans and applications.
    pub keys_max: usize,
    /// Of each limit whose keys callers choose; a quarter of all unless stated otherwise.
    pub keys_per_limit_max: usize,
}

impl Room {
    /// Room for so many counters.
    #[must_use]
    pub fn for_keys(keys_max: usize) -> Self {
        Self {
            keys_max,
            keys_per_limit_max: keys_max.div_ceil(4),
        }
    }
}

/// Limits are told apart by so many bits of their digest: two that agree in them share what either may hold.
const LIMIT_BITS: u32 = 14;
const CHOSEN: u16 = 1 << 15;
/// The tag of a counter that holds no seat.
pub(crate) const NO_SEAT: u16 = 1 << 14;

/// Seats for counters; each remembers by its tag which one it holds.
#[derive(Debug)]
pub(crate) struct Seats {
    room: Room,
    held: AtomicUsize,
    chosen: AtomicUsize,
    each: Box<[AtomicU32]>,
    /// Look-ups of counters for which there was no seat.
    pub(crate) overflowed: AtomicU64,
}

impl Seats {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            room,
            held: AtomicUsize::new(0),
            chosen: AtomicUsize::new(0),
            each: (0..1 << LIMIT_BITS).map(|_| AtomicU32::new(0)).collect(),
            overflowed: AtomicU64::new(0),
        }
    }

    /// The tag of a new counter; `None`: there is no seat. Threads that ask at the same moment may exceed the numbers by
    /// their own.
    pub(crate) fn take(&self, limit: LimitId) -> Option<u16> {
        if self.held.load(Relaxed) >= self.room.keys_max {
            return None;
        }
        let mut tag = u16::try_from(limit.digest >> (u128::BITS - LIMIT_BITS)).unwrap_or(0);
        if limit.chosen {
            let each = self.each[usize::from(tag)].load(Relaxed) as usize;
            let chosen_max = self.room.keys_max - self.room.keys_max / 4;
            if each >= self.room.keys_per_limit_max || self.chosen.load(Relaxed) >= chosen_max {
                return None;
            }
            tag |= CHOSEN;
        }
        self.sit(tag);
        Some(tag)
    }

    /// Takes the seat of a counter that is there already.
    pub(crate) fn sit(&self, tag: u16) {
        self.held.fetch_add(1, Relaxed);
        if tag & CHOSEN != 0 {
            self.chosen.fetch_add(1, Relaxed);
            self.each[limit_of(tag)].fetch_add(1, Relaxed);
        }
    }

    /// Gives a counter's seat back.
    pub(crate) fn give(&self, tag: u16) {
        if tag & NO_SEAT != 0 {
            return;
        }
        self.held.fetch_sub(1, Relaxed);
        if tag & CHOSEN != 0 {
            self.chosen.fetch_sub(1, Relaxed);
            self.each[limit_of(tag)].fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

fn limit_of(tag: u16) -> usize {
    usize::from(tag & (NO_SEAT - 1))
}
