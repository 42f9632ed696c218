//! Reads zip archives that strangers send: names and texts, into memory, under limits.
//!
//! Nothing is ever written to disk, so no name in an archive leads anywhere; names are checked all the same, because
//! they come back in exports. Sizes that an archive states are not believed: what is read is counted while it is read.
//!
//! Knows nothing of definitions beyond the rule for names of files. Start at [`read`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read as _};
use std::sync::Arc;

use openapi::check_name;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Files whose texts are read; all others are only counted.
const EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

/// What tools of one system add for themselves.
const RESOURCE_FORKS: &str = "__MACOSX/";

/// Below this the ratio of compression is not looked at: short texts may repeat themselves.
const RATIO_FLOOR_BYTES: u64 = 1024 * 1024;

/// What one archive may hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveLimits {
    /// Entries of all kinds; default 1,000.
    pub entries_max: usize,
    /// Bytes of one text; default 10 MiB.
    pub file_bytes_max: u64,
    /// Bytes of all texts together; default 32 MiB.
    pub total_bytes_max: u64,
    /// How many bytes may come out for each byte of the archive, once more than 1 MiB has come out; default 100.
    pub ratio_max: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries_max: 1_000,
            file_bytes_max: 10 * 1024 * 1024,
            total_bytes_max: 32 * 1024 * 1024,
            ratio_max: 100,
        }
    }
}

/// Why an archive is refused. Names in it are shortened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no zip archive, or a damaged one: headers that contradict each other or lie over each other, wrong
    /// checksums.
    #[error("the archive is damaged, or no zip archive")]
    Damaged,
    /// A name that leads out of the archive, or that not every file system can hold.
    #[error("the archive has an entry `{0}`: names are relative paths without `..`, `\\` and `:`")]
    Name(String),
    /// Two entries with one name, also where case does not count, or a file where another entry has a folder.
    #[error("the archive has `{0}` twice, or once as a file and once as a folder")]
    Duplicate(String),
    /// A symbolic link, a device, or another thing that is neither file nor folder.
    #[error("the archive's entry `{0}` is neither a file nor a folder")]
    Special(String),
    /// An encrypted entry.
    #[error("the archive's entry `{0}` is encrypted")]
    Encrypted(String),
    /// An entry that is neither stored nor deflated.
    #[error("the archive's entry `{0}` is compressed in a way that is not read; `deflate` is")]
    Method(String),
    /// Too many entries.
    #[error("the archive has more than {0} entries")]
    Entries(usize),
    /// An entry is too large.
    #[error("the archive's entry `{0}` has more than {1} bytes")]
    File(String, u64),
    /// All entries together are too large.
    #[error("the archive's texts have more than {0} bytes")]
    Total(u64),
    /// It expands more than texts of people do.
    #[error("the archive expands to more than {0} times its size")]
    Ratio(u64),
    /// A text is not UTF-8.
    #[error("the archive's entry `{0}` is not UTF-8")]
    Text(String),
}

impl ArchiveError {
    /// One word for the reason, the same for every archive: for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Damaged => "archive-damaged",
            Self::Name(_) => "archive-name",
            Self::Duplicate(_) => "archive-duplicate",
            Self::Special(_) => "archive-special",
            Self::Encrypted(_) => "archive-encrypted",
            Self::Method(_) => "archive-method",
            Self::Entries(_) => "archive-entries",
            Self::File(..) => "archive-file-size",
            Self::Total(_) => "archive-size",
            Self::Ratio(_) => "archive-ratio",
            Self::Text(_) => "archive-text",
        }
    }
}

/// The YAML and JSON texts of an archive, by name. Other files, folders and hidden files are left out; archives inside
/// the archive are such files.
///
/// # Errors
/// [`ArchiveError`]; the first thing that is wrong refuses the whole archive.
pub fn read(
    bytes: &[u8],
    limits: &ArchiveLimits,
) -> Result<BTreeMap<String, Arc<str>>, ArchiveError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| ArchiveError::Damaged)?;
    if archive.len() > limits.entries_max {
        return Err(ArchiveError::Entries(limits.entries_max));
    }
    let wanted = checked(&mut archive)?;
    archive
        .validate_header_consistency()
        .map_err(|_| ArchiveError::Damaged)?;
    let mut budget = Budget {
        limits,
        archive_bytes: bytes.len() as u64,
        read: 0,
    };
    let mut texts = BTreeMap::new();
    for (index, name) in wanted {
        let entry = archive
            .by_index(index)
            .map_err(|error| refused(&error, &name))?;
        let text = budget.text(entry, &name)?;
        texts.insert(name, text.into());
    }
    Ok(texts)
}

/// Looks at every entry before any is read: index and name of those that are wanted.
fn checked(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<Vec<(usize, String)>, ArchiveError> {
    let mut wanted = Vec::new();
    // By folded name: whether it is a folder.
    let mut seen: HashMap<String, bool> = HashMap::new();
    if archive.has_duplicate_names() {
        return Err(ArchiveError::Duplicate("an entry".to_owned()));
    }
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|_| ArchiveError::Damaged)?;
        let written = entry
            .name()
            .map_err(|_| ArchiveError::Damaged)?
            .into_owned();
        let name = written.strip_suffix('/').unwrap_or(&written);
        check_name(name).map_err(|_| ArchiveError::Name(shown(&written)))?;
        let folder = written.ends_with('/');
        kind(&entry, folder, &written)?;
        note(&mut seen, name, folder)?;
        let hidden = name.starts_with(RESOURCE_FORKS)
            || name.split('/').any(|segment| segment.starts_with('.'));
        let lower = name.to_ascii_lowercase();
        let read = EXTENSIONS
            .iter()
            .any(|extension| lower.ends_with(extension));
        if read && !folder && !hidden {
            wanted.push((index, name.to_owned()));
        }
    }
    Ok(wanted)
}

/// Refuses what is neither a plain file nor a folder.
fn kind(entry: &ZipFile<'_, Cursor<&[u8]>>, folder: bool, name: &str) -> Result<(), ArchiveError> {
    const KIND: u32 = 0o170_000;
    const FILE: u32 = 0o100_000;
    const FOLDER: u32 = 0o040_000;
    let kind = entry.unix_mode().unwrap_or(0) & KIND;
    if entry.is_symlink() || !matches!(kind, 0 | FILE | FOLDER) || (kind == FILE && folder) {
        return Err(ArchiveError::Special(shown(name)));
    }
    if entry.encrypted() {
        return Err(ArchiveError::Encrypted(shown(name)));
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        _ => Err(ArchiveError::Method(shown(name))),
    }
}

/// Remembers a name and the folders it stands in; nothing may be there twice, or as a file and as a folder.
fn note(seen: &mut HashMap<String, bool>, name: &str, folder: bool) -> Result<(), ArchiveError> {
    let name = name.to_lowercase();
    let twice = || ArchiveError::Duplicate(shown(&name));
    for (slash, _) in name.match_indices('/') {
        if !*seen.entry(name[..slash].to_owned()).or_insert(true) {
            return Err(twice());
        }
    }
    match seen.insert(name.clone(), folder) {
        Some(true) if folder => Ok(()),
        Some(_) => Err(twice()),
        None => Ok(()),
    }
}

struct Budget<'a> {
    limits: &'a ArchiveLimits,
    archive_bytes: u64,
    read: u64,
}

impl Budget<'_> {
    /// Reads an entry to its end, or to the first limit.
    fn text(
        &mut self,
        entry: ZipFile<'_, Cursor<&[u8]>>,
        name: &str,
    ) -> Result<String, ArchiveError> {
        let limits = self.limits;
        let ratio = self.archive_bytes.saturating_mul(limits.ratio_max);
        let bounds = [
            (
                limits.file_bytes_max,
                ArchiveError::File(shown(name), limits.file_bytes_max),
            ),
            (
                limits.total_bytes_max.saturating_sub(self.read),
                ArchiveError::Total(limits.total_bytes_max),
            ),
            (
                ratio.max(RATIO_FLOOR_BYTES).saturating_sub(self.read),
                ArchiveError::Ratio(limits.ratio_max),
            ),
        ];
        let [first, rest @ ..] = bounds;
        let (bound, excess) =
            rest.into_iter().fold(
                first,
                |least, other| {
                    if other.0 < least.0 { other } else { least }
                },
            );
        let mut bytes = Vec::new();
        entry
            .take(bound.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|_| ArchiveError::Damaged)?;
        self.read += bytes.len() as u64;
        if bytes.len() as u64 > bound {
            return Err(excess);
        }
        String::from_utf8(bytes).map_err(|_| ArchiveError::Text(shown(name)))
    }
}

fn refused(error: &ZipError, name: &str) -> ArchiveError {
    match error {
        ZipError::UnsupportedArchive(_) => ArchiveError::Method(shown(name)),
        _ => ArchiveError::Damaged,
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}
