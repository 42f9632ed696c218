//! `POST /api/v1/login` and `POST /api/v1/logout`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use base::{Org, Secret, code};
use credentials::{PasswordError, TokenError, revocation};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Extensions, HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use store::{Batch, Role, StoreError, User, Write};
use utoipa::ToSchema;

use crate::IdentityState;
use crate::problem::ProblemAnswer;
use limits::guesses::Target;

/// Who wants in. No `Debug`: it holds a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// The user's name.
    username: String,
    /// The user's password.
    password: String,
}

/// A bearer token for the control API.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    /// The token.
    access_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// Its lifetime in seconds.
    expires_in: u64,
    /// Who it is for.
    user: LoginUser,
}

/// Who logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginUser {
    /// The user's name.
    name: String,
    /// The user's organisation.
    #[schema(value_type = String)]
    org: Org,
    /// `admin`, `publisher`, `subscriber`
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
}

/// Get a bearer token for the control API
///
/// A wrong password and an unknown user have the same answer and cost the same hash. Beyond the configured number of hashes,
/// and after too many failures of the account or from the address, the answer is `TOO_MANY_REQUESTS`.
#[utoipa::path(post, path = "/api/v1/login", operation_id = "login", tag = "session", security(()),
    request_body = LoginRequest, responses((status = 200, description = "The token; `no-store`", body = LoginAnswer)))]
pub(crate) async fn login(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    extensions: Extensions,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<LoginAnswer>, ProblemAnswer> {
    let request = read_login(&headers, body)?;
    let store_failed = |error: &_| state.store_problem(error, &headers);
    // Before the user is looked at: what is revoked from here on ends the token.
    let revision = state.store.revision().await;
    let revision = revision.map_err(|error| store_failed(&error))?;
    let guesses = &state.people.guesses;
    let address = state.people.config.address(&extensions, &headers);
    let target = Target::Account {
        org: Org::DEFAULT,
        name: &request.username,
    };
    let attempt = guesses
        .attempt(target, address, state.clock.monotonic_ms())
        .map_err(|seconds| state.login_delayed(seconds, &headers))?;
    let user = state
        .store
        .user_get(&Org::default_org(), &request.username)
        .await
        .map_err(|error| store_failed(&error))?;
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    let verified = state
        .passwords
        .verify(Secret::new(request.password), stored)
        .await;
    let user = match (verified, user) {
        (Ok(true), Some(user)) => {
            guesses.succeeded(&attempt);
            user
        }
        (Err(PasswordError::Busy), _) => {
            guesses.withdrawn(&attempt);
            state.metrics.logins_busy.count();
            let detail = "too many logins are being checked; Retry-After says when to come back";
            return Err(
                ProblemAnswer::new(code::TOO_MANY_REQUESTS, detail, &headers)
                    .retry_after_s(state.config.retry_after_s),
            );
        }
        (Err(PasswordError::Hash), _) => {
            guesses.withdrawn(&attempt);
            return Err(internal(&PasswordError::Hash, &headers));
        }
        (_, user) => return Err(state.login_failed(user.as_ref(), &headers)),
    };
    let minted = state
        .tokens
        .mint_control_token(&user, revision)
        .map_err(|error| internal(&error, &headers))?;
    state.metrics.logins.count();
    Ok(Json(LoginAnswer {
        access_token: minted.token.expose().clone(),
        token_type: "Bearer",
        expires_in: minted.expires_in,
        user: LoginUser {
            name: user.name,
            org: user.org,
            roles: user.roles,
        },
    }))
}

/// Revoke the token that the call carries
///
/// The control API looks revocations up at each call, so there is nobody to wait
/// for.
#[utoipa::path(post, path = "/api/v1/logout", operation_id = "logout", tag = "session",
    responses((status = 204, description = "The token is refused from now on")))]
pub(crate) async fn logout(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
) -> Result<StatusCode, ProblemAnswer> {
    let unauthenticated =
        |detail: &str| ProblemAnswer::new(code::UNAUTHENTICATED, detail, &headers);
    let Some(token) = bearer(&headers) else {
        return Err(unauthenticated(
            "send one Authorization header with a bearer token",
        ));
    };
    let caller = match state.tokens.verify_control(token).await {
        Ok(caller) => caller,
        Err(TokenError::Store(error)) => return Err(state.store_problem(&error, &headers)),
        Err(error) => return Err(unauthenticated(&error.to_string())),
    };
    state
        .store
        .commit(Batch {
            org: caller.org,
            actor: caller.user,
            at_unix_ms: state.clock.unix_ms(),
            request: Some(crate::problem::trace_id(&headers)),
            writes: vec![Write::RevocationPut(revocation(
                &caller.jti,
                caller.expires_unix_s,
            ))],
        })
        .await
        .map_err(|error| state.store_problem(&error, &headers))?;
    state.metrics.tokens_revoked.count();
    Ok(StatusCode::NO_CONTENT)
}

impl IdentityState {
    fn login_delayed(&self, seconds: u64, headers: &HeaderMap) -> ProblemAnswer {
        self.metrics.logins_delayed.count();
        let detail = "too many attempts failed; Retry-After says when to come back";
        ProblemAnswer::new(code::TOO_MANY_REQUESTS, detail, headers).retry_after_s(seconds)
    }

    fn login_failed(&self, user: Option<&User>, headers: &HeaderMap) -> ProblemAnswer {
        self.metrics.logins_failed.count();
        let answer = ProblemAnswer::new(code::LOGIN_FAILED, "", headers);
        // A name that nobody has is not logged: it may be a password that went into the wrong field.
        let name = user.map_or("(unknown)", |user| user.name.as_str());
        tracing::warn!(user = name, trace_id = answer.trace_id(), "a login failed");
        answer
    }

    fn store_problem(&self, error: &StoreError, headers: &HeaderMap) -> ProblemAnswer {
        let answer = ProblemAnswer::new(code::STORE_UNAVAILABLE, "", headers)
            .retry_after_s(self.config.retry_after_s);
        tracing::error!(
            error = error as &dyn std::error::Error,
            trace_id = answer.trace_id(),
            "the store failed"
        );
        answer
    }
}

fn internal(error: &(dyn std::error::Error + 'static), headers: &HeaderMap) -> ProblemAnswer {
    let answer = ProblemAnswer::new(code::INTERNAL, "", headers);
    tracing::error!(error, trace_id = answer.trace_id(), "a login broke");
    answer
}

fn read_login(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<LoginRequest, ProblemAnswer> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !media_type.is_some_and(|found| found.eq_ignore_ascii_case("application/json")) {
        let detail = "the content type has to be application/json";
        return Err(ProblemAnswer::new(
            code::UNSUPPORTED_MEDIA_TYPE,
            detail,
            headers,
        ));
    }
    let body = body.map_err(|rejection| {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            code::PAYLOAD_TOO_LARGE
        } else {
            code::BAD_REQUEST
        };
        ProblemAnswer::new(code, "the body cannot be read or is too large", headers)
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        // The parser's own text may quote the body, and with it the password.
        let detail = format!(
            "the body is not {{\"username\": \"…\", \"password\": \"…\"}}: line {}, column {}",
            error.line(),
            error.column()
        );
        ProblemAnswer::new(code::BAD_REQUEST, detail, headers)
    })
}

/// The token of the only `Authorization` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}
