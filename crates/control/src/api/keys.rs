//! The keys that tokens are signed with, for admins of the platform.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{Org, code};
use credentials::{By, TokensError};
use serde::{Deserialize, Serialize};
use store::{KeyState, Role, SigningAlgorithm};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, Waiting};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, OptionalJson, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(roll))
}

/// A signing key, without its private half.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyItem {
    /// Its id in the JWK set.
    pub kid: String,
    /// What it signs with.
    #[schema(value_type = String)]
    pub algorithm: SigningAlgorithm,
    /// `next` (published, signs later), `signing`, or `retiring` (its tokens are good, it signs no more).
    pub state: String,
    /// Since when it is in its state, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When a retiring key is withdrawn, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until_unix_s: Option<u64>,
}

/// How the keys are to be rolled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollRequest {
    /// A private key got lost: withdraw all present keys at once. Every token that was signed until now is refused, that
    /// of the caller too. Otherwise the next keys are published, and sign when their time ahead is over.
    #[serde(default)]
    pub now: bool,
}

/// List the signing keys
#[utoipa::path(get, path = "/signing-keys", operation_id = "signing_key_list", tag = "keys",
    responses((status = 200, description = "By algorithm, newest first", body = List<SigningKeyItem>)))]
async fn list(
    State(control): State<Control>,
    caller: Caller,
) -> ApiResult<Json<List<SigningKeyItem>>> {
    platform_admin(&caller)?;
    reloaded(&control).await?;
    Ok(Json(items(&control)))
}

/// Roll the signing keys
#[utoipa::path(post, path = "/signing-keys/roll", operation_id = "signing_key_roll", tag = "keys",
    params(Waiting), request_body = RollRequest,
    responses((status = 200, description = "The keys that there are now", body = List<SigningKeyItem>),
        (status = 202, description = "As 200, but not every node knows them yet", body = List<SigningKeyItem>)))]
async fn roll(
    State(control): State<Control>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<RollRequest>,
) -> ApiResult<Response> {
    platform_admin(&caller)?;
    let by = By {
        actor: caller.user.clone(),
        request: Some(caller.request.clone()),
    };
    let tokens = control.tokens();
    let rolled = if wish.now {
        tokens.roll_now(&by).await
    } else {
        tokens.publish_next(&by).await
    };
    let revision = rolled.map_err(failed)?;
    if wish.now {
        tracing::warn!(by = caller.user, "all signing keys were replaced");
    }
    let status = match waiting.status(&control, revision).await {
        http::StatusCode::CREATED => http::StatusCode::OK,
        other => other,
    };
    Ok((status, Json(items(&control))).into_response())
}

/// Keys are those of all organisations.
fn platform_admin(caller: &Caller) -> ApiResult<()> {
    caller.require(&[Role::Admin])?;
    if caller.org == Org::default_org() {
        return Ok(());
    }
    Err(ApiError::new(
        code::FORBIDDEN,
        "signing keys are those of all organisations; an admin of the first one may see and change them",
    ))
}

/// Another process may have changed them a moment ago.
async fn reloaded(control: &Control) -> ApiResult<()> {
    control.tokens().reload().await.map_err(failed)
}

fn items(control: &Control) -> List<SigningKeyItem> {
    let keys = control.tokens().keys().into_iter();
    let items = keys.map(|key| SigningKeyItem {
        state: key.state.as_str().to_owned(),
        until_unix_s: match key.state {
            KeyState::Retiring { until_unix_s } => Some(until_unix_s),
            KeyState::Next | KeyState::Signing => None,
        },
        kid: key.kid,
        algorithm: key.algorithm,
        since_unix_ms: key.since_unix_ms,
        created_unix_ms: key.created_unix_ms,
    });
    List {
        items: items.collect(),
        next: None,
    }
}

fn failed(error: TokensError) -> ApiError {
    match error {
        TokensError::Store(error) => error.into(),
        error => ApiError::internal("changing the signing keys", &error),
    }
}
