//! Time as a parameter: tests turn the hands themselves and never sleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where all code that decides by time reads it.
pub trait Clock: Send + Sync {
    /// Milliseconds since an arbitrary start; never goes back. For windows, timeouts and latencies.
    fn monotonic_ms(&self) -> u64;
    /// What [`Self::monotonic_ms`] was at a moment that was just read: reading it again costs a call of the system. A clock
    /// that does not go by moments gives the time that it shows.
    fn monotonic_ms_at(&self, moment: Instant) -> u64 {
        let _ = moment;
        self.monotonic_ms()
    }
    /// Milliseconds since 1970-01-01 UTC; may jump. For token times and what people read.
    fn unix_ms(&self) -> u64;
    /// Seconds since 1970-01-01 UTC, as JWTs count.
    fn unix_s(&self) -> u64 {
        self.unix_ms() / 1000
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms_at(Instant::now())
    }

    fn monotonic_ms_at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.start);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| {
                u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
            })
    }
}

/// A clock that a test moves by hand; both hands move together.
#[derive(Debug)]
pub struct ManualClock {
    monotonic_ms: AtomicU64,
    unix_start_ms: u64,
}

impl ManualClock {
    /// A clock that stands at `unix_ms`, its monotonic hand at zero.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Self {
            monotonic_ms: AtomicU64::new(0),
            unix_start_ms: unix_ms,
        }
    }

    /// Moves both hands on.
    pub fn advance_ms(&self, ms: u64) {
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        self.unix_start_ms + self.monotonic_ms()
    }
}
