//! Revisions, deployments, the audit, taking back.

use clap::Args;
use spec::RevisionRef;

use super::{Common, Wait};
use crate::up::Span;

/// `tollway api deploy`
#[derive(Debug, Args)]
pub struct Deploy {
    /// NAME:VERSION
    pub name: String,
    /// The revision: a number from `api revisions`, or latest to follow every new one
    #[arg(long, value_name = "N|latest", default_value = "latest")]
    pub revision: RevisionRef,
    /// The gateway
    #[arg(long, default_value = "default")]
    pub gateway: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway api undeploy`
#[derive(Debug, Args)]
pub struct Undeploy {
    /// NAME:VERSION
    pub name: String,
    /// The gateway
    #[arg(long)]
    pub gateway: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway api rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// NAME:VERSION
    pub name: String,
    /// The gateway
    #[arg(long, default_value = "default")]
    pub gateway: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway api diff`
#[derive(Debug, Args)]
pub struct ApiDiff {
    /// NAME:VERSION
    pub name: String,
    /// The revision to compare with
    #[arg(long, value_name = "N")]
    pub from: u64,
    /// The revision to compare: a number, or latest
    #[arg(long, value_name = "M", default_value = "latest")]
    pub to: RevisionRef,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// Only of this kind: Api, Backend, Plan, Gateway, Application, Subscription, Credential, User, Token or SigningKey
    #[arg(long)]
    pub kind: Option<String>,
    /// Only of the thing with this name; an API also as NAME:VERSION
    #[arg(long)]
    pub name: Option<String>,
    /// Only what this user or client did
    #[arg(long)]
    pub actor: Option<String>,
    /// Only of the last time, such as 1h or 7d
    #[arg(long, value_name = "DURATION")]
    pub since: Option<Span>,
    /// Only of this revision of the store
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway undo`
#[derive(Debug, Args)]
pub struct Undo {
    /// The revision of the store, from `audit`
    pub revision: u64,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also where a later revision changed the same document: it is lost then
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}
