//! The files: a magic number, the base's id, then records, each with its length before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sync::Update;
use uuid::Uuid;

use super::{Damage, Vault, beside};

const MAGIC: &[u8; 8] = b"TLWYLG01";
/// Magic number and id.
pub(super) const HEADER_BYTES: u64 = 24;
/// A record is a part of an update; parts are cut far smaller.
const RECORD_BYTES_MAX: u64 = 1 << 30;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Base,
    Deltas,
}

impl Kind {
    /// What a record is sealed for.
    fn place(self, id: Uuid, index: usize) -> String {
        let kind = match self {
            Self::Base => "base",
            Self::Deltas => "deltas",
        };
        format!("last-good {kind} {id} {index}")
    }
}

/// What a record holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) update: Update,
    /// The update goes on in the next record.
    pub(super) more: bool,
    /// When the control plane gave it, in milliseconds since 1970.
    pub(super) at_unix_ms: u64,
}

/// When the control plane answered last.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    pub(super) base: String,
    pub(super) at_unix_ms: u64,
}

/// What of a file can be read.
pub(super) struct Content {
    pub(super) id: Uuid,
    pub(super) parts: Vec<Part>,
    pub(super) length: u64,
    pub(super) damage: Option<Damage>,
}

/// Reads a file. Deltas of another base are none: they were left by a crash between two renames.
pub(super) fn read(
    path: &Path,
    kind: Kind,
    base: Option<Uuid>,
    vault: &dyn Vault,
    bytes_max: u64,
) -> Content {
    let mut content = Content {
        id: Uuid::nil(),
        parts: Vec::new(),
        length: 0,
        damage: None,
    };
    if let Err(cause) = read_into(&mut content, path, kind, base, vault, bytes_max) {
        content.damage = Some(Damage {
            path: path.to_owned(),
            offset: content.length,
            cause,
        });
    }
    content
}

fn read_into(
    content: &mut Content,
    path: &Path,
    kind: Kind,
    base: Option<Uuid>,
    vault: &dyn Vault,
    bytes_max: u64,
) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let total = file.metadata().map_err(|error| error.to_string())?.len();
    if total > bytes_max {
        return Err(format!(
            "it has {total} bytes, more than the {bytes_max} that are kept"
        ));
    }
    let mut reader = BufReader::new(file);
    let mut header = [0; 24];
    reader
        .read_exact(&mut header)
        .map_err(|_| "its beginning is missing".to_owned())?;
    let (magic, id) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it is of another kind".to_owned());
    }
    content.id = Uuid::from_slice(id).map_err(|error| error.to_string())?;
    content.length = HEADER_BYTES;
    if base.is_some_and(|base| base != content.id) {
        return Ok(());
    }
    while content.length < total {
        let mut length = [0; 4];
        reader
            .read_exact(&mut length)
            .map_err(|_| "a record breaks off".to_owned())?;
        let length = u64::from(u32::from_le_bytes(length));
        if length > total - content.length - 4 {
            return Err("a record breaks off".to_owned());
        }
        let mut sealed = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        reader
            .read_exact(&mut sealed)
            .map_err(|error| error.to_string())?;
        let place = kind.place(content.id, content.parts.len());
        let plain = vault
            .open(&place, &sealed)
            .ok_or("a record was changed, or was sealed under another key")?;
        let part = serde_json::from_slice(&plain)
            .map_err(|error| format!("a record is not of this version: {error}"))?;
        content.parts.push(part);
        content.length += 4 + length;
    }
    Ok(())
}

/// When the control plane answered last, as far as that can be read.
pub(super) fn read_seen(path: &Path, vault: &dyn Vault) -> Option<Seen> {
    let plain = vault.open("last-good seen", &fs::read(path).ok()?)?;
    serde_json::from_slice(&plain).ok()
}

/// Says when the control plane answered last. Not synchronous: it may be lost with the power.
pub(super) fn write_seen(path: &Path, seen: &Seen, vault: &dyn Vault) -> io::Result<()> {
    let plain = serde_json::to_vec(seen)?;
    let sealed = vault
        .seal("last-good seen", plain)
        .ok_or_else(|| io::Error::other("it cannot be sealed"))?;
    let new = beside(path);
    create(&new)?.write_all(&sealed)?;
    fs::rename(new, path)
}

/// A file that records are written to.
pub(super) struct Writing {
    file: File,
    kind: Kind,
    id: Uuid,
    records: usize,
    pub(super) length: u64,
}

impl Writing {
    /// Begins a file, empty but for its header.
    pub(super) fn begin(path: &Path, kind: Kind, id: Uuid) -> io::Result<Self> {
        let mut file = create(path)?;
        file.write_all(MAGIC)?;
        file.write_all(id.as_bytes())?;
        Ok(Self {
            file,
            kind,
            id,
            records: 0,
            length: HEADER_BYTES,
        })
    }

    /// Appends a record.
    pub(super) fn append(&mut self, part: &Part, vault: &dyn Vault) -> io::Result<()> {
        let plain = serde_json::to_vec(part)?;
        let place = self.kind.place(self.id, self.records);
        let sealed = vault
            .seal(&place, plain)
            .ok_or_else(|| io::Error::other("a record cannot be sealed"))?;
        let length = sealed.len() as u64;
        if length > RECORD_BYTES_MAX {
            return Err(io::Error::other("a record is too large"));
        }
        let prefix = u32::try_from(length).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(sealed.len() + 4);
        record.extend_from_slice(&prefix.to_le_bytes());
        record.extend_from_slice(&sealed);
        self.file.write_all(&record)?;
        self.records += 1;
        self.length += 4 + length;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
}
