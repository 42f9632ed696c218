//! The life of signing keys: published, then signing, then retiring, then withdrawn.
//!
//! Invariants: nobody meets a signature whose key it could not know (a key is published for a while, and every gateway
//! has acknowledged it, before it signs); a token is never refused because its key went (a key stays published until the
//! last token that it can have signed has expired). All but the wait is done in the store's turn, so that of several
//! processes one does it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{KeyState, SigningAlgorithm, SigningKeyRecord, Write};

use super::keys::{ALWAYS, By, KeyInfo, batch, create};
use super::{REVOCATION_MARGIN_S, Tokens, TokensError};
use crate::Acknowledged;

/// When signing keys change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationConfig {
    /// How long a key signs, in seconds; default 90 days.
    pub period_s: u64,
    /// How long a key is published before it signs, in seconds; default 24 hours: those who cache the JWK set have
    /// asked again by then. Half the period at most.
    pub ahead_s: u64,
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self {
            period_s: 90 * 24 * 60 * 60,
            ahead_s: 24 * 60 * 60,
        }
    }
}

impl RotationConfig {
    fn ahead_s(&self) -> u64 {
        self.ahead_s.min(self.period_s / 2)
    }
}

impl Tokens {
    /// The keys, newest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.0.ring.load().told.clone()
    }

    /// How often a look at what is due failed, for metrics.
    #[must_use]
    pub fn rotation_failures(&self) -> u64 {
        self.0.rotation_failures.load(Ordering::Relaxed)
    }

    /// Does what is due by now: publishes next keys, lets them sign, withdraws old ones. Returns whether anything
    /// changed.
    ///
    /// # Errors
    /// [`TokensError`]; with [`TokensError::NotAcknowledged`] a next key signs later.
    pub async fn rotate(
        &self,
        config: &RotationConfig,
        acknowledged: &dyn Acknowledged,
    ) -> Result<bool, TokensError> {
        // Not in the turn: others write meanwhile. What falls due later than this look signs after the next one.
        let now_ms = self.0.clock.unix_ms();
        let is_next = |record: &SigningKeyRecord| {
            record.state == KeyState::Next && is_due(record, now_ms, config.ahead_s())
        };
        let due = self.records().await?.iter().any(is_next);
        let known = if due {
            self.all_know(acknowledged).await.map(|()| true)
        } else {
            Ok(false)
        };
        let _turn = self.0.store.turn().await.map_err(TokensError::Store)?;
        let records = self.records().await?;
        let mut writes = Vec::new();
        for algorithm in SigningAlgorithm::ALL {
            let own: Vec<&SigningKeyRecord> = records
                .iter()
                .filter(|record| record.algorithm == algorithm)
                .collect();
            self.step(
                config,
                algorithm,
                &own,
                matches!(known, Ok(true)),
                &mut writes,
            )
            .await?;
        }
        let changed = !writes.is_empty();
        self.write_keys(writes, &By::system()).await?;
        known.map(|_| changed)
    }

    /// What is due of one algorithm's keys.
    async fn step(
        &self,
        config: &RotationConfig,
        algorithm: SigningAlgorithm,
        own: &[&SigningKeyRecord],
        known: bool,
        writes: &mut Vec<Write>,
    ) -> Result<(), TokensError> {
        let now_ms = self.0.clock.unix_ms();
        let next = own.iter().find(|record| record.state == KeyState::Next);
        let signing = own
            .iter()
            .filter(|record| record.state == KeyState::Signing);
        for record in own {
            if matches!(record.state, KeyState::Retiring { until_unix_s } if until_unix_s <= now_ms / 1000)
            {
                writes.push(Write::SigningKeyDelete(record.kid.clone()));
            }
        }
        let newest = signing.clone().max_by_key(|record| record.since_unix_ms);
        match (next, newest) {
            (Some(next), _) if known && is_due(next, now_ms, config.ahead_s()) => {
                writes.extend(signing.map(|old| self.retired(old)));
                writes.push(self.signs((*next).clone()));
            }
            (None, Some(newest)) if is_due(newest, now_ms, config.period_s - config.ahead_s()) => {
                writes.push(self.new_key(algorithm, KeyState::Next).await?);
            }
            (None, None) if ALWAYS.contains(&algorithm) => {
                writes.push(self.new_key(algorithm, KeyState::Next).await?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Publishes the next key of each algorithm that has none, whatever the age of the present one; it signs when its
    /// time ahead is over.
    ///
    /// # Errors
    /// [`TokensError`].
    pub async fn publish_next(&self, by: &By) -> Result<u64, TokensError> {
        let _turn = self.0.store.turn().await.map_err(TokensError::Store)?;
        let records = self.records().await?;
        let mut writes = Vec::new();
        for algorithm in present(&records) {
            let is_next = |record: &SigningKeyRecord| {
                record.algorithm == algorithm && record.state == KeyState::Next
            };
            if !records.iter().any(is_next) {
                writes.push(self.new_key(algorithm, KeyState::Next).await?);
            }
        }
        self.write_keys(writes, by).await
    }

    /// For the case that a private key got lost: all present keys are withdrawn in one step, and new ones sign. Every
    /// token that was signed until now is refused, log-ins to the control API included. Returns the revision that the
    /// gateways have to acknowledge.
    ///
    /// # Errors
    /// [`TokensError`].
    pub async fn roll_now(&self, by: &By) -> Result<u64, TokensError> {
        let _turn = self.0.store.turn().await.map_err(TokensError::Store)?;
        let records = self.records().await?;
        let mut writes: Vec<Write> = records
            .iter()
            .map(|record| Write::SigningKeyDelete(record.kid.clone()))
            .collect();
        for algorithm in present(&records) {
            writes.push(self.new_key(algorithm, KeyState::Signing).await?);
        }
        self.write_keys(writes, by).await
    }

    /// Makes sure that there is a key for an algorithm: where it is the first one, it is published, and signs when
    /// every gateway has it.
    ///
    /// # Errors
    /// [`TokensError`]; after [`TokensError::NotAcknowledged`] it signs later.
    pub async fn ensure_key(
        &self,
        algorithm: SigningAlgorithm,
        by: &By,
        acknowledged: &dyn Acknowledged,
    ) -> Result<(), TokensError> {
        if self.0.ring.load().signing(algorithm).is_ok() {
            return Ok(());
        }
        let turn = self.0.store.turn().await.map_err(TokensError::Store)?;
        let there = |record: &&SigningKeyRecord| record.algorithm == algorithm;
        if self.records().await?.iter().find(there).is_none() {
            let write = self.new_key(algorithm, KeyState::Next).await?;
            self.write_keys(vec![write], by).await?;
        }
        drop(turn);
        self.all_know(acknowledged).await?;
        let _turn = self.0.store.turn().await.map_err(TokensError::Store)?;
        let records = self.records().await?;
        let own = || records.iter().filter(there);
        let writes = match own().find(|record| record.state == KeyState::Next) {
            Some(next) if !own().any(|record| record.state == KeyState::Signing) => {
                vec![self.signs(next.clone())]
            }
            _ => Vec::new(),
        };
        self.write_keys(writes, by).await.map(drop)
    }

    /// Does [`Tokens::rotate`] again and again, until it is dropped. A failure is logged and counted, and the next turn
    /// tries again.
    pub async fn keep_rotating(
        &self,
        config: &RotationConfig,
        acknowledged: &dyn Acknowledged,
        look: Duration,
    ) {
        let mut turns = tokio::time::interval(look.max(Duration::from_millis(10)));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match self.rotate(config, acknowledged).await {
                Ok(true) => tracing::info!("signing keys were rotated"),
                Ok(false) => {}
                Err(error) => {
                    self.0.rotation_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "signing keys were not rotated"
                    );
                }
            }
        }
    }

    /// Returns when every gateway has what is stored now.
    async fn all_know(&self, acknowledged: &dyn Acknowledged) -> Result<(), TokensError> {
        let revision = self.0.store.revision().await.map_err(TokensError::Store)?;
        let known = acknowledged.acknowledged(revision).await;
        known.map_err(TokensError::NotAcknowledged)
    }

    async fn records(&self) -> Result<Vec<SigningKeyRecord>, TokensError> {
        let records = self.0.store.signing_key_list().await;
        records.map_err(TokensError::Store)
    }

    /// Writes, and goes on with what was written.
    pub(super) async fn write_keys(&self, writes: Vec<Write>, by: &By) -> Result<u64, TokensError> {
        let batch = batch(writes, by, self.0.clock.unix_ms());
        let revision = self
            .0
            .store
            .commit(batch)
            .await
            .map_err(TokensError::Store)?;
        self.reload().await?;
        Ok(revision)
    }

    /// Generating an RSA key takes a second: that is no work for a thread that answers.
    pub(super) async fn new_key(
        &self,
        algorithm: SigningAlgorithm,
        state: KeyState,
    ) -> Result<Write, TokensError> {
        let now_ms = self.0.clock.unix_ms();
        let key_file = self.0.key_file.clone();
        let made = move || create(&key_file, algorithm, state, now_ms);
        let made = tokio::task::spawn_blocking(made).await;
        let failed = |_| TokensError::Key(jose::KeyError::Signing { step: "generated" });
        made.map_err(failed)?.map(Write::SigningKeyPut)
    }

    fn signs(&self, mut next: SigningKeyRecord) -> Write {
        next.state = KeyState::Signing;
        next.since_unix_ms = self.0.clock.unix_ms();
        Write::SigningKeyPut(next)
    }

    /// A process that has not heard of it yet may sign with it a little longer: that is within the margin.
    fn retired(&self, old: &SigningKeyRecord) -> Write {
        let now_ms = self.0.clock.unix_ms();
        let last_s = now_ms / 1000 + self.0.config.lifetime_max_s + REVOCATION_MARGIN_S;
        Write::SigningKeyPut(SigningKeyRecord {
            state: KeyState::Retiring {
                until_unix_s: last_s,
            },
            since_unix_ms: now_ms,
            ..old.clone()
        })
    }
}

/// Whether it has been in its state for so long.
fn is_due(record: &SigningKeyRecord, now_ms: u64, after_s: u64) -> bool {
    now_ms.saturating_sub(record.since_unix_ms) >= after_s.saturating_mul(1000)
}

/// The algorithms that there are keys for, and those that there must be keys for.
fn present(records: &[SigningKeyRecord]) -> Vec<SigningAlgorithm> {
    let there = |algorithm: &SigningAlgorithm| {
        ALWAYS.contains(algorithm) || records.iter().any(|record| record.algorithm == *algorithm)
    };
    SigningAlgorithm::ALL.into_iter().filter(there).collect()
}
