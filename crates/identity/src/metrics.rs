//! Counters of the role, since the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the role has done since the start.
#[derive(Default, Debug)]
pub struct IdentityMetrics {
    /// Users who logged in.
    pub logins: Counter,
    /// Logins refused for a wrong name or password.
    pub logins_failed: Counter,
    /// Logins refused because too many were being checked.
    pub logins_busy: Counter,
    /// Logins and user codes refused because too many before were wrong.
    pub logins_delayed: Counter,
    /// Sessions that somebody ended.
    pub logouts: Counter,
    /// Logout tokens that clients took.
    pub logouts_told: Counter,
    /// Logout tokens that no attempt brought to their client.
    pub logouts_failed: Counter,
    /// Clients that have to be told of a logout still, in all processes.
    pub logouts_waiting: Gauge,
    /// Authorization requests refused, by a page or by an answer to the client.
    pub authorizations_refused: Counter,
    /// Authorization requests that were pushed.
    pub requests_pushed: Counter,
    /// Forms refused: over, of another browser, or another site's.
    pub forms_refused: Counter,
    /// Times that somebody allowed a client something.
    pub consents: Counter,
    /// Times that somebody did not.
    pub consents_denied: Counter,
    /// Authorization codes issued.
    pub codes_issued: Counter,
    /// Authorization codes that came a second time: their grants were revoked.
    pub codes_replayed: Counter,
    /// Refresh tokens taken.
    pub refreshes: Counter,
    /// Refresh tokens that came too late or too often: their grants were revoked.
    pub refreshes_replayed: Counter,
    /// Devices that began to wait.
    pub devices_begun: Counter,
    /// Questions of devices that came too early.
    pub devices_slowed: Counter,
    /// User codes typed that no device showed.
    pub user_codes_wrong: Counter,
    /// Clients that registered themselves.
    pub registrations: Counter,
    /// Registrations refused: by the token, or by what the client wanted.
    pub registrations_refused: Counter,
    /// Access tokens issued to clients.
    pub tokens_issued: Counter,
    /// Clients refused for a wrong id or secret.
    pub clients_refused: Counter,
    /// Tokens revoked, of clients and users.
    pub tokens_revoked: Counter,
    /// From the commit of a revocation until every node had it in force.
    pub revocations: Times,
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

/// A number that goes up and down.
#[derive(Default, Debug)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// How long something took, counted by bounds.
#[derive(Default, Debug)]
pub struct Times {
    counts: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
}

/// The upper bounds that times are counted by, in seconds.
const BOUNDS_S: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

impl Times {
    pub(crate) fn add(&self, took: Duration) {
        let bound = BOUNDS_S
            .iter()
            .position(|bound| took.as_secs_f64() <= *bound);
        self.counts[bound.unwrap_or(BOUNDS_S.len())].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many there were up to each bound in seconds, not counting those of smaller bounds; the last bound is infinite.
    #[must_use]
    pub fn counts(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_S.into_iter().chain([f64::MAX]);
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        bounds.zip(counts).collect()
    }

    /// All of them together, in seconds.
    #[must_use]
    pub fn sum_s(&self) -> f64 {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64()
    }
}
