//! Initial access tokens: what clients may register themselves with (RFC 7591 §3), for admins.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::RegistrationTokenId;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{RegistrationToken, Role, Write};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, NO_STORE};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Name, OptionalJson};

/// How often a token may be used, and how long it lasts, unless the caller says.
const USES: u64 = 1;
const LASTS_S: u64 = 24 * 60 * 60;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(delete))
}

/// What a new registration token is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistrationTokenRequest {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// How many clients may be registered with it; by default 1, at most 10,000 unless configured otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uses: Option<u64>,
    /// How long it works, in seconds; by default a day, at most a year unless configured otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
}

/// A registration token; its text is shown once, when it is made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationTokenItem {
    /// Its id, to delete it by.
    pub id: String,
    /// The token; kept as a keyed hash only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// What people call it.
    pub name: String,
    /// How many clients may still be registered with it.
    pub uses_left: u64,
    /// Who made it, and owns the applications of its clients.
    pub owner: String,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it stops to work, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// List registration tokens
#[utoipa::path(get, path = "/registration-tokens", operation_id = "registration_token_list", tag = "credentials",
    responses((status = 200, description = "Without the tokens, oldest first", body = List<RegistrationTokenItem>)))]
async fn list(
    State(control): State<Control>,
    caller: Caller,
) -> ApiResult<Json<List<RegistrationTokenItem>>> {
    caller.require(&[Role::Admin])?;
    let found = control.store().registration_token_list(&caller.org).await?;
    let items = found.into_iter().map(|token| item(token, None)).collect();
    Ok(Json(List { items, next: None }))
}

/// Create a registration token
#[utoipa::path(post, path = "/registration-tokens", operation_id = "registration_token_create", tag = "credentials",
    request_body = RegistrationTokenRequest,
    responses((status = 201, description = "The token, shown this once", body = RegistrationTokenItem)))]
async fn create(
    State(control): State<Control>,
    caller: Caller,
    OptionalJson(wish): OptionalJson<RegistrationTokenRequest>,
) -> ApiResult<Response> {
    caller.require(&[Role::Admin])?;
    let (uses, lasts_s) = (
        wish.uses.unwrap_or(USES),
        wish.expires_in.unwrap_or(LASTS_S),
    );
    let config = control.config();
    let (uses_max, lasts_s_max) = (config.registration_uses_max, config.registration_s_max);
    if !(1..=uses_max).contains(&uses) || !(1..=lasts_s_max).contains(&lasts_s) {
        return Err(ApiError::bad_request(format!(
            "`uses` is from 1 to {uses_max}, `expiresIn` from 1 to {lasts_s_max} seconds"
        )));
    }
    let (text, hash) = control
        .hashes()
        .registration_token()
        .map_err(|error| ApiError::internal("making a registration token", &error))?;
    let now_ms = control.clock().unix_ms();
    let token = RegistrationToken {
        id: RegistrationTokenId::generate(),
        org: caller.org.clone(),
        name: super::credentials::checked_name(wish.name)?,
        hash,
        uses_left: uses,
        owner: caller.user.clone(),
        created_unix_ms: now_ms,
        expires_unix_s: (now_ms / 1000).saturating_add(lasts_s),
    };
    let answer = item(token.clone(), Some(text.expose().clone()));
    let put = Write::RegistrationTokenPut(token);
    control.commit(&caller, vec![put]).await?;
    Ok((StatusCode::CREATED, [NO_STORE], Json(answer)).into_response())
}

/// Delete a registration token
#[utoipa::path(delete, path = "/registration-tokens/{id}", operation_id = "registration_token_delete", tag = "credentials",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It registers nobody any more; who is registered stays")))]
async fn delete(
    State(control): State<Control>,
    caller: Caller,
    Name(id): Name,
) -> ApiResult<StatusCode> {
    caller.require(&[Role::Admin])?;
    let missing = || ApiError::not_found(format!("registration token `{id}`"));
    let id: RegistrationTokenId = id.parse().map_err(|_| missing())?;
    let delete = Write::RegistrationTokenDelete(id);
    control.commit(&caller, vec![delete]).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn item(token: RegistrationToken, text: Option<String>) -> RegistrationTokenItem {
    RegistrationTokenItem {
        id: token.id.to_string(),
        token: text,
        name: token.name,
        uses_left: token.uses_left,
        owner: token.owner,
        created_unix_ms: token.created_unix_ms,
        expires_unix_s: token.expires_unix_s,
    }
}
