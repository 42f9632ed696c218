//! What is left of the body of an HTTP/1.1 request that is answered before its end (RFC 9112 §9.6).
//!
//! Nothing behind a body can be read before the body has come, so an answer that begins earlier settles what becomes of
//! its connection: either the rest is little, and is read and dropped like any other bytes that a client owes; or the
//! answer says `Connection: close`, and [`super::http1`] lingers when it has gone out. The library knows neither: it
//! would close without a word as soon as somebody lets go of a body. So nobody does who has not read it to its end:
//! [`Inflow`] gives it back to its connection.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Connection, Order};
use crate::guard;
use crate::worker::Worker;

/// How the body of the latest request on a connection fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// It has none, or all of it was read.
    #[default]
    Read,
    /// No answer has begun.
    Comes {
        /// The client waits for `100 Continue`, has sent nothing, and may never do so.
        expects: bool,
    },
    /// It was answered. What nobody reads is dropped, and the connection stays.
    Stays,
    /// It was answered, and the connection ends with the answer.
    Ends,
}

/// What a connection knows of the body of its latest request. HTTP/1.1 only.
#[derive(Default)]
pub(super) struct Unread {
    stage: Cell<Stage>,
    /// Which request that is of: somebody may still hold the body of the one before.
    number: Cell<u32>,
    /// What nobody reads any more.
    rest: RefCell<Option<Box<Incoming>>>,
}

impl Unread {
    /// Whether nothing is to come that anybody has to decide on.
    pub(super) fn is_read(&self) -> bool {
        self.stage.get() == Stage::Read
    }

    /// Whether the request was answered, what is left of its body is dropped, and the connection stays.
    pub(super) fn stays(&self) -> bool {
        self.stage.get() == Stage::Stays
    }

    /// Another request begins.
    fn begins(&self, stage: Stage) {
        self.number.set(self.number.get().wrapping_add(1));
        self.stage.set(stage);
        self.rest.take();
    }

    /// An answer begins. `ends`: it is the last one. `to_come`: what the client has not sent yet, if that is known;
    /// up to `bytes_max` of it is waited for. Whether the answer has to say that it is the last one.
    pub(super) fn answered(&self, ends: bool, to_come: Option<u64>, bytes_max: u64) -> bool {
        let Stage::Comes { expects } = self.stage.get() else {
            return ends;
        };
        // Who waits for `100 Continue` may go on with the body or with another request: nobody could tell which.
        let waited_for = if expects { 0 } else { bytes_max };
        let stays = !ends && to_come.is_some_and(|bytes| bytes <= waited_for);
        self.stage
            .set(if stays { Stage::Stays } else { Stage::Ends });
        if !stays {
            self.rest.take();
        }
        !stays
    }

    /// Drops what the library has of the rest. It may not say that this was all before it has the next head.
    pub(super) fn drop_rest(&self, cx: &mut Context<'_>) {
        let mut rest = self.rest.borrow_mut();
        let Some(incoming) = &mut *rest else {
            return;
        };
        while !incoming.is_end_stream() {
            match Pin::new(&mut **incoming).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None | Some(Err(_))) => break,
            }
        }
        *rest = None;
        self.stage.set(Stage::Read);
    }
}

/// A client's body as it comes. What nobody has read of it when it is dropped is its connection's.
pub(crate) struct Inflow {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    /// Over HTTP/1.1, as long as there is more: whose it is, and of which request.
    of: Option<(Rc<Connection>, u32)>,
}

impl Inflow {
    /// The body of a request that begins.
    pub(crate) fn new(
        connection: &Rc<Connection>,
        headers: &HeaderMap,
        incoming: Incoming,
    ) -> Self {
        let unread = &connection.unread;
        let mut of = None;
        if !incoming.is_end_stream() && !connection.is_h2() {
            let expects = headers.contains_key(EXPECT);
            unread.begins(Stage::Comes { expects });
            of = Some((Rc::clone(connection), unread.number.get()));
        } else if !unread.is_read() {
            unread.begins(Stage::Read);
        }
        Self {
            incoming: Some(incoming),
            of,
        }
    }

    fn incoming(&self) -> &Incoming {
        self.incoming.as_ref().expect("there until it is dropped")
    }

    /// The connection, while the request is its latest.
    fn connection(&self) -> Option<&Rc<Connection>> {
        let (connection, number) = self.of.as_ref()?;
        (connection.unread.number.get() == *number).then_some(connection)
    }
}

impl Body for Inflow {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let incoming = this.incoming.as_mut().expect("there until it is dropped");
        let polled = Pin::new(incoming).poll_frame(cx);
        if this.of.is_some() {
            let is_over = matches!(&polled, Poll::Ready(None | Some(Err(_))));
            let is_over = is_over || this.is_end_stream();
            if let Some(connection) = this.connection() {
                let stage = &connection.unread.stage;
                if is_over {
                    stage.set(Stage::Read);
                    connection.rest_came();
                } else if polled.is_ready() && stage.get() == (Stage::Comes { expects: true }) {
                    stage.set(Stage::Comes { expects: false });
                }
            }
            if is_over {
                this.of = None;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming().size_hint()
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        if let Some(connection) = self.connection() {
            let connection = Rc::clone(connection);
            let unread = &connection.unread;
            if unread.stage.get() != Stage::Ends {
                *unread.rest.borrow_mut() = self.incoming.take().map(Box::new);
            }
            if unread.stays() {
                connection.wake();
            }
        }
    }
}

impl Connection {
    /// An answer begins. `closes`: it says already that it is the last one. Whether it has to say so; over HTTP/1.1.
    pub(crate) fn answer_begins(&self, closes: impl FnOnce() -> bool, worker: &Worker) -> bool {
        let Some(guard) = self.guard.get() else {
            return false;
        };
        let ends = self.order.get() == Order::Drain;
        if self.unread.is_read() {
            return ends;
        }
        let bytes_max = worker.config.limits.head_bytes_max as u64;
        self.unread
            .answered(ends || closes(), guard.to_come(), bytes_max)
    }

    /// Whether the client may still be sending what nobody reads: the rest of a body, or what is no HTTP.
    pub(super) fn has_unread(&self) -> bool {
        !self.is_between() || self.violation().is_some()
    }

    /// From now on nothing but its end is waited for.
    pub(super) fn lingers(&self) {
        self.head_since_ms.set(None);
    }

    /// Whether the client has to send more of a request that was answered.
    pub(super) fn owes_rest(&self) -> bool {
        self.unread.stays() && !self.is_between()
    }

    /// Whether every message that has begun has passed as a whole.
    pub(super) fn is_between(&self) -> bool {
        self.guard.get().is_some_and(guard::Handle::is_between)
    }

    /// Of a body that was answered more has come.
    pub(super) fn rest_came(&self) {
        if self.active.get() == 0 && self.is_between() {
            self.head_since_ms.set(None);
        }
    }
}
