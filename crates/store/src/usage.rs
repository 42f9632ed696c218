//! Usage: what was called, how often, how long it took.
//!
//! Rows live in exactly one step: what came lately by minutes, older ones by hours, the oldest by days. So nothing is
//! counted twice, whatever part of the past is asked for. Usage has no revision and is not in the change feed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base::Org;
use serde::{Deserialize, Serialize};
use usage::{Batch, Counts, Epoch, StatusClass};

use crate::Result;

/// Where usage is kept.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Adds a batch, all or nothing; it is durable when this returns. A batch whose sequence is not greater than the
    /// greatest one of its epoch is known and changes nothing.
    async fn usage_put(&self, batch: &Batch, now_unix_ms: u64) -> Result<Put>;

    /// What was counted, in groups, ordered by time and then by the other dimensions.
    async fn usage_query(&self, org: &Org, query: &UsageQuery) -> Result<UsageAnswer>;

    /// Does one small part of what is due: merges minutes into hours and hours into days, forgets what is older than
    /// is kept. Again until [`Compacted::done`]. Several processes may do it at the same time.
    async fn usage_compact(&self, now_unix_ms: u64, keep: &Retention) -> Result<Compacted>;

    /// What nodes said they sent, and what is stored of it; latest first.
    async fn usage_boots(&self, limit: u64) -> Result<Vec<Boot>>;
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It was added.
    Stored,
    /// It had been added before.
    Known,
}

/// A length of time that rows are kept by, or that answers are cut into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

impl Step {
    /// All steps, shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its length in milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// The beginning of the step that this time (milliseconds since 1970) lies in.
    #[must_use]
    pub fn floor(self, unix_ms: u64) -> u64 {
        unix_ms - unix_ms % self.ms()
    }
}

/// How long rows of each step are kept, in milliseconds; then they become rows of the next step, or go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Minutes; default 7 days.
    pub minutes_ms: u64,
    /// Hours, and what is known of nodes' boots; default 90 days.
    pub hours_ms: u64,
    /// Days; default 1,095 days (3 years).
    pub days_ms: u64,
    /// Boots of nodes that are kept at most, the latest ones; default 10,000.
    pub boots_max: u64,
    /// Rows that one transaction touches; default 500.
    pub rows_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Step::Day.ms();
        Self {
            minutes_ms: 7 * day,
            hours_ms: 90 * day,
            days_ms: 1_095 * day,
            boots_max: 10_000,
            rows_max: 500,
        }
    }
}

/// What one part of the compaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// Rows that became part of a row of the next step.
    pub merged: u64,
    /// Rows that were forgotten.
    pub expired: u64,
}

impl Compacted {
    /// Nothing is due any more.
    #[must_use]
    pub fn done(&self) -> bool {
        *self == Self::default()
    }
}

/// What usage can be grouped by, besides time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// The API.
    Api,
    /// The operation.
    Operation,
    /// The application.
    Application,
    /// The plan.
    Plan,
    /// The class of the status.
    Status,
    /// The environment.
    Environment,
}

/// Which usage, and how it is put together. `None` and an empty set of dimensions mean: all.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UsageQuery {
    /// From this time on, in milliseconds since 1970; rows that begin in the same step count whole.
    pub from_unix_ms: u64,
    /// Before this time, in milliseconds since 1970.
    pub to_unix_ms: u64,
    /// Of this API (document name).
    pub api: Option<String>,
    /// Of this operation (label).
    pub operation: Option<String>,
    /// Of one of these applications (ids).
    pub applications: Option<Vec<String>>,
    /// Under this plan (document name).
    pub plan: Option<String>,
    /// Answered with this class of status.
    pub status: Option<StatusClass>,
    /// In this environment.
    pub environment: Option<String>,
    /// What groups differ in.
    pub by: BTreeSet<Dimension>,
    /// Groups differ in time too; rows that are kept by longer steps stay what they are.
    pub step: Option<Step>,
    /// At most so many rows are read.
    pub rows_max: u64,
    /// At most so many groups are made.
    pub groups_max: usize,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UsageAnswer {
    /// The groups.
    pub groups: Vec<UsageGroup>,
    /// There is more than [`UsageQuery::rows_max`] or [`UsageQuery::groups_max`] allow: the groups are not complete.
    pub cut: bool,
}

/// One group. A dimension that was not asked for is `None`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct UsageGroup {
    /// What the group is of.
    pub key: GroupKey,
    /// What was counted.
    pub counts: Counts,
    /// Of these, calls that were answered 4xx.
    pub client_errors: u64,
    /// Of these, calls that were answered 5xx.
    pub server_errors: u64,
}

/// What a group is of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct GroupKey {
    /// The beginning of the step, in milliseconds since 1970.
    pub at_unix_ms: Option<u64>,
    /// The API's document name.
    pub api: Option<String>,
    /// The operation's label.
    pub operation: Option<String>,
    /// The application's id.
    pub application: Option<String>,
    /// The plan's document name.
    pub plan: Option<String>,
    /// The class of the status.
    pub status: Option<StatusClass>,
    /// The environment.
    pub environment: Option<String>,
}

/// One start of one node: what it said and what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// The node's name.
    pub node: String,
    /// The start.
    pub epoch: Epoch,
    /// The greatest sequence that is stored; 0 = none.
    pub sequence: u64,
    /// Batches that are stored.
    pub batches: u64,
    /// Requests that are stored.
    pub requests: u64,
    /// Requests that the node sent, as its latest batch says.
    pub sent_requests: u64,
    /// Batches that the node could not keep.
    pub lost_batches: u64,
    /// Requests that the node could not keep.
    pub lost_requests: u64,
    /// When the first batch came, in milliseconds since 1970.
    pub first_unix_ms: u64,
    /// When the latest batch came, in milliseconds since 1970.
    pub latest_unix_ms: u64,
    /// How it ended.
    pub end: End,
}

/// How a node's process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It has not, or nobody knows.
    Open,
    /// It stopped, and all that it counted is stored.
    Clean,
    /// The next start found no end; this was the last sequence that it found.
    Unclean {
        /// The sequence.
        sequence: u64,
    },
}
