//! Batches on disk until the control plane has them: append-only files of lines, read from the oldest on.
//!
//! - A line is 16 hexadecimal digits of the SHA-256 of what follows, a space, and JSON. What a torn write left, or a
//!   disk spoiled, is skipped and counted.
//! - A batch is written in one piece and synced before [`Spool::append`] returns: it survives `kill -9` and a power cut.
//! - A file goes when all of it is acknowledged and another one follows. How far that is stands nowhere: after a
//!   restart the oldest file is sent from its beginning, and the control plane knows what it had.
//! - Full is full: what comes is refused, what is there stays.
//! - The latest batch stays in memory too: where the control plane keeps up, nothing is read back.

mod line;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use usage::{Batch, Epoch, Unclean};

use line::{Header, Line, LineRef};
use segment::Segment;

/// A file is not made longer than this, by more than a batch.
const SEGMENT_BYTES: u64 = 256 * 1024;

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the usage spool {path}: {cause}")]
pub struct SpoolError {
    /// The folder or file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// What was done with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appended {
    /// It is on the disk.
    Kept,
    /// There is no room for it.
    Full,
}

/// The spool of one start of one node.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    segment_bytes: u64,
    node: String,
    epoch: Epoch,
    unclean: Option<Unclean>,
    /// Oldest first; the last one is appended to.
    segments: VecDeque<Segment>,
    bytes: u64,
    /// How far the oldest file is acknowledged.
    acknowledged: u64,
    /// The end of the line that [`Spool::next`] gave last.
    given: u64,
    /// The latest sequence that is on the disk.
    sequence: u64,
    /// The latest batch, where nobody has asked for it yet.
    latest: Option<Latest>,
    damaged: u64,
}

/// A batch that is on the disk, and where.
#[derive(Debug)]
struct Latest {
    segment: u64,
    at: u64,
    end: u64,
    batch: Batch,
}

impl Spool {
    /// Opens the spool in a folder, which is made where it is not there, and begins an epoch.
    ///
    /// The folder may hold `bytes_max` bytes; a node's name must be the same at each start.
    ///
    /// # Errors
    /// When the folder or its files cannot be read or written.
    pub fn open(folder: &Path, node: &str, bytes_max: u64) -> Result<Self, SpoolError> {
        let failed = |cause| SpoolError {
            path: folder.to_owned(),
            cause,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let segments = segment::list(folder).map_err(failed)?;
        let before = last_line(&segments).map_err(failed)?;
        let epoch = Epoch::after(before.as_ref().map(|(left, _)| left.epoch));
        let unclean = before.filter(|(_, clean)| !clean).map(|(left, _)| left);
        let mut spool = Self {
            folder: folder.to_owned(),
            bytes_max,
            segment_bytes: SEGMENT_BYTES.min(bytes_max / 4),
            node: node.to_owned(),
            epoch,
            unclean,
            bytes: segments.iter().map(|segment| segment.length).sum(),
            segments,
            acknowledged: 0,
            given: 0,
            sequence: 0,
            latest: None,
            damaged: 0,
        };
        spool.begin_segment().map_err(failed)?;
        Ok(spool)
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// This start.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The start before this one, where it ended without stopping.
    #[must_use]
    pub fn unclean(&self) -> Option<Unclean> {
        self.unclean
    }

    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.acknowledged)
    }

    /// Writes a batch and syncs it. The last batch of an epoch is taken even if there is no room: it has no rows, and
    /// a stop must not look like a crash.
    pub(crate) fn append(&mut self, batch: Batch) -> io::Result<Appended> {
        let line = line::write(&LineRef::Batch(&batch))?;
        let length = line.len() as u64;
        if !batch.last && self.bytes + length > self.bytes_max {
            return Ok(Appended::Full);
        }
        let segment_bytes = self.segment_bytes;
        let current = self.current();
        if !current.is_open() || current.length >= segment_bytes {
            self.begin_segment()?;
        }
        let current = self.current();
        let (segment, at) = (current.number, current.length);
        current.append(&line)?;
        self.bytes += length;
        self.sequence = batch.sequence;
        self.latest = Some(Latest {
            segment,
            at,
            end: at + length,
            batch,
        });
        Ok(Appended::Kept)
    }

    fn current(&mut self) -> &mut Segment {
        self.segments
            .back_mut()
            .expect("there is always one: `open` begins it")
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |last| last.number + 1);
        let mut segment = Segment::create(&self.folder, number)?;
        let header = Header {
            epoch: self.epoch,
            sequence: self.sequence,
        };
        segment.append(&line::write(&LineRef::Begin(&header))?)?;
        // The file's name is on the disk with its folder.
        File::open(&self.folder)?.sync_all()?;
        self.bytes += segment.length;
        self.segments.push_back(segment);
        Ok(())
    }

    /// The oldest batch that is not acknowledged; the same one again until it is.
    pub(crate) fn next(&mut self) -> io::Result<Option<Batch>> {
        let mut at = self.acknowledged;
        loop {
            let only = self.segments.len() == 1;
            let Some(oldest) = self.segments.front_mut() else {
                return Ok(None);
            };
            let here = |latest: &mut Latest| (latest.segment, latest.at) == (oldest.number, at);
            if let Some(latest) = self.latest.take_if(here) {
                self.given = latest.end;
                return Ok(Some(latest.batch));
            }
            let line = match oldest.line(at) {
                // Somebody has deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !only => {
                    self.damaged += 1;
                    tracing::error!(file = %oldest.path.display(), "a file of the usage spool is gone");
                    None
                }
                line => line?,
            };
            let Some((text, end)) = line else {
                if only {
                    self.acknowledged = at;
                    return Ok(None);
                }
                self.drop_oldest()?;
                at = 0;
                continue;
            };
            match line::read(&text) {
                Some(Line::Batch(batch)) => {
                    self.given = end;
                    return Ok(Some(*batch));
                }
                Some(Line::Begin(_)) => {}
                None => {
                    self.damaged += 1;
                    tracing::error!(
                        file = %oldest.path.display(),
                        "a line of the usage spool is damaged and is left out"
                    );
                }
            }
            at = end;
            self.acknowledged = at;
        }
    }

    /// The batch that [`Spool::next`] gave is the control plane's.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.acknowledged.max(self.given);
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.segments.front() {
            match fs::remove_file(&oldest.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.bytes = self.bytes.saturating_sub(oldest.length);
        }
        self.segments.pop_front();
        (self.acknowledged, self.given) = (0, 0);
        Ok(())
    }
}

/// What the start before left as its last word, and whether it stopped.
fn last_line(segments: &VecDeque<Segment>) -> io::Result<Option<(Unclean, bool)>> {
    for segment in segments.iter().rev() {
        let text = fs::read(&segment.path)?;
        let last = text.split(|byte| *byte == b'\n').rev().find_map(line::read);
        let (epoch, sequence, clean) = match last {
            Some(Line::Batch(batch)) => (batch.epoch, batch.sequence, batch.last),
            Some(Line::Begin(header)) => (header.epoch, header.sequence, false),
            None => continue,
        };
        return Ok(Some((Unclean { epoch, sequence }, clean)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
