//! A stored document as an answer: with what is true of it.

use base::Org;
use serde_json::Value;
use store::{Record, RecordKind};
use sync::ListenerFault;

use super::{Condition, GatewayStatus, Object, Status};
use crate::Control;
use crate::change::content_digest;
use crate::http::ApiResult;
use crate::hub::{Compiled, Serving};

/// The document with its status.
pub(super) async fn object(control: &Control, record: Record) -> ApiResult<Object> {
    let mut status = Status {
        id: record.id.to_string(),
        revision: record.revision,
        digest: content_digest(&record.digest, record.blob.as_ref()).to_string(),
        created_unix_ms: record.created_unix_ms,
        updated_unix_ms: record.updated_unix_ms,
        conditions: vec![condition("Accepted", true, "Stored", String::new())],
        gateways: Vec::new(),
    };
    if record.kind == RecordKind::Api {
        add_api(control, &record.org, &record.name, &mut status).await?;
    }
    if record.kind == RecordKind::Gateway {
        status.conditions.push(listening(&record, control));
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
    let conditions = [compiles(&compiled), deployed(&compiled, &serving)];
    status.conditions.extend(conditions);
    status.gateways = serving
        .into_iter()
        .map(|(gateway, nodes)| gateway_status(gateway, &nodes))
        .collect();
    Ok(())
}

/// Whether the nodes have opened the ports that the document names.
fn listening(record: &Record, control: &Control) -> Condition {
    let wanted = record.document["spec"]["listeners"].as_array();
    if wanted.is_none_or(Vec::is_empty) {
        let message = "no ports beside those of the nodes themselves".to_owned();
        return condition("Listening", true, "OwnPorts", message);
    }
    if record.org != Org::default_org() {
        let message = "ports are opened for the organisation `default` alone".to_owned();
        return condition("Listening", false, "OtherOrganisation", message);
    }
    let nodes = control.hub().listening(&record.name);
    if nodes.is_empty() {
        return condition("Listening", false, "Pending", "no node is alive".to_owned());
    }
    let faults: Vec<String> = nodes
        .iter()
        .flat_map(|(node, faults)| {
            let line =
                |fault: &ListenerFault| format!("{}, port {}: {}", node.0, fault.port, fault.cause);
            faults.iter().map(line)
        })
        .collect();
    if faults.is_empty() {
        condition("Listening", true, "Open", String::new())
    } else {
        condition("Listening", false, "NotOpen", faults.join("\n"))
    }
}

fn condition(kind: &str, status: bool, reason: &str, message: String) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
    }
}

fn compiles(compiled: &Compiled) -> Condition {
    match &compiled.broken {
        None => condition("Compiled", true, "Compiled", String::new()),
        Some(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            condition("Compiled", false, "Broken", lines.join("\n"))
        }
    }
}

/// Only what every live node of every group has acknowledged is deployed (req: C1).
fn deployed(compiled: &Compiled, serving: &[(String, Vec<Serving>)]) -> Condition {
    let nodes = || serving.iter().flat_map(|(_, nodes)| nodes);
    let missing: Vec<&str> = nodes()
        .filter(|node| !node.current)
        .map(|node| node.node.0.as_str())
        .collect();
    let refusing: Vec<String> = nodes()
        .filter_map(|node| {
            let problems: Vec<String> = node
                .broken
                .as_ref()?
                .iter()
                .map(ToString::to_string)
                .collect();
            Some(format!("{}: {}", node.node.0, problems.join("; ")))
        })
        .collect();
    let empty: Vec<&str> = serving
        .iter()
        .filter(|(_, nodes)| nodes.is_empty())
        .map(|(gateway, _)| gateway.as_str())
        .collect();
    if compiled.broken.is_some() || !refusing.is_empty() {
        condition("Deployed", false, "Broken", refusing.join("\n"))
    } else if compiled.gateways.is_empty() {
        condition(
            "Deployed",
            false,
            "NoDeployments",
            "no gateway is named to serve it".to_owned(),
        )
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

fn gateway_status(gateway: String, nodes: &[Serving]) -> GatewayStatus {
    let missing: Vec<String> = nodes
        .iter()
        .filter(|node| !node.current)
        .map(|node| node.node.0.clone())
        .collect();
    GatewayStatus {
        gateway,
        nodes: nodes.len() as u64,
        acknowledged: (nodes.len() - missing.len()) as u64,
        missing,
    }
}
