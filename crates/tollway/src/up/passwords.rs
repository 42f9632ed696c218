//! Checks the passwords of the gateway's callers: with argon2id on threads of their own, a few at a time, and slower for who
//! guesses, as at the login.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Clock;
use credentials::{PasswordError, PasswordLimits, Passwords};
use limits::Guesses;
use limits::guesses::Target;
use policy::{Asking, Guessed, NotAnswered, PasswordGuess};

use super::{Options, UpError, people};

/// What is asked of argon2id.
pub(super) struct CheckedApart {
    passwords: Passwords,
    guesses: Arc<Guesses>,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
}

/// What became of passwords.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Held against a hash.
    pub(super) checked: AtomicU64,
    /// Refused because too many were being checked.
    pub(super) busy: AtomicU64,
    /// Refused because of wrong ones before.
    pub(super) guessing: AtomicU64,
}

impl CheckedApart {
    /// With the limits of the options; wrong passwords are counted by those of the login.
    ///
    /// # Errors
    /// [`UpError`] of those options.
    pub(super) fn new(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, UpError> {
        let defaults = PasswordLimits::default();
        let limits = PasswordLimits {
            parallel: options
                .gateway_passwords_parallel
                .unwrap_or(defaults.parallel),
            waiting: options
                .gateway_passwords_waiting
                .unwrap_or(defaults.waiting),
        };
        Ok(Self {
            passwords: Passwords::new(limits),
            guesses: Arc::new(Guesses::new(people::config(options)?.guesses)),
            clock,
            counts: Arc::default(),
        })
    }

    /// What was checked, for metrics.
    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl policy::Passwords for CheckedApart {
    fn check(&self, guess: PasswordGuess) -> Asking<Guessed> {
        let (guesses, counts) = (Arc::clone(&self.guesses), Arc::clone(&self.counts));
        let (passwords, now_ms) = (self.passwords.clone(), self.clock.monotonic_ms());
        Box::pin(async move {
            let target = Target::Account {
                org: &guess.list,
                name: &guess.name,
            };
            let attempt = match guesses.attempt(target, Some(guess.address), now_ms) {
                Ok(attempt) => attempt,
                Err(seconds) => {
                    counts.guessing.fetch_add(1, Ordering::Relaxed);
                    return Ok(Guessed::Wait(seconds));
                }
            };
            counts.checked.fetch_add(1, Ordering::Relaxed);
            let stored = guess.stored.as_deref().map(str::to_owned);
            match passwords.verify(guess.password, stored).await {
                Ok(true) => {
                    guesses.succeeded(&attempt);
                    Ok(Guessed::Right)
                }
                Ok(false) => Ok(Guessed::Wrong),
                Err(error) => {
                    guesses.withdrawn(&attempt);
                    counts.busy.fetch_add(1, Ordering::Relaxed);
                    Err(match error {
                        PasswordError::Busy => NotAnswered::TooMany,
                        PasswordError::Hash | PasswordError::Stored => NotAnswered::Unavailable,
                    })
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
