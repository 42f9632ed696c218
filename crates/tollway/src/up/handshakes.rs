//! TLS handshakes of the authorization server's listener: so many are under way at a time, and connections beyond them are
//! closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// At a time, unless configured.
pub(super) const HANDSHAKES_MAX: usize = 256;

/// Those that are under way.
#[derive(Clone, Debug)]
pub(super) struct Handshakes(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    max: usize,
    places: Arc<Semaphore>,
    refused: AtomicU64,
}

impl Handshakes {
    /// At most so many, and at least one.
    pub(super) fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Counted {
            max,
            places: Arc::new(Semaphore::new(max)),
            refused: AtomicU64::new(0),
        }))
    }

    /// A place for one, until it is dropped; `None` where there is none.
    pub(super) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok();
        if place.is_none() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.0.max.saturating_sub(self.0.places.available_permits())
    }

    /// How many may be.
    pub(super) fn max(&self) -> usize {
        self.0.max
    }

    /// How many found no place.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}
