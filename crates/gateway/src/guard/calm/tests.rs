//! Allowances: what is too much, what useful work allows for, and that a window ends.

use std::ops::ControlFlow;

use super::*;
use crate::guard::frames::Frames;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

fn head(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    let mut found = None;
    let went: ControlFlow<()> = Frames::of_server().advance(&bytes, |frame| {
        found = Some(*frame);
        ControlFlow::Continue(())
    });
    assert!(went.is_continue());
    found.unwrap()
}

fn reset(stream: u32, code: u32) -> Frame {
    head(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn limits() -> H2Limits {
    H2Limits {
        streams_max: 2,
        resets_max: 10,
        pings_max: 10,
        settings_max: 10,
        continuations_max: 10,
        empty_data_max: 10,
        window_updates_max: 10,
        other_frames_max: 10,
        window_ms: 10_000,
    }
}

/// req: S12
#[test]
fn every_kind_has_its_allowance() {
    let empty_head = head(kind::CONTINUATION, 0, 1, b"");
    for (frame, flood) in [
        (reset(1, 8), Flood::Resets),
        (head(kind::PING, 0, 0, &[0; 8]), Flood::Pings),
        (head(kind::PING, 1, 0, &[0; 8]), Flood::Pings),
        (head(kind::SETTINGS, 0, 0, &[]), Flood::Settings),
        (empty_head, Flood::Continuations),
        (head(kind::DATA, 0, 1, &[]), Flood::EmptyData),
        (
            head(kind::WINDOW_UPDATE, 0, 1, &[0; 4]),
            Flood::WindowUpdates,
        ),
        (head(0x2, 0, 1, &[0; 5]), Flood::OtherFrames),
        (head(0xfe, 0, 0, &[]), Flood::OtherFrames),
    ] {
        let mut calm = Calm::new(limits(), 0);
        for _ in 0..10 {
            assert_eq!(calm.came(&frame, 0), Ok(()), "{flood:?}");
        }
        assert_eq!(calm.came(&frame, 0), Err(flood));
    }
}

#[test]
fn a_window_ends() {
    let mut calm = Calm::new(limits(), 0);
    let ping = head(kind::PING, 0, 0, &[0; 8]);
    for second in 0..100 {
        assert_eq!(calm.came(&ping, second * 1000), Ok(()), "{second}");
    }
    // But not at once: the half before counts too.
    let mut calm = Calm::new(limits(), 0);
    for _ in 0..10 {
        calm.came(&ping, 4_999).unwrap();
    }
    assert_eq!(calm.came(&ping, 5_001), Err(Flood::Pings));
    let mut calm = Calm::new(limits(), 0);
    for _ in 0..10 {
        calm.came(&ping, 4_999).unwrap();
    }
    assert_eq!(calm.came(&ping, 10_001), Ok(()));
}

#[test]
fn the_window_is_an_option() {
    let limits = H2Limits {
        window_ms: 1_000,
        ..limits()
    };
    let ping = head(kind::PING, 0, 0, &[0; 8]);
    let mut calm = Calm::new(limits, 0);
    for tenth in 0..100 {
        assert_eq!(calm.came(&ping, tenth * 100), Ok(()), "{tenth}");
    }
    let mut calm = Calm::new(limits, 0);
    for _ in 0..10 {
        calm.came(&ping, 499).unwrap();
    }
    assert_eq!(calm.came(&ping, 501), Err(Flood::Pings));
    assert_eq!(calm.came(&ping, 1_001), Ok(()));
}

#[test]
fn the_first_head_on_a_stream_is_told_from_trailers() {
    const HEADERS: u8 = kind::HEADERS;
    let mut calm = Calm::new(limits(), 0);
    calm.came(&head(HEADERS, 0, 1, b"h"), 0).unwrap();
    calm.came(&head(HEADERS, 0, 3, b"h"), 0).unwrap();
    assert_eq!(calm.sent(&head(HEADERS, 0, 1, b"h"), 0), Ok(Sent::Head));
    assert_eq!(
        calm.sent(&head(kind::DATA, 0, 1, b"data"), 0),
        Ok(Sent::Other)
    );
    assert_eq!(calm.open_streams(), 2);
    let trailers = head(HEADERS, END_STREAM, 1, b"t");
    assert_eq!(calm.sent(&trailers, 0), Ok(Sent::Other));
    assert_eq!(calm.open_streams(), 1);
    let whole = head(HEADERS, END_STREAM, 3, b"h");
    assert_eq!(calm.sent(&whole, 0), Ok(Sent::Head));
    assert_eq!(calm.open_streams(), 0);
}

#[test]
fn useful_work_allows_for_more() {
    let mut calm = Calm::new(limits(), 0);
    let answer = head(kind::DATA, END_STREAM, 1, b"answer");
    for _ in 0..100 {
        calm.sent(&answer, 0).unwrap();
    }
    for _ in 0..110 {
        calm.came(&reset(1, 8), 0).unwrap();
        calm.came(&head(kind::PING, 0, 0, &[0; 8]), 0).unwrap();
    }
    assert_eq!(calm.came(&reset(1, 8), 0), Err(Flood::Resets));
    // Who takes an answer byte by byte does no work.
    let mut calm = Calm::new(limits(), 0);
    let byte = head(kind::DATA, 0, 1, b"x");
    let update = head(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    let ended = (0..100).find_map(|_| {
        calm.sent(&byte, 0).unwrap();
        calm.came(&update, 0).err()
    });
    assert_eq!(ended, Some(Flood::WindowUpdates));
}

/// CVE-2025-8671: the client makes us reset its streams.
#[test]
fn streams_that_are_reset_for_the_clients_faults_count_too() {
    let mut calm = Calm::new(limits(), 0);
    for stream in 0..10 {
        assert_eq!(calm.sent(&reset(stream, 0x1), 0), Ok(Sent::Other));
        // Not the client's fault: the backend broke, or the answer came before the request's end.
        assert_eq!(calm.sent(&reset(stream, 0x2), 0), Ok(Sent::Other));
        assert_eq!(calm.sent(&reset(stream, 0x0), 0), Ok(Sent::Other));
    }
    assert_eq!(calm.sent(&reset(99, 0x3), 0), Err(Flood::Resets));
}

#[test]
fn refused_streams_are_told_apart() {
    let mut calm = Calm::new(limits(), 0);
    for stream in 0..104 {
        assert_eq!(
            calm.sent(&reset(stream, REFUSED_STREAM), 0),
            Ok(Sent::Refusal)
        );
    }
    let one_more = calm.sent(&reset(1, REFUSED_STREAM), 0);
    assert_eq!(one_more, Err(Flood::Streams));
}

#[test]
fn streams_are_open_until_their_answer_ends() {
    let mut calm = Calm::new(limits(), 0);
    for stream in [1, 3, 5, 7] {
        let opens = head(kind::HEADERS, END_HEADERS, stream, b"head");
        calm.came(&opens, 0).unwrap();
        // Trailers open nothing.
        calm.came(&opens, 0).unwrap();
    }
    assert_eq!((calm.open_streams(), calm.latest_stream()), (4, 7));
    calm.sent(&head(kind::HEADERS, END_HEADERS, 1, b"head"), 0)
        .unwrap();
    calm.sent(&head(kind::DATA, 0, 1, b"part"), 0).unwrap();
    assert_eq!(calm.open_streams(), 4);
    calm.sent(&head(kind::DATA, END_STREAM, 1, b"end"), 0)
        .unwrap();
    calm.came(&reset(3, 8), 0).unwrap();
    calm.sent(&reset(5, 7), 0).unwrap();
    calm.came(&reset(1, 8), 0).unwrap();
    assert_eq!(calm.open_streams(), 1);
}
