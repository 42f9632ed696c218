//! Writing a request's body as it comes, as far as the peer takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use crate::body::RequestBody;

/// Why a body was not written to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    /// The client's body broke.
    #[error("the request's body broke off")]
    Body,
    /// The peer takes no more. It may have answered nevertheless.
    #[error("the backend takes no more of the request")]
    Cut,
}

/// A body on its way.
pub(super) struct Upload {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// What goes out next.
    data: Bytes,
}

impl Upload {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self {
            body,
            stream,
            data: Bytes::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
        loop {
            while !self.data.is_empty() {
                ready!(self.write(cx))?;
                if self.data.is_empty() && self.body.is_end_stream() {
                    return Poll::Ready(Ok(()));
                }
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                let ended = self.stream.send_data(Bytes::new(), true);
                return Poll::Ready(ended.map_err(|_| UploadFault::Cut));
            };
            let Ok(frame) = frame else {
                self.stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(UploadFault::Body));
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() && !self.body.is_end_stream() => {}
                Ok(data) if data.is_empty() => {
                    let ended = self.stream.send_data(data, true);
                    return Poll::Ready(ended.map_err(|_| UploadFault::Cut));
                }
                Ok(data) => self.data = data,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let ended = self.stream.send_trailers(trailers);
                    return Poll::Ready(ended.map_err(|_| UploadFault::Cut));
                }
            }
        }
    }

    /// Writes as much as there is room for.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
        self.stream.reserve_capacity(self.data.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(UploadFault::Cut)),
            }
        }
        let room = self.stream.capacity().min(self.data.len());
        let part = self.data.split_to(room);
        let ends = self.data.is_empty() && self.body.is_end_stream();
        let sent = self.stream.send_data(part, ends);
        Poll::Ready(sent.map_err(|_| UploadFault::Cut))
    }
}

/// Writes on. A peer that takes no more may have answered nevertheless: what it says counts.
///
/// # Errors
/// The client's body broke.
pub(super) fn poll(upload: &mut Option<Upload>, cx: &mut Context<'_>) -> Result<(), UploadFault> {
    let Some(under_way) = upload else {
        return Ok(());
    };
    match under_way.poll(cx) {
        Poll::Pending => return Ok(()),
        Poll::Ready(Err(UploadFault::Body)) => return Err(UploadFault::Body),
        Poll::Ready(Ok(()) | Err(UploadFault::Cut)) => {}
    }
    *upload = None;
    Ok(())
}
