//! The keys of one issuer: fetched, put in force, kept, and fetched again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Clock;
use jose::{KeyError, KeySet, KeySetRules};
use sync::{IssuerModel, ResourceKey};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use url::Url;

use super::counts::Counts;
use super::kept::Kept;
use super::limits::{Limit, Limits};
use super::metadata::{Fault, Places};
use crate::asking::Rounds;
use crate::directory::NodeDirectory;

/// Keys as they came, and when.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct FetchedKeys {
    pub(super) keys: KeySet,
    pub(super) at_unix_ms: u64,
}

/// What fetching begins with.
pub(super) struct Start<'s> {
    pub(super) key: ResourceKey,
    pub(super) model: Arc<IssuerModel>,
    pub(super) places: Arc<Places>,
    pub(super) limits: Limits,
    /// Keys that are known already: of before a change, or from the disk.
    pub(super) earlier: Option<FetchedKeys>,
    pub(super) directory: Arc<NodeDirectory>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) kept: Kept,
    pub(super) counts: Arc<Counts>,
    pub(super) handle: &'s Handle,
}

/// One issuer whose keys are fetched.
pub(super) struct Fetching {
    key: ResourceKey,
    model: Arc<IssuerModel>,
    places: Arc<Places>,
    limits: Limits,
    directory: Arc<NodeDirectory>,
    clock: Arc<dyn Clock>,
    kept: Kept,
    counts: Arc<Counts>,
    rounds: Rounds,
    state: Mutex<State>,
    task: Mutex<Option<AbortHandle>>,
}

struct State {
    fetched: Option<FetchedKeys>,
    /// When they are to be fetched again.
    due_unix_ms: u64,
    fault: Option<String>,
    /// What is left of [`Limits::refetches_max`], and since when it grows.
    left: u64,
    since_unix_ms: u64,
}

impl Fetching {
    /// Puts the keys in force that are known already, and begins to fetch.
    pub(super) fn start(start: Start<'_>) -> Arc<Self> {
        let now_unix_ms = start.clock.unix_ms();
        let fetching = Arc::new(Self {
            key: start.key,
            model: start.model,
            places: start.places,
            limits: start.limits,
            directory: start.directory,
            clock: start.clock,
            kept: start.kept,
            counts: start.counts,
            rounds: Rounds::default(),
            state: Mutex::new(State {
                fetched: start.earlier,
                due_unix_ms: 0,
                fault: None,
                left: start.limits.refetches_max,
                since_unix_ms: now_unix_ms,
            }),
            task: Mutex::default(),
        });
        fetching.put_in_force();
        let task = start.handle.spawn(Arc::clone(&fetching).run());
        *fetching.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        fetching
    }

    /// No more is fetched.
    pub(super) fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }

    /// The keys that were fetched last.
    pub(super) fn fetched(&self) -> Option<FetchedKeys> {
        self.state().fetched.clone()
    }

    /// When keys were fetched last, and why they could not be fetched since.
    pub(super) fn told(&self) -> (Option<u64>, Option<String>) {
        let state = self.state();
        let at = state.fetched.as_ref().map(|fetched| fetched.at_unix_ms);
        (at, state.fault.clone())
    }

    /// Has the keys fetched again, unless that was done too often; returns afterwards.
    pub(super) async fn again(&self) {
        self.rounds.next().await;
    }

    async fn run(self: Arc<Self>) {
        let paused = || self.counts.hit(Limit::RefetchPause);
        let mut nudged = None;
        loop {
            let round = self.rounds.begin();
            let now_unix_ms = self.clock.unix_ms();
            let due = now_unix_ms >= self.state().due_unix_ms;
            if due || (nudged.is_some() && self.take_one(now_unix_ms)) {
                self.fetch(due).await;
            } else if nudged.is_some() {
                self.counts.hit(Limit::Refetches);
            }
            self.put_in_force();
            self.rounds.end(round);
            let wait_ms = self
                .state()
                .due_unix_ms
                .saturating_sub(self.clock.unix_ms());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms.max(1))) => nudged = None,
                () = self.rounds.wanted(&mut nudged, self.limits.refetch_pause_ms, paused) => {}
            }
        }
    }

    /// Whether one more fetch may be caused from outside.
    fn take_one(&self, now_unix_ms: u64) -> bool {
        let (max, every_ms) = (self.limits.refetches_max, self.limits.refetch_every_ms);
        let mut state = self.state();
        let grown = now_unix_ms.saturating_sub(state.since_unix_ms) / every_ms;
        state.left = state.left.saturating_add(grown).min(max);
        state.since_unix_ms += grown * every_ms;
        let may = state.left > 0;
        state.left -= u64::from(may);
        may
    }

    async fn fetch(&self, anew: bool) {
        let found = self.places.keys(anew).await;
        let read = found.and_then(|(url, fetched)| {
            let keys = read(url, &fetched.body, &self.limits.key_rules())?;
            Ok((keys, fetched.max_age_s))
        });
        let refresh = self.model.outside.as_deref().map(|outside| outside.refresh);
        let refresh = refresh.expect("only issuers outside of the platform are fetched");
        let now_unix_ms = self.clock.unix_ms();
        let (org, name) = (&self.key.org, &self.key.name);
        match read {
            Ok((keys, max_age_s)) => {
                self.counts.fetched("ok");
                let fetched = FetchedKeys {
                    keys,
                    at_unix_ms: now_unix_ms,
                };
                self.kept.put(&self.key, &self.model, &fetched);
                let max_age_ms = max_age_s.unwrap_or(0).saturating_mul(1000);
                let good_ms = max_age_ms.max(refresh.every_ms).min(refresh.at_most_ms);
                let mut state = self.state();
                state.fetched = Some(fetched);
                state.due_unix_ms = now_unix_ms.saturating_add(good_ms);
                if state.fault.take().is_some() {
                    tracing::info!(%org, name, "the keys of a token issuer can be fetched again");
                }
            }
            Err(fault) => {
                self.counts.fetched(fault.reason());
                if let Some(limit) = fault.limit() {
                    self.counts.hit(limit);
                }
                if self.limits.retry_ms < refresh.every_ms {
                    self.counts.hit(Limit::Retry);
                }
                let mut state = self.state();
                let text = fault.to_string();
                if state.fault.as_ref() != Some(&text) {
                    tracing::warn!(%org, name, fault = text, "the keys of a token issuer cannot be fetched");
                }
                state.fault = Some(text);
                state.due_unix_ms =
                    now_unix_ms.saturating_add(refresh.every_ms.min(self.limits.retry_ms));
            }
        }
    }

    /// Keys are good until the issuer has not answered for too long.
    fn put_in_force(&self) {
        let keep_ms = self
            .model
            .outside
            .as_deref()
            .map(|outside| outside.refresh.keep_ms);
        let now_unix_ms = self.clock.unix_ms();
        let mut state = self.state();
        let old = |fetched: &FetchedKeys| {
            now_unix_ms.saturating_sub(fetched.at_unix_ms) > keep_ms.unwrap_or(0)
        };
        if state.fetched.as_ref().is_some_and(old) {
            let (org, name) = (&self.key.org, &self.key.name);
            tracing::error!(%org, name, "a token issuer was away for too long: its tokens are refused");
            state.fetched = None;
        }
        let keys = state.fetched.as_ref().map(|fetched| fetched.keys.clone());
        drop(state);
        self.directory
            .issuer_keys_put(&self.key, &self.model, keys.unwrap_or_default());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a set of keys. One without a key that can be used is no rotation but a mishap.
fn read(url: Url, body: &[u8], rules: &KeySetRules) -> Result<KeySet, Fault> {
    let fault = |cause: String| Fault::Keys {
        url: url.to_string(),
        cause,
    };
    let text = std::str::from_utf8(body).map_err(|_| fault("the keys are not UTF-8".to_owned()))?;
    let keys = match KeySet::from_json(text, rules) {
        Ok(keys) => keys,
        Err(KeyError::TooMany { found, keys_max }) => {
            return Err(Fault::TooManyKeys {
                url: url.into(),
                found,
                keys_max,
            });
        }
        Err(error) => return Err(fault(error.to_string())),
    };
    if keys.keys().is_empty() {
        let skipped = keys.skipped().first().map(ToString::to_string);
        let why = skipped.unwrap_or_else(|| "it is empty".to_owned());
        return Err(fault(format!("the set has no key that can be used: {why}")));
    }
    Ok(keys)
}
