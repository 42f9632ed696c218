//! How long an answer's body may pause.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::metrics::Limit;
use crate::timers::Armed;
use crate::worker::Worker;

/// Watches a body that is on its way.
pub(crate) struct Stall {
    worker: Rc<Worker>,
    idle_ms: u64,
    /// By the monotonic clock, while the backend is waited for.
    deadline_ms: u64,
    armed: Option<Armed>,
}

impl Stall {
    pub(crate) fn new(worker: &Rc<Worker>, idle_ms: u64) -> Self {
        Self {
            worker: Rc::clone(worker),
            idle_ms,
            deadline_ms: 0,
            armed: None,
        }
    }

    /// Looks at what the body said; whether it has paused for too long. The time that the client does not ask for more
    /// does not count.
    pub(crate) fn is_over<T>(&mut self, polled: &Poll<T>, cx: &mut Context<'_>) -> bool {
        if polled.is_ready() {
            self.armed = None;
            return false;
        }
        let now_ms = self.worker.clock.monotonic_ms();
        let Some(armed) = &self.armed else {
            self.deadline_ms = now_ms + self.idle_ms;
            let waker = cx.waker().clone();
            self.armed = Some(self.worker.timers.arm(self.deadline_ms, waker));
            return false;
        };
        armed.update(cx.waker());
        let over = now_ms >= self.deadline_ms;
        if over {
            self.worker.numbers().limit(Limit::BackendBodyIdle);
        }
        over
    }
}
