//! How long an answer's body may pause.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use sync::calls::CallRules;

use crate::metrics::Limit;
use crate::timers::Armed;
use crate::worker::Worker;

/// How long an answer's body may pause; `None` = for ever. A document goes before the node's default, which does not hold
/// for answers that say nothing for as long as there is nothing to say.
pub(super) fn pause_max_ms(worker: &Worker, calls: &CallRules, head: &HeaderMap) -> Option<u64> {
    let usual = || match pauses_by_nature(head) {
        true => 0,
        false => worker.config.upstream.body_idle_ms,
    };
    Some(calls.body_idle_ms.unwrap_or_else(usual)).filter(|idle_ms| *idle_ms != 0)
}

/// Whether it is a stream of events (HTML §9.2) or of gRPC.
fn pauses_by_nature(head: &HeaderMap) -> bool {
    const THOSE: [&[u8]; 2] = [b"text/event-stream", b"application/grpc"];
    let Some(kind) = head.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else {
        return false;
    };
    THOSE.iter().any(|name| {
        kind.get(..name.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(name))
    })
}

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
