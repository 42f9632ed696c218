//! Why a call was refused or failed, by its trace id.

use axum::Json;
use axum::extract::{Path, State};
use base::{Org, code};
use store::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ExplainedCall, Explanation};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(trace_explain))
}

/// Why calls with this trace id were refused or failed: matched API and operation, policies in their order, the rule that
/// was broken, quota, tries to reach the backend
#[utoipa::path(
    get,
    path = "/traces/{traceId}",
    operation_id = "traceExplain",
    tag = "traces",
    params(("traceId" = String, Path, description = "The trace id, 32 hexadecimal digits: `traceId` of the problem")),
    responses((status = 200, body = Explanation, description = "The decisions, oldest first")),
)]
async fn trace_explain(
    State(control): State<Control>,
    caller: Caller,
    Path(trace_id): Path<String>,
) -> ApiResult<Json<Explanation>> {
    caller.require(&[Role::Admin, Role::Publisher])?;
    let trace_id = trace_id.to_ascii_lowercase();
    let found = control.hub().decisions().of(&trace_id);
    let mut calls = Vec::new();
    for told in found {
        if !may_see(&caller, told.decision.org()) {
            continue;
        }
        let application = match told
            .decision
            .caller
            .as_ref()
            .and_then(|known| known.application)
        {
            Some(application) => control.hub().application_name(application).await?,
            None => None,
        };
        calls.push(ExplainedCall {
            node: told.node.0.clone(),
            application,
            decision: told.decision.clone(),
        });
    }
    if calls.is_empty() {
        // The same for what is not there and for what belongs to somebody else.
        return Err(ApiError::new(
            code::NOT_FOUND,
            "no refused or failed call with this trace id is known here: it may have succeeded, lie too far back, be \
             another organisation's, or have come to a node of another control process",
        ));
    }
    Ok(Json(Explanation { trace_id, calls }))
}

/// Calls of an API are its organisation's; those that no API was found for are told to admins of the first one.
fn may_see(caller: &Caller, org: Option<&Org>) -> bool {
    match org {
        Some(org) => caller.org == *org,
        None => caller.org == Org::default_org() && caller.is(Role::Admin),
    }
}
