//! Deadlines of one worker, to the nearest tick.
//!
//! A request that waits for its backend arms a deadline and nearly always disarms it before it is reached. So arming
//! is one push and disarming one removal from a list; a task of the worker looks through the list every
//! [`TICK_MS`], and sleeps while it is empty. The library's own timers cost several times that for each request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use base::Clock;
use tokio::sync::Notify;

/// A deadline fires at most this much late, in milliseconds.
pub(crate) const TICK_MS: u64 = 20;

/// The deadlines that are armed.
#[derive(Default)]
pub(crate) struct Timers {
    entries: RefCell<Entries>,
    parked: Cell<bool>,
    armed_first: Notify,
}

#[derive(Default)]
struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
}

struct Entry {
    deadline_ms: u64,
    waker: Waker,
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

/// An armed deadline; dropping it disarms it.
pub(crate) struct Armed {
    timers: Rc<Timers>,
    slot: usize,
}

impl Timers {
    /// Wakes `waker` when the clock has reached `deadline_ms`. Whoever is woken compares the time itself.
    pub(crate) fn arm(self: &Rc<Self>, deadline_ms: u64, waker: Waker) -> Armed {
        let entry = Some(Entry { deadline_ms, waker });
        let mut entries = self.entries.borrow_mut();
        let slot = match entries.free.pop() {
            Some(slot) => {
                entries.slots[slot] = entry;
                slot
            }
            None => {
                entries.slots.push(entry);
                entries.slots.len() - 1
            }
        };
        drop(entries);
        if self.parked.take() {
            self.armed_first.notify_one();
        }
        Armed {
            timers: Rc::clone(self),
            slot,
        }
    }

    /// Wakes what is due.
    fn fire(&self, now_ms: u64) {
        for entry in self.entries.borrow().slots.iter().flatten() {
            if entry.deadline_ms <= now_ms {
                entry.waker.wake_by_ref();
            }
        }
    }

    /// Looks for due deadlines for ever.
    pub(crate) async fn run(self: Rc<Self>, clock: std::sync::Arc<dyn Clock>) {
        loop {
            if self.entries.borrow().is_empty() {
                self.parked.set(true);
                self.armed_first.notified().await;
            }
            tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
            self.fire(clock.monotonic_ms());
        }
    }
}

impl Armed {
    /// The task that waits is another one now.
    pub(crate) fn update(&self, waker: &Waker) {
        if let Some(entry) = &mut self.timers.entries.borrow_mut().slots[self.slot] {
            entry.waker.clone_from(waker);
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let mut entries = self.timers.entries.borrow_mut();
        entries.slots[self.slot] = None;
        entries.free.push(self.slot);
    }
}

/// Runs a future until a deadline of the worker's clock; `None` when the deadline came first.
///
/// Takes a pinned future, because one that is handed on by value is copied, with all room for what it may become.
pub(crate) async fn until<F: Future + Unpin>(
    timers: &Rc<Timers>,
    clock: &dyn Clock,
    deadline_ms: u64,
    mut future: F,
) -> Option<F::Output> {
    let mut armed: Option<Armed> = None;
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(cx) {
            return std::task::Poll::Ready(Some(output));
        }
        match &armed {
            Some(armed) => {
                armed.update(cx.waker());
                if clock.monotonic_ms() >= deadline_ms {
                    return std::task::Poll::Ready(None);
                }
            }
            None => armed = Some(timers.arm(deadline_ms, cx.waker().clone())),
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn fires_what_is_due_and_forgets_what_is_disarmed() {
        let timers = Rc::new(Timers::default());
        let (early, late, gone) = (
            Arc::new(Count::default()),
            Arc::new(Count::default()),
            Arc::new(Count::default()),
        );
        let _early = timers.arm(10, early.clone().into());
        let _late = timers.arm(20, late.clone().into());
        drop(timers.arm(5, gone.clone().into()));
        timers.fire(10);
        let counts = [&early, &late, &gone].map(|count| count.0.load(Ordering::SeqCst));
        assert_eq!(counts, [1, 0, 0]);
    }

    #[test]
    fn slots_are_used_again() {
        let timers = Rc::new(Timers::default());
        for _ in 0..100 {
            drop(timers.arm(1, Waker::noop().clone()));
        }
        assert_eq!(timers.entries.borrow().slots.len(), 1);
        assert!(timers.entries.borrow().is_empty());
    }
}
