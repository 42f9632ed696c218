//! Users of the organisation, for admins; and who calls.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{Secret, TokensOf, UserId, code};
use http::{HeaderValue, StatusCode, header};
use store::{Expect, Filter, Page, RecordKind, Role, User, Write};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sessions::ends_unix_s;
use super::{List, Me, NewUser, UserChange, UserItem, Waiting, paths};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Name, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(list, create))
        .routes(routes!(change, delete))
}

/// Who calls
#[utoipa::path(get, path = "/me", operation_id = "me_get", tag = "users",
    responses((status = 200, description = "The caller", body = Me)))]
async fn me(caller: Caller) -> Json<Me> {
    Json(Me {
        name: caller.user,
        org: caller.org.as_str().to_owned(),
        roles: caller.roles,
    })
}

/// List users
#[utoipa::path(get, path = "/users", operation_id = "user_list", tag = "users",
    responses((status = 200, description = "All users of the organisation", body = List<UserItem>)))]
async fn list(State(control): State<Control>, caller: Caller) -> ApiResult<Json<List<UserItem>>> {
    caller.require(&[Role::Admin])?;
    let users = control.store().user_list(&caller.org).await?;
    Ok(Json(List {
        items: users.into_iter().map(item).collect(),
        next: None,
    }))
}

/// Create a user
#[utoipa::path(post, path = "/users", operation_id = "user_create", tag = "users", request_body = NewUser,
    responses((status = 201, description = "The user", body = UserItem)))]
async fn create(
    State(control): State<Control>,
    caller: Caller,
    Json(new): Json<NewUser>,
) -> ApiResult<Response> {
    caller.require(&[Role::Admin])?;
    check_name(&new.name)?;
    check_roles(&new.roles)?;
    let user = User {
        id: UserId::generate(),
        org: caller.org.clone(),
        password_hash: hash(&control, &new.name, new.password).await?,
        name: new.name,
        roles: new.roles,
        created_unix_ms: control.clock().unix_ms(),
    };
    let location = format!("{}/{}", paths::USERS, user.name);
    let answer = item(user.clone());
    control
        .commit(&caller, vec![Write::UserPut(user, Expect::Absent)])
        .await?;
    let location = HeaderValue::try_from(location)
        .map_err(|error| ApiError::internal("writing a location", &error))?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(answer),
    )
        .into_response())
}

/// Change a user's password or roles
///
/// A new password ends all tokens of the user.
#[utoipa::path(patch, path = "/users/{name}", operation_id = "user_change", tag = "users",
    params(("name" = String, Path, description = "The user's name"), Waiting), request_body = UserChange,
    responses((status = 200, description = "The user", body = UserItem)))]
async fn change(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    Json(change): Json<UserChange>,
) -> ApiResult<Json<UserItem>> {
    caller.require(&[Role::Admin])?;
    let password_hash = match change.password {
        Some(password) => Some(hash(&control, &name, password).await?),
        None => None,
    };
    let renewed = password_hash.is_some();
    let writing = control.writing().await?;
    let mut user = user(&control, &caller, &name).await?;
    if let Some(hash) = password_hash {
        user.password_hash = hash;
    }
    if let Some(roles) = change.roles {
        check_roles(&roles)?;
        if !roles.contains(&Role::Admin) {
            keep_an_admin(&control, &caller, &name).await?;
        }
        user.roles = roles;
    }
    let answer = item(user.clone());
    let mut writes = Vec::new();
    if renewed {
        writes.extend(end_of(&control, user.id));
    }
    writes.push(Write::UserPut(user, Expect::Any));
    let revision = control.commit(&caller, writes).await?;
    drop(writing);
    waiting.acknowledged(&control, revision).await?;
    Ok(Json(answer))
}

/// Delete a user
#[utoipa::path(delete, path = "/users/{name}", operation_id = "user_delete", tag = "users",
    params(("name" = String, Path, description = "The user's name"), Waiting),
    responses((status = 204, description = "The user is gone; tokens of it are refused from now on")))]
async fn delete(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
) -> ApiResult<StatusCode> {
    caller.require(&[Role::Admin])?;
    let writing = control.writing().await?;
    let leaving = user(&control, &caller, &name).await?;
    keep_an_admin(&control, &caller, &name).await?;
    leaves_nothing(&control, &caller, &name).await?;
    let mut writes = end_of(&control, leaving.id).to_vec();
    writes.push(Write::UserDelete(name));
    let revision = control.commit(&caller, writes).await?;
    drop(writing);
    waiting.acknowledged(&control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of a user, and all tokens that were asked for about it; remembered for as long as one of them could
/// last.
fn end_of(control: &Control, user: UserId) -> [Write; 2] {
    let expires_unix_s = ends_unix_s(control);
    [
        Write::SessionsEnd {
            user,
            expires_unix_s,
        },
        Write::TokensEnd {
            of: TokensOf::User(user),
            expires_unix_s,
        },
    ]
}

fn item(user: User) -> UserItem {
    UserItem {
        name: user.name,
        roles: user.roles,
        created_unix_ms: user.created_unix_ms,
    }
}

async fn user(control: &Control, caller: &Caller, name: &str) -> ApiResult<User> {
    control
        .store()
        .user_get(&caller.org, name)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("user `{name}`")))
}

/// Without an admin nobody could mend anything: the last one cannot go.
async fn keep_an_admin(control: &Control, caller: &Caller, leaving: &str) -> ApiResult<()> {
    let users = control.store().user_list(&caller.org).await?;
    let remains = users
        .iter()
        .any(|user| user.name != leaving && user.roles.contains(&Role::Admin));
    if remains {
        return Ok(());
    }
    Err(ApiError::new(
        code::CONFLICT,
        format!("`{leaving}` is the last admin; make another one first"),
    ))
}

/// Applications belong to a name: whoever gets the name next would get them too.
async fn leaves_nothing(control: &Control, caller: &Caller, leaving: &str) -> ApiResult<()> {
    let filter = Filter {
        owner: Some(leaving.to_owned()),
        ..Filter::default()
    };
    let page = Page {
        after: None,
        limit: 10,
    };
    let kind = RecordKind::Application;
    let store = control.store();
    let owned = store.record_list(&caller.org, kind, &filter, &page).await?;
    if owned.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = owned.iter().map(|record| record.name.as_str()).collect();
    Err(ApiError::new(
        code::IN_USE,
        format!(
            "`{leaving}` owns applications ({}); delete them or give them another owner first",
            names.join(", ")
        ),
    ))
}

/// Letters, digits and `-._@`, at most 64: it stands in paths, logs and histories.
fn check_name(name: &str) -> ApiResult<()> {
    let sound = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'@'));
    // `system` is who the history says wrote what nobody asked for.
    if sound && name != crate::SYSTEM {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "a user's name is 1 to 64 of the characters `A-Z a-z 0-9 - . _ @`, and not `system`",
    ))
}

fn check_roles(roles: &[Role]) -> ApiResult<()> {
    if roles.is_empty() {
        return Err(ApiError::bad_request(
            "a user needs at least one of the roles admin, publisher, subscriber",
        ));
    }
    Ok(())
}

async fn hash(control: &Control, name: &str, password: String) -> ApiResult<String> {
    let password = Secret::new(password);
    credentials::check_strength(password.expose(), name)
        .map_err(|weak| ApiError::bad_request(format!("the password is refused: {weak}")))?;
    control
        .passwords()
        .hash(password)
        .await
        .map_err(|error| match error {
            credentials::PasswordError::Busy => {
                ApiError::new(code::TOO_MANY_REQUESTS, error.to_string())
            }
            _ => ApiError::internal("hashing a password", &error),
        })
}
