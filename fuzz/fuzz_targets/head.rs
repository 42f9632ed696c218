//! The head guard (req: S4): how a stream is cut into reads changes nothing, nothing but clean bytes passes, and what
//! passes is one well-framed head to another parser too.
#![no_main]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use gateway::guard::{self, Guarded, Rules};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

/// A stream that comes in pieces of changing size.
struct Pieces<'a> {
    bytes: &'a [u8],
    state: u32,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = (self.state >> 24) as usize % 9 + 1;
        let (now, later) = self.bytes.split_at(size.min(self.bytes.len()).min(buf.remaining()));
        buf.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

/// What passes the guard, and whether it found a violation.
fn pass(bytes: &[u8], seed: u32) -> (Vec<u8>, bool) {
    let (mut guarded, handle) = Guarded::new(Pieces { bytes, state: seed }, Rules::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut passed = Vec::new();
    loop {
        let mut room = [0; 64];
        let mut buf = ReadBuf::new(&mut room);
        match Pin::new(&mut guarded).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => passed.extend_from_slice(buf.filled()),
            _ => return (passed, handle.violation().is_some()),
        }
    }
}

/// Holds the first head against `httparse`.
fn check_head(bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).expect("a clean head parses");
    assert!(parsed.is_complete());
    let count = |name: &str| request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
    let (lengths, encodings) = (count("content-length"), count("transfer-encoding"));
    assert!(lengths + encodings <= 1, "{lengths} lengths and {encodings} encodings passed");
    let hosts = count("host");
    assert!(hosts == 1 || (hosts == 0 && request.version == Some(0)), "{hosts} hosts passed");
    for header in request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-length")) {
        assert!(!header.value.is_empty() && header.value.iter().all(u8::is_ascii_digit));
    }
}

fuzz_target!(|input: (u32, &[u8])| {
    let (seed, bytes) = input;
    let whole = guard::check_stream(bytes);
    let (passed, violated) = pass(bytes, seed);
    assert_eq!(whole.is_err(), violated, "how the stream is cut decides");
    let stand_in = passed.windows(guard::REFUSED.len()).rposition(|window| window == guard::REFUSED.as_bytes());
    let clean = match stand_in {
        Some(at) if violated => &passed[..at],
        _ => &passed[..],
    };
    assert!(bytes.starts_with(clean), "only what was sent passes");
    if !clean.is_empty() {
        check_head(clean);
    }
});
