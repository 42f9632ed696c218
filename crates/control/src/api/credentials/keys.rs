//! API keys of an application.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base::KeyLimits;
use credentials::Wish;
use http::StatusCode;
use store::{CredentialKind, Write};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    API_KEYS, application, checked_name, credential, expiry, item, made, room_for_one_more,
};
use crate::Control;
use crate::api::{
    ApiKeyChange, ApiKeyLimits, ApiKeyRequest, CredentialItem, ExpiringParams, List, NO_STORE,
    NewApiKey, RotateRequest, Waiting,
};
use crate::http::{ApiError, ApiResult, Caller, Json, Name, Names, OptionalJson, Params};

/// The most ranges, operations or scopes of a key.
const LIMITS_MAX: usize = 100;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(secret_delete))
}

/// Create an API key for an application
#[utoipa::path(post, path = "/applications/{name}/api-keys", operation_id = "api_key_create", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), Waiting), request_body = ApiKeyRequest,
    responses((status = 201, description = "The key, shown this once", body = NewApiKey),
        (status = 202, description = "As 201, but not every node serves it yet", body = NewApiKey)))]
async fn create(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<ApiKeyRequest>,
) -> ApiResult<Response> {
    let expires_unix_s = expiry(&control, wish.expires_in)?;
    let writing = control.writing().await?;
    let application = application(&control, &caller, &name).await?;
    let limits = limits(wish.limits)?;
    room_for_one_more(&control, application).await?;
    let of_caller = Wish {
        environment: wish.environment.into(),
        expires_unix_s,
        name: checked_name(wish.name)?,
        ..Wish::new(&caller.org, application)
    };
    let new = control
        .hashes()
        .api_key_create(of_caller, limits, control.clock().unix_ms())
        .map_err(|error| ApiError::internal("making an API key", &error))?;
    let answer = NewApiKey {
        id: new.credential.id.to_string(),
        key: new.key.expose().clone(),
        expires_unix_s,
    };
    let put = Write::CredentialPut(new.credential);
    made(&control, &caller, (writing, put), waiting, answer).await
}

/// Change an API key
#[utoipa::path(patch, path = "/applications/{name}/api-keys/{id}", operation_id = "api_key_change", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting), request_body = ApiKeyChange,
    responses((status = 200, description = "The key, without its text", body = CredentialItem)))]
async fn change(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
    Json(wish): Json<ApiKeyChange>,
) -> ApiResult<Json<CredentialItem>> {
    let of = (name.as_str(), id.as_str());
    let expires = expiry(&control, wish.expires_in)?;
    let new_name = wish.name.map(|name| checked_name(Some(name))).transpose()?;
    let changed = super::change(&control, &caller, of, API_KEYS, |credential| {
        if let Some(wish) = wish.limits {
            credential.kind = CredentialKind::ApiKey(limits(wish)?);
        }
        if let Some(name) = new_name {
            credential.name = name;
        }
        credential.expires_unix_s = expires.or(credential.expires_unix_s);
        Ok(())
    });
    let (revision, changed) = changed.await?;
    waiting.acknowledged(&control, revision).await?;
    Ok(Json(item(&changed)))
}

/// List the API keys of an application
#[utoipa::path(get, path = "/applications/{name}/api-keys", operation_id = "api_key_list", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ExpiringParams),
    responses((status = 200, description = "Without secrets, oldest first", body = List<CredentialItem>)))]
async fn list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(params): Params<ExpiringParams>,
) -> ApiResult<Json<List<CredentialItem>>> {
    super::list(&control, &caller, &name, API_KEYS, params).await
}

/// Show an API key
#[utoipa::path(get, path = "/applications/{name}/api-keys/{id}", operation_id = "api_key_get", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id")),
    responses((status = 200, description = "Without secrets", body = CredentialItem)))]
async fn get(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
) -> ApiResult<Json<CredentialItem>> {
    let found = credential(&control, &caller, (&name, &id), API_KEYS).await?;
    Ok(Json(item(&found)))
}

/// Give an API key a new key beside the one that it has
///
/// Both work until the older one ends; two are live at a time at most.
#[utoipa::path(post, path = "/applications/{name}/api-keys/{id}/rotate", operation_id = "api_key_rotate", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting), request_body = RotateRequest,
    responses((status = 201, description = "The new key, shown this once", body = NewApiKey),
        (status = 202, description = "As 201, but not every node knows it yet", body = NewApiKey)))]
async fn rotate(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<RotateRequest>,
) -> ApiResult<Response> {
    let rotated = super::rotate(&control, &caller, (&name, &id), API_KEYS, wish).await?;
    let (revision, credential, text) = rotated;
    let answer = NewApiKey {
        id: credential.id.to_string(),
        key: text,
        expires_unix_s: credential.expires_unix_s,
    };
    let done = waiting.status(&control, revision).await;
    Ok((done, [NO_STORE], Json(answer)).into_response())
}

/// End one key of an API key now
#[utoipa::path(delete, path = "/applications/{name}/api-keys/{id}/secrets/{secret}", operation_id = "api_key_secret_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), ("secret" = String, Path, description = "The secret's id"), Waiting),
    responses((status = 204, description = "It is refused from now on")))]
async fn secret_delete(
    State(control): State<Control>,
    caller: Caller,
    Path((name, id, secret)): Path<(String, String, String)>,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    let of = (name.as_str(), id.as_str(), secret.as_str());
    super::secret_delete(&control, &caller, of, API_KEYS, &waiting).await
}

/// Delete an API key
#[utoipa::path(delete, path = "/applications/{name}/api-keys/{id}", operation_id = "api_key_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting),
    responses((status = 204, description = "It is gone; every gateway refuses it")))]
async fn delete(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    super::delete(&control, &caller, (&name, &id), API_KEYS, &waiting).await
}

fn limits(wish: ApiKeyLimits) -> ApiResult<KeyLimits> {
    let scopes = wish.scopes.as_ref().map_or(0, Vec::len);
    for count in [wish.ip_ranges.len(), wish.operations.len(), scopes] {
        if count > LIMITS_MAX {
            return Err(ApiError::bad_request(format!(
                "an API key has at most {LIMITS_MAX} ranges, operations and scopes each"
            )));
        }
    }
    KeyLimits::try_from(wish).map_err(|error| ApiError::bad_request(error.to_string()))
}
