//! Reading the body of an answer.

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::head::{self, Framing};
use super::latest::Latest;
use crate::guard::chunked::{Chunked, Piece};

/// Follows one body.
pub(super) struct Decoder {
    state: State,
    /// Size of the trailers, and of all chunk extensions together.
    bytes_max: usize,
    fields_max: usize,
}

enum State {
    Length(u64),
    Chunked(Chunked),
    Trailers,
    Close,
    Ended,
}

/// A body that is not what its head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DecodeFault {
    /// The connection ended first.
    #[error("the connection ended within the body")]
    Short,
    /// Its chunked coding is wrong (RFC 9112 §7.1).
    #[error("the chunked coding is malformed")]
    Chunk,
    /// Its trailers are too large or malformed.
    #[error("the trailers are too large or malformed")]
    Trailers,
}

impl Decoder {
    pub(super) fn new(framing: Framing, bytes_max: usize, fields_max: usize) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::Close => State::Close,
        };
        Self {
            state,
            bytes_max,
            fields_max,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Length(left) => SizeHint::with_exact(left),
            State::Ended => SizeHint::with_exact(0),
            State::Chunked(_) | State::Trailers | State::Close => SizeHint::default(),
        }
    }

    /// How much may be read at once without leaving the body.
    pub(super) fn wants(&self) -> usize {
        match self.state {
            State::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    /// The next frame of what was read; `None` when more is needed, or the body has ended.
    pub(super) fn next(
        &mut self,
        read: &mut BytesMut,
    ) -> Result<Option<Frame<Bytes>>, DecodeFault> {
        loop {
            if read.is_empty() {
                return Ok(None);
            }
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Close => return Ok(Some(Frame::data(read.split().freeze()))),
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Ended;
                    }
                    return Ok(Some(Frame::data(read.split_to(taken).freeze())));
                }
                State::Chunked(chunked) => match chunked.piece(read, self.bytes_max) {
                    Piece::Data(length) => {
                        return Ok(Some(Frame::data(read.split_to(length).freeze())));
                    }
                    Piece::Framing(length) => read.advance(length),
                    Piece::Last(length) => {
                        read.advance(length);
                        self.state = State::Trailers;
                    }
                    Piece::Wrong(..) => return Err(DecodeFault::Chunk),
                },
                State::Trailers => return self.trailers(read),
            }
        }
    }

    fn trailers(&mut self, read: &mut BytesMut) -> Result<Option<Frame<Bytes>>, DecodeFault> {
        let length = match read[..] {
            [b'\r', b'\n', ..] => 2,
            _ => match head::ends_at(read, 0) {
                Some(length) => length,
                None if read.len() > self.bytes_max => return Err(DecodeFault::Trailers),
                None => return Ok(None),
            },
        };
        self.state = State::Ended;
        let bytes = read.split_to(length).freeze();
        let mut room = vec![httparse::EMPTY_HEADER; self.fields_max];
        let parsed = httparse::parse_headers(&bytes, &mut room);
        let Ok(httparse::Status::Complete((_, found))) = parsed else {
            return Err(DecodeFault::Trailers);
        };
        let trailers = head::fields(&bytes, found, &mut Latest::default())
            .map_err(|_| DecodeFault::Trailers)?;
        Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) -> Result<(), DecodeFault> {
        match self.state {
            State::Close | State::Ended => {
                self.state = State::Ended;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) | State::Trailers => Err(DecodeFault::Short),
        }
    }
}

#[cfg(test)]
mod tests;
