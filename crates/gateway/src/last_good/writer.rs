//! Writes what a node serves, on a thread of its own: acknowledgements do not wait for the disk.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sync::Update;
use uuid::Uuid;

use super::file::{self, Kind, Part, Seen, Writing};
use super::{BASE, DELTAS, SEEN, Settings, beside};

/// Updates that may wait for the disk; when more do, a new base makes up for them.
const WAITING_MAX: usize = 256;
/// Deltas are left to grow to this, however small the base is.
const DELTAS_BYTES_MIN: u64 = 1024 * 1024;
/// What goes into one record of a base.
const APIS_EACH: usize = 128;
const ENTRIES_EACH: usize = 8_192;

/// Keeps what a node serves.
pub struct Keeper {
    jobs: SyncSender<Job>,
    state: Arc<KeeperState>,
}

/// How keeping goes; shared with metrics.
#[derive(Debug)]
pub struct KeeperState {
    wants_base: AtomicBool,
    revision: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
}

impl KeeperState {
    /// The revision that is on the disk; 0 = none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Bytes on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often something could not be kept.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

enum Job {
    Base(Box<Update>, u64),
    Delta(Box<Part>),
    Seen(u64),
}

impl Keeper {
    /// Starts the thread. It ends with this value.
    ///
    /// # Errors
    /// When the folder cannot be made, or no thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&settings.folder)?;
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let state = Arc::new(KeeperState {
            wants_base: AtomicBool::new(true),
            revision: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let writer = Writer {
            settings,
            state: Arc::clone(&state),
            files: None,
        };
        std::thread::Builder::new()
            .name("last-good".to_owned())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self { jobs, state })
    }

    /// What others may watch.
    #[must_use]
    pub fn state(&self) -> Arc<KeeperState> {
        Arc::clone(&self.state)
    }

    /// Whether a complete update is wanted, for a new base.
    pub(crate) fn wants_base(&self) -> bool {
        self.state.wants_base.load(Ordering::Acquire)
    }

    /// Keeps a complete update in place of everything.
    pub(crate) fn base(&self, update: Update, now_unix_ms: u64) {
        self.state.wants_base.store(false, Ordering::Release);
        self.send(Job::Base(Box::new(update), now_unix_ms));
    }

    /// Keeps what has changed.
    pub(crate) fn delta(&self, update: Update, now_unix_ms: u64) {
        self.send(Job::Delta(Box::new(Part {
            update,
            more: false,
            at_unix_ms: now_unix_ms,
        })));
    }

    /// The control plane has answered, and nothing had changed.
    pub(crate) fn seen(&self, now_unix_ms: u64) {
        // The next one says more.
        let _ = self.jobs.try_send(Job::Seen(now_unix_ms));
    }

    fn send(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            self.state.failures.fetch_add(1, Ordering::Relaxed);
            self.state.wants_base.store(true, Ordering::Release);
        }
    }
}

struct Writer {
    settings: Settings,
    state: Arc<KeeperState>,
    /// What is written to; `None` until there is a base, and after a failure.
    files: Option<Files>,
}

struct Files {
    id: Uuid,
    base_bytes: u64,
    deltas: Writing,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            if let Err(error) = self.work(job) {
                let folder = self.settings.folder.display();
                tracing::error!(%folder, %error, "what the node serves cannot be kept on its disk");
                self.state.failures.fetch_add(1, Ordering::Relaxed);
                self.files = None;
            }
        }
    }

    fn work(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Base(update, at_unix_ms) => self.base(*update, at_unix_ms)?,
            Job::Delta(part) => self.delta(&part)?,
            Job::Seen(at_unix_ms) => return self.seen(at_unix_ms),
        }
        let Some(files) = &self.files else {
            return Ok(());
        };
        let deltas = files.deltas.length;
        let (bytes, bytes_max) = (files.base_bytes + deltas, self.settings.bytes_max);
        self.state.bytes.store(bytes, Ordering::Relaxed);
        if deltas > files.base_bytes.max(DELTAS_BYTES_MIN) || bytes > bytes_max {
            self.state.wants_base.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn base(&mut self, update: Update, at_unix_ms: u64) -> io::Result<()> {
        self.files = None;
        let (vault, folder) = (Arc::clone(&self.settings.vault), &self.settings.folder);
        let (path, revision) = (folder.join(BASE), update.revision);
        let new = beside(&path);
        let id = Uuid::new_v4();
        let mut base = Writing::begin(&new, Kind::Base, id)?;
        let mut parts = parts(update).peekable();
        while let Some(update) = parts.next() {
            let part = Part {
                update,
                more: parts.peek().is_some(),
                at_unix_ms,
            };
            base.append(&part, vault.as_ref())?;
            if base.length > self.settings.bytes_max {
                fs::remove_file(&new)?;
                let text = "it is larger than --last-good-bytes-max";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
        }
        base.sync()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()?;
        // Those of the old base are none of this one.
        let deltas = Writing::begin(&folder.join(DELTAS), Kind::Deltas, id)?;
        self.files = Some(Files {
            id,
            base_bytes: base.length,
            deltas,
        });
        self.state.revision.store(revision, Ordering::Relaxed);
        self.seen(at_unix_ms)
    }

    fn delta(&mut self, part: &Part) -> io::Result<()> {
        let Some(files) = &mut self.files else {
            // The base that is to come knows it.
            self.state.wants_base.store(true, Ordering::Release);
            return Ok(());
        };
        files.deltas.append(part, self.settings.vault.as_ref())?;
        files.deltas.sync()?;
        let revision = part.update.revision;
        self.state.revision.store(revision, Ordering::Relaxed);
        Ok(())
    }

    fn seen(&self, at_unix_ms: u64) -> io::Result<()> {
        let Some(files) = &self.files else {
            return Ok(());
        };
        let seen = Seen {
            base: files.id.to_string(),
            at_unix_ms,
        };
        let path = self.settings.folder.join(SEEN);
        file::write_seen(&path, &seen, self.settings.vault.as_ref())
    }
}

/// A complete update in parts, so that it need not be in memory twice.
fn parts(mut update: Update) -> impl Iterator<Item = Update> {
    let mut apis = std::mem::take(&mut update.apis).into_iter();
    let mut entries = std::mem::take(&mut update.entries).into_iter();
    let rest = Update {
        reset: false,
        backends: Vec::new(),
        plans: Vec::new(),
        issuers: Vec::new(),
        ..update.clone()
    };
    let mut first = Some(update);
    std::iter::from_fn(move || {
        if let Some(first) = first.take() {
            return Some(first);
        }
        let apis: Vec<_> = apis.by_ref().take(APIS_EACH).collect();
        let entries: Vec<_> = entries.by_ref().take(ENTRIES_EACH).collect();
        (!apis.is_empty() || !entries.is_empty()).then(|| Update {
            apis,
            entries,
            ..rest.clone()
        })
    })
}
