//! Credentials and tokens of an application. Secrets are answered once, and never stored by anybody on the way.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{ApplicationId, CredentialId, KeyLimits, code};
use credentials::{AccessGrant, Subject, TermsSource as _, Wish};
use http::StatusCode;
use store::{ClientMetadata, Credential, CredentialKind, Record, RecordKind, Write};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    ApiKeyRequest, ClientRequest, CredentialItem, Environment, List, NO_STORE, NewApiKey,
    NewClient, TokenAnswer, TokenRequest, Waiting,
};
use crate::http::{Action, ApiError, ApiResult, Caller, Json, Name, Names, OptionalJson, Params};
use crate::{Control, Writing};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(client_list, client_create))
        .routes(routes!(client_delete))
        .routes(routes!(api_key_list, api_key_create))
        .routes(routes!(api_key_delete))
        .routes(routes!(token_create))
}

/// List the OAuth clients of an application
#[utoipa::path(get, path = "/applications/{name}/credentials", operation_id = "credential_list", tag = "credentials",
    params(("name" = String, Path, description = "The application's name")),
    responses((status = 200, description = "Without secrets, oldest first", body = List<CredentialItem>)))]
async fn client_list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<List<CredentialItem>>> {
    list(&control, &caller, &name, is_client).await
}

/// Create an OAuth client for an application
#[utoipa::path(post, path = "/applications/{name}/credentials", operation_id = "credential_create", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), Waiting), request_body = ClientRequest,
    responses((status = 201, description = "The client; the secret is shown this once", body = NewClient),
        (status = 202, description = "As 201, but not every node serves it yet", body = NewClient)))]
async fn client_create(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<ClientRequest>,
) -> ApiResult<Response> {
    let writing = control.writing().await?;
    let application = application(&control, &caller, &name).await?;
    room_for_one_more(&control, application).await?;
    let new = control
        .hashes()
        .client_create(
            Wish {
                environment: wish.environment.into(),
                ..Wish::new(&caller.org, application)
            },
            ClientMetadata::default(),
            control.clock().unix_ms(),
        )
        .map_err(|error| ApiError::internal("making a client", &error))?;
    let answer = NewClient {
        id: new.credential.id.to_string(),
        client_id: new.client_id,
        client_secret: new.client_secret.map(|secret| secret.expose().clone()),
    };
    let put = Write::CredentialPut(new.credential);
    made(&control, &caller, (writing, put), waiting, answer).await
}

/// Delete an OAuth client: it gets no more tokens
#[utoipa::path(delete, path = "/applications/{name}/credentials/{id}", operation_id = "credential_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting),
    responses((status = 204, description = "It is gone; every gateway refuses its tokens")))]
async fn client_delete(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    delete(&control, &caller, (&name, &id), is_client, &waiting).await
}

/// List the API keys of an application
#[utoipa::path(get, path = "/applications/{name}/api-keys", operation_id = "api_key_list", tag = "credentials",
    params(("name" = String, Path, description = "The application's name")),
    responses((status = 200, description = "Their first characters, oldest first", body = List<CredentialItem>)))]
async fn api_key_list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<List<CredentialItem>>> {
    list(&control, &caller, &name, is_api_key).await
}

/// Create an API key for an application
#[utoipa::path(post, path = "/applications/{name}/api-keys", operation_id = "api_key_create", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), Waiting), request_body = ApiKeyRequest,
    responses((status = 201, description = "The key, shown this once", body = NewApiKey),
        (status = 202, description = "As 201, but not every node serves it yet", body = NewApiKey)))]
async fn api_key_create(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    OptionalJson(wish): OptionalJson<ApiKeyRequest>,
) -> ApiResult<Response> {
    if wish.expires_in == Some(0) {
        return Err(ApiError::bad_request(
            "`expiresIn` is a number of seconds above 0",
        ));
    }
    let writing = control.writing().await?;
    let application = application(&control, &caller, &name).await?;
    room_for_one_more(&control, application).await?;
    let expires_unix_s = wish
        .expires_in
        .map(|seconds| control.clock().unix_s().saturating_add(seconds));
    let new = control
        .hashes()
        .api_key_create(
            Wish {
                environment: wish.environment.into(),
                expires_unix_s,
                ..Wish::new(&caller.org, application)
            },
            KeyLimits::default(),
            control.clock().unix_ms(),
        )
        .map_err(|error| ApiError::internal("making an API key", &error))?;
    let answer = NewApiKey {
        id: new.credential.id.to_string(),
        key: new.key.expose().clone(),
        expires_unix_s,
    };
    let put = Write::CredentialPut(new.credential);
    made(&control, &caller, (writing, put), waiting, answer).await
}

/// Delete an API key
#[utoipa::path(delete, path = "/applications/{name}/api-keys/{id}", operation_id = "api_key_delete", tag = "credentials",
    params(("name" = String, Path, description = "The application's name"), ("id" = String, Path, description = "The credential's id"), Waiting),
    responses((status = 204, description = "It is gone; every gateway refuses it")))]
async fn api_key_delete(
    State(control): State<Control>,
    caller: Caller,
    Names(name, id): Names,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    delete(&control, &caller, (&name, &id), is_api_key, &waiting).await
}

/// Mint an access token for an application
///
/// For trying an API out: secrets are shown once, so somebody who has none at hand gets a token here.
#[utoipa::path(post, path = "/applications/{name}/token", operation_id = "token_create", tag = "credentials",
    params(("name" = String, Path, description = "The application's name")), request_body = TokenRequest,
    responses((status = 200, description = "A token of the application's newest client of that environment", body = TokenAnswer)))]
async fn token_create(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    OptionalJson(wish): OptionalJson<TokenRequest>,
) -> ApiResult<Response> {
    let record = owned(&control, &caller, &name).await?;
    let application = ApplicationId(record.id);
    let now = control.clock().unix_s();
    let newest = control
        .store()
        .credential_list(Some(application))
        .await?
        .into_iter()
        .rev()
        .filter(|credential| credential.environment == wish.environment.into())
        .filter(|credential| credential.is_live(now))
        .find_map(|credential| credential.client().map(|client| client.client_id.clone()));
    let Some(client_id) = newest else {
        return Err(ApiError::new(
            code::CONFLICT,
            no_client(&name, wish.environment),
        ));
    };
    // Before anything is looked at: what is revoked from here on ends the token.
    let revision = control.store().revision().await?;
    let terms = control.terms_of(&caller.org, application).await?;
    let requested = wish.scopes.map(|scopes| scopes.join(" "));
    let scopes = credentials::grant(
        requested.as_deref(),
        terms.scopes,
        control.tokens().config().scope_bytes_max,
    )
    .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
    let token = control
        .tokens()
        .mint_access_token(&AccessGrant {
            scopes,
            lifetime_s: terms.lifetime_s,
            revision,
            ..AccessGrant::new(
                caller.org.clone(),
                client_id,
                Subject::Application(application),
            )
        })
        .map_err(|error| ApiError::internal("minting a token", &error))?;
    let answer = TokenAnswer {
        access_token: token.token.expose().clone(),
        token_type: "Bearer".to_owned(),
        expires_in: token.expires_in,
        scope,
    };
    Ok(([NO_STORE], Json(answer)).into_response())
}

fn no_client(application: &str, environment: Environment) -> String {
    let (what, flag) = match environment {
        Environment::Production => ("client", ""),
        Environment::Sandbox => ("sandbox client", " --sandbox"),
    };
    format!(
        "the application `{application}` has no {what} that a token could be issued to; create one: \
         `tollway credentials create --app {application}{flag}`"
    )
}

/// Stores a new credential and answers its secret, this once.
async fn made(
    control: &Control,
    caller: &Caller,
    (writing, put): (Writing<'_>, Write),
    waiting: Waiting,
    answer: impl serde::Serialize,
) -> ApiResult<Response> {
    let revision = control.commit(caller, vec![put]).await?;
    drop(writing);
    let done = waiting.status(control, revision).await;
    Ok((done, [NO_STORE], Json(answer)).into_response())
}

fn is_client(kind: &CredentialKind) -> bool {
    matches!(kind, CredentialKind::Client(_))
}

fn is_api_key(kind: &CredentialKind) -> bool {
    matches!(kind, CredentialKind::ApiKey(_))
}

/// An application that the caller may touch.
async fn owned(control: &Control, caller: &Caller, name: &str) -> ApiResult<Record> {
    let kind = RecordKind::Application;
    caller.require_for(kind, Action::Write)?;
    super::documents::visible(control, caller, kind, name).await
}

/// Its id.
async fn application(control: &Control, caller: &Caller, name: &str) -> ApiResult<ApplicationId> {
    let record = owned(control, caller, name).await?;
    Ok(ApplicationId(record.id))
}

async fn room_for_one_more(control: &Control, application: ApplicationId) -> ApiResult<()> {
    let now = control.clock().unix_s();
    let live = control
        .store()
        .credential_list(Some(application))
        .await?
        .iter()
        .filter(|credential| credential.is_live(now))
        .count();
    let max = control.config().credentials_max;
    if live < max {
        return Ok(());
    }
    Err(ApiError::new(
        code::CONFLICT,
        format!("the application has {live} credentials, at most {max} are kept; delete one first"),
    ))
}

async fn list(
    control: &Control,
    caller: &Caller,
    name: &str,
    wanted: fn(&CredentialKind) -> bool,
) -> ApiResult<Json<List<CredentialItem>>> {
    let application = application(control, caller, name).await?;
    let items = control
        .store()
        .credential_list(Some(application))
        .await?
        .into_iter()
        .filter(|credential| wanted(&credential.kind))
        .map(item)
        .collect();
    Ok(Json(List { items, next: None }))
}

async fn delete(
    control: &Control,
    caller: &Caller,
    (name, id): (&str, &str),
    wanted: fn(&CredentialKind) -> bool,
    waiting: &Waiting,
) -> ApiResult<StatusCode> {
    let writing = control.writing().await?;
    let application = application(control, caller, name).await?;
    let missing = || ApiError::not_found(format!("credential `{id}` of the application `{name}`"));
    let id: CredentialId = id.parse().map_err(|_| missing())?;
    control
        .store()
        .credential_get(&caller.org, id)
        .await?
        .filter(|credential| credential.application == application && wanted(&credential.kind))
        .ok_or_else(missing)?;
    let revision = control
        .commit(caller, vec![Write::CredentialDelete { application, id }])
        .await?;
    drop(writing);
    waiting.acknowledged(control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn item(credential: Credential) -> CredentialItem {
    let (client_id, prefix) = match credential.kind {
        CredentialKind::Client(client) => (Some(client.client_id), None),
        CredentialKind::ApiKey(_) => {
            let newest = credential.secrets.last();
            (None, newest.and_then(|secret| secret.prefix.clone()))
        }
    };
    CredentialItem {
        id: credential.id.to_string(),
        client_id,
        prefix,
        created_unix_ms: credential.created_unix_ms,
        expires_unix_s: credential.expires_unix_s,
        environment: credential.environment.into(),
    }
}
