use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::Waker;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use proptest::prelude::*;

use super::*;

/// A wire whose other side has sent these pieces, and closes when it has its answers.
#[derive(Default)]
struct Wire {
    pieces: VecDeque<Vec<u8>>,
    /// How many answers it waits for.
    answers: usize,
    written: Rc<RefCell<Vec<u8>>>,
    waker: Option<Waker>,
}

impl Wire {
    fn of<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        Self {
            pieces: pieces.map(<[u8]>::to_vec).collect(),
            ..Self::default()
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let answers = memchr::memmem::find_iter(&self.written.borrow(), "HTTP/1.1 ").count();
        if self.pieces.is_empty() && answers < self.answers {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        if let Some(waker) = self.get_mut().waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How reading through the guard ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Eof,
    StandIn,
    BodyError,
}

/// What came through, read with a buffer of this size.
fn read(wire: Wire, rules: Rules, buffer: usize) -> (Vec<u8>, End, Option<Violation>) {
    let (mut guarded, handle) = Guarded::new(wire, rules);
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    let end = loop {
        let mut bytes = vec![0; buffer];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut guarded).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => break End::Eof,
            Poll::Ready(Ok(())) => all.extend_from_slice(buf.filled()),
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                break End::BodyError;
            }
            Poll::Pending => break End::StandIn,
        }
    };
    (all, end, handle.violation())
}

/// Every way to cut a stream in two, byte by byte, and small buffers: the result is always the same.
fn read_every_way(raw: &[u8]) -> (Vec<u8>, End, Option<Violation>) {
    let rules = Rules::default();
    let whole = read(Wire::of([raw]), rules, 64 * 1024);
    for cut in 1..raw.len() {
        let (one, two) = raw.split_at(cut);
        let found = read(Wire::of([one, two]), rules, 64 * 1024);
        assert_eq!(
            found,
            whole,
            "cut at {cut}: {:?}",
            String::from_utf8_lossy(raw)
        );
    }
    assert_eq!(
        read(Wire::of(raw.chunks(1)), rules, 64 * 1024),
        whole,
        "byte by byte"
    );
    assert_eq!(read(Wire::of([raw]), rules, 7), whole, "small buffer");
    whole
}

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

/// req: S4
#[test]
fn ambiguous_and_malformed_heads_do_not_pass() {
    let table: &[(&str, &str)] = &[
        // length
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "together",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "together",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "more than one Content",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc",
            "more than one Content",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc",
            "one number",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "too great",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "too great",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\nabc",
            "underscore",
        ),
        // transfer coding
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
            "`chunked` alone",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "more than one Tr",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            "more than one Tr",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
            "underscore",
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0",
        ),
        // lines
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "LF alone"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "LF alone"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "LF alone"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\n", "LF alone"),
        ("GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n", "control"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rContent-Length: 5\r\n\r\n",
            "control",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\r\n\r\n", "control"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "control"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", "control"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", "control"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
            "obs-fold",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\tfolded\r\n\r\n",
            "obs-fold",
        ),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "obs-fold"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "field name"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
            "field name",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "field name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: x\r\n\r\n", "field name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", "field name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", "no colon"),
        // host
        ("GET / HTTP/1.1\r\n\r\n", "no Host"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "more than one Host",
        ),
        (
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            "more than one Host",
        ),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "Host is no"),
        ("GET / HTTP/1.1\r\nHost: [evil]\r\n\r\n", "Host is no"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "differs"),
        ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "differs"),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "differs"),
        ("GET http://a/ HTTP/1.1\r\n\r\n", "no Host"),
        ("GET http:///x HTTP/1.0\r\n\r\n", "differs"),
        // request line
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "version"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "version"),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "request line"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "version"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "version"),
        ("GET /\r\nHost: a\r\n\r\n", "request line"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "version"),
        ("GET / HTTP/1.01\r\nHost: a\r\n\r\n", "version"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "percent"),
        ("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", "percent"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "percent"),
        ("GET /?\"x\" HTTP/1.1\r\nHost: a\r\n\r\n", "percent"),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT"),
        (
            "TOLLWAY-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n",
            "not for clients",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "request line"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "LF alone"),
        ("\x16\x03\x01\n", "LF alone"),
        // Connection
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Authorization\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: cookie\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-api-key\r\n\r\n",
            "Connection names",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n",
            "no list",
        ),
    ];
    for (raw, detail) in table {
        let found = check_stream(raw.as_bytes()).expect_err(raw);
        assert_eq!(found.code.status, 400, "{raw:?}");
        assert!(found.detail.contains(detail), "{raw:?}: {}", found.detail);
        let (passed, end, violation) = read_every_way(raw.as_bytes());
        assert_eq!(
            (passed.as_slice(), end),
            (STAND_IN, End::StandIn),
            "{raw:?}"
        );
        assert_eq!(violation, Some(found));

        // Behind a good request: that one passes, unchanged.
        let both = format!("{GOOD}{raw}");
        let (passed, end, _) = read_every_way(both.as_bytes());
        let expected = [GOOD.as_bytes(), STAND_IN].concat();
        assert_eq!((passed, end), (expected, End::StandIn), "{both:?}");
    }
}

/// req: S4
#[test]
fn malformed_bodies_stop_before_the_bad_byte() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let table: &[(&str, &str, &str)] = &[
        // body, what of it passes, detail
        ("x\r\n", "", "hexadecimal"),
        ("\r\n", "", "hexadecimal"),
        (" 3\r\nabc\r\n", "", "hexadecimal"),
        ("-1\r\n", "", "hexadecimal"),
        ("+3\r\nabc\r\n", "", "hexadecimal"),
        ("0x3\r\nabc\r\n", "0", "hexadecimal"),
        ("3 \r\nabc\r\n", "3", "hexadecimal"),
        ("3_\r\nabc\r\n", "3", "hexadecimal"),
        (
            "00000000000000003\r\nabc\r\n",
            "0000000000000000",
            "16 digits",
        ),
        ("3\nabc\r\n", "3", "hexadecimal"),
        ("3\rabc\r\n", "3\r", "CRLF"),
        ("3;a\nabc\r\n", "3;a", "control"),
        ("3;a=\0\r\nabc\r\n", "3;a=", "control"),
        ("3\r\nabcd\r\n", "3\r\nabc", "CRLF"),
        ("3\r\nabc\n0\r\n\r\n", "3\r\nabc", "CRLF"),
        ("3\r\nabc\r0\r\n\r\n", "3\r\nabc\r", "CRLF"),
        ("3\r\nabc\r\n\r\n", "3\r\nabc\r\n", "hexadecimal"),
        ("0\r\nContent-Length: 5\r\n\r\n", "0\r\n", "trailers hold"),
        ("0\r\nHost: b\r\n\r\n", "0\r\n", "trailers hold"),
        ("0\r\nAuthorization: b\r\n\r\n", "0\r\n", "trailers hold"),
        ("0\r\nX-Forwarded-For: b\r\n\r\n", "0\r\n", "trailers hold"),
        (
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "0\r\n",
            "trailers hold",
        ),
        ("0\r\nX: 1\n\r\n", "0\r\n", "LF alone"),
        ("0\r\nX: 1\r\n y\r\n\r\n", "0\r\n", "obs-fold"),
        ("0\r\n\n", "0\r\n", "LF alone"),
        (
            "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "0\r\n",
            "no colon",
        ),
    ];
    for (body, passes, detail) in table {
        let raw = format!("{head}{body}");
        let (passed, end, violation) = read_every_way(raw.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&passed),
            format!("{head}{passes}"),
            "{body:?}"
        );
        assert_eq!(end, End::BodyError, "{body:?}");
        let violation = violation.unwrap();
        assert_eq!(violation.code.status, 400);
        assert!(
            violation.detail.contains(detail),
            "{body:?}: {}",
            violation.detail
        );
    }
}

#[test]
fn clean_streams_pass_unchanged() {
    let table: &[(&str, usize)] = &[
        (GOOD, 1),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET / HTTP/1.0\r\n\r\n", 1),
        ("GET /a?b=/c?d[]={} HTTP/1.1\r\nhOsT: [::1]:8280\r\n\r\n", 1),
        (
            "GET http://A.example:80/x?y HTTP/1.1\r\nHost: a.EXAMPLE:80\r\n\r\n",
            1,
        ),
        ("GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("M-SEARCH /\\{x}|\"^[] HTTP/1.1\r\nHost: a_b\r\n\r\n", 1),
        (
            "GET / HTTP/1.1\r\nHost: \t a \t\r\nX:\r\nY: \u{e9}\tz \r\n\r\n",
            1,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: ,keep-alive,,TE, x-hop\r\nTE: trailers\r\n\r\n",
            1,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005 \r\n\r\na\n\0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\r\n\r\nA;x=\"y\"\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        // incomplete, but nothing wrong yet
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
            0,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            0,
        ),
    ];
    for (raw, messages) in table {
        assert_eq!(check_stream(raw.as_bytes()), Ok(*messages), "{raw:?}");
        let (passed, end, violation) = read_every_way(raw.as_bytes());
        assert_eq!(String::from_utf8_lossy(&passed), *raw);
        assert_eq!((end, violation), (End::Eof, None), "{raw:?}");
    }
}

#[test]
fn an_incomplete_head_is_held_back() {
    let raw = "GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /half HTTP/1.1\r\nHost: a\r\n";
    let (passed, end, violation) = read_every_way(raw.as_bytes());
    assert_eq!(String::from_utf8_lossy(&passed), GOOD);
    assert_eq!((end, violation), (End::Eof, None));
}

#[test]
fn limits_hold_and_can_be_set() {
    let rules = Rules {
        head_bytes_max: 200,
        headers_max: 3,
        target_bytes_max: 20,
        trailer_bytes_max: 50,
        trailers_max: 2,
        extension_bytes_max: 10,
        pipelined_max: 3,
    };
    let found = |raw: String| {
        let (_, _, violation) = read(Wire::of([raw.as_bytes()]), rules, 1 << 20);
        violation.map(|violation| {
            let exceeded = violation.exceeded.expect("they are limits");
            (violation.code.status, exceeded)
        })
    };
    let fields = |count: usize| {
        let fields: String = (1..count).map(|n| format!("X{n}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    assert_eq!(found(fields(3)), None);
    assert_eq!(found(fields(4)), Some((431, Exceeded::Head)));
    let head = |length: usize| {
        let begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4))
    };
    assert_eq!(found(head(200)), None);
    assert_eq!(found(head(201)), Some((431, Exceeded::Head)));
    assert_eq!(
        found("x".repeat(201)),
        Some((431, Exceeded::Head)),
        "a line without end"
    );
    let target = |length: usize| format!("GET {:x<length$} HTTP/1.1\r\nHost: a\r\n\r\n", "/");
    assert_eq!(found(target(20)), None);
    assert_eq!(found(target(21)), Some((414, Exceeded::Target)));
    let chunks = |extension: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n1;{extension}\r\na\r\n0\r\n\r\n"
        )
    };
    assert_eq!(found(chunks("12345")), None);
    assert_eq!(
        found(chunks("123456")),
        Some((400, Exceeded::ChunkExtensions))
    );
    let trailers = |count: usize, size: usize| {
        let value = "1".repeat(size);
        let fields: String = (0..count).map(|n| format!("X{n}: {value}\r\n")).collect();
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{fields}\r\n")
    };
    assert_eq!(found(trailers(2, 1)), None);
    assert_eq!(found(trailers(3, 1)), Some((431, Exceeded::Trailers)));
    assert_eq!(found(trailers(2, 18)), None);
    assert_eq!(found(trailers(2, 19)), Some((431, Exceeded::Trailers)));
    let pipelined = |count: usize| "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
    assert_eq!(found(pipelined(3)), None);
    assert_eq!(found(pipelined(4)), Some((429, Exceeded::Pipelined)));
}

#[test]
fn held_bytes_do_not_pile_up() {
    // Pieces that always end within a head: there is always something held.
    let raw = GOOD.repeat(10_000);
    let (mut guarded, _) = Guarded::new(
        Wire::of(raw.as_bytes().chunks(GOOD.len() + 1)),
        Rules::default(),
    );
    let mut cx = Context::from_waker(Waker::noop());
    let mut passed = 0;
    loop {
        let mut bytes = [0; 1024];
        let mut buf = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut guarded).poll_read(&mut cx, &mut buf);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
        assert!(guarded.held.capacity() < 64 * 1024);
        if buf.filled().is_empty() {
            break;
        }
        passed += buf.filled().len();
    }
    assert_eq!(passed, raw.len());
}

/// Serves a wire with hyper behind the guard, as the gateway does. Answers what the service saw, and what the client got, which
/// closes behind so many answers. A request in flight is given up when the end of the stream shows.
fn serve(pieces: Vec<Vec<u8>>, answers: usize) -> (Vec<(String, Vec<u8>)>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let wire = Wire {
        pieces: pieces.into(),
        answers,
        ..Wire::default()
    };
    let written = Rc::clone(&wire.written);
    let (guarded, handle) = Guarded::new(wire, Rules::default());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (handle, seen) = (handle.clone(), Rc::clone(&seen));
        async move {
            // What waits here lets the guard look whether the client has gone, while a request is in flight.
            tokio::task::yield_now().await;
            let target = request.uri().to_string();
            let refused = request.method() == REFUSED;
            let body = request.into_body().collect().await;
            let text = match (refused, body) {
                (false, Ok(body)) => {
                    seen.borrow_mut().push((target, body.to_bytes().to_vec()));
                    return Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("fine"))));
                }
                _ => handle.violation().expect("that is why").detail,
            };
            let mut response = Response::new(Full::new(Bytes::from(text.into_owned())));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            Ok(response)
        }
    });
    runtime.block_on(async {
        let io = hyper_util::rt::TokioIo::new(guarded);
        // How hyper ends a connection with a broken body does not matter here, what was answered does.
        let _ended = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(io, service)
            .await;
    });
    let (seen, written) = (seen.take(), written.take());
    (seen, String::from_utf8(written).unwrap())
}

/// req: S4
#[test]
fn earlier_requests_are_answered_then_the_bad_one_then_the_connection_ends() {
    let smuggled = "POST /cl HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    let raw = format!("{GOOD}{GOOD}{smuggled}");
    for size in [1, 7, 40, raw.len()] {
        let pieces = raw.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let (seen, written) = serve(pieces, 0);
        let targets: Vec<&str> = seen.iter().map(|(target, _)| target.as_str()).collect();
        assert_eq!(targets, ["/good", "/good"], "size {size}");
        assert_eq!(written.matches("HTTP/1.1 200 OK").count(), 2, "{written}");
        assert_eq!(
            written.matches("HTTP/1.1 400 Bad Request").count(),
            1,
            "{written}"
        );
        assert!(
            written.ends_with("Content-Length together with Transfer-Encoding"),
            "{written}"
        );
        let last = written.rfind("HTTP/1.1").unwrap();
        assert!(written[last..].contains("connection: close"), "{written}");
    }
}

/// A client that has gone while its request is in flight gets no answer made; one that has sent another request stays.
#[test]
fn a_request_of_a_client_that_has_gone_is_given_up() {
    let served = |raw: &str, answers| {
        let (seen, written) = serve(vec![raw.as_bytes().to_vec()], answers);
        (seen.len(), written.matches("HTTP/1.1 200 OK").count())
    };
    assert_eq!(served(GOOD, 0), (0, 0));
    // What it has begun besides does not hide that.
    assert_eq!(served(&format!("{GOOD}\r\n"), 0), (0, 0));
    assert_eq!(served(&format!("{GOOD}GET /sec"), 0), (0, 0));
    assert_eq!(served(GOOD, 1), (1, 1));
    assert_eq!(served(&GOOD.repeat(2), 2), (2, 2));
}

/// req: S4
#[test]
fn a_body_that_breaks_is_answered_400_and_nothing_behind_it_is_served() {
    let raw = "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    for size in [1, 7, raw.len()] {
        let (seen, written) = serve(raw.as_bytes().chunks(size).map(<[u8]>::to_vec).collect(), 0);
        assert!(seen.is_empty(), "{seen:?}");
        assert_eq!(written.matches("HTTP/1.1").count(), 1, "{written}");
        assert!(written.starts_with("HTTP/1.1 400 Bad Request"), "{written}");
    }
}

/// A message and its body.
fn message() -> impl Strategy<Value = (String, Vec<u8>)> {
    let head = "(GET|POST|PUT|X-1) /[a-z/]{0,9}(\\?[a-z=&]{0,9})? HTTP/1\\.1\r\nHost: [a-z]{1,5}\r\n(X-[a-z]{1,5}: [ -~]{0,20}\r\n){0,3}";
    let body = prop::collection::vec(any::<u8>(), 0..80);
    (head, body, prop::option::of(1_usize..30), any::<bool>())
        .prop_map(|(head, body, chunk, trailer)| {
            let mut raw = head.into_bytes();
            match chunk {
                None => raw.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes()),
                Some(_) => raw.extend(b"transfer-encoding: chunked\r\n\r\n"),
            }
            match chunk {
                None => raw.extend(&body),
                Some(size) => {
                    for part in body.chunks(size) {
                        raw.extend(format!("{:x};e=1\r\n", part.len()).into_bytes());
                        raw.extend(part);
                        raw.extend(b"\r\n");
                    }
                    raw.extend(b"0\r\n");
                    if trailer {
                        raw.extend(b"x-sum: 1\r\n");
                    }
                    raw.extend(b"\r\n");
                }
            }
            (raw, body)
        })
        // Bytes are not UTF-8, so the text goes as Latin-1.
        .prop_map(|(raw, body)| (raw.into_iter().map(char::from).collect(), body))
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|found| u8::try_from(u32::from(found)).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The guard changes no byte of a clean stream, and sees the messages that hyper sees.
    #[test]
    fn boundaries_agree_with_hyper(
        messages in prop::collection::vec(message(), 1..6),
        size in 1_usize..200,
    ) {
        let raw: Vec<u8> = messages.iter().flat_map(|(raw, _)| latin1(raw)).collect();
        prop_assert_eq!(check_stream(&raw), Ok(messages.len()));
        let (passed, end, _) = read(Wire::of(raw.chunks(size)), Rules::default(), 100);
        prop_assert_eq!(&passed, &raw);
        prop_assert_eq!(end, End::Eof);
        let pieces = raw.chunks(size).map(<[u8]>::to_vec).collect();
        let (seen, _) = serve(pieces, messages.len());
        let bodies: Vec<Vec<u8>> = seen.into_iter().map(|(_, body)| body).collect();
        let sent: Vec<Vec<u8>> = messages.into_iter().map(|(_, body)| body).collect();
        prop_assert_eq!(bodies, sent);
    }

    /// However a stream is cut, the verdict is the same; what hyper reads is what was sent, up to the violation.
    #[test]
    fn noise_is_survived(
        raw in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "\n", "\r", "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "3\r\nabc\r\n", "abc", " ", ":", "X: y\r\n", "\0",
            "Connection: close\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]), 0..12),
        size in 1_usize..40,
    ) {
        let raw = raw.concat().into_bytes();
        let whole = read(Wire::of([raw.as_slice()]), Rules::default(), 1 << 16);
        let cut = read(Wire::of(raw.chunks(size)), Rules::default(), 1 << 16);
        prop_assert_eq!(&whole, &cut);
        let (passed, end, violation) = whole;
        prop_assert_eq!(violation.is_some(), end != End::Eof);
        let own = if end == End::StandIn { passed.len() - STAND_IN.len() } else { passed.len() };
        prop_assert_eq!(&passed[..own], &raw[..own]);
    }
}
