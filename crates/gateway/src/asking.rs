//! What a node asks the control plane for, because its tables cannot tell: opaque tokens, and whether there is news.
//!
//! Questions are asked on the feed's threads; the core that asks only waits. They are bounded in number and in time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Digest;
use jose::Claims;
use policy::{Asking, NotAnswered};
use sync::{ControlPlane, Node};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

/// How much a node asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AskingLimits {
    /// Questions that wait at a time; default 256. More are not asked.
    pub waiting_max: usize,
    /// How long an answer may take, in milliseconds; default 2 seconds.
    pub patience_ms: u64,
    /// The least time between two rounds of the feed that callers cause, in milliseconds; default 1 second.
    pub pause_ms: u64,
    /// Tokens and key ids that nobody knew, remembered on each core for ten seconds; default 4096. What is beyond it is asked
    /// for again.
    pub not_known_max: usize,
}

impl Default for AskingLimits {
    fn default() -> Self {
        Self {
            waiting_max: 256,
            patience_ms: 2_000,
            pause_ms: 1_000,
            not_known_max: 4_096,
        }
    }
}

/// How many questions there were, for metrics.
#[derive(Default, Debug)]
pub struct AskingCounts {
    /// Opaque tokens asked for.
    pub opaque_tokens: AtomicU64,
    /// Rounds of the feed caused by tokens of a key that was not known.
    pub catch_ups: AtomicU64,
    /// Such rounds that came later than they could have, since another had come right before.
    pub catch_ups_paused: AtomicU64,
    /// Questions that were not asked, since too many waited.
    pub refused: AtomicU64,
    /// Questions that had no answer in time.
    pub unanswered: AtomicU64,
    /// Answers "nobody knows it" that were not remembered, since too many were.
    pub not_remembered: AtomicU64,
}

/// See the module.
pub(crate) struct Asker {
    plane: Arc<dyn ControlPlane>,
    node: Node,
    /// Where the control plane's futures run.
    handle: Handle,
    waiting: Arc<Semaphore>,
    patience: Duration,
    rounds: Arc<Rounds>,
    counts: Arc<AskingCounts>,
}

impl Asker {
    /// To be called on a thread of the feed's.
    pub(crate) fn new(
        plane: Arc<dyn ControlPlane>,
        node: Node,
        rounds: Arc<Rounds>,
        counts: Arc<AskingCounts>,
        limits: AskingLimits,
    ) -> Self {
        Self {
            plane,
            node,
            handle: Handle::current(),
            waiting: Arc::new(Semaphore::new(limits.waiting_max)),
            patience: Duration::from_millis(limits.patience_ms),
            rounds,
            counts,
        }
    }

    pub(crate) fn opaque_token(&self, digest: Digest) -> Asking<Option<Claims>> {
        let (plane, node) = (Arc::clone(&self.plane), self.node.clone());
        self.counts.opaque_tokens.fetch_add(1, Ordering::Relaxed);
        self.ask(async move {
            let found = plane.opaque_token(&node, &digest).await;
            let found = found.map_err(|error| {
                tracing::warn!(%error, "an opaque token cannot be asked for");
                NotAnswered::Unavailable
            })?;
            let claims = found.map(Claims::from_value).transpose();
            claims.map_err(|error| {
                tracing::error!(%error, "the claims of an opaque token cannot be read");
                NotAnswered::Unavailable
            })
        })
    }

    pub(crate) fn catch_up(&self) -> Asking<()> {
        let rounds = Arc::clone(&self.rounds);
        self.counts.catch_ups.fetch_add(1, Ordering::Relaxed);
        self.ask(async move {
            rounds.next().await;
            Ok(())
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, NotAnswered>> + Send + 'static,
    ) -> Asking<T> {
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Box::pin(std::future::ready(Err(NotAnswered::TooMany)));
        };
        let counts = Arc::clone(&self.counts);
        let patience = self.patience;
        let answer = self.handle.spawn(async move {
            let answer = tokio::time::timeout(patience, question).await;
            drop(permit);
            answer.unwrap_or(Err(NotAnswered::Unavailable))
        });
        Box::pin(async move {
            let answer = answer.await.unwrap_or(Err(NotAnswered::Unavailable));
            if answer.is_err() {
                counts.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            answer
        })
    }
}

/// The rounds of the feed, so that one can be waited for.
#[derive(Debug)]
pub(crate) struct Rounds {
    begun: AtomicU64,
    ended: watch::Sender<u64>,
    wanted: Notify,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(0),
            wanted: Notify::new(),
        }
    }
}

impl Rounds {
    /// A round begins; returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// What the round brought is in force.
    pub(crate) fn end(&self, number: u64) {
        self.ended.send_replace(number);
    }

    /// Waits until a round has ended that had not begun yet.
    pub(crate) async fn next(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        // The sender lives as long as `self`.
        let _ = ended.wait_for(|ended| *ended > begun).await;
    }

    /// Returns when somebody waits for a round, but no sooner than `pause_ms` after `last`, when it did so before. Calls `paused` if
    /// that had to be waited for.
    pub(crate) async fn wanted(
        &self,
        last: &mut Option<Instant>,
        pause_ms: u64,
        paused: impl Fn(),
    ) {
        self.wanted.notified().await;
        let next = last.map(|last| last + Duration::from_millis(pause_ms));
        if let Some(next) = next.filter(|next| *next > Instant::now()) {
            paused();
            tokio::time::sleep_until(next).await;
        }
        *last = Some(Instant::now());
    }
}
