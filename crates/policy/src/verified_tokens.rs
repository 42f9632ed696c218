//! How many verified tokens the cores remember, and what is counted of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// One a process; its cores share it. Nothing of it is written by a call whose token is remembered.
#[derive(Debug)]
pub struct VerifiedTokens {
    /// Tokens that each core remembers; default 10,000. Half of them are those used last, the others go together. 0 and 1 = none.
    pub tokens_max: usize,
    /// Bytes of their texts, for each core; default 16 MiB. A token longer than half of it is not remembered.
    pub bytes_max: usize,
    /// Tokens that were forgotten, or not remembered, since these were too few.
    pub forgotten: AtomicU64,
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self {
            tokens_max: 10_000,
            bytes_max: 16 << 20,
            forgotten: AtomicU64::new(0),
        }
    }
}

impl VerifiedTokens {
    /// So many more were forgotten.
    pub fn forget(&self, tokens: usize) {
        self.forgotten.fetch_add(tokens as u64, Ordering::Relaxed);
    }
}
