//! Gathers what the workers counted, each interval, and puts it into the spool.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Clock;
use sync::ControlPlane;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use usage::{Batch, Counts, Key, KeyUse, Lost, Row};

use super::sender;
use super::spool::{Appended, Spool};
use super::state::UsageState;
use super::{Flush, Flushes};

/// Calls are kept by minutes, so a batch does not cross one.
const MINUTE_MS: u64 = 60_000;

/// How long a stop waits until the control plane has what is left; the rest is sent after the next start.
const LAST_SEND: Duration = Duration::from_secs(5);

/// The way of a node's usage to the control plane.
pub struct Collector {
    flushes: Flushes,
    plane: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    /// How long the end waits for what was not sent yet.
    last_send: Duration,
    spool: Arc<Mutex<Spool>>,
    state: Arc<UsageState>,
    news: Arc<Notify>,
    head: Head,
    round: u64,
    /// A failing disk is told of once.
    failing: bool,
}

/// What all batches of an epoch go on counting.
struct Head {
    node: String,
    epoch: usage::Epoch,
    /// Until a batch that tells of it is on the disk.
    unclean: Option<usage::Unclean>,
    sequence: u64,
    sent_requests: u64,
    lost: Lost,
}

impl Collector {
    /// A collector that has gathered nothing yet.
    #[must_use]
    pub fn new(
        flushes: Flushes,
        spool: Spool,
        interval: Duration,
        plane: Arc<dyn ControlPlane>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let head = Head {
            node: spool.node().to_owned(),
            epoch: spool.epoch(),
            unclean: spool.unclean(),
            sequence: 0,
            sent_requests: 0,
            lost: Lost::default(),
        };
        Self {
            flushes,
            plane,
            clock,
            interval: interval.max(Duration::from_millis(1)),
            last_send: LAST_SEND,
            spool: Arc::new(Mutex::new(spool)),
            state: Arc::default(),
            news: Arc::default(),
            head,
            round: 0,
            failing: false,
        }
    }

    /// Tells this what it does, instead of a state of its own.
    #[must_use]
    pub fn with_state(mut self, state: Arc<UsageState>) -> Self {
        self.state = state;
        self
    }

    /// What others may watch.
    #[must_use]
    pub fn state(&self) -> Arc<UsageState> {
        Arc::clone(&self.state)
    }

    /// Gathers and sends until all workers have ended; then writes the epoch's last batch and waits a while until
    /// everything is sent.
    pub async fn run(mut self) {
        if let Some(unclean) = self.head.unclean {
            tracing::warn!(
                epoch = %unclean.epoch,
                sequence = unclean.sequence,
                "the node did not stop the last time: what it counted in its last interval is not known"
            );
        }
        // Ends with this function, however that ends.
        let mut sender = JoinSet::new();
        sender.spawn(sender::run(
            Arc::clone(&self.plane),
            Arc::clone(&self.spool),
            Arc::clone(&self.state),
            Arc::clone(&self.news),
        ));
        let mut turns = tokio::time::interval(self.interval);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first turn is at once: it says that the node is there.
        self.keep(Counted::nothing(self.clock.unix_ms()), false)
            .await;
        loop {
            let mut gathered = Gathered::default();
            // What comes unasked comes from workers that end.
            while self.flushes.workers > 0 {
                tokio::select! {
                    _ = turns.tick() => break,
                    flush = self.flushes.flushes.recv() => self.take(flush, &mut gathered),
                }
            }
            self.gather(&mut gathered).await;
            for counted in gathered.0.into_values() {
                self.keep(counted, false).await;
            }
            if self.flushes.workers == 0 {
                break;
            }
        }
        self.keep(Counted::nothing(self.clock.unix_ms()), true)
            .await;
        let all_sent = sender::emptied(&self.spool, &self.state);
        if tokio::time::timeout(self.last_send, all_sent)
            .await
            .is_err()
        {
            tracing::warn!("usage is left in the spool; it is sent after the next start");
        }
    }

    /// Asks the workers, and puts together what they answer.
    async fn gather(&mut self, gathered: &mut Gathered) {
        self.round += 1;
        self.flushes.rounds.send_replace(self.round);
        // A worker that is busy for longer answers into the next batch.
        let deadline = tokio::time::Instant::now() + self.interval.min(Duration::from_secs(1));
        let mut answered = 0;
        while answered < self.flushes.workers {
            let next = tokio::time::timeout_at(deadline, self.flushes.flushes.recv()).await;
            let Ok(flush) = next else { return };
            let round = flush.as_ref().and_then(|flush| flush.round);
            answered += usize::from(round == Some(self.round));
            self.take(flush, gathered);
        }
    }

    /// Takes what a worker hands over; `None` when all workers have ended.
    fn take(&mut self, flush: Option<Flush>, gathered: &mut Gathered) {
        match flush {
            None => self.flushes.workers = 0,
            Some(flush) => {
                if flush.round.is_none() {
                    self.flushes.workers = self.flushes.workers.saturating_sub(1);
                }
                gathered.add(flush);
            }
        }
    }

    /// Makes a batch and writes it to the spool, or counts it as lost.
    async fn keep(&mut self, counted: Counted, last: bool) {
        let batch = self.head.batch(counted, last);
        let requests = batch.requests();
        let spool = Arc::clone(&self.spool);
        let written = tokio::task::spawn_blocking(move || {
            let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
            spool.append(batch)
        })
        .await;
        let failure = match written {
            Ok(Ok(Appended::Kept)) => None,
            Ok(Ok(Appended::Full)) => Some("it is full".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failure {
            None => {
                self.head.sent_requests += requests;
                self.head.unclean = None;
                self.state.note_spooled();
                self.failing = false;
                self.news.notify_one();
            }
            Some(cause) => {
                self.head.lost.batches += 1;
                self.head.lost.requests += requests;
                self.state.note_lost(requests);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(cause, "usage is lost: the spool does not take it");
                }
            }
        }
    }
}

impl Head {
    /// The next batch. Its sequence is used up, also if it is lost: the gap tells.
    fn batch(&mut self, counted: Counted, last: bool) -> Batch {
        let row = |(key, counts): (Arc<Key>, Counts)| Row {
            key: Arc::unwrap_or_clone(key),
            counts,
        };
        self.sequence += 1;
        let mut batch = Batch {
            node: self.node.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            from_unix_ms: counted.from_unix_ms,
            rows: counted.rows.into_iter().map(row).collect(),
            keys: counted.keys.into_iter().collect(),
            sent_requests: self.sent_requests,
            lost: self.lost,
            last,
            unclean: self.unclean,
        };
        batch.sent_requests += batch.requests();
        batch
    }
}

/// What was counted in one interval, or in several that began in the same minute.
struct Counted {
    /// When the first interval began.
    from_unix_ms: u64,
    rows: Rows,
    keys: BTreeSet<KeyUse>,
}

impl Counted {
    fn nothing(from_unix_ms: u64) -> Self {
        Self {
            from_unix_ms,
            rows: Rows::default(),
            keys: BTreeSet::new(),
        }
    }
}

/// What was counted, by the minute in which its interval began.
#[derive(Default)]
struct Gathered(BTreeMap<u64, Counted>);

type Rows = HashMap<Arc<Key>, Counts, foldhash::fast::RandomState>;

impl Gathered {
    fn add(&mut self, flush: Flush) {
        if flush.rows.is_empty() && flush.keys.is_empty() {
            return;
        }
        let from = flush.from_unix_ms;
        let counted = self
            .0
            .entry(from / MINUTE_MS)
            .or_insert_with(|| Counted::nothing(from));
        counted.from_unix_ms = from.min(counted.from_unix_ms);
        counted.keys.extend(flush.keys);
        for (key, tallied) in flush.rows {
            tallied.add_to(counted.rows.entry(key).or_default());
        }
    }
}

#[cfg(test)]
mod tests;
