//! Follows the frames of one direction of an HTTP/2 connection: their heads alone, no payload is kept.
//!
//! What a frame means is the library's business, and so is refusing a malformed one. Source: RFC 9113 §3.4, §4.1.

use std::ops::ControlFlow;

/// Types of frames (RFC 9113 §6).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// `END_STREAM` of `DATA` and `HEADERS`.
const END_STREAM: u8 = 0x1;
/// `END_HEADERS` of `HEADERS` and `CONTINUATION`.
const END_HEADERS: u8 = 0x4;
/// `PADDED` of `DATA`.
const PADDED: u8 = 0x8;

/// The connection preface of a client, before its first frame.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;
/// The head and the error code of `RST_STREAM`.
const SEEN_BYTES_MAX: usize = HEAD_BYTES + 4;

/// The head of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// Bytes of its payload.
    pub length: u32,
    /// The error code of `RST_STREAM`, the length of a padding; otherwise 0.
    pub value: u32,
}

impl Frame {
    fn read(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte))
        };
        Self {
            length: number(&bytes[..3]),
            kind: bytes[3],
            flags: bytes[4],
            stream: number(&bytes[5..HEAD_BYTES]) & 0x7fff_ffff,
            value: number(&bytes[HEAD_BYTES..]),
        }
    }

    /// Whether it ends its stream in this direction.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether it is a `DATA` frame that brings nothing.
    #[must_use]
    pub fn is_empty_data(&self) -> bool {
        let padding = if self.flags & PADDED == 0 {
            0
        } else {
            self.value + 1
        };
        self.kind == kind::DATA && self.length <= padding && !self.ends_stream()
    }

    fn ends_head(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Bytes of the payload that are looked at.
    fn looked_at(&self) -> usize {
        match self.kind {
            kind::RST_STREAM if self.length >= 4 => 4,
            kind::DATA if self.flags & PADDED != 0 && self.length > 0 => 1,
            _ => 0,
        }
    }
}

/// Where in a stream of frames the next byte stands.
#[derive(Debug)]
pub struct Frames {
    preface_left: usize,
    /// The beginning of a frame.
    seen: [u8; SEEN_BYTES_MAX],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// The type of the latest frame.
    kind: u8,
    /// A head was begun and its last frame has not come.
    head_open: bool,
}

impl Frames {
    /// What a client sends: the preface first.
    #[must_use]
    pub fn of_client() -> Self {
        Self {
            preface_left: PREFACE.len(),
            ..Self::of_server()
        }
    }

    /// What a server sends.
    #[must_use]
    pub fn of_server() -> Self {
        Self {
            preface_left: 0,
            seen: [0; SEEN_BYTES_MAX],
            have: 0,
            left: 0,
            kind: kind::DATA,
            head_open: false,
        }
    }

    /// Whether a whole number of frames has passed.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.preface_left == 0 && self.have == 0 && self.left == 0
    }

    /// Whether something was begun that its sender has to end soon: everything but the data of a body.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.preface_left > 0
            || self.have > 0
            || self.head_open
            || (self.left > 0 && self.kind != kind::DATA)
    }

    /// Follows on; every frame whose head is complete is shown.
    ///
    /// # Errors
    /// What `show` broke with. After that it must not be called again.
    pub fn advance<B>(
        &mut self,
        mut bytes: &[u8],
        mut show: impl FnMut(&Frame) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = bytes.len().min(self.left);
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let (taken, frame) = self.begin(bytes);
            bytes = &bytes[taken..];
            if let Some(frame) = frame {
                show(&frame)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes of the beginning of a frame what is there.
    fn begin(&mut self, bytes: &[u8]) -> (usize, Option<Frame>) {
        let mut taken = 0;
        loop {
            let have = self.have;
            let wanted = if have < HEAD_BYTES {
                HEAD_BYTES
            } else {
                HEAD_BYTES + Frame::read(&self.seen[..HEAD_BYTES]).looked_at()
            };
            if have == wanted {
                let frame = Frame::read(&self.seen[..wanted]);
                self.have = 0;
                self.left = frame.length as usize - (wanted - HEAD_BYTES);
                self.kind = frame.kind;
                if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
                    self.head_open = !frame.ends_head();
                }
                return (taken, Some(frame));
            }
            let more = (wanted - have).min(bytes.len() - taken);
            if more == 0 {
                return (taken, None);
            }
            self.seen[have..have + more].copy_from_slice(&bytes[taken..taken + more]);
            self.have += more;
            taken += more;
        }
    }
}

#[cfg(test)]
mod tests;
