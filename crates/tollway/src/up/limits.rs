//! What limits have counted, on the disk: saved each second and at the end, read before the first call (req: R3).
//!
//! A process that is killed forgets what it admitted since it saved last: at most a second's calls up to 100,000 active
//! counters, and a second's more for each further 100,000. A file that cannot be used is left out: limits begin anew.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Digest};
use limits::Authority;
use tokio::task::JoinHandle;

use super::authentication::bounded;
use super::{Options, UpError};

/// Between two saves.
const PAUSE: Duration = Duration::from_secs(1);
/// Counters for which the pause is long enough; for each further so many it is a second longer.
const COUNTERS_A_PAUSE: usize = 100_000;
/// The largest file that is written or read, unless configured.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const FILE: &str = "limits.state";
/// Behind what was counted stands its SHA-256.
const DIGEST_BYTES: usize = 32;
/// The format, and the two times at which it was saved: they differ every time.
const HEAD_BYTES: usize = 24;

/// The counters of a node and their file.
pub(super) struct LimitState {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    path: PathBuf,
    bytes_max: u64,
    /// Another process has the file, or this one has not read it yet.
    not_ours: AtomicBool,
    /// What was written last, without the times.
    written: Mutex<Option<Digest>>,
    failed: AtomicU64,
    unusable: AtomicU64,
}

/// The largest file that the options allow for.
///
/// # Errors
/// [`UpError::Options`] for a value out of bounds.
pub(super) fn bytes_max(options: &Options) -> Result<u64, UpError> {
    let mut bytes_max = BYTES_MAX;
    let bounds = 64 * 1024..=64 * 1024 * 1024 * 1024;
    bounded(
        "--quota-state-bytes-max",
        (&mut bytes_max, options.quota_state_bytes_max),
        bounds,
    )?;
    Ok(bytes_max)
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(
        "it has {bytes} bytes, more than the {bytes_max} that are read (--quota-state-bytes-max)"
    )]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("it is damaged, or of another version")]
    Damaged,
}

impl LimitState {
    pub(super) fn new(
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        data_dir: &Path,
        bytes_max: u64,
    ) -> Self {
        Self {
            authority,
            clock,
            path: data_dir.join(FILE),
            bytes_max,
            not_ours: AtomicBool::new(true),
            written: Mutex::new(None),
            failed: AtomicU64::new(0),
            unusable: AtomicU64::new(0),
        }
    }

    /// Goes on from what a process before this one has counted; from now on the file is this one's.
    pub(super) fn load(&self) {
        match self.loaded() {
            Ok(Some(count)) => tracing::debug!(count, "limits go on from what was saved"),
            Ok(None) => {}
            Err(error) => {
                self.unusable.fetch_add(1, Ordering::Relaxed);
                tracing::error!(path = %self.path.display(), %error, "limits begin anew");
            }
        }
        self.not_ours.store(false, Ordering::Release);
    }

    fn loaded(&self) -> Result<Option<usize>, Unusable> {
        let length = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?.len(),
        };
        if length > self.bytes_max {
            return Err(Unusable::TooLarge {
                bytes: length,
                bytes_max: self.bytes_max,
            });
        }
        let bytes = fs::read(&self.path)?;
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or(Unusable::Damaged)?;
        if Digest::of(content) != Digest::from_bytes(*digest) {
            return Err(Unusable::Damaged);
        }
        let counters = self.authority.counters();
        let (now_ms, unix_ms) = (self.clock.monotonic_ms(), self.clock.unix_ms());
        let restored = counters.restore(content, now_ms, unix_ms);
        restored.map(Some).map_err(|_| Unusable::Damaged)
    }

    /// Saves, unless nothing has changed or the file is another process's. Blocks for the disk.
    pub(super) fn save(&self) {
        // One at a time, and none behind the hand-over.
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if self.not_ours.load(Ordering::Acquire) {
            return;
        }
        let (now_ms, unix_ms) = (self.clock.monotonic_ms(), self.clock.unix_ms());
        let content = self.authority.counters().save(now_ms, unix_ms);
        let same = Digest::of(&content[HEAD_BYTES..]);
        if written.as_ref() == Some(&same) {
            return;
        }
        match self.write(content) {
            Ok(()) => *written = Some(same),
            Err(error) => {
                // Said once, until it works again.
                if self.failed.fetch_add(1, Ordering::Relaxed) == 0 || written.is_some() {
                    tracing::error!(path = %self.path.display(), %error, "what limits have counted cannot be saved");
                }
                *written = None;
            }
        }
    }

    fn write(&self, mut content: Vec<u8>) -> io::Result<()> {
        let digest = Digest::of(&content);
        content.extend_from_slice(digest.as_bytes());
        let (bytes, bytes_max) = (content.len() as u64, self.bytes_max);
        if bytes > bytes_max {
            let fault = format!(
                "it has {bytes} bytes, more than the {bytes_max} of --quota-state-bytes-max"
            );
            return Err(io::Error::other(fault));
        }
        let new = self.path.with_extension("state.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&content)?;
        fs::rename(new, &self.path)
    }

    /// Saves, and leaves the file to another process from now on.
    pub(super) fn give_away(&self) {
        self.save();
        let _last = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        self.not_ours.store(true, Ordering::Release);
    }

    /// The other process did not take over.
    pub(super) fn take_back(&self) {
        self.not_ours.store(false, Ordering::Release);
    }

    /// Times that saving failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Times that what was saved could not be read.
    pub(super) fn unusable(&self) -> u64 {
        self.unusable.load(Ordering::Relaxed)
    }

    /// Saves again and again.
    pub(super) fn keep(self: Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let more = self.authority.counters().len() / COUNTERS_A_PAUSE;
                tokio::time::sleep(PAUSE * u32::try_from(more + 1).unwrap_or(u32::MAX)).await;
                let state = Arc::clone(&self);
                // It ends with the process at the latest.
                let _ = tokio::task::spawn_blocking(move || state.save()).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use base::ManualClock;
    use limits::{Decision, Key, LimitId, Quota, Quotas, Room};

    use super::*;

    const KEY: Key = Key {
        limit: LimitId::known(1),
        value: 2,
    };
    const QUOTA: Quota = Quota {
        limit: 3,
        window_ms: 60_000,
    };

    /// A data folder, and the clock of the processes that have it one after the other.
    struct Place {
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
    }

    impl Place {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                clock: Arc::new(ManualClock::at(1_800_000_000_000)),
            }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join(FILE)
        }

        /// A process that has not read the file.
        fn begun(&self) -> LimitState {
            let authority = Arc::new(Authority::local(Quotas::new(Room::for_keys(10))));
            let clock = Arc::clone(&self.clock) as _;
            LimitState::new(authority, clock, self.folder.path(), BYTES_MAX)
        }

        fn loaded(&self) -> LimitState {
            let state = self.begun();
            state.load();
            state
        }
    }

    fn passes(state: &LimitState) -> usize {
        let now_ms = state.clock.monotonic_ms();
        let counters = state.authority.counters();
        let admitted = |_: &u32| {
            matches!(
                counters.admit(KEY, QUOTA, 1, now_ms),
                Decision::Admitted { .. }
            )
        };
        (0..5).filter(admitted).count()
    }

    /// req: R3
    #[test]
    fn a_start_goes_on_from_what_was_saved() {
        let place = Place::new();
        let before = place.loaded();
        assert_eq!(passes(&before), 3);
        before.save();
        let after = place.loaded();
        assert_eq!(passes(&after), 0);
        place.clock.advance_ms(62_000);
        assert_eq!(passes(&after), 3);
    }

    #[test]
    fn a_damaged_file_is_left_out_and_replaced() {
        let place = Place::new();
        let before = place.loaded();
        assert_eq!(passes(&before), 3);
        before.save();
        let path = place.file();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let after = place.begun();
        assert!(matches!(after.loaded(), Err(Unusable::Damaged)));
        after.load();
        assert_eq!(passes(&after), 3);
        after.save();
        let again = place.begun();
        assert!(matches!(again.loaded(), Ok(Some(1))));
    }

    #[test]
    fn what_has_not_changed_is_not_written_and_what_is_given_away_neither() {
        let place = Place::new();
        let state = place.loaded();
        let path = place.file();
        passes(&state);
        state.save();
        fs::remove_file(&path).unwrap();
        place.clock.advance_ms(1000);
        state.save();
        assert!(!path.exists(), "it is the same");
        place.clock.advance_ms(100_000);
        passes(&state);
        state.give_away();
        fs::remove_file(&path).unwrap();
        place.clock.advance_ms(100_000);
        passes(&state);
        state.save();
        assert!(!path.exists(), "it is another process's");
        state.take_back();
        state.save();
        assert!(path.exists());
    }

    /// A process that takes over may need longer for its start than is between two saves. (req: R3, C4)
    #[test]
    fn what_was_not_read_is_not_written_over() {
        let place = Place::new();
        let before = place.loaded();
        passes(&before);
        before.save();
        let after = place.begun();
        after.save();
        before.give_away();
        after.load();
        assert_eq!(passes(&after), 0);
    }

    #[test]
    fn a_file_that_is_too_large_is_neither_written_nor_read() {
        let place = Place::new();
        let before = place.loaded();
        passes(&before);
        before.save();
        let path = place.file();
        let bytes = fs::metadata(&path).unwrap().len();
        let mut small = place.begun();
        small.bytes_max = bytes - 1;
        small.load();
        assert_eq!(small.unusable(), 1);
        let fault = small.loaded().unwrap_err().to_string();
        assert!(fault.contains("--quota-state-bytes-max"), "{fault}");
        fs::remove_file(&path).unwrap();
        passes(&small);
        small.save();
        assert_eq!(small.failed(), 1);
        assert!(!path.exists());
        small.bytes_max = bytes;
        small.load();
        small.save();
        assert!(path.exists());
        assert_eq!((small.unusable(), small.failed()), (1, 1));
    }

    #[test]
    fn a_disk_that_fails_is_counted() {
        let place = Place::new();
        let mut state = place.begun();
        state.path = place.folder.path().join("nowhere").join(FILE);
        state.load();
        passes(&state);
        state.save();
        assert_eq!(state.failed(), 1);
    }
}
