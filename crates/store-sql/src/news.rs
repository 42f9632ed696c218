//! The newest revision that this process has heard of.

use tokio::sync::watch;

pub(crate) struct News(watch::Sender<u64>);

impl News {
    pub(crate) fn new(revision: u64) -> Self {
        Self(watch::Sender::new(revision))
    }

    pub(crate) fn heard(&self) -> u64 {
        *self.0.borrow()
    }

    /// There is this revision.
    pub(crate) fn tell(&self, revision: u64) {
        self.0.send_if_modified(|newest| {
            let is_news = revision > *newest;
            *newest = revision.max(*newest);
            is_news
        });
    }

    /// The counter stood at `revision`, and it was looked at when `heard` had been heard before. Less than that means
    /// that the database was replaced by an older copy: what was heard is void.
    pub(crate) fn looked(&self, heard: u64, revision: u64) {
        if revision < heard {
            self.0.send_replace(revision);
        } else {
            self.tell(revision);
        }
    }

    /// Waits for a revision after `since`.
    pub(crate) async fn newer(&self, since: u64) {
        let mut receiver = self.0.subscribe();
        // The sender is `self`: it cannot be gone.
        let _ = receiver.wait_for(|newest| *newest > since).await;
    }
}
