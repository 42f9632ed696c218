//! How usage travels from a node to the control plane.

use std::fmt;
use std::str::FromStr;

use base::{CredentialId, KeyMark};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Counts, Key};

/// One start of a node's process. Later starts are greater: a UUID of version 7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(Uuid);

impl Epoch {
    /// A new one, greater than `last` even if the machine's clock went back.
    #[must_use]
    pub fn after(last: Option<Self>) -> Self {
        let now = Self(Uuid::now_v7());
        match last {
            Some(last) if last >= now => Self(Uuid::from_u128(last.0.as_u128().saturating_add(1))),
            _ => now,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Epoch {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The calls of one node within one interval. (`node`, `epoch`, `sequence`) names it for ever.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The node's name.
    pub node: String,
    /// The start of its process.
    pub epoch: Epoch,
    /// Counts the batches of an epoch, from 1. The first one has no rows: it says that the node is there.
    pub sequence: u64,
    /// When the interval began, in milliseconds since 1970: all of its calls belong to that minute.
    pub from_unix_ms: u64,
    /// What was counted; each key once.
    pub rows: Vec<Row>,
    /// API keys that were used, in this interval or a little before; each once a minute or so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyUse>,
    /// Requests in all batches of this epoch up to this one.
    pub sent_requests: u64,
    /// What the node could not keep, in this epoch.
    pub lost: Lost,
    /// The node stops after this one.
    pub last: bool,
    /// In the first batch of an epoch that the node could keep: the epoch before ended without a last batch.
    pub unclean: Option<Unclean>,
}

impl Batch {
    /// Requests in this batch.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.rows.iter().map(|row| row.counts.requests).sum()
    }
}

/// What was counted under one key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The counts.
    pub counts: Counts,
}

/// An API key that was used, by one of its texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// The key.
    pub credential: CredentialId,
    /// Which text of it.
    pub mark: KeyMark,
}

/// What was counted and could not be kept, because the spool was full or could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Batches; their sequences are missing.
    pub batches: u64,
    /// The requests in them.
    pub requests: u64,
}

/// A process that ended without stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unclean {
    /// Its epoch.
    pub epoch: Epoch,
    /// The last sequence that it left behind.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_though_the_clock_goes_back() {
        let now = Epoch::after(None);
        let future = Epoch(Uuid::from_u128(now.0.as_u128() + (1 << 100)));
        assert!(Epoch::after(Some(now)) > now);
        assert!(Epoch::after(Some(future)) > future);
    }
}
