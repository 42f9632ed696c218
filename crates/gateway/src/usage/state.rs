//! What the metrics tell of usage on its way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a node's usage; shared with the metrics.
#[derive(Debug, Default)]
pub struct UsageState {
    spooled: AtomicU64,
    sent: AtomicU64,
    lost_batches: AtomicU64,
    lost_requests: AtomicU64,
    damaged: AtomicU64,
    failures: AtomicU64,
    waiting_bytes: AtomicU64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        })+
    };
}

impl UsageState {
    counters! {
        /// Batches written to the spool.
        spooled;
        /// Batches that the control plane has acknowledged.
        sent;
        /// Batches that were lost: the spool was full or could not be written, or the control plane refused them.
        lost_batches;
        /// The requests in them.
        lost_requests;
        /// Lines of the spool that could not be read back.
        damaged;
        /// Times that the control plane could not take a batch.
        failures;
        /// Bytes of the spool that the control plane has not acknowledged.
        waiting_bytes;
    }

    pub(super) fn note_spooled(&self) {
        self.spooled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_lost(&self, requests: u64) {
        self.lost_batches.fetch_add(1, Ordering::Relaxed);
        self.lost_requests.fetch_add(requests, Ordering::Relaxed);
    }

    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_spool(&self, damaged: u64, waiting_bytes: u64) {
        self.damaged.store(damaged, Ordering::Relaxed);
        self.waiting_bytes.store(waiting_bytes, Ordering::Relaxed);
    }
}
