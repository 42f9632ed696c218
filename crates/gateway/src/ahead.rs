//! The beginning of a client's body, for policies that look at it before the backend gets it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use policy::services::{BodyAhead, PeekFault, Peeked};
use policy::{Chain, LocalFuture, RequestCx};

use crate::body::{BodyError, BodyState, RequestBody};
use crate::connection::Inflow;
use crate::upstream::Replay;
use crate::worker::Worker;

/// A body of which some may have been taken. Its bytes are counted, and its pace is watched, as they come.
pub(crate) struct Taken(Rc<RefCell<Inner>>);

struct Inner {
    body: RequestBody,
    state: Option<Rc<BodyState>>,
    taken: Vec<Bytes>,
    /// How long all of it is, where that is known.
    length: Option<u64>,
    ended: bool,
}

impl Taken {
    pub(crate) fn new(body: RequestBody, state: Option<Rc<BodyState>>) -> Self {
        let length = body.size_hint().exact();
        let ended = body.is_end_stream();
        Self(Rc::new(RefCell::new(Inner {
            body,
            state,
            taken: Vec::new(),
            length,
            ended,
        })))
    }

    /// For a slot.
    pub(crate) fn ahead(&self) -> policy::Ahead {
        policy::Ahead(Rc::new(Self(Rc::clone(&self.0))))
    }

    /// Whether it is known to be longer than this.
    fn exceeds(&self, bytes_max: u64) -> bool {
        let inner = self.0.borrow();
        let taken: usize = inner.taken.iter().map(Bytes::len).sum();
        taken as u64 > bytes_max || inner.length.is_some_and(|length| length > bytes_max)
    }

    /// The body from its beginning, as the backend gets it; nobody looks at it any more.
    fn into_body(self, bytes_max: u64) -> (RequestBody, Option<Rc<BodyState>>) {
        let mut inner = self.0.borrow_mut();
        let mut body = std::mem::replace(&mut inner.body, RequestBody::Empty);
        let taken = std::mem::take(&mut inner.taken);
        let taken_bytes: usize = taken.iter().map(Bytes::len).sum();
        body.limit(bytes_max.saturating_sub(taken_bytes as u64));
        if !taken.is_empty() {
            let replay = Replay::after(taken, body, inner.length);
            body = RequestBody::Kept(Box::new(replay));
        }
        (body, inner.state.take())
    }
}

/// A client's body before the backend gets it.
pub(crate) enum Arriving {
    /// As it comes.
    Untouched(Inflow),
    /// A policy may have looked at it.
    Taken(Taken),
}

impl Arriving {
    /// Puts it into a slot where a policy of the chain looks at it.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        chain: &Chain,
        cx: &mut RequestCx,
        incoming: Inflow,
    ) -> Self {
        if !chain.looks_ahead() || incoming.is_end_stream() {
            return Self::Untouched(incoming);
        }
        let bytes_max = worker.config.limits.body_bytes_max;
        let (body, state) = RequestBody::new(incoming, bytes_max, worker);
        let taken = Taken::new(body, state);
        cx.slots.put(taken.ahead());
        Self::Taken(taken)
    }

    /// Whether it is known to be longer than this.
    pub(crate) fn exceeds(&self, bytes_max: u64) -> bool {
        match self {
            Self::Untouched(incoming) => incoming.size_hint().lower() > bytes_max,
            Self::Taken(taken) => taken.exceeds(bytes_max),
        }
    }

    /// The body as the backend gets it, with its state where there is a body.
    pub(crate) fn into_body(
        self,
        bytes_max: u64,
        worker: &Rc<Worker>,
    ) -> (RequestBody, Option<Rc<BodyState>>) {
        match self {
            Self::Untouched(incoming) => RequestBody::new(incoming, bytes_max, worker),
            Self::Taken(taken) => taken.into_body(bytes_max),
        }
    }
}

impl BodyAhead for Taken {
    fn peek(&self, bytes_max: usize) -> LocalFuture<'static, Result<Peeked, PeekFault>> {
        let inner = Rc::clone(&self.0);
        Box::pin(async move {
            loop {
                if let Some(peeked) = inner.borrow().peeked(bytes_max) {
                    return Ok(peeked);
                }
                let frame = poll_fn(|cx| {
                    let mut inner = inner.borrow_mut();
                    Pin::new(&mut inner.body).poll_frame(cx)
                });
                let frame = frame.await.transpose().map_err(|fault| match fault {
                    BodyError::TooLarge => PeekFault::TooLong,
                    _ => PeekFault::Broken,
                })?;
                let mut inner = inner.borrow_mut();
                match frame.map(http_body::Frame::into_data) {
                    Some(Ok(data)) => inner.taken.push(data),
                    // Trailers of a body that was looked at to its end go no further.
                    Some(Err(_)) | None => inner.ended = true,
                }
                inner.ended |= inner.body.is_end_stream();
            }
        })
    }
}

impl Inner {
    /// The first bytes, when enough are there.
    fn peeked(&self, bytes_max: usize) -> Option<Peeked> {
        let taken: usize = self.taken.iter().map(Bytes::len).sum();
        let too_long = self.length.is_some_and(|length| length > bytes_max as u64);
        // One byte more tells that there is more.
        let more = taken > bytes_max || (too_long && taken >= bytes_max);
        if !self.ended && !more {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(taken.min(bytes_max));
        for part in &self.taken {
            let room = bytes_max - bytes.len();
            bytes.extend_from_slice(&part[..part.len().min(room)]);
        }
        Some(Peeked {
            bytes: bytes.freeze(),
            whole: self.ended && taken <= bytes_max,
        })
    }
}
