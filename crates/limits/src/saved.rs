//! Counters as bytes, for a start after this one.
//!
//! The counters' time goes on across processes: it is saved with the wall clock's, and what passed between by that clock is
//! what passes for the counters. A wall clock that was set back meanwhile lets no time pass: strict. One that was set
//! ahead forgets by as much too early; that cannot be told from a long stop.

use std::sync::atomic::Ordering;

use crate::counter::Word;
use crate::quotas::Quotas;
use crate::rate::Pace;
use crate::registry::{Filed, Place};
use crate::seats::NO_SEAT;
use crate::window::{BUCKETS, SlidingWindow};

/// The format, and its version.
const MAGIC: &[u8; 8] = b"TLWYLM01";

/// What was saved cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the saved counters are of another format, or damaged")]
pub struct Damaged;

impl Quotas {
    /// All that is remembered of calls that were admitted; calls under way end with the process.
    #[must_use]
    pub fn save(&self, now_ms: u64, unix_ms: u64) -> Vec<u8> {
        let now_ms = self.time(now_ms);
        let mut out = Vec::with_capacity(32 + self.len() * 66);
        out.extend_from_slice(MAGIC);
        put(&mut out, unix_ms);
        put(&mut out, now_ms);
        for (place, window) in &self.windows.pin() {
            let idle = window.used(now_ms) == 0;
            let Some(saved) = window.save().filter(|_| !idle) else {
                continue;
            };
            out.push(b'w');
            head(&mut out, *place, window.tag());
            put(&mut out, window.window_ms());
            saved.iter().for_each(|word| put(&mut out, *word));
        }
        for (place, word) in &self.words.pin() {
            if let Word::Pace { pace, tag } = word
                && let Some(due_ns) = pace.save().filter(|due| due / 1_000_000 >= now_ms)
            {
                out.push(b'p');
                head(&mut out, *place, *tag);
                put(&mut out, due_ns);
            }
        }
        out
    }

    /// Goes on from what was saved; for a registry that has counted nothing yet. Answers how many counters there were.
    ///
    /// # Errors
    /// [`Damaged`]; then the registry stays as it is.
    pub fn restore(&self, saved: &[u8], now_ms: u64, unix_ms: u64) -> Result<usize, Damaged> {
        let mut rest = Rest(saved.strip_prefix(MAGIC).ok_or(Damaged)?);
        let (saved_unix_ms, saved_ms) = (rest.word()?, rest.word()?);
        let mut found = Vec::new();
        while let [kind, behind @ ..] = rest.0 {
            rest.0 = behind;
            let place = Place::from_bits(rest.bits()?);
            let tag = rest.tag()?;
            found.push((place, tag, rest.state(*kind, tag)?));
        }
        let passed_ms = unix_ms.saturating_sub(saved_unix_ms);
        let ahead_ms = saved_ms.saturating_add(passed_ms).wrapping_sub(now_ms);
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        let count = found.len();
        let (windows, words) = (self.windows.pin(), self.words.pin());
        for (place, tag, state) in found {
            let new = match state {
                State::Window(window) => windows.try_insert(place, *window).is_ok(),
                State::Pace(pace) => words.try_insert(place, Word::Pace { pace, tag }).is_ok(),
            };
            if new && tag & NO_SEAT == 0 {
                self.seats.sit(tag);
            }
        }
        Ok(count)
    }
}

enum State {
    Window(Box<SlidingWindow>),
    Pace(Pace),
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn bits(&mut self) -> Result<u128, Damaged> {
        Ok(u128::from_le_bytes(self.take()?))
    }

    fn tag(&mut self) -> Result<u16, Damaged> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn state(&mut self, kind: u8, tag: u16) -> Result<State, Damaged> {
        match kind {
            b'w' => {
                let window_ms = self.word()?;
                let saved = [
                    self.word()?,
                    self.word()?,
                    self.word()?,
                    self.word()?,
                    self.word()?,
                ];
                let window = SlidingWindow::restore(window_ms, BUCKETS, tag, saved);
                Ok(State::Window(Box::new(window.ok_or(Damaged)?)))
            }
            b'p' => Ok(State::Pace(Pace::restore(self.word()?))),
            _ => Err(Damaged),
        }
    }
}

fn put(out: &mut Vec<u8>, word: u64) {
    out.extend_from_slice(&word.to_le_bytes());
}

fn head(out: &mut Vec<u8>, place: Place, tag: u16) {
    out.extend_from_slice(&place.bits().to_le_bytes());
    out.extend_from_slice(&tag.to_le_bytes());
}
