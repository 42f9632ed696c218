//! `POST /oauth2/register` and `/oauth2/register/{client_id}`: clients register themselves (RFC 7591) and change what they
//! are registered with (RFC 7592).
//!
//! Who registers shows an initial access token, which an admin made. A registered client gets an application of its own,
//! owned by whoever made the token, **and no subscription**: until somebody subscribes that application its tokens open no
//! API. Software statements are refused, not ignored: nobody is trusted to make them. What a client may not decide about
//! itself (consent, PKCE, lifetimes, format and rotation of tokens) is not read.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base::{ApplicationId, Secret};
use credentials::{By, SECTOR_BYTES_MAX, TokensError, Wish, check_sector, equal, metadata};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use spec::{ApplicationSpec, Document, Spec};
use store::record::Links;
use store::{
    Batch, ClientMetadata, Credential, CredentialKind, Expect, RecordKind, StoreError, Write,
};

use crate::IdentityState;
use crate::oauth::OAuthError;

/// The longest name of a client, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Members that a client cannot set for itself.
const OURS: [&str; 8] = [
    "access_token_format",
    "access_token_lifetime_s",
    "refresh_token_lifetime_s",
    "id_token_lifetime_s",
    "require_pkce",
    "refresh_token_rotation",
    "skip_consent",
    "token_exchange_subject_clients",
];

/// Why nothing was registered.
pub(crate) enum Refusal {
    /// The token is missing or good for nothing (RFC 6750 §3.1).
    Token,
    /// Everything else.
    Other(OAuthError),
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self::Other(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Other(error) => error.into_response(),
            Self::Token => {
                let body = json!({"error": "invalid_token", "error_description": "the token is not accepted"});
                let mut response = (StatusCode::UNAUTHORIZED, Json(body)).into_response();
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
        }
    }
}

/// Register a client
///
/// Needs an initial access token. The client gets an application of its own, and no API access before that application is
/// subscribed to an API.
///
/// Source: RFC 7591 §3.
#[utoipa::path(post, path = "/oauth2/register", operation_id = "oauth2_register", tag = "oauth2", security(("bearer" = [])),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 201, description = "The client with its secret and its registration access token, shown this once", body = Value),
        (status = 401, description = "No initial access token, or one that is used up or over"),
        (status = "default", description = "What is wrong (RFC 7591 §3.2.2)", body = crate::described::OAuthErrorBody)))]
pub(crate) async fn register(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let answer = register_client(&state, &headers, &body).await;
    match &answer {
        Ok(_) => state.metrics.registrations.count(),
        Err(_) => state.metrics.registrations_refused.count(),
    }
    answer
}

async fn register_client(
    state: &IdentityState,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let token = bearer(headers).ok_or(Refusal::Token)?;
    let hash = state.secrets.registration_hash(token);
    let found = state.store.registration_token_get(&hash).await;
    let now_ms = state.clock.unix_ms();
    let initial = found
        .map_err(|error| state.store_failed(&error))?
        .filter(|found| now_ms / 1000 < found.expires_unix_s && found.uses_left > 0)
        .ok_or(Refusal::Token)?;
    let wish = read(state, body).await?;
    let application = ApplicationId::generate();
    let random = |_| OAuthError::server_error();
    let mut new = state
        .secrets
        .client_create(
            Wish {
                name: wish.name.clone(),
                ..Wish::new(&initial.org, application)
            },
            wish.metadata,
            now_ms,
        )
        .map_err(random)?;
    let (access, access_hash) = state.secrets.registration_token().map_err(random)?;
    if let CredentialKind::Client(client) = &mut new.credential.kind {
        client.registration = Some(access_hash);
    }
    let document = application_of(&new.client_id, &wish.name, &initial.owner);
    let batch = Batch {
        org: initial.org.clone(),
        actor: initial.owner.clone(),
        at_unix_ms: now_ms,
        request: None,
        writes: vec![
            Write::RegistrationTokenUse(initial.id),
            Write::RecordPut {
                kind: RecordKind::Application,
                name: document.name().to_owned(),
                new_id: application.0,
                digest: document.digest(),
                document: document.to_json(),
                blob: None,
                links: Links {
                    owner: Some(initial.owner),
                    ..Links::default()
                },
                expect: Expect::Absent,
            },
            Write::CredentialPut(new.credential.clone()),
        ],
    };
    state.written(batch).await?;
    let secret = new.client_secret.as_ref();
    let answer = told(state, &new.credential, secret, access.expose());
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Show a registered client
///
/// Source: RFC 7592 §2.1.
#[utoipa::path(get, path = "/oauth2/register/{client_id}", operation_id = "oauth2_registration_get", tag = "oauth2",
    security(("bearer" = [])), params(("client_id" = String, Path, description = "The client")),
    responses((status = 200, description = "What it is registered with", body = Value),
        (status = 401, description = "No registration access token of this client")))]
pub(crate) async fn registration(
    State(state): State<Arc<IdentityState>>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (credential, token) = state.registered(&client_id, &headers).await?;
    Ok(Json(told(&state, &credential, None, token)).into_response())
}

/// Replace what a registered client is registered with
///
/// Source: RFC 7592 §2.2.
#[utoipa::path(put, path = "/oauth2/register/{client_id}", operation_id = "oauth2_registration_put", tag = "oauth2",
    security(("bearer" = [])), params(("client_id" = String, Path, description = "The client")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 200, description = "What it is registered with now", body = Value),
        (status = 401, description = "No registration access token of this client"),
        (status = "default", description = "What is wrong (RFC 7591 §3.2.2)", body = crate::described::OAuthErrorBody)))]
pub(crate) async fn registration_put(
    State(state): State<Arc<IdentityState>>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    state.registered(&client_id, &headers).await?;
    let wish = read(&state, &body).await?;
    if wish.client_id.as_deref() != Some(client_id.as_str()) {
        return Err(invalid("client_id is missing or another one").into());
    }
    let turn = state.store.turn().await;
    let _turn = turn.map_err(|error| state.store_failed(&error))?;
    let (mut credential, token) = state.registered(&client_id, &headers).await?;
    let now_ms = state.clock.unix_ms();
    let mut secret = None;
    if !wish.metadata.token_endpoint_auth_method.has_secret() {
        credential.secrets.clear();
    } else if credential.secrets.is_empty() {
        let (row, text) = state
            .secrets
            .client_secret_create(now_ms)
            .map_err(|_| OAuthError::server_error())?;
        credential.secrets.push(row);
        secret = Some(text);
    }
    credential.name = wish.name;
    credential.updated_unix_ms = now_ms;
    if let CredentialKind::Client(client) = &mut credential.kind {
        client.metadata = kept(&client.metadata, wish.metadata);
    }
    let write = Write::CredentialReplace(credential.clone());
    state
        .written(state.by_client(&credential, client_id, write))
        .await?;
    Ok(Json(told(&state, &credential, secret.as_ref(), token)).into_response())
}

/// Delete a registered client with its application
///
/// Source: RFC 7592 §2.3.
#[utoipa::path(delete, path = "/oauth2/register/{client_id}", operation_id = "oauth2_registration_delete", tag = "oauth2",
    security(("bearer" = [])), params(("client_id" = String, Path, description = "The client")),
    responses((status = 204, description = "It is gone; its tokens are refused"),
        (status = 401, description = "No registration access token of this client")))]
pub(crate) async fn registration_delete(
    State(state): State<Arc<IdentityState>>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let (credential, _) = state.registered(&client_id, &headers).await?;
    let write = Write::RecordDelete {
        kind: RecordKind::Application,
        name: application_name(&client_id),
        expect: Expect::Any,
    };
    state
        .written(state.by_client(&credential, client_id, write))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl IdentityState {
    /// The client that this registration access token is of. An unknown client and a wrong token are one answer.
    async fn registered<'h>(
        &self,
        client_id: &str,
        headers: &'h HeaderMap,
    ) -> Result<(Credential, &'h str), Refusal> {
        let token = bearer(headers).ok_or(Refusal::Token)?;
        let hash = self.secrets.registration_hash(token);
        let found = self.store.client_get(client_id).await;
        let found = found.map_err(|error| self.store_failed(&error))?;
        found
            .filter(|credential| {
                let kept = credential.client().and_then(|client| client.registration);
                credential.is_live(self.clock.unix_s())
                    && kept.is_some_and(|kept| equal(kept.as_bytes(), hash.as_bytes()))
            })
            .map(|credential| (credential, token))
            .ok_or(Refusal::Token)
    }

    fn by_client(&self, credential: &Credential, client_id: String, write: Write) -> Batch {
        Batch {
            org: credential.org.clone(),
            actor: client_id,
            at_unix_ms: self.clock.unix_ms(),
            request: None,
            writes: vec![write],
        }
    }

    /// Stores a batch and waits for the gateways. What they have not heard of in time they hear of later: the answer has
    /// a secret in it, which must arrive.
    async fn written(&self, batch: Batch) -> Result<(), Refusal> {
        let revision = match self.store.commit(batch).await {
            Ok(revision) => revision,
            // The last use was taken a moment ago, or the client is gone.
            Err(StoreError::Missing(_)) => return Err(Refusal::Token),
            Err(error) => return Err(self.store_failed(&error).into()),
        };
        if let Err(error) = self.acknowledged.acknowledged(revision).await {
            tracing::warn!(%error, "a registration is not known to every gateway yet");
        }
        Ok(())
    }
}

/// What somebody wants to be registered with.
struct Wanted {
    name: String,
    client_id: Option<String>,
    metadata: ClientMetadata,
}

/// Reads and checks metadata; makes the signing key that it needs.
async fn read(state: &IdentityState, body: &[u8]) -> Result<Wanted, OAuthError> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| invalid("the body is no JSON object"))?;
    if members.contains_key("software_statement") {
        let text = "software statements are not accepted; send the metadata itself";
        return Err(OAuthError::of("unapproved_software_statement", text));
    }
    for name in OURS {
        members.remove(name);
    }
    let alone = |name: &str, only: &str| match members.get(name) {
        None => Ok(()),
        Some(Value::String(text)) if text == only => Ok(()),
        Some(Value::Array(list)) if list.iter().all(|item| item == only) => Ok(()),
        Some(_) => Err(invalid(&format!("{name}: only {only} is supported"))),
    };
    alone("response_types", "code")?;
    let name = members.get("client_name").and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(invalid("client_name: a line of at most 200 bytes"));
    }
    let client_id = members.get("client_id").and_then(Value::as_str);
    let client_id = client_id.map(str::to_owned);
    // RFC 7591 §2: what is left out is this.
    members
        .entry("grant_types")
        .or_insert_with(|| json!(["authorization_code"]));
    let metadata: ClientMetadata =
        serde_json::from_value(members.into()).map_err(|error| invalid(&error.to_string()))?;
    let faults = metadata::check(&metadata, state.tokens.config().lifetime_max_s);
    if let Some(first) = faults.first() {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let error = match first.field {
            "redirect_uris" => "invalid_redirect_uri",
            _ => "invalid_client_metadata",
        };
        return Err(OAuthError::of(error, &texts.join("; ")));
    }
    sector(state, &metadata).await?;
    let by = By::system();
    for algorithm in [
        metadata.id_token_signed_response_alg,
        metadata.access_token_signed_response_alg,
    ] {
        let key = state
            .tokens
            .ensure_key(algorithm, &by, state.acknowledged.as_ref());
        key.await.map_err(|error| match error {
            TokensError::Store(error) => state.store_failed(&error),
            _ => OAuthError::server_error(),
        })?;
    }
    Ok(Wanted {
        name,
        client_id,
        metadata,
    })
}

/// The client's redirect URIs are in the list that it names, found by the guarded client (req: S7).
async fn sector(state: &IdentityState, metadata: &ClientMetadata) -> Result<(), OAuthError> {
    let uri = metadata.sector_identifier_uri.as_deref();
    let Some(url) = uri.and_then(|uri| url::Url::parse(uri).ok()) else {
        return Ok(());
    };
    let found = state.proving.fetch(&url, SECTOR_BYTES_MAX).await;
    let found = found.map_err(|error| invalid(&format!("sector_identifier_uri: {error}")))?;
    check_sector(metadata, &found.body).map_err(|fault| invalid(&fault.to_string()))
}

/// What a client changes of itself; what it cannot decide stays as somebody else decided it.
fn kept(old: &ClientMetadata, new: ClientMetadata) -> ClientMetadata {
    ClientMetadata {
        access_token_format: old.access_token_format,
        access_token_lifetime_s: old.access_token_lifetime_s,
        refresh_token_lifetime_s: old.refresh_token_lifetime_s,
        id_token_lifetime_s: old.id_token_lifetime_s,
        require_pkce: old.require_pkce || new.is_public(),
        refresh_token_rotation: old.refresh_token_rotation,
        skip_consent: old.skip_consent,
        token_exchange_subject_clients: old.token_exchange_subject_clients.clone(),
        ..new
    }
}

fn invalid(text: &str) -> OAuthError {
    OAuthError::of("invalid_client_metadata", text)
}

/// The client information response (RFC 7591 §3.2.1).
fn told(
    state: &IdentityState,
    credential: &Credential,
    secret: Option<&Secret<String>>,
    access_token: &str,
) -> Value {
    let Some(client) = credential.client() else {
        return Value::Null;
    };
    let mut answer = json!(client.metadata);
    let issuer = state.tokens.issuer();
    answer["client_id"] = json!(client.client_id);
    answer["client_id_issued_at"] = json!(credential.created_unix_ms / 1000);
    answer["registration_access_token"] = json!(access_token);
    answer["registration_client_uri"] =
        json!(format!("{issuer}/oauth2/register/{}", client.client_id));
    answer["response_types"] = json!(["code"]);
    if !credential.name.is_empty() {
        answer["client_name"] = json!(credential.name);
    }
    if let Some(secret) = secret {
        answer["client_secret"] = json!(secret.expose());
        answer["client_secret_expires_at"] = json!(credential.expires_unix_s.unwrap_or(0));
    }
    answer
}

fn application_of(client_id: &str, name: &str, owner: &str) -> Document {
    let description = if name.is_empty() { client_id } else { name };
    let spec = ApplicationSpec {
        owner: Some(owner.to_owned()),
        description: Some(format!("{description} (registered itself)")),
        ..ApplicationSpec::default()
    };
    Document::new(application_name(client_id), Spec::Application(spec))
}

/// The application of a client that registered itself.
fn application_name(client_id: &str) -> String {
    format!("client-{}", client_id.trim_start_matches("twc_"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}
