//! How much a node asks of issuers outside of the platform, and how long it waits for them.

use jose::KeySetRules;

use crate::metrics::labels;

/// Limits of one issuer each. Times are in milliseconds, sizes in bytes. What is hit is counted by [`Limit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Fetches that calls with unknown keys may cause at once; default 6.
    pub refetches_max: u64,
    /// After how long one more of them may be caused; default 10 seconds.
    pub refetch_every_ms: u64,
    /// The least time between two of them; default 1 second. Calls that come before wait for the next one.
    pub refetch_pause_ms: u64,
    /// After a failure it is tried again after this, or when it would be due anyway, whichever is sooner; default 10 seconds.
    pub retry_ms: u64,
    /// How long a call waits for keys that may be new; default 5 seconds.
    pub keys_wait_ms: u64,
    /// How long the metadata, or the keys, may take; default 5 seconds.
    pub fetch_timeout_ms: u64,
    /// The longest metadata and the longest set of keys; default 128 KiB.
    pub keys_bytes_max: usize,
    /// Keys in a set that is fetched; default 64.
    pub keys_max: usize,
    /// The longest answer about a token; default 64 KiB.
    pub answer_bytes_max: usize,
    /// Questions about tokens that are on the way at a time, each on a connection of its own; default 32. What is beyond waits.
    pub questions_parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            refetches_max: 6,
            refetch_every_ms: 10_000,
            refetch_pause_ms: 1_000,
            retry_ms: 10_000,
            keys_wait_ms: 5_000,
            fetch_timeout_ms: 5_000,
            keys_bytes_max: 128 * 1024,
            keys_max: 64,
            answer_bytes_max: 64 * 1024,
            questions_parallel: 32,
        }
    }
}

impl Limits {
    /// How fetched keys are read. Their length is held against [`Limits::keys_bytes_max`] when they come.
    pub(super) fn key_rules(&self) -> KeySetRules {
        KeySetRules {
            keys_max: self.keys_max,
            bytes_max: usize::MAX,
            ..compile::key_rules()
        }
    }
}

labels! {
    /// A limit that took effect.
    Limit {
        /// Keys were not fetched again for an unknown one: [`Limits::refetches_max`].
        Refetches = "refetches",
        /// Keys were fetched again for an unknown one later than they could have been.
        RefetchPause = "refetch_pause",
        /// A fetch failed, and is tried again after [`Limits::retry_ms`].
        Retry = "retry",
        /// A call did not wait any longer for keys.
        KeysWait = "keys_wait",
        /// Metadata or keys took too long.
        FetchTimeout = "fetch_timeout",
        /// Metadata or keys are too long.
        KeysBytes = "keys_bytes",
        /// A set has too many keys.
        Keys = "keys",
        /// An answer about a token is too long.
        AnswerBytes = "answer_bytes",
        /// An answer about a token took longer than the document allows (`introspection.timeout`).
        AnswerTimeout = "answer_timeout",
        /// A question waited until others were answered.
        QuestionsParallel = "questions_parallel",
        /// A question was not asked, as many wait as the document allows (`introspection.waitingMax`).
        QuestionsWaiting = "questions_waiting",
        /// An answer was forgotten, as many are remembered as the document allows (`introspection.cache.entriesMax`).
        Answers = "answers",
    }
}
