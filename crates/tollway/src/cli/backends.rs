//! `backend status`: how the endpoints of a backend fare at each node.

use clap::{Args, Subcommand};
use control::api::{BackendStatus, EndpointItem, NodeEndpoints, paths};
use serde::Serialize;
use store::RecordKind;

use super::args::{Common, Documents};
use super::failure::Failure;
use super::{client, documents, output};

/// `tollway backend`
#[derive(Debug, Subcommand)]
pub enum Backend {
    /// Show how the endpoints of a backend fare at each node, and why
    ///
    /// Exit code 1 when a node calls none of its endpoints for what it knows of them.
    Status(Status),
    #[command(flatten)]
    Documents(Documents),
}

/// `tollway backend status`
#[derive(Debug, Args)]
pub struct Status {
    /// The backend's name; `API#production` or `API#sandbox` for one that is written in an API's document
    pub name: String,
    #[command(flatten)]
    pub common: Common,
}

/// One endpoint at one node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    node: String,
    gateway: String,
    #[serde(flatten)]
    endpoint: EndpointItem,
}

/// Runs the command.
pub(crate) async fn run(backend: Backend) -> Result<(), Failure> {
    match backend {
        Backend::Documents(command) => documents::run(RecordKind::Backend, command).await,
        Backend::Status(status) => self::status(status).await,
    }
}

async fn status(status: Status) -> Result<(), Failure> {
    let client = client(&status.common.target)?;
    let found: BackendStatus = client.get(&paths::backend_status(&status.name)).await?;
    for node in &found.nodes {
        remark(&status.name, node);
    }
    let down = found.nodes.iter().any(is_down);
    let rows: Vec<Row> = found.nodes.into_iter().flat_map(rows).collect();
    output::list(
        &rows,
        status.common.output,
        &[
            "NODE", "ENDPOINT", "PRIORITY", "WEIGHT", "HEALTH", "SINCE", "WHY",
        ],
        |row| {
            let endpoint = &row.endpoint;
            let since = endpoint.since_unix_ms.map(output::time);
            let mut health = endpoint.health.clone();
            if let Some(until) = endpoint.ejected_until_unix_ms {
                health = format!("{health} until {}", output::time(until));
            }
            vec![
                row.node.clone(),
                endpoint.endpoint.clone(),
                endpoint.priority.to_string(),
                endpoint.weight.to_string(),
                health,
                since.unwrap_or_default(),
                endpoint.cause.clone(),
            ]
        },
    )?;
    if down { Err(Failure::No) } else { Ok(()) }
}

fn rows(node: NodeEndpoints) -> impl Iterator<Item = Row> {
    let NodeEndpoints {
        node,
        gateway,
        endpoints,
        ..
    } = node;
    endpoints.into_iter().map(move |endpoint| Row {
        node: node.clone(),
        gateway: gateway.clone(),
        endpoint,
    })
}

/// What no row says.
fn remark(name: &str, node: &NodeEndpoints) {
    if !node.watched {
        let why =
            "it has one endpoint, no checks and no circuit breaker, or serves no call of it yet";
        eprintln!("{}: {name} is not watched: {why}", node.node);
    }
    if let Some(circuit) = node.circuit.as_deref().filter(|state| *state != "closed") {
        let until = node.circuit_open_until_unix_ms.map(output::time);
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        eprintln!("{}: the circuit of {name} is {circuit}{until}", node.node);
    }
    if let Some(fault) = &node.fault {
        eprintln!(
            "{}: a name of {name} cannot be looked up: {fault}",
            node.node
        );
    }
}

/// Whether a node knows of no endpoint that it may call, or its circuit is open.
fn is_down(node: &NodeEndpoints) -> bool {
    let mut endpoints = node.endpoints.iter();
    let is_open = node.circuit.as_deref() == Some("open");
    is_open
        || node.watched
            && !endpoints.any(|endpoint| matches!(&*endpoint.health, "unchecked" | "healthy"))
}
