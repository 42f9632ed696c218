use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::upstream::h1::head::fields;

/// What a reader with this memory finds in these lines.
fn read(latest: &mut Latest, lines: &str) -> Result<HeaderMap, HeadFault> {
    let bytes = Bytes::from(format!("{lines}\r\n"));
    let mut room = [httparse::EMPTY_HEADER; 100];
    let parsed = httparse::parse_headers(&bytes, &mut room).unwrap();
    let httparse::Status::Complete((_, found)) = parsed else {
        panic!("{lines:?} is not whole");
    };
    fields(&bytes, found, latest)
}

/// What is remembered of one answer is never taken for the next one's.
#[test]
fn fields_are_those_of_this_answer() {
    let mut latest = Latest::default();
    for lines in [
        "Server: a\r\nX-One: 1\r\n",
        "Server: a\r\nX-One: 1\r\n",
        "Server: b\r\nX-One: 1\r\n",
        "Server: a\r\nX-One: \r\n",
        "X-One: 1\r\nServer: a\r\nX-Two: 2\r\n",
        "server: a\r\nx-one: 1\r\n",
        "",
        "X-One: 1\r\nX-One: 2\r\n",
        "X-One: 1\r\nX-One: 2\r\n",
        "X-One: 2\r\nX-One: 1\r\n",
    ] {
        let found: String = read(&mut latest, lines)
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
            .collect();
        assert_eq!(found, lines.to_lowercase());
    }
}

#[test]
fn a_value_that_comes_again_is_not_read_again() {
    let mut latest = Latest::default();
    let lines = "Server: a\r\nDate: now\r\n";
    read(&mut latest, lines).unwrap();
    let again = |latest: &mut Latest, lines| {
        let headers = read(latest, lines).unwrap();
        ["server", "date"].map(|name| headers[name].as_bytes().as_ptr())
    };
    let first = again(&mut latest, lines);
    assert_eq!(again(&mut latest, lines), first);
    let later = "Server: a\r\nDate: then\r\n";
    for _ in 0..VALUES_EVERY {
        assert_eq!(again(&mut latest, later)[0], first[0]);
    }
    let second = again(&mut latest, later);
    assert_ne!(second[1], first[1]);
    assert_eq!(again(&mut latest, later), second);
}

#[test]
fn little_is_remembered() {
    let mut latest = Latest::default();
    let many: String = (0..90)
        .map(|number| format!("x-{number}: {}\r\n", "v".repeat(number * 8)))
        .collect();
    read(&mut latest, &many).unwrap();
    assert_eq!(latest.fields.len(), FIELDS_MAX);
    let lengths = latest.fields.iter().map(|field| field.value.len());
    assert_eq!(lengths.max(), Some(VALUE_BYTES_MAX));
}

#[test]
fn what_is_malformed_is_neither_given_out_nor_remembered() {
    let mut latest = Latest::default();
    for _ in 0..2 * VALUES_EVERY {
        let (bytes, name) = (Bytes::from_static(b"a\x01b"), "server");
        let found = httparse::Header {
            name,
            value: &bytes,
        };
        latest.begin();
        let fault = latest.read(0, &bytes, &found).map(|_| ());
        assert_eq!(fault, Err(HeadFault::Malformed));
        assert!(latest.fields[0].value.is_empty());
    }
}

proptest! {
    /// Whatever came before, a reader with a memory finds what one without it finds.
    #[test]
    fn memory_changes_nothing(
        answers in prop::collection::vec(
            prop::collection::vec(("(server|Server|date|x-a|X-A)", "[ab\u{e9}]{0,2}"), 0..5),
            0..40,
        ),
    ) {
        let mut latest = Latest::default();
        for answer in answers {
            let lines: String = answer
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let fresh = read(&mut Latest::default(), &lines);
            prop_assert_eq!(read(&mut latest, &lines), fresh);
        }
    }
}
