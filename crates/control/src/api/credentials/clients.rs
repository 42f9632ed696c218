//! OAuth clients of an application.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base::Diagnostic;
use base::code;
use credentials::{By, SECTOR_BYTES_MAX, Wish, check_sector, metadata};
use http::StatusCode;
use store::{ClientMetadata, CredentialKind, Write};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    CLIENTS, application, checked_name, credential, expiry, item, made, outside, room_for_one_more,
};
use crate::Control;
use crate::api::{
    ClientChange, ClientRequest, CredentialItem, ExpiringParams, List, NO_STORE, NewClient,
    RotateRequest, Waiting,
};
use crate::http::{ApiError, ApiResult, Caller, Json, Name, Names, OptionalJson, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(secret_delete))
}

/// Create an OAuth client for an application
#[utoipa::path(post, path = "/applications/{name}/credentials", operation_id = "credential_create", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), Waiting), request_body = ClientRequest,
    responses((status = 201, description = "The client; the secret is shown this once", body = NewClient),
        (status = 202, description = "As 201, but not every node serves it yet", body = NewClient)))]
async fn create(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<ClientRequest>,
) -> ApiResult<Response> {
    if let Some(issuer) = wish.issuer.clone() {
        return outside::create(&control, &caller, (&name, issuer), wish, waiting).await;
    }
    if wish.client_id.is_some() {
        let detail = "`clientId` is chosen by the platform, but for clients of another `issuer`";
        return Err(ApiError::bad_request(detail));
    }
    // Who may: then something is fetched for them.
    let own = application(&control, &caller, &name).await?;
    checked_metadata(&control, &wish.metadata).await?;
    let of_caller = Wish {
        environment: wish.environment.into(),
        expires_unix_s: expiry(&control, wish.expires_in)?,
        name: checked_name(wish.name)?,
        ..Wish::new(&caller.org, own)
    };
    algorithms(&control, &caller, &wish.metadata).await?;
    let writing = control.writing().await?;
    // Once more, in the turn: it may be gone by now.
    let application = application(&control, &caller, &name).await?;
    room_for_one_more(&control, application).await?;
    let new = control
        .hashes()
        .client_create(of_caller, wish.metadata, control.clock().unix_ms())
        .map_err(|error| ApiError::internal("making a client", &error))?;
    let answer = NewClient {
        id: new.credential.id.to_string(),
        client_id: new.client_id,
        client_secret: new.client_secret.map(|secret| secret.expose().clone()),
    };
    let put = Write::CredentialPut(new.credential);
    made(&control, &caller, (writing, put), waiting, answer).await
}

/// Change an OAuth client
#[utoipa::path(patch, path = "/applications/{name}/credentials/{id}", operation_id = "credential_change", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting), request_body = ClientChange,
    responses((status = 200, description = "The client, without secrets", body = CredentialItem)))]
async fn change(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
    Json(wish): Json<ClientChange>,
) -> ApiResult<Json<CredentialItem>> {
    let expires = expiry(&control, wish.expires_in)?;
    let of = (name.as_str(), id.as_str());
    let present = credential(&control, &caller, of, CLIENTS).await?;
    if outside::is_outside(&present) && (wish.metadata.is_some() || expires.is_some()) {
        let detail = "of a client of another issuer only the name can be changed";
        return Err(ApiError::new(code::CONFLICT, detail));
    }
    if let Some(metadata) = &wish.metadata {
        checked_metadata(&control, metadata).await?;
        algorithms(&control, &caller, metadata).await?;
    }
    let new_name = wish.name.map(|name| checked_name(Some(name))).transpose()?;
    let changed = super::change(&control, &caller, of, CLIENTS, |credential| {
        if let (Some(metadata), CredentialKind::Client(client)) =
            (wish.metadata, &mut credential.kind)
        {
            let has_secret = metadata.token_endpoint_auth_method.has_secret();
            if has_secret && credential.secrets.is_empty() {
                let detail =
                    "a client that had no secret gets none by a change; create another one";
                return Err(ApiError::new(code::CONFLICT, detail));
            }
            if !has_secret {
                credential.secrets.clear();
            }
            client.metadata = metadata;
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

/// List the OAuth clients of an application
#[utoipa::path(get, path = "/applications/{name}/credentials", operation_id = "credential_list", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ExpiringParams),
    responses((status = 200, description = "Without secrets, oldest first", body = List<CredentialItem>)))]
async fn list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(params): Params<ExpiringParams>,
) -> ApiResult<Json<List<CredentialItem>>> {
    super::list(&control, &caller, &name, CLIENTS, params).await
}

/// Show an OAuth client
#[utoipa::path(get, path = "/applications/{name}/credentials/{id}", operation_id = "credential_get", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id")),
    responses((status = 200, description = "Without secrets", body = CredentialItem)))]
async fn get(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
) -> ApiResult<Json<CredentialItem>> {
    let found = credential(&control, &caller, (&name, &id), CLIENTS).await?;
    Ok(Json(item(&found)))
}

/// Give an OAuth client a new secret beside the one that it has
///
/// Both work until the older one ends; two are live at a time at most.
#[utoipa::path(post, path = "/applications/{name}/credentials/{id}/rotate", operation_id = "credential_rotate", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting), request_body = RotateRequest,
    responses((status = 201, description = "The new secret, shown this once", body = NewClient),
        (status = 202, description = "As 201, but not every node knows it yet", body = NewClient)))]
async fn rotate(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<RotateRequest>,
) -> ApiResult<Response> {
    let rotated = super::rotate(&control, &caller, (&name, &id), CLIENTS, wish).await?;
    let (revision, credential, text) = rotated;
    let answer = NewClient {
        id: credential.id.to_string(),
        client_id: credential
            .client()
            .map_or_else(String::new, |client| client.client_id.clone()),
        client_secret: Some(text),
    };
    let done = waiting.status(&control, revision).await;
    Ok((done, [NO_STORE], Json(answer)).into_response())
}

/// End one secret of an OAuth client now
#[utoipa::path(delete, path = "/applications/{name}/credentials/{id}/secrets/{secret}", operation_id = "credential_secret_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), ("secret" = String, Path, description = "The secret's id"), Waiting),
    responses((status = 204, description = "It is refused from now on")))]
async fn secret_delete(
    State(control): State<Control>,
    caller: Caller,
    Path((name, id, secret)): Path<(String, String, String)>,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    let of = (name.as_str(), id.as_str(), secret.as_str());
    super::secret_delete(&control, &caller, of, CLIENTS, &waiting).await
}

/// Delete an OAuth client: it gets no more tokens
#[utoipa::path(delete, path = "/applications/{name}/credentials/{id}", operation_id = "credential_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting),
    responses((status = 204, description = "It is gone; every gateway refuses its tokens")))]
async fn delete(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    super::delete(&control, &caller, (&name, &id), CLIENTS, &waiting).await
}

/// Refuses metadata with all that is wrong with it.
async fn checked_metadata(control: &Control, metadata: &ClientMetadata) -> ApiResult<()> {
    let lifetime_s_max = control.tokens().config().lifetime_max_s;
    let mut faults: Vec<Diagnostic> = metadata::check(metadata, lifetime_s_max)
        .into_iter()
        .map(|fault| diagnostic(fault.field, fault.problem))
        .collect();
    for (field, url) in metadata::fetched(metadata) {
        if let Ok(url) = url::Url::parse(url)
            && let Err(error) = control.fetcher().permits(&url)
        {
            faults.push(diagnostic(field, error.to_string()));
        }
    }
    if faults.is_empty() {
        faults.extend(sector_fault(control, metadata).await);
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiError::faulty(code::INVALID_METADATA, faults))
}

/// What is wrong with the list of redirect URIs that a client names (OpenID Connect Registration §5).
async fn sector_fault(control: &Control, metadata: &ClientMetadata) -> Option<Diagnostic> {
    let field = "sector_identifier_uri";
    let url = url::Url::parse(metadata.sector_identifier_uri.as_deref()?).ok()?;
    let found = control
        .fetcher()
        .get_within(&url, &url.origin(), SECTOR_BYTES_MAX)
        .await;
    match found {
        Err(error) => Some(diagnostic(field, error.to_string())),
        Ok(found) => {
            let fault = check_sector(metadata, &found.body).err()?;
            Some(diagnostic(fault.field, fault.problem))
        }
    }
}

fn diagnostic(field: &str, problem: String) -> Diagnostic {
    Diagnostic::error("client-metadata", format!("/metadata/{field}"), problem)
}

/// The keys that its tokens will be signed with are there before it is.
async fn algorithms(
    control: &Control,
    caller: &Caller,
    metadata: &ClientMetadata,
) -> ApiResult<()> {
    let by = By {
        actor: caller.user.clone(),
        request: Some(caller.request.clone()),
    };
    for algorithm in [
        metadata.id_token_signed_response_alg,
        metadata.access_token_signed_response_alg,
    ] {
        let ensured = control.tokens().ensure_key(algorithm, &by, control).await;
        ensured.map_err(|error| ApiError::internal("making a signing key", &error))?;
    }
    Ok(())
}
