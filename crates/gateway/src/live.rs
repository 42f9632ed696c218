//! Calls that may stay open for long: tunnels, and answers that stream.
//!
//! Each has a place in the registry of its worker, with who called, so that it can be ended from outside: when its
//! credential is revoked, when nothing came for too long, when the node drains. [`Closer`] is how other threads say so;
//! a call that is meant is woken at once and ends at its next step.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use policy::Caller;
use tokio::sync::mpsc;

use crate::worker::Worker;

/// Why the gateway ends a call that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// What let it in is not good any more.
    Revoked,
    /// Nothing came from either side for too long; tunnels only.
    Idle,
    /// The node drains, and the time that tunnels have for it is over.
    Drain,
}

/// Ends open calls on all workers of a gateway.
#[derive(Clone)]
pub struct Closer(Arc<[mpsc::UnboundedSender<Closing>]>);

/// Which calls are to end, and why.
pub(crate) struct Closing {
    reason: Reason,
    is_meant: Arc<dyn Fn(&Caller) -> bool + Send + Sync>,
}

/// One worker's end of a [`Closer`].
pub(crate) type Closings = mpsc::UnboundedReceiver<Closing>;

/// A closer, and the workers' ends of it.
pub(crate) fn closer(workers: usize) -> (Closer, Vec<Closings>) {
    let (senders, closings): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    (Closer(senders.into()), closings)
}

impl Closer {
    /// Ends every open tunnel and streaming answer whose caller is meant. Calls without a known caller are never
    /// asked about. Returns at once; each worker follows when it next runs.
    pub fn close_where(
        &self,
        reason: Reason,
        is_meant: impl Fn(&Caller) -> bool + Send + Sync + 'static,
    ) {
        let is_meant: Arc<dyn Fn(&Caller) -> bool + Send + Sync> = Arc::new(is_meant);
        for worker in &*self.0 {
            let is_meant = Arc::clone(&is_meant);
            // A worker that has ended holds no calls.
            let _ = worker.send(Closing { reason, is_meant });
        }
    }
}

/// The open calls of one worker.
#[derive(Default)]
pub(crate) struct Live {
    slots: RefCell<Slots>,
    /// When tunnels are closed; set while the node drains.
    drain_at_ms: Cell<Option<u64>>,
}

#[derive(Default)]
struct Slots {
    calls: Vec<Option<Rc<Call>>>,
    free: Vec<usize>,
}

struct Call {
    caller: Option<Caller>,
    /// How long nothing may come; `None` for an answer, which has no such limit and drains as all calls do.
    idle_max_ms: Cell<Option<u64>>,
    moved_ms: Cell<u64>,
    closing: Cell<Option<Reason>>,
    waker: RefCell<Option<Waker>>,
}

impl Call {
    fn close(&self, reason: Reason) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

/// An open call's place in the registry; dropping it takes the call out.
pub(crate) struct Place {
    worker: Rc<Worker>,
    slot: usize,
    call: Rc<Call>,
}

impl Live {
    fn each(&self, look: impl Fn(&Call)) {
        for call in self.slots.borrow().calls.iter().flatten() {
            look(call);
        }
    }

    /// Ends the calls that are meant.
    fn close(&self, closing: &Closing) {
        self.each(|call| {
            if call
                .caller
                .as_ref()
                .is_some_and(|who| (closing.is_meant)(who))
            {
                call.close(closing.reason);
            }
        });
    }

    /// Tunnels may go on until then.
    pub(crate) fn drain_at(&self, at_ms: u64) {
        if self.drain_at_ms.get().is_none() {
            self.drain_at_ms.set(Some(at_ms));
        }
    }

    /// Ends the tunnels that were idle for too long, or are to drain.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let drains = self.drain_at_ms.get().is_some_and(|at_ms| at_ms <= now_ms);
        self.each(|call| {
            let Some(max_ms) = call.idle_max_ms.get() else {
                return;
            };
            if drains {
                call.close(Reason::Drain);
            } else if now_ms.saturating_sub(call.moved_ms.get()) > max_ms {
                call.close(Reason::Idle);
            }
        });
    }

    /// Follows what a [`Closer`] says, for ever.
    pub(crate) async fn follow(worker: Rc<Worker>, mut closings: Closings) {
        while let Some(closing) = closings.recv().await {
            worker.live.close(&closing);
        }
    }
}

impl Place {
    /// Enters a call. `idle_max_ms` is how long nothing may come, for a tunnel.
    pub(crate) fn enter(
        worker: &Rc<Worker>,
        caller: Option<Caller>,
        idle_max_ms: Option<u64>,
    ) -> Self {
        let call = Rc::new(Call {
            caller,
            idle_max_ms: Cell::new(idle_max_ms),
            moved_ms: Cell::new(worker.now_ms.get()),
            closing: Cell::new(None),
            waker: RefCell::new(None),
        });
        let mut slots = worker.live.slots.borrow_mut();
        let entry = Some(Rc::clone(&call));
        let slot = match slots.free.pop() {
            Some(slot) => {
                slots.calls[slot] = entry;
                slot
            }
            None => {
                slots.calls.push(entry);
                slots.calls.len() - 1
            }
        };
        drop(slots);
        Self {
            worker: Rc::clone(worker),
            slot,
            call,
        }
    }

    /// Why the call is to end, if it is; else its task is woken when that changes.
    pub(crate) fn closing(&self, cx: &Context<'_>) -> Option<Reason> {
        let closing = self.call.closing.get();
        if closing.is_none() {
            let mut waker = self.call.waker.borrow_mut();
            match &mut *waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        closing
    }

    /// From now on nothing may come for so long only.
    pub(crate) fn hurry(&self, idle_max_ms: u64) {
        let max_ms = self.call.idle_max_ms.get().unwrap_or(u64::MAX);
        self.call.idle_max_ms.set(Some(max_ms.min(idle_max_ms)));
    }

    /// Something came.
    pub(crate) fn moved(&self) {
        self.call.moved_ms.set(self.worker.now_ms.get());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.worker.live.slots.borrow_mut();
        slots.calls[self.slot] = None;
        slots.free.push(self.slot);
    }
}
