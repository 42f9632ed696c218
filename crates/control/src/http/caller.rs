//! Who calls: the bearer token of the control API.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base::{Org, code};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use store::{RecordKind, Role};

use super::trace::TraceId;
use super::{Action, ApiError, ApiResult};
use crate::Control;

/// A user who has proved who it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) org: Org,
    pub(crate) user: String,
    pub(crate) roles: Vec<Role>,
    /// The trace id of the call.
    pub(crate) request: String,
}

impl Caller {
    /// Whether the caller holds this role; an admin holds all.
    pub(crate) fn is(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// Refuses callers with none of these roles.
    pub(crate) fn require(&self, roles: &[Role]) -> ApiResult<()> {
        if roles.iter().any(|role| self.is(*role)) {
            return Ok(());
        }
        Err(ApiError::new(
            code::FORBIDDEN,
            format!("this needs one of the roles {}", names(roles)),
        ))
    }

    /// Refuses callers who may not do this with documents of this kind.
    pub(crate) fn require_for(&self, kind: RecordKind, action: Action) -> ApiResult<()> {
        self.require(super::access::roles(kind, action))
    }

    /// Whose applications the caller sees: `None` for all.
    pub(crate) fn owner_filter(&self) -> Option<&str> {
        (!self.is(Role::Admin)).then_some(self.user.as_str())
    }
}

fn names(roles: &[Role]) -> String {
    let names: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Admin => "admin",
            Role::Publisher => "publisher",
            Role::Subscriber => "subscriber",
        })
        .collect();
    names.join(", ")
}

/// Lets only callers with a valid control token pass; the layer stands before every endpoint that is not public.
pub(crate) async fn authenticate(
    State(control): State<Control>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = bearer(request.headers())?;
    let caller = control
        .tokens()
        .verify_control(token)
        .await
        .map_err(|error| {
            if let credentials::TokenError::Store(cause) = &error {
                return ApiError::store_unavailable(cause);
            }
            unauthenticated(&error.to_string(), r#"Bearer error="invalid_token""#)
        })?;
    let TraceId(trace_id) = request.extensions().get().cloned().unwrap_or_default();
    request.extensions_mut().insert(Caller {
        org: caller.org,
        user: caller.user,
        roles: caller.roles,
        request: trace_id,
    });
    Ok(next.run(request).await)
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> ApiResult<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unauthenticated("the call has no bearer token", "Bearer"));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(unauthenticated("the call has no bearer token", "Bearer")),
    }
}

fn unauthenticated(detail: &str, challenge: &'static str) -> ApiError {
    ApiError::new(code::UNAUTHENTICATED, detail).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        // Absent only where an endpoint was mounted outside of the layer: fail closed.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| unauthenticated("the call has no bearer token", "Bearer"))
    }
}
