//! An answer's body on a stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::StreamSlot;
use super::upload::{self, Upload};
use crate::upstream::answer::Company;

/// What broke it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error(transparent)]
    Stream(h2::Error),
    /// The client's body, still on its way, broke off.
    #[error("the request's body broke off")]
    Request,
}

/// An answer's body, and the rest of the request's.
pub(crate) struct Driven {
    body: RecvStream,
    upload: Option<Upload>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    ended: bool,
    pub(in crate::upstream) company: Company,
    /// Its place on the connection, free when the body is dropped.
    _slot: StreamSlot,
}

impl Driven {
    pub(super) fn new(
        headers: &HeaderMap,
        body: RecvStream,
        upload: Option<Upload>,
        slot: StreamSlot,
    ) -> Self {
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        Self {
            ended: body.is_end_stream(),
            left: length.and_then(|text| text.parse().ok()),
            body,
            upload,
            company: Company::default(),
            _slot: slot,
        }
    }

    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if upload::poll(&mut self.upload, cx).is_err() {
            return Poll::Ready(Some(Err(BodyFault::Request)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.body.poll_data(cx)) {
            Some(Ok(data)) => {
                // An error means that the stream has ended: so says the next poll.
                let _ = self.body.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                self.ended = self.body.is_end_stream();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            // The answer is whole, the peer does not want the rest of the request (RFC 9113 §8.1).
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::Stream(error)))),
            None => {}
        }
        let trailers = ready!(self.body.poll_trailers(cx)).map_err(BodyFault::Stream);
        self.ended = true;
        Poll::Ready(
            trailers
                .transpose()
                .map(|trailers| trailers.map(Frame::trailers)),
        )
    }

    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.ended
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.ended => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}
