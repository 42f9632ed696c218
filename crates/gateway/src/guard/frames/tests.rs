//! The walk over frames, held against one that has all bytes at once.

use proptest::prelude::*;

use super::*;

/// A frame as it stands on the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Follows a stream in pieces.
fn follow(frames: &mut Frames, bytes: &[u8], size: usize) -> Vec<Frame> {
    let mut seen = Vec::new();
    for piece in bytes.chunks(size) {
        let went: ControlFlow<()> = frames.advance(piece, |frame| {
            seen.push(*frame);
            ControlFlow::Continue(())
        });
        assert!(went.is_continue());
    }
    seen
}

#[test]
fn heads_are_seen_and_payloads_passed_over() {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(kind::SETTINGS, 0, 0, &[0; 12]));
    bytes.extend(frame(kind::HEADERS, END_STREAM, 1, b"head"));
    bytes.extend(frame(kind::CONTINUATION, END_HEADERS, 1, b""));
    bytes.extend(frame(kind::RST_STREAM, 0, 0x8000_0001, &[0, 0, 0, 8]));
    bytes.extend(frame(kind::DATA, PADDED, 3, &[2, b'x', 0, 0]));
    for size in [1, 2, 9, 10, 1000] {
        let mut frames = Frames::of_client();
        let seen = follow(&mut frames, &bytes, size);
        let kinds: Vec<_> = seen
            .iter()
            .map(|frame| (frame.kind, frame.stream))
            .collect();
        assert_eq!(kinds, [(4, 0), (1, 1), (9, 1), (3, 1), (0, 3)], "{size}");
        assert_eq!((seen[3].value, seen[4].value), (8, 2));
        assert!(seen[1].ends_stream() && !seen[4].is_empty_data());
        assert!(frames.is_between() && !frames.is_owed());
    }
}

#[test]
fn what_was_begun_is_owed_but_for_bodies() {
    let owed = |bytes: &[u8]| {
        let mut frames = Frames::of_server();
        follow(&mut frames, bytes, 100);
        frames.is_owed()
    };
    assert!(Frames::of_client().is_owed());
    assert!(!owed(b""));
    assert!(owed(&[0, 0, 8]));
    assert!(owed(&frame(kind::PING, 0, 0, &[0; 8])[..12]));
    assert!(owed(&frame(kind::HEADERS, 0, 1, b"head")));
    assert!(owed(&frame(kind::HEADERS, END_HEADERS, 1, b"head")[..12]));
    assert!(!owed(&frame(kind::HEADERS, END_HEADERS, 1, b"head")));
    assert!(!owed(&frame(kind::DATA, 0, 1, b"a long body")[..15]));
}

#[test]
fn data_without_data_is_empty_whatever_its_padding() {
    for (flags, payload, empty) in [
        (0, &b""[..], true),
        (0, b"x", false),
        (END_STREAM, b"", false),
        (PADDED, &[0], true),
        (PADDED, &[3, 0, 0, 0], true),
        (PADDED, &[2, b'x', 0, 0], false),
        (PADDED, &[0xff], true),
    ] {
        let seen = follow(&mut Frames::of_server(), &frame(0, flags, 1, payload), 100);
        assert_eq!(seen[0].is_empty_data(), empty, "{flags} {payload:?}");
    }
}

proptest! {
    /// How a stream is cut changes nothing, and every byte belongs to one frame.
    #[test]
    fn cuts_change_nothing(
        frames in prop::collection::vec(
            (any::<u8>(), any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20,
        ),
        size in 1_usize..50,
    ) {
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in &frames {
            bytes.extend(frame(kind % 12, *flags, *stream, payload));
        }
        let mut walk = Frames::of_server();
        let seen = follow(&mut walk, &bytes, size);
        let expected: Vec<_> = frames
            .iter()
            .map(|(kind, _, stream, payload)| (kind % 12, stream & 0x7fff_ffff, u32::try_from(payload.len()).unwrap()))
            .collect();
        let heads: Vec<_> = seen.iter().map(|frame| (frame.kind, frame.stream, frame.length)).collect();
        prop_assert_eq!(heads, expected);
        prop_assert!(walk.is_between());
    }

    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), size in 1_usize..100) {
        let whole = follow(&mut Frames::of_client(), &bytes, 2000);
        let cut = follow(&mut Frames::of_client(), &bytes, size);
        prop_assert_eq!(whole, cut);
    }
}
