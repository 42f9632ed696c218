//! Sessions of people and what they allowed clients: one's own, and, for admins, everybody's in the organisation.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use base::{SessionId, UserId, code};
use credentials::REVOCATION_MARGIN_S;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::grants::{Consent, IdPage, Session};
use store::{Role, User, Write};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::{cut, limit};
use super::{EndParams, List, PeopleParams, Waiting};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Name, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(sessions, sessions_end))
        .routes(routes!(session_end))
        .routes(routes!(consents, consents_delete))
        .routes(routes!(consent_delete))
}

/// A browser in which somebody is logged in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionItem {
    /// Its id, the `sid` of its tokens.
    pub id: String,
    /// Who.
    pub user: String,
    /// When they logged in, in seconds since 1970.
    pub logged_in_unix_s: u64,
    /// When it was used last, in seconds since 1970; to the minute.
    pub seen_unix_s: u64,
    /// When it ends at the latest, in seconds since 1970.
    pub expires_unix_s: u64,
    /// From which address they logged in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// What the browser calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// The clients that were given something in it.
    pub clients: Vec<ClientName>,
}

/// A client, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientName {
    /// Its `client_id`.
    pub client_id: String,
    /// What people call it; may be empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
}

/// What somebody allows a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentItem {
    /// Who.
    pub user: String,
    /// Whom.
    #[serde(flatten)]
    pub client: ClientName,
    /// The scopes.
    pub scopes: BTreeSet<String>,
    /// The resources (RFC 8707).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub resources: BTreeSet<String>,
    /// When it was given, or changed last, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// List sessions
///
/// One's own; an admin those of everybody in the organisation, or of one user. A part may have fewer items than asked for
/// while there are more.
#[utoipa::path(get, path = "/sessions", operation_id = "session_list", tag = "users", params(PeopleParams),
    responses((status = 200, description = "By id, the oldest first", body = List<SessionItem>)))]
async fn sessions(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<PeopleParams>,
) -> ApiResult<Json<List<SessionItem>>> {
    let limit = limit(&control, params.limit)?;
    let user = listed(&control, &caller, params.user.as_deref()).await?;
    let after = params.after.as_deref().map(str::parse).transpose();
    let page = IdPage {
        after: after.map_err(|_| bad_part())?,
        limit: limit + 1,
    };
    let (org, now) = (&caller.org, control.clock().unix_s());
    let of = user.as_ref().map(|user| user.id);
    let mut found = control.grants().session_list(org, of, now, &page).await?;
    let next = cut(&mut found, limit, |last| last.sid.to_string());
    let mut users = BTreeMap::new();
    let idle_s = control.config().session_idle_s;
    let mut live = Vec::new();
    for session in found {
        let known = user_of(&control, &caller, &mut users, &session.user).await?;
        if session.is_live(known, now, idle_s) {
            live.push(session);
        }
    }
    let items = items(&control, live).await?;
    Ok(Json(List { items, next }))
}

/// End a session
///
/// It is over, with its tokens at every gateway, except for what was allowed offline; its clients are told.
#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "session_end", tag = "users",
    params(("id" = String, Path, description = "The session's id"), Waiting),
    responses((status = 204, description = "It is over; its tokens are refused")))]
async fn session_end(
    State(control): State<Control>,
    caller: Caller,
    Name(id): Name,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    let missing = || ApiError::not_found(format!("session `{id}`"));
    let sid: SessionId = id.parse().map_err(|_| missing())?;
    let found = control.grants().session_find(sid).await?;
    let session = found.filter(|session| session.org == caller.org);
    let session = session.ok_or_else(missing)?;
    // Of those of others it is not told whether they are there.
    if session.user != caller.user && !caller.is(Role::Admin) {
        return Err(missing());
    }
    let write = Write::SessionEnd {
        sid,
        expires_unix_s: ends_unix_s(&control),
    };
    ended(&control, &caller, vec![write], waiting).await
}

/// End all sessions of a user
///
/// One's own, or, for admins, those of `user`. As often as one likes.
#[utoipa::path(delete, path = "/sessions", operation_id = "sessions_end", tag = "users", params(EndParams),
    responses((status = 204, description = "They are over; their tokens are refused")))]
async fn sessions_end(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<EndParams>,
) -> ApiResult<StatusCode> {
    let user = one(&control, &caller, params.user.as_deref()).await?;
    let write = Write::SessionsEnd {
        user: user.id,
        expires_unix_s: ends_unix_s(&control),
    };
    ended(&control, &caller, vec![write], params.waiting()).await
}

/// List what people allow clients
///
/// One's own; an admin those of everybody in the organisation, or of one user.
#[utoipa::path(get, path = "/consents", operation_id = "consent_list", tag = "users", params(PeopleParams),
    responses((status = 200, description = "By user and client", body = List<ConsentItem>)))]
async fn consents(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<PeopleParams>,
) -> ApiResult<Json<List<ConsentItem>>> {
    let limit = limit(&control, params.limit)?;
    let user = listed(&control, &caller, params.user.as_deref()).await?;
    let after = params.after.as_deref().map(place).transpose()?;
    let grants = control.grants();
    let mut found = match &user {
        Some(user) => {
            let mut all = grants.consent_list(user.id).await?;
            all.retain(|consent| {
                let after = after.as_ref();
                after.is_none_or(|(_, client_id)| consent.client_id > *client_id)
            });
            all
        }
        None => {
            grants
                .consent_list_of(&caller.org, after, limit + 1)
                .await?
        }
    };
    let next = cut(&mut found, limit, |last| {
        format!("{}/{}", last.user_id, last.client_id)
    });
    let names: BTreeMap<UserId, String> = match user {
        Some(user) => BTreeMap::from([(user.id, user.name)]),
        None => {
            let users = control.store().user_list(&caller.org).await?;
            users.into_iter().map(|user| (user.id, user.name)).collect()
        }
    };
    let mut items = Vec::new();
    for consent in found {
        let name = names.get(&consent.user_id).cloned().unwrap_or_default();
        items.push(consent_item(&control, name, consent).await?);
    }
    Ok(Json(List { items, next }))
}

/// Take back what a user allows a client
///
/// One's own, or, for admins, that of `user`. All that the client was given for the user ends, also offline access, and the
/// user is asked again.
#[utoipa::path(delete, path = "/consents/{id}", operation_id = "consent_delete", tag = "users",
    params(("id" = String, Path, description = "The client's `client_id`"), EndParams),
    responses((status = 204, description = "The client has nothing any more")))]
async fn consent_delete(
    State(control): State<Control>,
    caller: Caller,
    Name(client_id): Name,
    Params(params): Params<EndParams>,
) -> ApiResult<StatusCode> {
    let user = one(&control, &caller, params.user.as_deref()).await?;
    let write = withdrawal(&control, user.id, client_id);
    ended(&control, &caller, vec![write], params.waiting()).await
}

/// Take back what a user allows all clients
///
/// One's own, or, for admins, that of `user`. As often as one likes.
#[utoipa::path(delete, path = "/consents", operation_id = "consents_delete", tag = "users", params(EndParams),
    responses((status = 204, description = "No client has anything any more")))]
async fn consents_delete(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<EndParams>,
) -> ApiResult<StatusCode> {
    let user = one(&control, &caller, params.user.as_deref()).await?;
    let all = control.grants().consent_list(user.id).await?;
    let withdrawn = |consent: Consent| withdrawal(&control, user.id, consent.client_id);
    let writes = all.into_iter().map(withdrawn).collect();
    ended(&control, &caller, writes, params.waiting()).await
}

/// Writes ends and waits until the nodes know.
async fn ended(
    control: &Control,
    caller: &Caller,
    writes: Vec<Write>,
    waiting: Waiting,
) -> ApiResult<StatusCode> {
    let revision = control.commit(caller, writes).await?;
    waiting.acknowledged(control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn withdrawal(control: &Control, user: UserId, client_id: String) -> Write {
    Write::ConsentDelete {
        user,
        client_id,
        expires_unix_s: ends_unix_s(control),
    }
}

/// When the last token that there is now will have expired, in seconds since 1970.
pub(super) fn ends_unix_s(control: &Control) -> u64 {
    let lasts_s = control.tokens().config().lifetime_max_s + REVOCATION_MARGIN_S;
    control.clock().unix_s().saturating_add(lasts_s)
}

/// Whose are listed; `None` = everybody's.
async fn listed(control: &Control, caller: &Caller, user: Option<&str>) -> ApiResult<Option<User>> {
    match user {
        None if caller.is(Role::Admin) => Ok(None),
        user => one(control, caller, user).await.map(Some),
    }
}

/// The user that is named, or the caller.
async fn one(control: &Control, caller: &Caller, user: Option<&str>) -> ApiResult<User> {
    let name = user.unwrap_or(&caller.user);
    if name != caller.user && !caller.is(Role::Admin) {
        let detail = "sessions and consents of others are for admins";
        return Err(ApiError::new(code::FORBIDDEN, detail));
    }
    let found = control.store().user_get(&caller.org, name).await?;
    found.ok_or_else(|| ApiError::not_found(format!("user `{name}`")))
}

/// A user, looked up once.
async fn user_of<'u>(
    control: &Control,
    caller: &Caller,
    users: &'u mut BTreeMap<String, Option<User>>,
    name: &str,
) -> ApiResult<Option<&'u User>> {
    if !users.contains_key(name) {
        let found = control.store().user_get(&caller.org, name).await?;
        users.insert(name.to_owned(), found);
    }
    Ok(users.get(name).and_then(Option::as_ref))
}

/// The last consent of the part before: `USER_ID/CLIENT_ID`.
fn place(after: &str) -> ApiResult<(UserId, String)> {
    let place = after.split_once('/');
    let place =
        place.and_then(|(user, client_id)| Some((user.parse().ok()?, client_id.to_owned())));
    place.ok_or_else(bad_part)
}

fn bad_part() -> ApiError {
    ApiError::bad_request("`after` is the `next` of the part before")
}

async fn items(control: &Control, sessions: Vec<Session>) -> ApiResult<Vec<SessionItem>> {
    let sids: Vec<SessionId> = sessions.iter().map(|session| session.sid).collect();
    let mut clients: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
    for grant in control.grants().grants_of_sessions(&sids).await? {
        if let Some(sid) = grant.sid {
            clients.entry(sid).or_default().insert(grant.client_id);
        }
    }
    let mut items = Vec::new();
    for session in sessions {
        let mut named = Vec::new();
        for client_id in clients.remove(&session.sid).unwrap_or_default() {
            named.push(client_name(control, client_id).await?);
        }
        items.push(SessionItem {
            id: session.sid.to_string(),
            user: session.user,
            logged_in_unix_s: session.login.at_unix_s,
            seen_unix_s: session.seen_unix_s,
            expires_unix_s: session.expires_unix_s,
            address: session.place.address,
            agent: session.place.agent,
            clients: named,
        });
    }
    Ok(items)
}

async fn consent_item(control: &Control, user: String, consent: Consent) -> ApiResult<ConsentItem> {
    Ok(ConsentItem {
        user,
        client: client_name(control, consent.client_id).await?,
        scopes: consent.scopes,
        resources: consent.resources,
        since_unix_ms: consent.at_unix_ms,
    })
}

async fn client_name(control: &Control, client_id: String) -> ApiResult<ClientName> {
    let found = control.store().client_get(&client_id).await?;
    let name = found.map(|found| found.name).unwrap_or_default();
    Ok(ClientName { client_id, name })
}
