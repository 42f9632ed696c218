//! Bodies on their way through, both directions, frame by frame. Nothing is collected.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use policy::Caller;

use crate::config::Limits;
use crate::connection::Inflow;
use crate::live::Place;
use crate::metrics::Limit;
use crate::pace::{self, Pace};
use crate::record::Record;
use crate::timers::Armed;
use crate::upstream::{BackendBodyFault, Replay, Source, Streaming};
use crate::worker::Worker;

/// A body broke off. hyper closes the connection, or resets the stream, so that nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client sent more than is allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The client sends too slowly.
    #[error("the body comes too slowly")]
    TooSlow,
    /// The client's trailers are more than is allowed.
    #[error("the trailers are more than allowed")]
    Trailers,
    /// The client's side broke.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The backend's side broke.
    #[error("the backend's body broke off")]
    Backend(#[source] BackendBodyFault),
    /// What let the call in is not good any more.
    #[error("the caller's credential was revoked")]
    Revoked,
    /// A limit on events has nothing left.
    #[error("a limit on events is used up")]
    Limited,
}

/// What went wrong with a client's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyFault {
    /// Larger than allowed.
    TooLarge,
    /// Comes too slowly.
    TooSlow,
    /// Broke off, or malformed.
    Broken,
}

/// How a client's body fares; shared by the body, which moves into the upstream connection, and the request.
#[derive(Default)]
pub(crate) struct BodyState {
    fault: Cell<Option<BodyFault>>,
    bytes: Cell<u64>,
    patience: RefCell<Patience>,
}

/// How long a body is still waited for.
#[derive(Default)]
struct Patience {
    pace: Pace,
    /// When to look whether the client is too slow.
    look: Option<(u64, Armed)>,
    /// An answer has begun: the client may send as it likes, as it does in a conversation.
    answered: bool,
}

impl BodyState {
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// Bytes that were passed on so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// An answer has begun: from now on the client may take its time.
    pub(crate) fn answered(&self) {
        let mut patience = self.patience.borrow_mut();
        patience.answered = true;
        patience.look = None;
    }

    fn passed(&self, bytes: u64, worker: &Worker) {
        self.bytes.set(self.bytes.get() + bytes);
        let mut patience = self.patience.borrow_mut();
        let now_ms = worker.now_ms.get();
        patience.pace.passed(bytes, now_ms, &worker.body_pace());
    }

    /// The client is waited for; whether it is too slow.
    fn is_too_slow(&self, worker: &Rc<Worker>, cx: &Context<'_>) -> bool {
        let mut patience = self.patience.borrow_mut();
        if patience.answered {
            return false;
        }
        patience.pace.waits(worker.now_ms.get());
        match &patience.look {
            Some((look_ms, armed)) if worker.clock.monotonic_ms() < *look_ms => {
                armed.update(cx.waker());
                return false;
            }
            _ => {}
        }
        let now_ms = worker.read_clock();
        let Some(more_ms) = patience.pace.patience_ms(now_ms, &worker.body_pace()) else {
            return true;
        };
        let look_ms = now_ms + more_ms;
        let armed = worker.timers.arm(look_ms, cx.waker().clone());
        patience.look = Some((look_ms, armed));
        false
    }
}

/// A client's body.
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// Passes as it comes.
    Streaming {
        incoming: Inflow,
        /// Bytes that may still come.
        left: u64,
        state: Rc<BodyState>,
        worker: Rc<Worker>,
    },
    /// Is kept while it passes, and may pass again.
    Kept(Box<Replay>),
}

impl RequestBody {
    /// Wraps what hyper received, with its state where there is a body.
    /// `bytes_max`: how large it may be.
    pub(crate) fn new(
        incoming: Inflow,
        bytes_max: u64,
        worker: &Rc<Worker>,
    ) -> (Self, Option<Rc<BodyState>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let state = Rc::new(BodyState::default());
        let body = Self::Streaming {
            incoming,
            left: bytes_max,
            state: Rc::clone(&state),
            worker: Rc::clone(worker),
        };
        (body, Some(state))
    }

    /// Of what is still to come, at most so many bytes may.
    pub(crate) fn limit(&mut self, bytes_max: u64) {
        if let Self::Streaming { left, .. } = self {
            *left = bytes_max.min(*left);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (incoming, left, state, worker) = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Streaming {
                incoming,
                left,
                state,
                worker,
            } => (incoming, left, state, worker),
            Self::Kept(replay) => return replay.poll_frame(cx),
        };
        let polled = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending if state.is_too_slow(worker, cx) => {
                worker.numbers().limit(Limit::BodyTimeout);
                state.fault.set(Some(BodyFault::TooSlow));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(polled) => polled,
        };
        let Some(frame) = polled else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| {
            state.fault.set(Some(BodyFault::Broken));
            BodyError::Client(error)
        })?;
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            worker.numbers().bytes_in.add(length);
            state.passed(length, worker);
            match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => {
                    worker.numbers().limit(Limit::Body);
                    state.fault.set(Some(BodyFault::TooLarge));
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
            }
        }
        if let Some(trailers) = frame.trailers_ref()
            && !are_short(trailers, &worker.config.limits)
        {
            worker.numbers().limit(Limit::Trailers);
            state.fault.set(Some(BodyFault::Broken));
            return Poll::Ready(Some(Err(BodyError::Trailers)));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { incoming, .. } => incoming.is_end_stream(),
            Self::Kept(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { incoming, .. } => incoming.size_hint(),
            Self::Kept(replay) => replay.size_hint(),
        }
    }
}

/// Whether trailers are within the limits; those of HTTP/1.1 were looked at by the guard.
fn are_short(trailers: &HeaderMap, limits: &Limits) -> bool {
    trailers.len() <= limits.trailers_max && list_size(trailers) <= limits.trailer_bytes_max
}

/// The size of a list of fields as HTTP/2 reckons it (RFC 9113 §6.5.2): names, values and 32 for each field.
pub(crate) fn list_size(fields: &HeaderMap) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32);
    sizes.sum()
}

/// How the client takes an answer that comes in parts.
#[derive(Default)]
pub(crate) struct Outflow(Cell<Pace>);

impl Outflow {
    /// A part was handed over: the client's connection asks for another when it has gone out.
    fn handed(&self, now_ms: u64) {
        let mut pace = self.0.get();
        pace.waits(now_ms);
        self.0.set(pace);
    }

    /// It has asked.
    fn asked(&self, bytes: u64, worker: &Worker) {
        let mut pace = self.0.get();
        pace.passed(bytes, worker.now_ms.get(), &worker.answer_pace());
        self.0.set(pace);
    }

    /// Whether the client takes it too slowly.
    pub(crate) fn is_slow(&self, now_ms: u64, rules: &pace::Rules) -> bool {
        self.0.get().patience_ms(now_ms, rules).is_none()
    }
}

/// The body of an answer, with what is recorded when it ends, in whichever way.
pub(crate) struct AnswerBody {
    content: Content,
    record: Record,
    /// Of an answer that streams to a known caller.
    live: Option<Place>,
    /// Of one that the client may keep waiting.
    outflow: Option<Rc<Outflow>>,
    /// Bytes that were handed over since it was last asked for more.
    handed: u64,
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
        caller: Option<Caller>,
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
            outflow: None,
            handed: 0,
        };
        if body.content.is_end_stream() {
            body.record.complete();
        }
        body
    }

    /// The next part is asked for when the client has taken this one.
    fn wait_for_client(&mut self) {
        let record = &self.record;
        let outflow = self
            .outflow
            .get_or_insert_with(|| record.connection().watch());
        outflow.handed(record.worker().now_ms.get());
    }
}

impl AnswerBody {
    /// The backend's body broke off.
    fn broke(&mut self, fault: &BackendBodyFault) {
        self.record.broken();
        if let Content::Upstream(body) = &mut self.content
            && let Some(about) = body.company().about.take()
            && fault.is_of_backend()
        {
            about.broke(self.record.worker(), fault);
        }
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
        if let Some(outflow) = &this.outflow {
            outflow.asked(std::mem::take(&mut this.handed), this.record.worker());
        }
        match ready!(this.content.poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if !this.record.sent(frame.data_ref()) {
                    this.record.limited();
                    return Poll::Ready(Some(Err(BodyError::Limited)));
                }
                let last = this.content.is_end_stream();
                if last {
                    this.record.complete();
                }
                // Over HTTP/2 the last part too waits for a window of the client's, and this body lives until then.
                if length > 0 && (!last || this.record.connection().is_h2()) {
                    this.handed = length;
                    this.wait_for_client();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.broke(&error);
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
