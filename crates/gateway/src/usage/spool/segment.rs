//! One file of the spool.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const SUFFIX: &str = "batches";

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Bytes up to the end of the last whole line.
    pub(super) length: u64,
    /// Of the file that is appended to.
    writer: Option<File>,
    reader: Option<(BufReader<File>, u64)>,
}

/// The files of a folder, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        let ours = path.extension().is_some_and(|suffix| suffix == SUFFIX);
        if let Some(number) = number.filter(|_| ours) {
            segments.push(Segment {
                number,
                length: fs::metadata(&path)?.len(),
                path,
                writer: None,
                reader: None,
            });
        }
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments.into())
}

impl Segment {
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:012}.{SUFFIX}"));
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        // A try that failed half-way may have left it.
        file.set_len(0)?;
        Ok(Self {
            number,
            path,
            length: 0,
            writer: Some(file),
            reader: None,
        })
    }

    /// Whether more can be written.
    pub(super) fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes a line to the end and syncs it. After a failure the file is as it was before.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let file = self
            .writer
            .as_mut()
            .ok_or_else(|| io::Error::other("the file belongs to an earlier start"))?;
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if let Err(error) = written {
            if file.set_len(self.length).is_err() {
                // What stands behind the last whole line is not known: nothing more is written here.
                self.writer = None;
            }
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// The line that begins at `at`, without its end, and where the next one begins; `None` at the end of the file.
    pub(super) fn line(&mut self, at: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
        if at >= self.length {
            return Ok(None);
        }
        let (mut reader, position) = match self.reader.take() {
            Some(open) => open,
            None => (BufReader::new(File::open(&self.path)?), 0),
        };
        if position != at {
            reader.seek(SeekFrom::Start(at))?;
        }
        let mut text = Vec::new();
        let end = at + reader.read_until(b'\n', &mut text)? as u64;
        self.reader = Some((reader, end));
        if end == at {
            return Ok(None);
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        Ok(Some((text, end)))
    }
}
