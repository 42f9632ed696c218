use super::*;
use crate::guard::check_stream;

/// Bytes that values may hold, and those beside them that they may not.
const BYTES: [u8; 12] = [
    b'\0', 0x08, b'\t', 0x0b, b'\r', 0x1f, b' ', b'~', 0x7f, 0x80, 0xa0, 0xff,
];

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Values are looked at in pieces: no byte is missed at the border of two, nor beside one that is rare but allowed.
///
/// req: S4
#[test]
fn a_control_character_is_found_wherever_it_stands() {
    for length in 0..70 {
        for (at, byte) in (0..length).flat_map(|at| BYTES.map(|byte| (at, byte))) {
            let mut value = vec![b'x'; length];
            value[at] = byte;
            assert_eq!(has_control(&value), is_control(byte), "{value:?}");
            value[(at * 7 + 3) % length] = b'\t';
            let expected = value.iter().any(|byte| is_control(*byte));
            assert_eq!(has_control(&value), expected, "{value:?}");
        }
        assert!(!has_control(&vec![b'x'; length]));
        assert!(!has_control(&vec![b'\t'; length]));
    }
    for byte in 0..=u8::MAX {
        assert_eq!(has_control(&[byte]), is_control(byte), "{byte}");
        assert_eq!(has_control(&[byte; 41]), is_control(byte), "{byte}");
    }
}

/// req: S4
#[test]
fn a_head_with_a_control_character_does_not_pass() {
    for length in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 700] {
        for (at, byte) in (0..length).flat_map(|at| BYTES.map(|byte| (at, byte))) {
            let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX:".to_vec();
            let begin = head.len();
            head.resize(begin + length, b'x');
            head[begin + at] = byte;
            head.extend_from_slice(b"\r\n\r\n");
            match check_stream(&head) {
                Ok(messages) => assert!(messages == 1 && !is_control(byte), "{byte} at {at}"),
                Err(violation) => {
                    assert!(is_control(byte), "{byte} at {at}");
                    assert_eq!(violation.detail, "a field value holds a control character");
                }
            }
        }
    }
}

/// req: S4
#[test]
fn ports_are_16_bits_of_digits() {
    for (host, expected) in [
        ("a:0", true),
        ("a:00080", true),
        ("a:65535", true),
        ("a:65536", false),
        ("a:184467440737095516160", false),
        ("a:", false),
        ("a:+80", false),
        ("a:8 0", false),
        ("[::1]:80", true),
        ("[::1]:x", false),
    ] {
        assert_eq!(is_host(host.as_bytes()), expected, "{host}");
    }
}
