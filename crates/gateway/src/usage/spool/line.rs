//! One line of the spool.

use std::io;

use base::Digest;
use serde::{Deserialize, Serialize};
use usage::{Batch, Epoch};

/// Digits of the checksum.
const DIGITS: usize = 16;

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    /// The first line of a file.
    Begin(Header),
    /// A batch.
    Batch(Box<Batch>),
}

/// The same, borrowed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum LineRef<'a> {
    /// See [`Line::Begin`].
    Begin(&'a Header),
    /// See [`Line::Batch`].
    Batch(&'a Batch),
}

/// Where a file begins, so that the latest sequence is known however few lines there are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// The start that writes it.
    pub(super) epoch: Epoch,
    /// The latest sequence before this file.
    pub(super) sequence: u64,
}

/// The line with its checksum and its end.
pub(super) fn write(line: &LineRef<'_>) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(line)?;
    let mut text = Vec::with_capacity(DIGITS + json.len() + 2);
    text.extend_from_slice(&checksum(&json));
    text.push(b' ');
    text.extend_from_slice(&json);
    text.push(b'\n');
    Ok(text)
}

/// A line without its end; `None` when it is not as it was written.
pub(super) fn read(text: &[u8]) -> Option<Line> {
    let (sum, rest) = text.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if sum != checksum(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    crate::trace::write_hex(&Digest::of(json).as_bytes()[..DIGITS / 2], &mut digits);
    digits
}
