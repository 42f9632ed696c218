//! Imports that were refused for what they are rather than for what they say, counted for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Refused imports by reason. Reasons are words of the code, so there are few.
#[derive(Debug, Default)]
pub struct ImportRefusals(Mutex<BTreeMap<&'static str, u64>>);

impl ImportRefusals {
    pub(crate) fn count(&self, reason: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reason).or_default() += 1;
    }

    /// Every reason that was met, with its count.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
