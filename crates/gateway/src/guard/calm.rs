//! How many frames of which kind an HTTP/2 connection may bring, measured by the useful work that it does.
//!
//! A stream that is reset, a ping, a change of settings each cost us more than they cost whoever sends them
//! (CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671). Honest clients send few of them, and more
//! where much passes. So each kind has an allowance that grows with what passes, within a window of time.

use smallvec::SmallVec;

use super::frames::{Frame, kind};
use crate::config::H2Limits;

/// Bytes of bodies that allow for one more ping.
const BYTES_FOR_PING: u64 = 4096;
/// Bytes of bodies that allow for one more update of a window: some clients send two for every 4 KiB.
const BYTES_FOR_WINDOW_UPDATE: u64 = 256;

/// Error codes by which a server says that a stream is at fault (RFC 9113 §7): `PROTOCOL_ERROR`, `FLOW_CONTROL_ERROR`,
/// `STREAM_CLOSED`, `FRAME_SIZE_ERROR`, `COMPRESSION_ERROR`, `ENHANCE_YOUR_CALM`.
const FAULTS: [u32; 6] = [0x1, 0x3, 0x5, 0x6, 0x9, 0xb];
const REFUSED_STREAM: u32 = 0x7;

/// What there is too much of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flood {
    /// Streams beyond those that may be open at a time.
    Streams,
    /// Streams that are reset.
    Resets,
    /// `PING`.
    Pings,
    /// `SETTINGS`.
    Settings,
    /// `CONTINUATION` within one head.
    Continuations,
    /// `DATA` without data.
    EmptyData,
    /// `WINDOW_UPDATE`.
    WindowUpdates,
    /// Everything else.
    OtherFrames,
}

/// What a frame of ours is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It refuses a stream because too many are open.
    Refusal,
    /// The first head on its stream.
    Head,
    /// Anything else.
    Other,
}

/// A stream whose answer has begun, in [`Calm::open`]: streams have 31 bits (RFC 9113 §4.1).
const ANSWERED: u32 = 1 << 31;

/// What was counted in one half of the window.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    refused: u32,
    resets: u32,
    pings: u32,
    settings: u32,
    empty_data: u32,
    window_updates: u32,
    other: u32,
    /// Answers that ended.
    answers: u32,
    /// `DATA` frames that were sent with something in them.
    data_sent: u32,
    /// Bytes of bodies, both ways.
    bytes: u64,
}

/// The books of one connection.
#[derive(Debug)]
pub struct Calm {
    limits: H2Limits,
    /// The half in which we are, and the one before.
    halves: [Counts; 2],
    half_began_ms: u64,
    continuations: u32,
    /// The latest stream that the client opened.
    latest: u32,
    /// Streams that wait for the end of their answer; with [`ANSWERED`], where it has begun.
    open: SmallVec<[u32; 8]>,
}

impl Calm {
    /// The books of a connection that begins now.
    #[must_use]
    pub fn new(limits: H2Limits, now_ms: u64) -> Self {
        Self {
            limits,
            halves: [Counts::default(); 2],
            half_began_ms: now_ms,
            continuations: 0,
            latest: 0,
            open: SmallVec::new(),
        }
    }

    /// The latest stream that the client opened; 0 = none.
    #[must_use]
    pub fn latest_stream(&self) -> u32 {
        self.latest
    }

    /// Streams that wait for the end of their answer.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// The client has sent a frame.
    ///
    /// # Errors
    /// What it is one too many of.
    pub fn came(&mut self, frame: &Frame, now_ms: u64) -> Result<(), Flood> {
        self.turn(now_ms);
        let now = &mut self.halves[0];
        match frame.kind {
            kind::DATA if frame.is_empty_data() => {
                now.empty_data += 1;
                let max = self.limits.empty_data_max;
                self.hold(|counts| counts.empty_data, max, Flood::EmptyData)
            }
            kind::DATA => {
                now.bytes += u64::from(frame.length);
                Ok(())
            }
            kind::HEADERS => {
                self.continuations = 0;
                if frame.stream > self.latest {
                    self.latest = frame.stream;
                    self.open(frame.stream);
                }
                Ok(())
            }
            kind::CONTINUATION => {
                self.continuations += 1;
                if self.continuations > self.limits.continuations_max {
                    return Err(Flood::Continuations);
                }
                Ok(())
            }
            kind::RST_STREAM => {
                now.resets += 1;
                self.close(frame.stream);
                self.hold_resets()
            }
            kind::SETTINGS => {
                now.settings += 1;
                let max = self.limits.settings_max;
                self.hold(|counts| counts.settings, max, Flood::Settings)
            }
            kind::PING => {
                now.pings += 1;
                let max = self.more(self.limits.pings_max, |counts| {
                    u64::from(counts.answers + counts.data_sent) + counts.bytes / BYTES_FOR_PING
                });
                self.hold(|counts| counts.pings, max, Flood::Pings)
            }
            kind::WINDOW_UPDATE => {
                now.window_updates += 1;
                let max = self.more(self.limits.window_updates_max, |counts| {
                    2 * u64::from(counts.answers) + counts.bytes / BYTES_FOR_WINDOW_UPDATE
                });
                self.hold(|counts| counts.window_updates, max, Flood::WindowUpdates)
            }
            _ => {
                now.other += 1;
                let answers = |counts: &Counts| 2 * u64::from(counts.answers);
                let max = self.more(self.limits.other_frames_max, answers);
                self.hold(|counts| counts.other, max, Flood::OtherFrames)
            }
        }
    }

    /// We have sent a frame.
    ///
    /// # Errors
    /// What the client has done one too many of, as the frame shows.
    pub fn sent(&mut self, frame: &Frame, now_ms: u64) -> Result<Sent, Flood> {
        self.turn(now_ms);
        let now = &mut self.halves[0];
        let mut sent = Sent::Other;
        match frame.kind {
            kind::DATA => {
                now.bytes += u64::from(frame.length);
                now.data_sent += u32::from(frame.length > 0);
            }
            kind::RST_STREAM if frame.value == REFUSED_STREAM => {
                now.refused += 1;
                self.close(frame.stream);
                // A client may have opened many before it could read how many it may.
                let max = self
                    .limits
                    .streams_max
                    .saturating_mul(2)
                    .saturating_add(100);
                self.hold(|counts| counts.refused, max, Flood::Streams)?;
                return Ok(Sent::Refusal);
            }
            kind::RST_STREAM => {
                now.resets += u32::from(FAULTS.contains(&frame.value));
                self.close(frame.stream);
                self.hold_resets()?;
            }
            kind::HEADERS if self.answers(frame.stream) => sent = Sent::Head,
            _ => {}
        }
        if frame.ends_stream() {
            self.halves[0].answers += 1;
            self.close(frame.stream);
        }
        Ok(sent)
    }

    /// Begins another half where it is time to.
    fn turn(&mut self, now_ms: u64) {
        let half_ms = (self.limits.window_ms / 2).max(1);
        let passed = now_ms.saturating_sub(self.half_began_ms) / half_ms;
        if passed > 0 {
            let before = if passed == 1 {
                self.halves[0]
            } else {
                Counts::default()
            };
            self.halves = [Counts::default(), before];
            self.half_began_ms += passed * half_ms;
        }
    }

    fn hold(&self, count: impl Fn(&Counts) -> u32, max: u32, flood: Flood) -> Result<(), Flood> {
        let counted = self.halves.iter().map(count).sum::<u32>();
        if counted > max { Err(flood) } else { Ok(()) }
    }

    fn hold_resets(&self) -> Result<(), Flood> {
        let answers = |counts: &Counts| u64::from(counts.answers);
        let max = self.more(self.limits.resets_max, answers);
        self.hold(|counts| counts.resets, max, Flood::Resets)
    }

    /// An allowance with what was earned.
    fn more(&self, base: u32, earned: impl Fn(&Counts) -> u64) -> u32 {
        let earned = self.halves.iter().map(earned).sum::<u64>();
        base.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX))
    }

    fn open(&mut self, stream: u32) {
        // Those that are refused stay for as long as saying so takes.
        if self.open.len() <= self.limits.streams_max as usize * 2 {
            self.open.push(stream);
        }
    }

    /// An answer begins on a stream, if it had not.
    fn answers(&mut self, stream: u32) -> bool {
        let open = self.open.iter_mut().find(|open| **open == stream);
        open.map(|open| *open |= ANSWERED).is_some()
    }

    fn close(&mut self, stream: u32) {
        let is_meant = |open: &u32| *open & !ANSWERED == stream;
        if let Some(at) = self.open.iter().position(is_meant) {
            self.open.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
