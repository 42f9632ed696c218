//! How the issuers outside of the platform fare at each node.

use axum::extract::State;
use base::Org;
use serde::{Deserialize, Serialize};
use spec::Kind;
use store::Role;
use sync::{IssuerReport, ResourceKey};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Condition;
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Name};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(issuer_status))
}

/// How an issuer fares
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// The issuer's name.
    pub name: String,
    /// Each live node.
    pub nodes: Vec<NodeIssuer>,
}

/// What one node says of an issuer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeIssuer {
    /// The node.
    pub node: String,
    /// The gateway whose APIs it serves.
    pub gateway: String,
    /// Whether the node knows of the issuer (yet).
    pub known: bool,
    /// The ids of the keys that tokens are verified with.
    pub keys: Vec<String>,
    /// When the keys were fetched, in milliseconds since 1970; absent = never, or they stand in the document.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fetched_unix_ms: Option<u64>,
    /// Why the last fetch of the keys failed; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// Why the issuer could not be asked for a token; absent when it could, or never had to be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introspection_fault: Option<String>,
}

impl NodeIssuer {
    fn of(node: String, gateway: String, report: Option<IssuerReport>) -> Self {
        let known = report.is_some();
        let report = report.unwrap_or_else(|| IssuerReport {
            key: ResourceKey {
                org: Org::default_org(),
                name: String::new(),
            },
            kids: Vec::new(),
            fetched_unix_ms: None,
            fault: None,
            introspection_fault: None,
        });
        Self {
            node,
            gateway,
            known,
            keys: report.kids,
            fetched_unix_ms: report.fetched_unix_ms,
            fault: report.fault,
            introspection_fault: report.introspection_fault,
        }
    }
}

/// How an issuer fares at each node: its keys, and why they cannot be fetched
#[utoipa::path(get, path = "/token-issuers/{name}/status", operation_id = "issuer_status", tag = "documents",
    params(("name" = String, Path, description = "The issuer's name")),
    responses((status = 200, description = "What each live node says, as of a second ago", body = IssuerStatus)))]
async fn issuer_status(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<IssuerStatus>> {
    caller.require(&[Role::Admin, Role::Publisher])?;
    let catalogue = control.hub().catalogue(&caller.org).await?;
    if catalogue.get(Kind::TokenIssuer, &name).is_none() {
        return Err(ApiError::not_found(format!("TokenIssuer `{name}`")));
    }
    let nodes = nodes(&control, &caller.org, &name).await?;
    Ok(Json(IssuerStatus { name, nodes }))
}

async fn nodes(control: &Control, org: &Org, name: &str) -> ApiResult<Vec<NodeIssuer>> {
    let key = ResourceKey {
        org: org.clone(),
        name: name.to_owned(),
    };
    let told = control.hub().issuers_of(&key).await?.into_iter();
    let node = |(node, gateway, report): (sync::NodeId, String, _)| {
        NodeIssuer::of(node.0, gateway, report)
    };
    Ok(told.map(node).collect())
}

/// Whether nodes can verify its tokens, for the status of the document.
pub(super) async fn keys_known(control: &Control, org: &Org, name: &str) -> ApiResult<Condition> {
    let nodes = nodes(control, org, name).await?;
    let condition = |status, reason: &str, message| Condition {
        kind: "KeysKnown".to_owned(),
        status,
        reason: reason.to_owned(),
        message,
    };
    let told: Vec<&NodeIssuer> = nodes.iter().filter(|node| node.known).collect();
    if told.is_empty() {
        let message = "no node has told of it yet".to_owned();
        return Ok(condition(false, "Pending", message));
    }
    let faults: Vec<String> = told
        .iter()
        .filter_map(|node| Some(format!("{}: {}", node.node, node.fault.as_ref()?)))
        .collect();
    let none = told.iter().any(|node| node.keys.is_empty());
    Ok(match (faults.is_empty(), none) {
        (true, false) => condition(true, "Fetched", String::new()),
        (true, true) => condition(false, "NoKeys", "no key is known".to_owned()),
        // Earlier keys go on to be good for a while.
        (false, false) => condition(true, "Stale", faults.join("\n")),
        (false, true) => condition(false, "NotFetched", faults.join("\n")),
    })
}
