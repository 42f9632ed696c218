//! How the endpoints of a backend fare at each node.

use axum::extract::State;
use base::Org;
use serde::{Deserialize, Serialize};
use spec::Kind;
use store::Role;
use sync::ResourceKey;
use sync::endpoints::{CircuitReport, EndpointReport};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Name};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(backend_status))
}

/// How the endpoints of a backend fare
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// The backend's name.
    pub name: String,
    /// Each live node.
    pub nodes: Vec<NodeEndpoints>,
}

/// What one node says of a backend.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeEndpoints {
    /// The node.
    pub node: String,
    /// The gateway whose APIs it serves.
    pub gateway: String,
    /// Whether the node watches the backend: it has a choice of endpoints, checks, or a circuit breaker. One that is not watched is
    /// called, however it fares.
    pub watched: bool,
    /// Its endpoints; those that are called first stand first.
    pub endpoints: Vec<EndpointItem>,
    /// Why a name of the backend could not be looked up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// `closed` (calls pass), `half-open` (a few pass), `open` (none passes); none without a circuit breaker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circuit: Option<String>,
    /// Until when the circuit is open, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circuit_open_until_unix_ms: Option<u64>,
}

/// An endpoint as one node sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointItem {
    /// Its name, as a URL.
    pub endpoint: String,
    /// Its share beside the others'.
    pub weight: u32,
    /// Lower numbers are called first.
    pub priority: u16,
    /// `unchecked` (called), `healthy` (called), `unhealthy` or `ejected`.
    pub health: String,
    /// Until when it is ejected, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ejected_until_unix_ms: Option<u64>,
    /// Why it is as it is, or was; empty where nothing ever happened.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cause: String,
    /// Since when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_unix_ms: Option<u64>,
}

impl From<EndpointReport> for EndpointItem {
    fn from(report: EndpointReport) -> Self {
        Self {
            endpoint: report.endpoint,
            weight: report.weight,
            priority: report.priority,
            health: report.health.as_str().to_owned(),
            ejected_until_unix_ms: report.ejected_until_unix_ms,
            cause: report.cause,
            since_unix_ms: report.since_unix_ms,
        }
    }
}

/// How the endpoints of a backend fare at each node, and why
#[utoipa::path(get, path = "/backends/{name}/status", operation_id = "backend_status", tag = "documents",
    params(("name" = String, Path, description = "The backend's name; `API#production` or `API#sandbox` for one that is written in an API's document")),
    responses((status = 200, description = "What each live node says, as of a second ago", body = BackendStatus)))]
async fn backend_status(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<BackendStatus>> {
    caller.require(&[Role::Admin, Role::Publisher])?;
    if !exists(&control, &caller.org, &name).await? {
        return Err(ApiError::not_found(format!("Backend `{name}`")));
    }
    let key = ResourceKey {
        org: caller.org.clone(),
        name: name.clone(),
    };
    let told = control.hub().endpoints_of(&key).await?;
    let nodes = told.into_iter().map(|(node, gateway, report)| {
        let watched = report.is_some();
        let circuit = report.as_ref().and_then(|report| report.circuit);
        let (endpoints, fault) =
            report.map_or_else(Default::default, |report| (report.endpoints, report.fault));
        let (circuit, open_until) = match circuit {
            None => (None, None),
            Some(CircuitReport::Closed) => (Some("closed"), None),
            Some(CircuitReport::HalfOpen) => (Some("half-open"), None),
            Some(CircuitReport::Open { until_unix_ms }) => (Some("open"), Some(until_unix_ms)),
        };
        NodeEndpoints {
            node: node.0,
            gateway,
            watched,
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            fault,
            circuit: circuit.map(str::to_owned),
            circuit_open_until_unix_ms: open_until,
        }
    });
    Ok(Json(BackendStatus {
        nodes: nodes.collect(),
        name,
    }))
}

/// Whether there is such a document, or an API that a backend of its own is named after.
async fn exists(control: &Control, org: &Org, name: &str) -> ApiResult<bool> {
    let catalogue = control.hub().catalogue(org).await?;
    Ok(match name.split_once('#') {
        None => catalogue.get(Kind::Backend, name).is_some(),
        Some((api, _)) => catalogue.get(Kind::Api, api).is_some(),
    })
}
