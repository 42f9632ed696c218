//! How fetches ended, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::FetchError;

/// The words that [`Counts`] counts under: `ok`, and those of [`FetchError::reason`].
pub const RESULTS: [&str; 11] = [
    "ok",
    "url",
    "blocked",
    "downgrade",
    "origin",
    "redirects",
    "unresolved",
    "unreachable",
    "timeout",
    "status",
    "too-large",
];

/// Fetches by how they ended.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; RESULTS.len()]);

impl Counts {
    pub(crate) fn count<T>(&self, result: &Result<T, FetchError>) {
        let word = result.as_ref().err().map_or("ok", FetchError::reason);
        if let Some(index) = RESULTS.iter().position(|known| *known == word) {
            self.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every word with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        RESULTS.into_iter().zip(counts)
    }
}
