use http::HeaderMap;

use super::*;

/// Data and trailers of a body that comes in pieces of this size; the error, if it is not to its end.
fn decode(
    framing: Framing,
    text: &str,
    piece: usize,
) -> Result<(String, HeaderMap, usize), DecodeFault> {
    let mut decoder = Decoder::new(framing, 100, 10);
    let (mut data, mut trailers) = (String::new(), HeaderMap::new());
    let mut read = BytesMut::new();
    for part in text.as_bytes().chunks(piece) {
        read.extend_from_slice(part);
        while let Some(frame) = decoder.next(&mut read)? {
            match frame.into_data() {
                Ok(bytes) => data.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(frame) => trailers = frame.into_trailers().unwrap(),
            }
        }
    }
    decoder.end()?;
    Ok((data, trailers, read.len()))
}

#[test]
fn a_known_length_ends_there() {
    for piece in 1..12 {
        let (data, _, rest) = decode(Framing::Length(5), "hello and", piece).unwrap();
        assert_eq!((data.as_str(), rest), ("hello", 4));
    }
    let short = decode(Framing::Length(5), "hell", 9);
    assert_eq!(short.unwrap_err(), DecodeFault::Short);
}

#[test]
fn an_unknown_length_ends_with_the_connection() {
    let (data, _, rest) = decode(Framing::Close, "hello", 2).unwrap();
    assert_eq!((data.as_str(), rest), ("hello", 0));
}

#[test]
fn chunks_are_joined_and_trailers_kept() {
    let text = "5;x=y\r\nhello\r\n00A\r\n, trailers\r\n0\r\na: b\r\nc: d\r\n\r\nrest";
    for piece in 1..text.len() + 1 {
        let (data, trailers, rest) = decode(Framing::Chunked, text, piece).unwrap();
        assert_eq!(data, "hello, trailers");
        assert_eq!(
            (&trailers["a"], &trailers["c"]),
            (&"b".parse().unwrap(), &"d".parse().unwrap())
        );
        assert_eq!(rest, 4);
    }
    let (data, trailers, _) = decode(Framing::Chunked, "0\r\n\r\n", 1).unwrap();
    assert!(data.is_empty() && trailers.is_empty());
}

/// req: S4
#[test]
fn a_malformed_coding_is_refused() {
    for text in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "11111111111111111\r\n",
    ] {
        let found = decode(Framing::Chunked, text, 100).unwrap_err();
        assert_eq!(found, DecodeFault::Chunk, "{text:?}");
    }
    for text in ["5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\na: b\r\n"] {
        let found = decode(Framing::Chunked, text, 100).unwrap_err();
        assert_eq!(found, DecodeFault::Short, "{text:?}");
    }
    let long = format!("0\r\na: {}", "x".repeat(200));
    for text in ["0\r\nno colon\r\n\r\n", long.as_str()] {
        let found = decode(Framing::Chunked, text, 100).unwrap_err();
        assert_eq!(found, DecodeFault::Trailers, "{text:?}");
    }
}

proptest::proptest! {
    /// However a body is cut, and whatever it holds: no panic, and the cuts change nothing.
    #[test]
    fn cuts_change_nothing(
        parts in proptest::collection::vec("(0|1|a|;x|\r\n|\r|\n|x: y|5\r\nhello\r\n|0\r\n\r\n| )", 0..12),
        piece in 1_usize..9,
    ) {
        let text = parts.concat();
        for framing in [Framing::Chunked, Framing::Length(7), Framing::Close] {
            let whole = decode(framing, &text, text.len().max(1));
            let cut = decode(framing, &text, piece);
            proptest::prop_assert_eq!(whole, cut);
        }
    }
}
