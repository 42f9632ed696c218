//! A request's body that is kept while it passes, so that it can be sent again: up to a limit, beyond which it only
//! passes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::body::{BodyError, RequestBody};

/// A body and what of it has passed.
pub(crate) struct Tape(Rc<RefCell<Reel>>);

struct Reel {
    source: RequestBody,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How much may still be kept.
    room: u64,
    /// More has passed than may be kept.
    spilled: bool,
    ended: bool,
    length: Option<u64>,
}

/// One passage of the body.
pub(crate) struct Replay {
    reel: Rc<RefCell<Reel>>,
    at: usize,
    passed: u64,
    trailers_passed: bool,
}

impl Tape {
    /// Keeps at most so many bytes.
    pub(crate) fn new(source: RequestBody, bytes_max: u64) -> Self {
        Self(Rc::new(RefCell::new(Reel {
            length: source.size_hint().exact(),
            ended: source.is_end_stream(),
            source,
            kept: Vec::new(),
            trailers: None,
            room: bytes_max,
            spilled: false,
        })))
    }

    /// The body from its beginning; whoever had it before gets no more of it.
    pub(crate) fn replay(&self) -> RequestBody {
        RequestBody::Kept(Box::new(Replay {
            reel: Rc::clone(&self.0),
            at: 0,
            passed: 0,
            trailers_passed: false,
        }))
    }

    /// Whether everything that has passed is still here.
    pub(crate) fn is_whole(&self) -> bool {
        !self.0.borrow().spilled
    }
}

impl Reel {
    fn keep(&mut self, data: &Bytes) {
        if self.spilled {
            return;
        }
        match self.room.checked_sub(data.len() as u64) {
            Some(rest) => {
                self.room = rest;
                self.kept.push(data.clone());
            }
            None => {
                self.spilled = true;
                self.kept = Vec::new();
            }
        }
    }
}

impl Replay {
    /// A body of `length` bytes of which these were taken already, before the rest of it.
    pub(crate) fn begun(taken: [Bytes; 2], rest: RequestBody, length: u64) -> Self {
        let taken: Vec<_> = taken.into_iter().filter(|part| !part.is_empty()).collect();
        Self::after(taken, rest, Some(length))
    }

    /// A body of which these were taken already, before the rest of it; how long all of it is, where that is known.
    pub(crate) fn after(taken: Vec<Bytes>, rest: RequestBody, length: Option<u64>) -> Self {
        let taken_bytes: usize = taken.iter().map(Bytes::len).sum();
        let reel = Reel {
            ended: rest.is_end_stream() || length == Some(taken_bytes as u64),
            source: rest,
            kept: taken,
            trailers: None,
            room: 0,
            spilled: false,
            length,
        };
        Self {
            reel: Rc::new(RefCell::new(reel)),
            at: 0,
            passed: 0,
            trailers_passed: false,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut reel = self.reel.borrow_mut();
        if let Some(data) = reel.kept.get(self.at) {
            self.at += 1;
            self.passed += data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if reel.ended {
            let trailers = reel.trailers.clone().filter(|_| !self.trailers_passed);
            self.trailers_passed = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Some(frame) = ready!(Pin::new(&mut reel.source).poll_frame(cx)) else {
            reel.ended = true;
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            reel.keep(data);
            self.at = reel.kept.len();
            self.passed += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            reel.trailers = Some(trailers.clone());
            reel.ended = true;
            self.trailers_passed = true;
        }
        reel.ended |= reel.source.is_end_stream();
        Poll::Ready(Some(Ok(frame)))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let reel = self.reel.borrow();
        let all = reel.spilled || self.at >= reel.kept.len();
        reel.ended && all && (reel.trailers.is_none() || self.trailers_passed)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let length = self.reel.borrow().length;
        let rest = length.map(|length| length.saturating_sub(self.passed));
        rest.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
