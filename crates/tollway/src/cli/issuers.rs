//! `issuer`: issuers of tokens outside of the platform, and how they fare at each node.

use clap::{Args, Subcommand};
use control::api::{IssuerStatus, paths};
use store::RecordKind;

use super::args::{Common, Documents};
use super::failure::Failure;
use super::{client, documents, output};

/// `tollway issuer`
#[derive(Debug, Subcommand)]
pub enum Issuer {
    /// Show which keys of an issuer each node knows, and why they cannot be fetched
    ///
    /// Exit code 1 when a node knows no key of it and does not ask it for tokens either, or could not ask it.
    Status(Status),
    #[command(flatten)]
    Documents(Documents),
}

/// `tollway issuer status`
#[derive(Debug, Args)]
pub struct Status {
    /// The issuer's name
    pub name: String,
    #[command(flatten)]
    pub common: Common,
}

/// Runs the command.
pub(crate) async fn run(issuer: Issuer) -> Result<(), Failure> {
    match issuer {
        Issuer::Documents(command) => documents::run(RecordKind::TokenIssuer, command).await,
        Issuer::Status(status) => self::status(status).await,
    }
}

async fn status(status: Status) -> Result<(), Failure> {
    let client = client(&status.common.target)?;
    let found: IssuerStatus = client.get(&paths::issuer_status(&status.name)).await?;
    output::list(
        &found.nodes,
        status.common.output,
        &["NODE", "GATEWAY", "KEYS", "FETCHED", "WHY"],
        |node| {
            let fetched = node.fetched_unix_ms.map(output::time);
            let why = [&node.fault, &node.introspection_fault];
            let why: Vec<&str> = why.into_iter().flatten().map(String::as_str).collect();
            vec![
                node.node.clone(),
                node.gateway.clone(),
                node.keys.join(" "),
                fetched.unwrap_or_default(),
                if node.known {
                    why.join("; ")
                } else {
                    "the node has not told of it yet".to_owned()
                },
            ]
        },
    )?;
    let is_down = found.nodes.iter().any(|node| {
        !node.known
            || node.introspection_fault.is_some()
            || node.keys.is_empty() && node.fault.is_some()
    });
    if is_down { Err(Failure::No) } else { Ok(()) }
}
