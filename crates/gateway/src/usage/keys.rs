//! Which API keys were used: each once a minute, by each core.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use usage::KeyUse;

const MINUTE_MS: u64 = 60_000;

/// The keys that one core has seen.
pub(super) struct UsedKeys {
    /// The minute in which the interval began.
    minute: Cell<u64>,
    noted_max: usize,
    /// Those of this minute.
    noted: RefCell<HashSet<KeyUse, foldhash::fast::RandomState>>,
    /// Those of them that were not handed over yet.
    fresh: RefCell<Vec<KeyUse>>,
}

/// The key that was seen last somewhere, and in which minute. Most rows of usage see one key again and again: then a call
/// costs one comparison.
#[derive(Default)]
pub(super) struct LastKey(Cell<Option<(u64, KeyUse)>>);

impl UsedKeys {
    /// A core notes at most so many keys in a minute; what is beyond is noted in a later one.
    pub(super) fn new(noted_max: usize, now_unix_ms: u64) -> Self {
        Self {
            minute: Cell::new(now_unix_ms / MINUTE_MS),
            noted_max: noted_max.max(1),
            noted: RefCell::default(),
            fresh: RefCell::default(),
        }
    }

    /// A call was made with this key.
    pub(super) fn used(&self, last: &LastKey, key: KeyUse) {
        let now = Some((self.minute.get(), key));
        if last.0.replace(now) == now {
            return;
        }
        let mut noted = self.noted.borrow_mut();
        if noted.len() < self.noted_max && noted.insert(key) {
            self.fresh.borrow_mut().push(key);
        }
    }

    /// What was noted since the last time.
    pub(super) fn take(&self) -> Vec<KeyUse> {
        self.fresh.take()
    }

    /// A new interval begins; in another minute all keys are noted anew.
    pub(super) fn turn(&self, now_unix_ms: u64) {
        let minute = now_unix_ms / MINUTE_MS;
        if self.minute.replace(minute) != minute {
            self.noted.borrow_mut().clear();
        }
    }
}

#[cfg(test)]
mod tests;
