//! Counters of the role, since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the role has done since the start.
#[derive(Default, Debug)]
pub struct IdentityMetrics {
    /// Users who logged in.
    pub logins: Counter,
    /// Logins refused for a wrong name or password.
    pub logins_failed: Counter,
    /// Logins refused because too many were being checked.
    pub logins_busy: Counter,
    /// Access tokens issued to clients.
    pub tokens_issued: Counter,
    /// Clients refused for a wrong id or secret.
    pub clients_refused: Counter,
    /// Tokens revoked, of clients and users.
    pub tokens_revoked: Counter,
}

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
