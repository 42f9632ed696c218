//! Usage: calls rolled up per core, gathered each second, kept on disk until the control plane has them.
//!
//! A worker counts into a [`table::Table`] of its own, without a lock. [`Collector`] asks all workers for what they
//! counted, makes a [`usage::Batch`] of it, and appends that to the [`Spool`] before anything else: `kill -9` loses
//! what was counted since the last flush, and no more. Whatever lies in the spool is sent in order and goes when the
//! control plane has acknowledged it.

mod collector;
mod keys;
mod sender;
mod spool;
mod state;
pub mod table;

pub use collector::Collector;
pub use spool::{Spool, SpoolError};
pub use state::UsageState;

use std::sync::Arc;

use base::Clock;
use tokio::sync::{mpsc, watch};
use usage::{Key, KeyUse};

/// What one worker counted in one interval.
pub(crate) struct Flush {
    /// The collector's question that this answers; `None` when the worker ends.
    round: Option<u64>,
    /// When the interval began, in milliseconds since 1970.
    from_unix_ms: u64,
    rows: Vec<(Arc<Key>, table::Tallied)>,
    keys: Vec<KeyUse>,
}

/// A worker's way to the collector.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// Moves when the collector asks.
    pub(crate) rounds: watch::Receiver<u64>,
    flushes: mpsc::UnboundedSender<Flush>,
}

/// The collector's end of all workers' outlets. A worker answers each question once, so at most one flush of each
/// waits here.
pub struct Flushes {
    rounds: watch::Sender<u64>,
    flushes: mpsc::UnboundedReceiver<Flush>,
    workers: usize,
}

pub(crate) fn channel(workers: usize) -> (Outlet, Flushes) {
    let (rounds, asked) = watch::channel(0);
    let (sender, flushes) = mpsc::unbounded_channel();
    let outlet = Outlet {
        rounds: asked,
        flushes: sender,
    };
    let flushes = Flushes {
        rounds,
        flushes,
        workers,
    };
    (outlet, flushes)
}

/// What a worker counts, and where it goes. Hands over the rest when it is dropped, which is after the worker's last
/// call.
pub(crate) struct Tally {
    pub(crate) table: table::Table,
    pub(crate) outlet: Outlet,
    clock: Arc<dyn Clock>,
}

impl Tally {
    pub(crate) fn new(rows_max: usize, outlet: Outlet, clock: Arc<dyn Clock>) -> Self {
        Self {
            table: table::Table::new(rows_max, clock.unix_ms()),
            outlet,
            clock,
        }
    }

    /// Hands over what was counted since the last time.
    pub(crate) fn flush(&self, round: Option<u64>) {
        let keys = self.table.used_keys();
        let (from_unix_ms, rows) = self.table.take(self.clock.unix_ms());
        let flush = Flush {
            round,
            from_unix_ms,
            rows,
            keys,
        };
        // Without a collector nobody wants it.
        let _ = self.outlet.flushes.send(flush);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush(None);
    }
}
