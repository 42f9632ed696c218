//! Counts messages in a stream of bytes without keeping any of it: events of `text/event-stream`, and messages of WebSockets.

/// Events of `text/event-stream`: each ends with an empty line. Lines end with LF, CR or both.
///
/// Source: HTML, section 9.2.5, "Parsing an event stream".
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Something stands in the line so far.
    in_line: bool,
    /// Something stands in the event so far.
    in_event: bool,
    after_cr: bool,
}

impl Events {
    /// Reads on; how many events have ended.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> u32 {
        let mut ended = 0;
        for byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                // The second half of the end of a line.
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    self.after_cr = *byte == b'\r';
                    if !std::mem::take(&mut self.in_line) && std::mem::take(&mut self.in_event) {
                        ended += 1;
                    }
                }
                _ => (self.in_line, self.in_event) = (true, true),
            }
        }
        ended
    }
}

/// Messages of one direction of a WebSocket: frames of data that are the last of their message. Control frames are none.
///
/// Source: RFC 6455, section 5.2.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The head of the frame, as far as it is there.
    head: [u8; 10],
    have: usize,
    /// Bytes of mask and payload that are still to come.
    rest: u64,
}

impl Messages {
    /// Reads on; how many messages have begun their last frame.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> u32 {
        let mut messages = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skip =
                    usize::try_from(self.rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
                self.rest -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.head[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            let Some(length) = self.length() else {
                continue;
            };
            let masked = u64::from(self.head[1] >> 7) * 4;
            self.rest = length.saturating_add(masked);
            self.have = 0;
            let (last, control) = (self.head[0] & 0x80 != 0, self.head[0] & 0x08 != 0);
            messages += u32::from(last && !control);
        }
        messages
    }

    /// The length of the payload, when its field is complete.
    fn length(&self) -> Option<u64> {
        if self.have < 2 {
            return None;
        }
        let bytes = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            short => return Some(short.into()),
        };
        let field = self
            .head
            .get(2..2 + bytes)
            .filter(|_| self.have == 2 + bytes)?;
        Some(
            field
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reader = Box<dyn FnMut(&[u8]) -> u32>;

    /// The same count, however the bytes are cut.
    fn counted(bytes: &[u8], read: impl Fn() -> Reader) -> u32 {
        let whole = read()(bytes);
        for size in 1..bytes.len().min(20) {
            let mut read = read();
            let parts: u32 = bytes.chunks(size).map(&mut read).sum();
            assert_eq!(parts, whole, "in parts of {size}");
        }
        whole
    }

    #[test]
    fn events_end_with_an_empty_line() {
        let events = || -> Reader {
            let mut events = Events::default();
            Box::new(move |part| events.read(part))
        };
        for (text, ended) in [
            ("", 0),
            ("data: a\n\ndata: b\n\n", 2),
            ("data: a\r\n\r\ndata: b\r\n\r\n", 2),
            ("data: a\r\rdata: b\r\r", 2),
            ("data: a\ndata: a\n\n\n\n", 1),
            (": nothing\n\n", 1),
            ("\n\n\n", 0),
            ("data: a\n", 0),
        ] {
            assert_eq!(counted(text.as_bytes(), events), ended, "{text:?}");
        }
    }

    fn frame(first: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match u16::try_from(payload) {
            Ok(short @ 0..=125) => bytes.push(mask | short.to_be_bytes()[1]),
            Ok(middle) => {
                bytes.push(mask | 126);
                bytes.extend(middle.to_be_bytes());
            }
            Err(_) => {
                bytes.push(mask | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0x81; payload + if masked { 4 } else { 0 }]);
        bytes
    }

    #[test]
    fn messages_are_their_last_frames() {
        let messages = || -> Reader {
            let mut messages = Messages::default();
            Box::new(move |part| messages.read(part))
        };
        for masked in [false, true] {
            for (frames, count) in [
                (vec![frame(0x81, masked, 5)], 1),
                (vec![frame(0x82, masked, 0), frame(0x81, masked, 300)], 2),
                (
                    vec![
                        frame(0x01, masked, 9),
                        frame(0x00, masked, 9),
                        frame(0x80, masked, 9),
                    ],
                    1,
                ),
                (
                    vec![
                        frame(0x89, masked, 4),
                        frame(0x8a, masked, 4),
                        frame(0x88, masked, 2),
                    ],
                    0,
                ),
                (
                    vec![
                        frame(0x01, masked, 1),
                        frame(0x89, masked, 0),
                        frame(0x80, masked, 70_000),
                    ],
                    1,
                ),
            ] {
                assert_eq!(counted(&frames.concat(), messages), count);
            }
        }
    }
}
