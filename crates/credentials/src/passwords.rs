//! Passwords: argon2id, never more than a few at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many passwords are worked on. One hash takes 19 MiB and some 20 ms of one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordLimits {
    /// At the same time; default 2.
    pub parallel: usize,
    /// Waiting for their turn; more are refused with [`PasswordError::Busy`]. Default 32.
    pub waiting: usize,
}

impl Default for PasswordLimits {
    fn default() -> Self {
        Self {
            parallel: 2,
            waiting: 32,
        }
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting: `TOO_MANY_REQUESTS`.
    #[error("too many passwords are being checked at the moment")]
    Busy,
    /// The hash function failed: out of memory, or no randomness.
    #[error("the password could not be hashed")]
    Hash,
    /// What is stored is no argon2id hash.
    #[error("the stored password hash cannot be read")]
    Stored,
}

/// Hashes and checks passwords with argon2id, off the async threads. Cheap to clone.
///
/// Parameters: m = 19 MiB, t = 2, p = 1, 16 random bytes of salt.
///
/// Source: RFC 9106; parameters of the OWASP Password Storage Cheat Sheet.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Everybody inside: being worked on or waiting.
    inside: Arc<Semaphore>,
    /// Those being worked on.
    working: Arc<Semaphore>,
    hash_calls: Arc<AtomicU64>,
}

impl Passwords {
    /// With these limits; at least one is always worked on.
    #[must_use]
    pub fn new(limits: PasswordLimits) -> Self {
        let parallel = limits.parallel.clamp(1, 1024);
        Self {
            inside: Arc::new(Semaphore::new(parallel + limits.waiting.min(1 << 20))),
            working: Arc::new(Semaphore::new(parallel)),
            hash_calls: Arc::default(),
        }
    }

    /// The PHC string to store for a password.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::Hash`].
    pub async fn hash(&self, password: Secret<String>) -> Result<String, PasswordError> {
        self.work(move |calls| {
            argon2id(calls)
                .hash_password(password.expose().as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|_| PasswordError::Hash)
        })
        .await
    }

    /// Whether a password belongs to a stored PHC string. For a user who does not exist (`None`) it does the same work
    /// and answers no: time does not tell who exists.
    ///
    /// # Errors
    /// [`PasswordError::Busy`]; [`PasswordError::Stored`] when the string cannot be read.
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        self.work(move |calls| {
            let password = password.expose().as_bytes();
            let Some(stored) = stored else {
                let _: PasswordHash = argon2id(calls)
                    .hash_password_with_salt(password, &[0; 16])
                    .map_err(|_| PasswordError::Hash)?;
                return Ok(false);
            };
            let stored = PasswordHash::new(&stored).map_err(|_| PasswordError::Stored)?;
            match argon2id(calls).verify_password(password, &stored) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(_) => Err(PasswordError::Stored),
            }
        })
        .await
    }

    /// How often argon2id has run since the start.
    #[must_use]
    pub fn hash_calls(&self) -> u64 {
        self.hash_calls.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&AtomicU64) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let inside = Arc::clone(&self.inside)
            .try_acquire_owned()
            .map_err(|_| PasswordError::Busy)?;
        let working = Arc::clone(&self.working)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Busy)?;
        let hash_calls = Arc::clone(&self.hash_calls);
        // The job owns the permits: a caller who goes away does not make room while the job still runs.
        tokio::task::spawn_blocking(move || {
            let _permits: [OwnedSemaphorePermit; 2] = [inside, working];
            job(&hash_calls)
        })
        .await
        .map_err(|_| PasswordError::Hash)?
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new(PasswordLimits::default())
    }
}

/// For one hash, which is counted.
fn argon2id(calls: &AtomicU64) -> Argon2<'static> {
    calls.fetch_add(1, Ordering::Relaxed);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// The shortest password that is accepted, in characters.
pub const CHARS_MIN: usize = 8;
/// The longest password that is accepted, in bytes.
pub const BYTES_MAX: usize = 1024;

/// Why a new password is refused. Never repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WeakPassword {
    /// Shorter than [`CHARS_MIN`].
    #[error("the password has fewer than {CHARS_MIN} characters")]
    Short,
    /// Longer than [`BYTES_MAX`].
    #[error("the password is longer than {BYTES_MAX} bytes")]
    Long,
    /// A default of some product, or what everybody tries first.
    #[error("the password is one of those that everybody tries first; choose another one")]
    Known,
    /// The user's name, or one character again and again.
    #[error("the password is the user's name or a repetition; choose another one")]
    Trivial,
}

/// Defaults of products and the first that are tried; compared without case, digits and signs at the end.
const KNOWN: &[&str] = &[
    "admin",
    "administrator",
    "adminadmin",
    "changeit",
    "changeme",
    "default",
    "iloveyou",
    "letmein",
    "p@ssw0rd",
    "passw0rd",
    "password",
    "qwerty",
    "qwertyuiop",
    "root",
    "secret",
    "test",
    "tollway",
    "tollwayadmin",
    "welcome",
    "wso2carbon",
    "wso2",
];

/// Whether a password may be set for the user of this name.
///
/// # Errors
/// [`WeakPassword`].
pub fn check_strength(password: &str, user: &str) -> Result<(), WeakPassword> {
    if password.len() > BYTES_MAX {
        return Err(WeakPassword::Long);
    }
    let lower = password.to_lowercase();
    let stem = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    if KNOWN.contains(&lower.as_str()) || KNOWN.contains(&stem) {
        return Err(WeakPassword::Known);
    }
    if password.chars().count() < CHARS_MIN {
        return Err(WeakPassword::Short);
    }
    // A row like 12345678 or abcdefgh.
    let first = lower.chars().next();
    let steps = lower.bytes().zip(lower.bytes().skip(1));
    let counts_up = steps
        .clone()
        .all(|(a, b)| b == a.wrapping_add(1) || (a, b) == (b'9', b'0'));
    if lower == user.to_lowercase() || lower.chars().all(|c| Some(c) == first) || counts_up {
        return Err(WeakPassword::Trivial);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
