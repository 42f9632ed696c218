//! Credentials and tokens of an application. Secrets are answered once, and never stored by anybody on the way.

mod clients;
mod expiring;
mod keys;
mod outside;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{ApplicationId, CredentialId, SecretId, code};
use credentials::{AccessGrant, RotateError, Subject, TermsSource as _, gateway_audience};
use http::StatusCode;
use store::{Credential, CredentialKind, CredentialSecret, GrantType, Record, RecordKind, Write};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    CredentialItem, Environment, ExpiringParams, List, NO_STORE, RotateRequest, SecretItem,
    TokenAnswer, TokenRequest, Waiting,
};
use crate::http::{Action, ApiError, ApiResult, Caller, Json, Name, OptionalJson};
use crate::{Control, Writing};

/// How long a secret works on beside its successor, unless the caller says.
const OLD_FOR_S: u64 = 7 * 24 * 60 * 60;
/// The longest name of a credential, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .merge(clients::router())
        .merge(keys::router())
        .merge(expiring::router())
        .routes(routes!(token_create))
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
        .filter_map(|credential| credential.client().cloned())
        .find(|client| {
            client.metadata.may(GrantType::ClientCredentials)
                && !client.metadata.is_sender_constrained()
        });
    let Some(client) = newest else {
        return Err(ApiError::new(
            code::CONFLICT,
            no_client(&name, wish.environment),
        ));
    };
    // Before anything is looked at: what is revoked from here on ends the token.
    let revision = control.store().revision().await?;
    let terms = control.terms_of(&caller.org, application).await?;
    let terms = terms.for_client(&client.metadata);
    let lifetime_s = terms.lifetime_of(&[], &gateway_audience(&caller.org));
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
            lifetime_s,
            algorithm: client.metadata.access_token_signed_response_alg,
            revision,
            ..AccessGrant::new(
                caller.org.clone(),
                client.client_id,
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

/// One of the two kinds, and how it is called.
#[derive(Clone, Copy)]
struct Sort(fn(&CredentialKind) -> bool);

const CLIENTS: Sort = Sort(|kind| matches!(kind, CredentialKind::Client(_)));
const API_KEYS: Sort = Sort(|kind| matches!(kind, CredentialKind::ApiKey(_)));

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

/// One credential of an application that the caller may touch.
async fn credential(
    control: &Control,
    caller: &Caller,
    (name, id): (&str, &str),
    sort: Sort,
) -> ApiResult<Credential> {
    let application = application(control, caller, name).await?;
    let missing = || ApiError::not_found(format!("credential `{id}` of the application `{name}`"));
    let id: CredentialId = id.parse().map_err(|_| missing())?;
    control
        .store()
        .credential_get(&caller.org, id)
        .await?
        .filter(|credential| credential.application == application && sort.0(&credential.kind))
        .ok_or_else(missing)
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

/// When something ends that is to last so long.
fn expiry(control: &Control, expires_in: Option<u64>) -> ApiResult<Option<u64>> {
    if expires_in == Some(0) {
        return Err(ApiError::bad_request(
            "`expiresIn` is a number of seconds above 0",
        ));
    }
    let now = control.clock().unix_s();
    Ok(expires_in.map(|seconds| now.saturating_add(seconds)))
}

pub(super) fn checked_name(name: Option<String>) -> ApiResult<String> {
    let name = name.unwrap_or_default();
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!(
            "`name` is a line of at most {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(name)
}

async fn list(
    control: &Control,
    caller: &Caller,
    name: &str,
    sort: Sort,
    params: ExpiringParams,
) -> ApiResult<Json<List<CredentialItem>>> {
    let application = application(control, caller, name).await?;
    let found = control.store().credential_list(Some(application)).await?;
    let items = found
        .iter()
        .filter(|credential| sort.0(&credential.kind))
        .filter(|credential| is_wanted(control, credential, params))
        .map(item)
        .collect();
    Ok(Json(List { items, next: None }))
}

/// Whether something of it ends within the time that is asked for.
fn is_wanted(control: &Control, credential: &Credential, params: ExpiringParams) -> bool {
    let Some(within) = params.expiring_in else {
        return true;
    };
    let now = control.clock().unix_s();
    let ends = credential
        .secrets
        .iter()
        .map(|secret| secret.expires_unix_s);
    ends.chain([credential.expires_unix_s])
        .flatten()
        .any(|end| now <= end && end < now.saturating_add(within))
}

/// Changes a credential under the writers' turn; returns the revision.
async fn change(
    control: &Control,
    caller: &Caller,
    of: (&str, &str),
    sort: Sort,
    change: impl FnOnce(&mut Credential) -> ApiResult<()>,
) -> ApiResult<(u64, Credential)> {
    let writing = control.writing().await?;
    let mut credential = credential(control, caller, of, sort).await?;
    change(&mut credential)?;
    credential.updated_unix_ms = control.clock().unix_ms();
    let replace = Write::CredentialReplace(credential.clone());
    let revision = control.commit(caller, vec![replace]).await?;
    drop(writing);
    Ok((revision, credential))
}

/// Gives a credential a new secret beside the one that it has; answers the text.
async fn rotate(
    control: &Control,
    caller: &Caller,
    of: (&str, &str),
    sort: Sort,
    wish: RotateRequest,
) -> ApiResult<(u64, Credential, String)> {
    let now_ms = control.clock().unix_ms();
    let old_until = (now_ms / 1000).saturating_add(wish.old_for.unwrap_or(OLD_FOR_S));
    let mut text = String::new();
    let (revision, credential) = change(control, caller, of, sort, |credential| {
        let made = control.hashes().rotate(credential, old_until, now_ms);
        text = made.map_err(not_rotated)?.expose().clone();
        Ok(())
    })
    .await?;
    Ok((revision, credential, text))
}

fn not_rotated(error: RotateError) -> ApiError {
    match error {
        RotateError::TooMany | RotateError::NoSecret => {
            ApiError::new(code::CONFLICT, error.to_string())
        }
        RotateError::Random(_) => ApiError::internal("making a secret", &error),
    }
}

/// Takes one secret away before its time.
async fn secret_delete(
    control: &Control,
    caller: &Caller,
    (name, id, secret): (&str, &str, &str),
    sort: Sort,
    waiting: &Waiting,
) -> ApiResult<StatusCode> {
    owned(control, caller, name).await?;
    let missing = || ApiError::not_found(format!("secret `{secret}` of the credential `{id}`"));
    let secret: SecretId = secret.parse().map_err(|_| missing())?;
    let (revision, _) = change(control, caller, (name, id), sort, |credential| {
        let before = credential.secrets.len();
        credential.secrets.retain(|kept| kept.id != secret);
        if credential.secrets.len() == before {
            return Err(missing());
        }
        Ok(())
    })
    .await?;
    waiting.acknowledged(control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(
    control: &Control,
    caller: &Caller,
    of: (&str, &str),
    sort: Sort,
    waiting: &Waiting,
) -> ApiResult<StatusCode> {
    let writing = control.writing().await?;
    let Credential {
        application, id, ..
    } = credential(control, caller, of, sort).await?;
    let revision = control
        .commit(caller, vec![Write::CredentialDelete { application, id }])
        .await?;
    drop(writing);
    waiting.acknowledged(control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn item(credential: &Credential) -> CredentialItem {
    let (client, limits) = match &credential.kind {
        CredentialKind::Client(client) => (Some(client), None),
        CredentialKind::ApiKey(limits) => (None, Some(limits)),
    };
    let newest = credential.secrets.last();
    CredentialItem {
        id: credential.id.to_string(),
        application: None,
        name: credential.name.clone(),
        client_id: client.map(|client| client.client_id.clone()),
        issuer: client
            .filter(|client| client.issuer != store::RESIDENT)
            .map(|client| client.issuer.clone()),
        prefix: newest.and_then(|secret| secret.prefix.clone()),
        created_unix_ms: credential.created_unix_ms,
        updated_unix_ms: credential.updated_unix_ms,
        expires_unix_s: credential.expires_unix_s,
        last_used_unix_s: credential.used_unix_s,
        environment: credential.environment.into(),
        secrets: credential.secrets.iter().map(secret_item).collect(),
        metadata: client
            .filter(|client| client.issuer == store::RESIDENT)
            .map(|client| client.metadata.clone()),
        limits: limits.filter(|limits| !limits.is_empty()).map(Into::into),
    }
}

fn secret_item(secret: &CredentialSecret) -> SecretItem {
    SecretItem {
        id: secret.id.to_string(),
        prefix: secret.prefix.clone(),
        created_unix_ms: secret.created_unix_ms,
        expires_unix_s: secret.expires_unix_s,
        last_used_unix_s: secret.used_unix_s,
    }
}
