//! The walk over HTTP/2 frames (req: S12): how a stream is cut into reads changes nothing, every byte belongs to one frame,
//! and the books of a connection survive whatever comes.
#![no_main]

use std::ops::ControlFlow;

use gateway::H2Limits;
use gateway::guard::calm::{Calm, Flood};
use gateway::guard::frames::{Frame, Frames};
use libfuzzer_sys::fuzz_target;

/// Follows a stream in pieces of changing size: the frames, and the first flood.
fn follow(bytes: &[u8], mut state: u32, whole: bool) -> (Vec<Frame>, Option<Flood>) {
    let (mut frames, mut seen) = (Frames::of_client(), Vec::new());
    let mut calm = Calm::new(H2Limits::default(), 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = if whole { rest.len() } else { (state >> 24) as usize % 17 + 1 };
        let (now, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        let went = frames.advance(now, |frame| {
            seen.push(*frame);
            match calm.came(frame, 0) {
                Ok(()) => ControlFlow::Continue(()),
                Err(flood) => ControlFlow::Break(flood),
            }
        });
        if let ControlFlow::Break(flood) = went {
            return (seen, Some(flood));
        }
    }
    (seen, None)
}

fuzz_target!(|input: (u32, &[u8])| {
    let (seed, bytes) = input;
    let whole = follow(bytes, seed, true);
    assert_eq!(whole, follow(bytes, seed, false), "how the stream is cut decides");
    // Heads and payloads that were seen are no more than what was sent; the last payload may be missing.
    let heads = whole.0.len() * 9;
    let payloads: usize = whole.0.iter().rev().skip(1).map(|frame| frame.length as usize).sum();
    assert!(heads + payloads <= bytes.len());
    // What we send is followed as well.
    let mut calm = Calm::new(H2Limits::default(), 0);
    for (index, frame) in whole.0.iter().enumerate() {
        let _ = calm.sent(frame, index as u64 * 100);
    }
});
