//! Bodies on their way through, both directions, frame by frame. Nothing is collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use policy::Principal;

use crate::live::Place;
use crate::metrics::Limit;
use crate::record::Record;
use crate::upstream::{BackendBodyFault, Source, Streaming};
use crate::worker::Worker;

/// A body broke off. hyper closes the connection, or resets the stream, so that nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client sent more than is allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The client's side broke.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The backend's side broke.
    #[error("the backend's body broke off")]
    Backend(#[source] BackendBodyFault),
    /// What let the call in is not good any more.
    #[error("the caller's credential was revoked")]
    Revoked,
}

/// What went wrong with a client's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyFault {
    /// Larger than allowed.
    TooLarge,
    /// Broke off, or malformed.
    Broken,
}

/// How a client's body fares; shared by the body, which moves into the upstream connection, and the request.
#[derive(Default)]
pub(crate) struct BodyState {
    fault: Cell<Option<BodyFault>>,
    bytes: Cell<u64>,
}

impl BodyState {
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// Bytes that were passed on so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// A client's body.
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// Passes as it comes.
    Streaming {
        incoming: Incoming,
        /// Bytes that may still come.
        left: u64,
        state: Rc<BodyState>,
        worker: Rc<Worker>,
    },
}

impl RequestBody {
    /// Wraps what hyper received, with its state where there is a body.
    pub(crate) fn new(incoming: Incoming, worker: &Rc<Worker>) -> (Self, Option<Rc<BodyState>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let state = Rc::new(BodyState::default());
        let body = Self::Streaming {
            incoming,
            left: worker.config.limits.body_bytes_max,
            state: Rc::clone(&state),
            worker: Rc::clone(worker),
        };
        (body, Some(state))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streaming {
            incoming,
            left,
            state,
            worker,
        } = self.get_mut()
        else {
            return Poll::Ready(None);
        };
        let Some(frame) = ready!(Pin::new(incoming).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| {
            state.fault.set(Some(BodyFault::Broken));
            BodyError::Client(error)
        })?;
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            worker.numbers().bytes_in.add(length);
            state.bytes.set(state.bytes.get() + length);
            match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => {
                    worker.numbers().limit(Limit::Body);
                    state.fault.set(Some(BodyFault::TooLarge));
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// The body of an answer, with what is recorded when it ends, in whichever way.
pub(crate) struct AnswerBody {
    content: Content,
    record: Record,
    /// Of an answer that streams to a known caller.
    live: Option<Place>,
}

enum Content {
    Empty,
    Whole(Option<Bytes>),
    Upstream(Streaming),
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes, record: Record) -> Self {
        let content = if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Whole(Some(bytes))
        };
        Self::new(content, record)
    }

    /// What a backend answers. One that streams can be ended while its `caller` is known.
    pub(crate) fn upstream(
        source: Source,
        record: Record,
        worker: &Rc<Worker>,
        caller: Option<Principal>,
    ) -> Self {
        match source {
            Source::Complete(bytes) => Self::whole(bytes, record),
            Source::Streaming(body) => {
                let mut answer = Self::new(Content::Upstream(body), record);
                let ends = answer.content.is_end_stream();
                answer.live = caller
                    .filter(|_| !ends)
                    .map(|caller| Place::enter(worker, Some(caller), None));
                answer
            }
            // The tunnel is somebody else's.
            Source::Switched(_) => Self::new(Content::Empty, record),
        }
    }

    fn new(content: Content, record: Record) -> Self {
        let mut body = Self {
            content,
            record,
            live: None,
        };
        if body.content.is_end_stream() {
            body.record.complete();
        }
        body
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendBodyFault>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this
            .live
            .as_ref()
            .is_some_and(|live| live.closing(cx).is_some())
        {
            this.record.revoked();
            return Poll::Ready(Some(Err(BodyError::Revoked)));
        }
        match ready!(this.content.poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.record.sent(data.len() as u64);
                }
                if this.content.is_end_stream() {
                    this.record.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.record.broken();
                Poll::Ready(Some(Err(BodyError::Backend(error))))
            }
            None => {
                this.record.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Upstream(body) => body.size_hint(),
        }
    }
}
