//! A stored document as an answer: with what is true of it.

use base::{Diagnostics, Org};
use serde_json::Value;
use store::{Record, RecordKind};
use sync::ListenerFault;

use super::deployments::newest;
use super::waiting::node_item;
use super::{Condition, GatewayStatus, Object, Status};
use crate::Control;
use crate::change::content_digest;
use crate::http::ApiResult;
use crate::hub::{Compiled, Place, Serving};

/// The document with its status.
pub(super) async fn object(control: &Control, record: Record) -> ApiResult<Object> {
    let mut status = Status {
        id: record.id.to_string(),
        revision: record.revision,
        api_revision: None,
        digest: content_digest(&record.digest, record.blob.as_ref()).to_string(),
        created_unix_ms: record.created_unix_ms,
        updated_unix_ms: record.updated_unix_ms,
        conditions: vec![condition("Accepted", true, "Stored", String::new())],
        gateways: Vec::new(),
    };
    if record.kind == RecordKind::Api {
        add_api(control, &record.org, &record.name, &mut status).await?;
    }
    if record.kind == RecordKind::TokenIssuer {
        let known = super::issuers::keys_known(control, &record.org, &record.name);
        status.conditions.push(known.await?);
    }
    if record.kind == RecordKind::Gateway {
        status.conditions.push(listening(&record, control).await?);
    }
    let mut members = match record.document {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    let mut text = |key: &str| match members.shift_remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    Ok(Object {
        api_version: text("apiVersion"),
        kind: text("kind"),
        metadata: members.shift_remove("metadata").unwrap_or_default(),
        spec: members.shift_remove("spec").unwrap_or_default(),
        status,
        extensions: members,
    })
}

async fn add_api(control: &Control, org: &Org, name: &str, status: &mut Status) -> ApiResult<()> {
    let Some((compiled, serving)) = control.hub().api(org, name).await? else {
        return Ok(());
    };
    let newest = newest(control, org, name).await?;
    status.api_revision = Some(newest);
    let conditions = [compiles(&compiled), deployed(&compiled, &serving)];
    status.conditions.extend(conditions);
    let places = compiled.places.iter();
    status.gateways = places
        .map(|place| gateway_status(place, newest, &serving))
        .collect();
    Ok(())
}

/// Whether the nodes have opened the ports that the document names.
async fn listening(record: &Record, control: &Control) -> ApiResult<Condition> {
    let wanted = record.document["spec"]["listeners"].as_array();
    if wanted.is_none_or(Vec::is_empty) {
        let message = "no ports beside those of the nodes themselves".to_owned();
        return Ok(condition("Listening", true, "OwnPorts", message));
    }
    if record.org != Org::default_org() {
        let message = "ports are opened for the organisation `default` alone".to_owned();
        return Ok(condition("Listening", false, "OtherOrganisation", message));
    }
    let nodes = control.hub().listening(&record.name).await?;
    if nodes.is_empty() {
        let message = "no node is alive".to_owned();
        return Ok(condition("Listening", false, "Pending", message));
    }
    let faults: Vec<String> = nodes
        .iter()
        .flat_map(|(node, faults)| {
            let line =
                |fault: &ListenerFault| format!("{}, port {}: {}", node.0, fault.port, fault.cause);
            faults.iter().map(line)
        })
        .collect();
    Ok(if faults.is_empty() {
        condition("Listening", true, "Open", String::new())
    } else {
        condition("Listening", false, "NotOpen", faults.join("\n"))
    })
}

fn condition(kind: &str, status: bool, reason: &str, message: String) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
    }
}

/// What the document says, and every revision that is served, must reduce; one that does not is broken alone.
fn compiles(compiled: &Compiled) -> Condition {
    let mut lines: Vec<String> = compiled.latest.broken.iter().map(problems).collect();
    let pinned = compiled
        .places
        .iter()
        .filter(|place| !place.revision.is_latest());
    lines.extend(pinned.filter_map(|place| {
        let broken = problems(place.version.broken.as_ref()?);
        let (revision, gateway) = (place.revision, &place.gateway);
        Some(format!("revision {revision} on {gateway}: {broken}"))
    }));
    if lines.is_empty() {
        condition("Compiled", true, "Compiled", String::new())
    } else {
        condition("Compiled", false, "Broken", lines.join("\n"))
    }
}

fn problems(problems: &Diagnostics) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Only what every live node of every group has acknowledged is deployed (req: C1).
fn deployed(compiled: &Compiled, serving: &[Serving]) -> Condition {
    let missing: Vec<&str> = serving
        .iter()
        .filter(|one| !one.current)
        .map(|one| one.node.id.0.as_str())
        .collect();
    let refusing: Vec<String> = serving
        .iter()
        .filter_map(|one| {
            let broken = problems(one.broken.as_ref()?);
            Some(format!("{}: {broken}", one.node.id.0))
        })
        .collect();
    let alive = |gateway: &str| serving.iter().any(|one| one.node.gateway == gateway);
    let empty: Vec<&str> = compiled
        .places
        .iter()
        .map(|place| place.gateway.as_str())
        .filter(|gateway| !alive(gateway))
        .collect();
    let is_broken = |place: &Place| place.version.broken.is_some();
    if compiled.places.is_empty() {
        let message = "no gateway is named to serve it".to_owned();
        condition("Deployed", false, "NoDeployments", message)
    } else if compiled.places.iter().any(is_broken) || !refusing.is_empty() {
        condition("Deployed", false, "Broken", refusing.join("\n"))
    } else if !missing.is_empty() {
        let message = format!("not yet acknowledged by {}", missing.join(", "));
        condition("Deployed", false, "NotAcknowledged", message)
    } else if !empty.is_empty() {
        let message = format!("no node is alive in {}", empty.join(", "));
        condition("Deployed", false, "Pending", message)
    } else {
        condition("Deployed", true, "Acknowledged", String::new())
    }
}

fn gateway_status(place: &Place, newest: u64, serving: &[Serving]) -> GatewayStatus {
    let nodes: Vec<&Serving> = serving
        .iter()
        .filter(|one| one.node.gateway == place.gateway)
        .collect();
    let missing: Vec<String> = nodes
        .iter()
        .filter(|one| !one.current)
        .map(|one| one.node.id.0.clone())
        .collect();
    GatewayStatus {
        gateway: place.gateway.clone(),
        api_revision: place.revision.number().unwrap_or(newest),
        latest: place.revision.is_latest(),
        nodes: nodes.len() as u64,
        acknowledged: (nodes.len() - missing.len()) as u64,
        missing,
        serving: nodes.iter().map(|one| node_item(&one.node)).collect(),
    }
}
