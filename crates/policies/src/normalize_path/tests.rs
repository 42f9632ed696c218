use proptest::prelude::*;

use super::*;

fn of(raw: &str) -> Result<Cow<'_, str>, Reject> {
    canonical(raw, &PathRules::default())
}

/// req: S1
#[test]
fn unsafe_paths_are_refused() {
    for raw in [
        // dot-segments
        "/.",
        "/..",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/../a",
        "/a/%2e",
        "/a/%2E%2e/b",
        "/a/.%2e/b",
        "/%2e./b",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/.;/b",
        "/a/%2e%2e;/b",
        // separators
        "/a%2fb",
        "/a%2Fb",
        "/a/..%2fb",
        "/a%5cb",
        "/a%5Cb",
        "/a\\b",
        "/a/..\\b",
        "\\a",
        // twice encoded
        "/a/%252e%252e/b",
        "/a%252fb",
        "/a%255cb",
        "/%2561dmin",
        "/a%25252fb",
        "/a%25%32%66b",
        "/a%2%35%32f",
        "/%2500",
        "/a%25%2b%32", // not hexadecimal behind the percent sign, but see below
        // controls
        "/a%00b",
        "/a%0d%0ab",
        "/a%1f",
        "/a%7F",
        "/a\0b",
        "/a\tb",
        "/a\nb",
        "/a b",
        "/a\u{7f}",
        // triplets
        "/%",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%2g",
        "/%u002e",
        "/a%+1",
        // beyond ASCII, overlong forms, halves
        "/\u{e9}",
        "/%e9",
        "/%c0%ae%c0%ae/a",
        "/%c0%af",
        "/%e2%82",
        "/%ed%a0%80",
        "/%c3a%a9",
        // segments
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/;/a",
        "/a/;x=1/b",
        "/admin;x=1",
        "/a;/b",
        "/shop;jsessionid=1",
        // not paths
        "",
        "*",
        "a",
        "http://x/a",
        "/a#b",
    ] {
        let found = of(raw);
        if raw == "/a%25%2b%32" {
            assert_eq!(found.unwrap(), "/a%25+2");
            continue;
        }
        let reject = found.expect_err(raw);
        assert_eq!(
            (reject.code.name, reject.code.status),
            ("BAD_PATH", 400),
            "{raw}"
        );
    }
}

#[test]
fn safe_paths_have_one_form() {
    for (raw, expected) in [
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("/pets/1.0.0/pets", "/pets/1.0.0/pets"),
        ("/a/...", "/a/..."),
        ("/a/..b/c..", "/a/..b/c.."),
        ("/%61dmin", "/admin"),
        ("/%7euser", "/~user"),
        ("/a%3ab%40", "/a:b@"),
        ("/a%2cb,c", "/a,b,c"),
        ("/%24me", "/$me"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a%3fb%23", "/a%3Fb%23"),
        ("/a%3bb", "/a%3Bb"),
        ("/100%25", "/100%25"),
        ("/100%25/x", "/100%25/x"),
        ("/{id}|^`\"<>[]", "/%7Bid%7D%7C%5E%60%22%3C%3E%5B%5D"),
        ("/cars/;id=5", "/cars/;id=5"),
        ("/v1/keys:rotate", "/v1/keys:rotate"),
    ] {
        assert_eq!(of(raw).unwrap(), expected, "{raw}");
    }
}

#[test]
fn nothing_is_copied_when_nothing_changes() {
    for raw in ["/pets/1.0.0/pets/17", "/caf%C3%A9/a%20b"] {
        assert!(matches!(of(raw), Ok(Cow::Borrowed(_))), "{raw}");
    }
}

#[test]
fn limits_hold_and_can_be_set() {
    let rules = PathRules {
        bytes_max: 10,
        segments_max: 3,
        segment_parameters: true,
    };
    assert!(canonical("/123456789", &rules).is_ok());
    assert!(canonical("/1234567890", &rules).is_err());
    // Fits as it comes, but not in canonical form: `|` becomes `%7C`.
    assert!(canonical("/12345|", &rules).is_ok());
    assert!(canonical("/12345678|", &rules).is_err());
    assert!(canonical("/a/b/c", &rules).is_ok());
    assert!(canonical("/a/b/c/d", &rules).is_err());
    assert_eq!(canonical("/a;x=1", &rules).unwrap(), "/a;x=1");
    assert!(canonical("/..;x/b", &rules).is_err());
}

#[test]
fn literals_of_templates_are_written_as_paths_are() {
    for (literal, path) in [
        ("admin", "/admin"),
        ("caf\u{e9}", "/caf%c3%a9"),
        ("a b", "/a%20b"),
        ("$me", "/%24me"),
        ("%7euser", "/~user"),
        ("50%", "/50%25"),
    ] {
        let text = canonical_literal(literal);
        assert_eq!(format!("/{text}"), of(path).unwrap(), "{literal}");
    }
}

/// Decodes as often as it takes, the way a chain of careless readers would.
fn decoded_to_the_end(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let mut next = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match triplet(&bytes[at..]) {
                Some(byte) => {
                    next.push(byte);
                    at += 3;
                }
                None => {
                    next.push(bytes[at]);
                    at += 1;
                }
            }
        }
        if next == bytes {
            return bytes;
        }
        bytes = next;
    }
}

/// [`glance`] as its words say it, byte by byte.
fn plain_glance(path: &[u8], segments_max: usize) -> Glance {
    let pairs = || path.iter().zip(path.iter().skip(1));
    let unclear = pairs().any(|pair| matches!(pair, (b'/', b'/' | b'.')));
    let segments = path.iter().filter(|byte| **byte == b'/').count();
    if !path.iter().all(|byte| class(*byte) == Class::Plain) {
        Glance::Recode
    } else if unclear || path.contains(&b';') || segments > segments_max {
        Glance::Look
    } else {
        Glance::Canonical
    }
}

/// req: S1
#[test]
fn no_pair_of_bytes_is_seen_otherwise() {
    for pair in 0..=u16::MAX {
        let [one, two] = pair.to_be_bytes();
        for path in [vec![one, two], vec![b'/', b'a', one, two, b'b']] {
            for segments_max in [0, 1, 2, 256] {
                let expected = plain_glance(&path, segments_max);
                assert_eq!(glance(&path, segments_max), expected, "{path:?}");
            }
        }
    }
    assert_eq!(glance(b"", 0), plain_glance(b"", 0));
}

proptest! {
    /// req: S1
    #[test]
    fn a_glance_sees_what_byte_by_byte_is_seen(
        path in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            prop::collection::vec(prop::sample::select(&b"/.;%a-~\\ \xff"[..]), 0..40),
            prop::collection::vec(prop::sample::select(&b"/.;a1"[..]), 0..12),
            prop::collection::vec(prop::sample::select(&b"/abc1"[..]), 0..600),
        ],
        segments_max in prop_oneof![0..8_usize, Just(256)],
    ) {
        prop_assert_eq!(glance(&path, segments_max), plain_glance(&path, segments_max));
    }

    /// req: S1
    #[test]
    fn the_canonical_form_is_its_own_and_hides_nothing(
        raw in "(/|(%25|%2|%|%2e|\\.|/|;|\\\\|[a-f0-9]|%[0-9a-fA-F]{2}|[ -~]|\u{e9}){1,12}){0,4}"
    ) {
        if let Ok(path) = of(&raw) {
            prop_assert_eq!(&of(&path).expect("a canonical path is accepted"), &path);
            let end = decoded_to_the_end(&path);
            let end = String::from_utf8_lossy(&end);
            prop_assert!(!end.contains('\\') && !end.contains("//") && !end.contains(char::is_control));
            let slashes = path.bytes().filter(|byte| *byte == b'/').count();
            prop_assert_eq!(end.bytes().filter(|byte| *byte == b'/').count(), slashes);
            prop_assert!(end.split('/').all(|segment| !matches!(segment.split(';').next(), Some("." | ".."))));
        }
    }

    #[test]
    fn any_text_is_survived(raw in "\\PC*") {
        let _accepted_or_not = of(&raw);
    }
}
