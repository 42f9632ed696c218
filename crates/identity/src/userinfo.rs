//! `GET` and `POST /oauth2/userinfo`: who the user of an access token is (OpenID Connect Core §5.3).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use credentials::TokenError;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use store::grants::Grant;

use crate::IdentityState;
use crate::client::ClientCertificate;
use crate::dpop::{Scheme, Shown, Unproved};
use crate::id_token::{about, wanted};
use crate::scopes::OPENID;

/// Why there is no answer.
enum Refusal {
    /// No token: the challenge says nothing more (RFC 6750 §3).
    Absent,
    /// A token that is not accepted, and how it came.
    Token(Scheme, &'static str),
    /// A good token of somebody who does not prove what it is bound to.
    Unproved(Scheme, Unproved),
    /// A good token without the scope `openid` (`insufficient_scope`).
    Scope(Scheme),
    /// The store is away.
    Away,
}

/// Who the user is
///
/// `sub`, and what the scopes and the parameter `claims` of the authorization asked for. The token needs the scope `openid`.
///
/// Source: OpenID Connect Core §5.3; RFC 6750 §2.1 and §3; RFC 9449 §7; RFC 8705 §3.
#[utoipa::path(get, path = "/oauth2/userinfo", operation_id = "oauth2_userinfo", tag = "oauth2", security(("bearer" = [])),
    responses((status = 200, description = "Claims; `no-store`", body = Value),
        (status = 401, description = "No token, or not a good one"), (status = 403, description = "Without the scope `openid`")))]
pub(crate) async fn userinfo(
    State(state): State<Arc<IdentityState>>,
    method: Method,
    certificate: Option<Extension<ClientCertificate>>,
    headers: HeaderMap,
) -> Response {
    let certificate = certificate.as_ref().map(|Extension(shown)| shown);
    let mut response = match state.userinfo(&method, certificate, &headers).await {
        Ok(claims) => Json(claims).into_response(),
        Err(refusal) => refuse(&refusal, state.config.retry_after_s),
    };
    allow_any_origin(response.headers_mut());
    response
}

/// The same by POST (OpenID Connect Core §5.3.1)
#[utoipa::path(post, path = "/oauth2/userinfo", operation_id = "oauth2_userinfo_post", tag = "oauth2",
    security(("bearer" = [])), responses((status = 200, description = "Claims; `no-store`", body = Value),
        (status = 401, description = "No token, or not a good one"), (status = 403, description = "Without the scope `openid`")))]
pub(crate) async fn userinfo_post(
    state: State<Arc<IdentityState>>,
    method: Method,
    certificate: Option<Extension<ClientCertificate>>,
    headers: HeaderMap,
) -> Response {
    userinfo(state, method, certificate, headers).await
}

/// Lets scripts of any origin ask (CORS)
#[utoipa::path(options, path = "/oauth2/userinfo", operation_id = "oauth2_userinfo_options", tag = "oauth2", security(()),
    responses((status = 204, description = "`Access-Control-Allow-…`")))]
pub(crate) async fn userinfo_options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    allow_any_origin(response.headers_mut());
    response
}

/// Where it is: what a proof has to be for.
const PATH: &str = "/oauth2/userinfo";

impl IdentityState {
    async fn userinfo(
        &self,
        method: &Method,
        certificate: Option<&ClientCertificate>,
        headers: &HeaderMap,
    ) -> Result<Value, Refusal> {
        let (scheme, token) = credential(headers).ok_or(Refusal::Absent)?;
        let claims = match self.tokens.verify_user_token(token).await {
            Ok(claims) => claims,
            Err(TokenError::Store(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                return Err(Refusal::Away);
            }
            Err(_) => return Err(Refusal::Token(scheme, "the token is not accepted")),
        };
        let shown = Shown {
            method,
            path: PATH,
            headers,
            certificate,
            scheme,
            token,
        };
        let proved = self.proves_binding(&shown, &claims).await;
        let proved = proved.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
            Refusal::Away
        })?;
        proved.map_err(|unproved| Refusal::Unproved(scheme, unproved))?;
        let scopes: BTreeSet<String> = claims.scope.iter().cloned().collect();
        if !scopes.contains(OPENID) {
            return Err(Refusal::Scope(scheme));
        }
        let grant = self.grant_of(scheme, &claims.other).await?;
        let mut answer = json!({ "sub": claims.sub });
        let wanted = wanted(grant.terms.claims.as_ref(), "userinfo");
        for (name, value) in about(&grant.terms.user, &scopes, &wanted) {
            answer[name] = value;
        }
        Ok(answer)
    }

    /// The grant that a token comes of: its user is asked about no longer than it lasts.
    async fn grant_of(
        &self,
        scheme: Scheme,
        claims: &serde_json::Map<String, Value>,
    ) -> Result<Grant, Refusal> {
        let id = claims.get("grant_id").and_then(Value::as_str);
        let id = id.and_then(|id| id.parse().ok());
        let id = id.ok_or(Refusal::Token(scheme, "the token is not about a user"))?;
        let found = self.people.store.grant_get(id).await;
        let found = found.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
            Refusal::Away
        })?;
        let grant = found
            .filter(|grant| grant.revoked_unix_ms.is_none())
            .ok_or(Refusal::Token(scheme, "what the user allowed is over"))?;
        match self.user_of(&grant).await {
            Ok(_) => Ok(grant),
            Err(_) => Err(Refusal::Token(scheme, "the user does not exist any more")),
        }
    }
}

/// The token of the only `Authorization` header, and how it is shown.
fn credential(headers: &HeaderMap) -> Option<(Scheme, &str)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let known = [("Bearer", Scheme::Bearer), ("DPoP", Scheme::Dpop)];
    let (_, scheme) = known
        .into_iter()
        .find(|(name, _)| scheme.eq_ignore_ascii_case(name))?;
    Some((scheme, token.trim()))
}

/// Says what is wrong, under the scheme that it is wrong with (RFC 6750 §3, RFC 9449 §7.1).
fn refuse(refusal: &Refusal, retry_after_s: u64) -> Response {
    let (status, scheme, what) = match refusal {
        Refusal::Absent => return challenge_both(),
        Refusal::Token(scheme, text) => (
            StatusCode::UNAUTHORIZED,
            *scheme,
            format!("error=\"invalid_token\", error_description=\"{text}\""),
        ),
        Refusal::Unproved(scheme, Unproved { error, text }) => (
            StatusCode::UNAUTHORIZED,
            *scheme,
            format!("error=\"{error}\", error_description=\"{text}\""),
        ),
        Refusal::Scope(scheme) => (
            StatusCode::FORBIDDEN,
            *scheme,
            "error=\"insufficient_scope\", scope=\"openid\"".to_owned(),
        ),
        Refusal::Away => {
            let after = [(RETRY_AFTER, HeaderValue::from(retry_after_s))];
            return (StatusCode::SERVICE_UNAVAILABLE, after).into_response();
        }
    };
    let mut response = status.into_response();
    let challenge = format!("{}, {what}", challenge(scheme));
    let challenge = HeaderValue::from_str(&challenge).expect("the texts are ASCII");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Either scheme would do.
fn challenge_both() -> Response {
    let mut response = StatusCode::UNAUTHORIZED.into_response();
    for scheme in [Scheme::Bearer, Scheme::Dpop] {
        let challenge = HeaderValue::from_str(&challenge(scheme)).expect("the texts are ASCII");
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn challenge(scheme: Scheme) -> String {
    match scheme {
        Scheme::Bearer => "Bearer realm=\"tollway\"".to_owned(),
        Scheme::Dpop => {
            let algs = jose::ALGORITHMS.join(" ");
            format!("DPoP realm=\"tollway\", algs=\"{algs}\"")
        }
    }
}

/// Scripts may ask from anywhere: the token is the permission, and no cookie counts here.
fn allow_any_origin(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 5] = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, dpop",
        ),
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "www-authenticate, dpop-nonce",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
