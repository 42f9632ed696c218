//! Follows the messages of a byte stream: head, body, next head.

use super::chunked::{Chunked, Piece};
use super::head::{Body, Head};
use super::{Exceeded, Rules, Violation};

/// Where in the stream the next byte stands.
enum State {
    /// In a head, or before one.
    Head(Head),
    /// In a body of known length; so many bytes are left.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// In the trailers of a chunked body.
    Trailers(Head),
    /// Behind a request for a WebSocket: what comes may be no HTTP.
    Waits,
}

/// Which part of a message a violation stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Head,
    Body,
}

/// Follows one connection's requests.
pub(super) struct Scanner {
    rules: Rules,
    state: State,
    /// Heads that were found clean.
    begun: usize,
    messages: usize,
}

impl Scanner {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Head(Head::request()),
            begun: 0,
            messages: 0,
        }
    }

    /// How many messages have ended.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// How many bytes of the message that has begun are still to come: 0 between two messages, `None` where nobody knows.
    pub(super) fn to_come(&self) -> Option<u64> {
        match &self.state {
            State::Head(head) if head.is_new() => Some(0),
            State::Length(left) => Some(*left),
            State::Head(_) | State::Chunked(_) | State::Trailers(_) | State::Waits => None,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self.state {
            State::Head(_) | State::Waits => Place::Head,
            State::Length(_) | State::Chunked(_) | State::Trailers(_) => Place::Body,
        }
    }

    /// How many heads were found clean.
    pub(super) fn begun(&self) -> usize {
        self.begun
    }

    /// Whether one request has passed whole and is not answered, and no other one is behind it. `answered`: how many messages
    /// need not wait any more.
    pub(super) fn awaits_answer(&self, answered: usize) -> bool {
        self.begun == answered + 1 && matches!(self.state, State::Head(_) | State::Waits)
    }

    /// Whether the last head asks for a WebSocket, and nobody has said yet what becomes of it.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waits)
    }

    /// What comes next is a head.
    pub(super) fn resume(&mut self) {
        self.state = State::Head(Head::request());
    }

    /// Reads on. `bytes` begins with the first byte that was not found clean by the last call. Says how many bytes
    /// from there are clean now (a head or trailers only as a whole), and what is wrong with the byte behind them.
    /// `answered`: how many messages need not wait any more.
    ///
    /// After a violation it must not be called again.
    pub(super) fn advance(&mut self, bytes: &[u8], answered: usize) -> (usize, Option<Violation>) {
        let mut clean = 0;
        while clean < bytes.len() {
            match self.step(&bytes[clean..], answered) {
                Ok(0) => break,
                Ok(passed) => clean += passed,
                Err((passed, violation)) => return (clean + passed, Some(violation)),
            }
        }
        (clean, None)
    }

    /// One part of a message. `Ok(0)`: more bytes are needed.
    fn step(&mut self, bytes: &[u8], answered: usize) -> Result<usize, (usize, Violation)> {
        match &mut self.state {
            State::Waits => Ok(0),
            State::Head(head) => {
                let Some(length) = head.advance(bytes, &self.rules).map_err(whole)? else {
                    return Ok(0);
                };
                let body = head.finish(bytes).map_err(whole)?;
                self.begun += 1;
                let max = self.rules.pipelined_max.max(1);
                if self.begun.saturating_sub(answered) > max {
                    let detail = format!("more than {max} requests wait for their answers");
                    return Err(whole(Violation::exceeds(Exceeded::Pipelined, detail)));
                }
                self.begin(body);
                Ok(length)
            }
            State::Length(left) => {
                let passed = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= passed as u64;
                if *left == 0 {
                    self.end();
                }
                Ok(passed)
            }
            State::Chunked(chunked) => match chunked.piece(bytes, self.rules.extension_bytes_max) {
                Piece::Data(passed) | Piece::Framing(passed) => Ok(passed),
                Piece::Last(passed) => {
                    self.state = State::Trailers(Head::trailers());
                    Ok(passed)
                }
                Piece::Wrong(passed, violation) => Err((passed, violation)),
            },
            State::Trailers(head) => {
                let Some(length) = head.advance(bytes, &self.rules).map_err(whole)? else {
                    return Ok(0);
                };
                self.end();
                Ok(length)
            }
        }
    }

    fn begin(&mut self, body: Body) {
        match body {
            Body::None => self.end(),
            Body::Length(length) => self.state = State::Length(length),
            Body::Upgrade => {
                self.messages += 1;
                self.state = State::Waits;
            }
            Body::Chunked => self.state = State::Chunked(Chunked::default()),
        }
    }

    fn end(&mut self) {
        self.messages += 1;
        self.state = State::Head(Head::request());
    }
}

/// Of a head that is wrong, nothing passes.
fn whole(violation: Violation) -> (usize, Violation) {
    (0, violation)
}
