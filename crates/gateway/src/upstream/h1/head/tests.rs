use super::*;

fn of(text: &str, method: &Method) -> Result<Option<Head>, HeadFault> {
    take(
        &mut BytesMut::from(text),
        0,
        100,
        method,
        &mut Latest::default(),
    )
}

fn framing_of(text: &str) -> Result<Framing, HeadFault> {
    of(text, &Method::GET).map(|head| head.expect("a whole head").framing)
}

#[test]
fn the_end_of_a_body_is_where_the_rfc_says() {
    for (head, expected) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(5),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(5),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n",
            Framing::Chunked,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close),
        ("HTTP/1.0 200\n\n", Framing::Close),
        ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0)),
        (
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(0),
        ),
    ] {
        assert_eq!(framing_of(head), Ok(expected), "{head:?}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let head = of(head, &Method::HEAD).unwrap().unwrap();
    assert_eq!(head.framing, Framing::Length(0));
    assert_eq!(head.parts.headers[CONTENT_LENGTH], "5");
}

/// req: S4
#[test]
fn an_ambiguous_end_is_refused() {
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: -1",
        "content-length: 0x5",
        "content-length:",
        "content-length: 99999999999999999999",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert_eq!(framing_of(&head), Err(HeadFault::Framing), "{fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(framing_of(old), Err(HeadFault::Framing));
}

#[test]
fn what_is_not_http_is_refused() {
    for head in [
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        let found = of(head, &Method::GET).map(|head| head.is_some());
        assert_eq!(found, Err(HeadFault::Malformed), "{head:?}");
    }
}

#[test]
fn says_whether_the_connection_stays() {
    for (head, stays) in [
        ("HTTP/1.1 204 A\r\n\r\n", true),
        ("HTTP/1.1 204 A\r\nconnection: x, Close\r\n\r\n", false),
        ("HTTP/1.1 204 A\r\nconnection: keep-alive\r\n\r\n", true),
        (
            "HTTP/1.1 204 A\r\nconnection: keep-alive, close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 A\r\nconnection: keep-alive\r\nconnection: close\r\n\r\n",
            false,
        ),
        ("HTTP/1.0 204 A\r\n\r\n", false),
        ("HTTP/1.0 204 A\r\nconnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.0 204 A\r\nconnection: Keep-Alive, x\r\n\r\n", true),
        ("HTTP/1.0 204 A\r\nconnection: x\r\n\r\n", false),
        ("HTTP/1.1 200 A\r\n\r\n", false),
    ] {
        let head = of(head, &Method::GET).unwrap().unwrap();
        assert_eq!(head.keep_alive, stays, "{:?}", head.parts.headers);
    }
}

#[test]
fn comes_in_any_pieces() {
    let text = "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\n\r\nok";
    for cut in 1..text.len() - 2 {
        let mut read = BytesMut::from(&text[..cut]);
        let mut seen = 0;
        let early = take(&mut read, seen, 100, &Method::GET, &mut Latest::default()).unwrap();
        assert!(early.is_none() || cut >= text.len() - 2);
        seen = read.len();
        read.extend_from_slice(&text.as_bytes()[cut..]);
        let head = take(&mut read, seen, 100, &Method::GET, &mut Latest::default()).unwrap();
        assert_eq!(head.expect("whole").parts.headers["a"], "b");
        assert_eq!(read, "ok");
    }
}

#[test]
fn fields_are_limited() {
    let many = |count: usize| {
        let fields: String = (0..count).map(|index| format!("f{index}: v\r\n")).collect();
        let mut read = BytesMut::from(format!("HTTP/1.1 204 A\r\n{fields}\r\n").as_str());
        take(&mut read, 0, 100, &Method::GET, &mut Latest::default())
            .map(|head| head.unwrap().parts.headers.len())
    };
    assert_eq!(many(10), Ok(10));
    assert_eq!(many(100), Ok(100));
    assert_eq!(many(101), Err(HeadFault::TooManyFields));
}

proptest::proptest! {
    /// No bytes make it panic, and what was not looked at yet makes no difference.
    #[test]
    fn any_bytes_are_a_head_or_an_error(
        parts in proptest::collection::vec("(HTTP/1\\.1 200 OK\r\n|a: b\r\n|content-length: 1\r\n|\r\n|\n|\r|x|\u{0})", 0..10),
        seen in 0_usize..20,
    ) {
        let text = parts.concat();
        let of = |seen| {
            let head = take(&mut BytesMut::from(text.as_str()), seen, 100, &Method::GET, &mut Latest::default());
            head.map(|head| head.map(|head| (head.framing, head.keep_alive, head.parts.headers.len())))
        };
        let end = ends_at(text.as_bytes(), 0);
        if end.is_none_or(|end| seen < end) {
            proptest::prop_assert_eq!(of(0), of(seen.min(text.len())));
        }
    }
}
