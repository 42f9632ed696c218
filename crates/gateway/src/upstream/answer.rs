//! An answer's body on its way from a backend.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::response::Parts;
use hyper::body::{Frame, SizeHint};

use super::balance::InFlight;
use super::far::Far;
use super::load::Counted;
use super::stall::Stall;
use super::{h1, h2};
use crate::broken::About;
use crate::worker::Worker;

/// The head of an answer, and where its body comes from.
pub(crate) type Answered = (Parts, Source);

/// Where an answer's body comes from.
pub(crate) enum Source {
    /// All of it is here already.
    Complete(Bytes),
    /// It comes as it is asked for.
    Streaming(Streaming),
    /// There is none: the connection, or the stream, has changed its protocol, as was asked.
    Switched(Far),
}

/// An answer's body that is still on its way.
pub(crate) enum Streaming {
    /// On an HTTP/1.1 connection that this body drives.
    H1(Box<h1::Driven>),
    /// On a stream of a shared HTTP/2 connection.
    H2(Box<h2::Driven>),
}

/// What goes with a body until it has ended.
#[derive(Default)]
pub(crate) struct Company {
    /// The call counts until its answer has ended: at its endpoint,
    pub(super) in_flight: Option<InFlight>,
    /// and at its backend, where that counts.
    pub(super) counted: Option<Counted>,
    pub(super) stall: Option<Box<Stall>>,
    /// What is told when the backend breaks it off.
    pub(crate) about: Option<Box<About>>,
}

/// What broke an answer's body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendBodyFault {
    #[error(transparent)]
    H1(h1::BodyFault),
    #[error("the stream broke: {0}")]
    H2(h2::BodyFault),
    #[error("it paused for too long")]
    Idle,
}

impl BackendBodyFault {
    /// Whether it is the backend's doing, and not that the client's own body broke off.
    pub(crate) fn is_of_backend(&self) -> bool {
        !matches!(
            self,
            Self::H1(h1::BodyFault::Request) | Self::H2(h2::BodyFault::Request)
        )
    }
}

impl Streaming {
    pub(crate) fn company(&mut self) -> &mut Company {
        match self {
            Self::H1(driven) => &mut driven.company,
            Self::H2(driven) => &mut driven.company,
        }
    }

    /// It may pause for so long.
    pub(super) fn limit_pauses(&mut self, worker: &Rc<Worker>, idle_ms: u64) {
        self.company().stall = Some(Box::new(Stall::new(worker, idle_ms)));
    }

    /// The next part of the body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendBodyFault>>> {
        let polled = match self {
            Self::H1(driven) => driven.poll_frame(cx).map_err(BackendBodyFault::H1),
            Self::H2(driven) => driven.poll_frame(cx).map_err(BackendBodyFault::H2),
        };
        if let Some(stall) = &mut self.company().stall
            && stall.is_over(&polled, cx)
        {
            return Poll::Ready(Some(Err(BackendBodyFault::Idle)));
        }
        polled
    }

    /// Whether nothing more will come.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::H1(driven) => driven.is_end_stream(),
            Self::H2(driven) => driven.is_end_stream(),
        }
    }

    /// How long the rest is, where that is known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::H1(driven) => driven.size_hint(),
            Self::H2(driven) => driven.size_hint(),
        }
    }
}
