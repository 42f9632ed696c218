//! Writing a request: its head, then its body as it comes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::body::RequestBody;
use crate::io::Stream;
use crate::upstream::{Outgoing, Replay};

/// Room for the head of a request, as most have it.
const HEAD_USUAL_BYTES: usize = 1024;
/// Data up to this size is copied beside what is written already, larger data is written from where it is.
const COPY_BYTES_MAX: usize = 4 * 1024;
/// No more of the body is asked for while so much waits to be written.
const WAITING_BYTES_MAX: usize = 16 * 1024;

/// Why a request was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    /// The backend took none of it.
    #[error("nothing could be written: {0}")]
    Nothing(#[source] io::Error),
    /// The backend took a part of it.
    #[error("the request could not be written to its end: {0}")]
    Part(#[source] io::Error),
    /// The client's body broke, or was not as long as it said.
    #[error("the request's body broke off")]
    Body,
}

/// A request on its way.
pub(super) struct Upload {
    body: RequestBody,
    coding: Coding,
    /// Names of the trailers that the head announced.
    announced: Vec<HeaderName>,
    /// How long the head is, with which `out` begins until something is written.
    head_bytes: usize,
    /// What goes out next.
    out: Vec<u8>,
    /// What goes out behind that, without a copy.
    data: Bytes,
    /// What ends the data in its coding.
    data_end: &'static [u8],
    ended: bool,
    begun: bool,
}

/// How the backend learns where the body ends (RFC 9112 §6).
#[derive(Clone, Copy)]
enum Coding {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
}

impl Upload {
    /// Writes the head into `out` and takes the body. The headers stay, so that a request of which nothing was taken
    /// can be written again.
    pub(super) fn new(outgoing: &mut Outgoing<'_>, mut out: Vec<u8>) -> Self {
        let body = std::mem::replace(&mut outgoing.body, RequestBody::Empty);
        let coding = body
            .size_hint()
            .exact()
            .map_or(Coding::Chunked, Coding::Length);
        let announced = match coding {
            Coding::Chunked => announced(&outgoing.headers),
            Coding::Length(_) => Vec::new(),
        };
        out.clear();
        out.reserve(HEAD_USUAL_BYTES);
        write_head(outgoing, coding, &mut out);
        Self {
            ended: body.is_end_stream() && matches!(coding, Coding::Length(0)),
            body,
            coding,
            announced,
            head_bytes: out.len(),
            out,
            data: Bytes::new(),
            data_end: b"",
            begun: false,
        }
    }

    /// The buffer, for the next request.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.out
    }

    /// The body as it was, where nothing was written: what was taken of it stands behind the head. `None` where it
    /// stands there in chunks.
    pub(super) fn into_body(mut self) -> Option<RequestBody> {
        let taken = Bytes::from(self.out.split_off(self.head_bytes));
        if taken.is_empty() && self.data.is_empty() {
            return Some(self.body);
        }
        let Coding::Length(left) = self.coding else {
            return None;
        };
        let length = left + (taken.len() + self.data.len()) as u64;
        let begun = Replay::begun([taken, self.data], self.body, length);
        Some(RequestBody::Kept(Box::new(begun)))
    }

    /// Writes what there is; ready when all of the request is written.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadFault>> {
        loop {
            self.fill(cx)?;
            if self.out.is_empty() && self.data.is_empty() {
                if !self.ended {
                    return Poll::Pending;
                }
                let flushed = ready!(Pin::new(stream).poll_flush(cx));
                return Poll::Ready(flushed.map_err(UploadFault::Part));
            }
            let written = ready!(self.write(stream, cx));
            let written = written.and_then(|count| match count {
                0 => Err(io::ErrorKind::WriteZero.into()),
                count => Ok(count),
            });
            match written {
                Ok(count) => self.wrote(count),
                Err(error) if self.begun => return Poll::Ready(Err(UploadFault::Part(error))),
                Err(error) => return Poll::Ready(Err(UploadFault::Nothing(error))),
            }
        }
    }

    fn write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        if self.data.is_empty() {
            stream.poll_write(cx, &self.out)
        } else if self.out.is_empty() {
            stream.poll_write(cx, &self.data)
        } else {
            let parts = [IoSlice::new(&self.out), IoSlice::new(&self.data)];
            stream.poll_write_vectored(cx, &parts)
        }
    }

    fn wrote(&mut self, count: usize) {
        self.begun = true;
        let of_out = count.min(self.out.len());
        self.out.drain(..of_out);
        if count > of_out {
            self.data.advance(count - of_out);
        }
        if self.data.is_empty() {
            self.out.extend_from_slice(self.data_end);
            self.data_end = b"";
        }
    }

    /// Takes of the body what is there and fits.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), UploadFault> {
        while !self.ended && self.data.is_empty() && self.out.len() < WAITING_BYTES_MAX {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                Poll::Ready(Some(Err(_))) => return Err(UploadFault::Body),
                Poll::Ready(None) => self.end(None)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), UploadFault> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return self.end(Some(&trailers));
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.coding {
            Coding::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(UploadFault::Body)?;
                self.put(data, b"");
            }
            Coding::Chunked => {
                self.out
                    .extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.put(data, b"\r\n");
            }
        }
        if matches!(self.coding, Coding::Length(0)) {
            self.ended = true;
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes, end: &'static [u8]) {
        if data.len() <= COPY_BYTES_MAX {
            self.out.extend_from_slice(&data);
            self.out.extend_from_slice(end);
        } else {
            self.data = data;
            self.data_end = end;
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), UploadFault> {
        self.ended = true;
        match self.coding {
            Coding::Length(0) => Ok(()),
            Coding::Length(_) => Err(UploadFault::Body),
            Coding::Chunked => {
                self.out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    if self.announced.contains(name) {
                        write_field(name, value.as_bytes(), &mut self.out);
                    }
                }
                self.out.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

/// The trailers that `Trailer` names, but for those that frame the message (RFC 9110 §6.5.1).
fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .filter(|name| !policies::hop_by_hop::is_framing(name.as_str()))
        .collect()
}

/// The request line and the fields (RFC 9112 §3, §5). Framing is ours, whatever the fields say.
fn write_head(outgoing: &Outgoing<'_>, coding: Coding, out: &mut Vec<u8>) {
    out.extend_from_slice(outgoing.method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    outgoing.target.write(&outgoing.endpoint.address, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(&HOST, outgoing.endpoint.host.as_bytes(), out);
    for (name, value) in &outgoing.headers {
        if !matches!(
            *name,
            HOST | CONTENT_LENGTH | TRANSFER_ENCODING | CONNECTION
        ) {
            write_field(name, value.as_bytes(), out);
        }
    }
    if outgoing.switches {
        write_field(&CONNECTION, b"Upgrade", out);
        write_field(&UPGRADE, b"websocket", out);
    }
    match coding {
        // RFC 9110 §8.6: no length for methods that give a body no meaning.
        Coding::Length(0) if !expects_body(outgoing.method) => {}
        Coding::Length(length) => {
            let mut digits = itoa::Buffer::new();
            write_field(&CONTENT_LENGTH, digits.format(length).as_bytes(), out);
        }
        Coding::Chunked => write_field(&TRANSFER_ENCODING, b"chunked", out),
    }
    out.extend_from_slice(b"\r\n");
}

fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn write_field(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::net::TcpStream;

    use super::*;

    /// A body of eight bytes of which four are taken.
    fn half_taken(out: &'static str, coding: Coding) -> Upload {
        let rest = Replay::begun([Bytes::from("rest"), Bytes::new()], RequestBody::Empty, 4);
        let out = out.into();
        Upload {
            body: RequestBody::Kept(Box::new(rest)),
            coding,
            announced: Vec::new(),
            head_bytes: 4,
            out,
            data: Bytes::new(),
            data_end: b"",
            ended: false,
            begun: false,
        }
    }

    #[tokio::test]
    async fn of_what_nobody_took_the_body_is_given_back_whole() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut stream = Stream::Tcp(tcp.unwrap());
        // The system takes nothing more.
        std::future::poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx))
            .await
            .unwrap();
        let mut upload = half_taken("headhalf", Coding::Length(4));
        let written = std::future::poll_fn(|cx| upload.poll(&mut stream, cx)).await;
        assert!(matches!(written, Err(UploadFault::Nothing(_))));
        let body = upload.into_body().unwrap();
        assert_eq!(body.size_hint().exact(), Some(8));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "halfrest");
    }

    #[tokio::test]
    async fn what_stands_in_chunks_already_is_not_given_back() {
        let upload = half_taken("head4\r\nhalf\r\n", Coding::Chunked);
        assert!(upload.into_body().is_none());
        let untouched = half_taken("head", Coding::Chunked).into_body().unwrap();
        assert_eq!(untouched.collect().await.unwrap().to_bytes(), "rest");
    }
}
