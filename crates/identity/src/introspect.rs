//! `POST /oauth2/introspect`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use credentials::TokenError;
use jose::Claims;
use serde_json::{Value, json};

use crate::IdentityState;
use crate::client::Client;
use crate::described::{OAuthErrorBody, TokenReferenceForm};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// Ask about an access token
///
/// A client is told of tokens that were issued to it, and of those that are meant for it: whose `aud` names it. Anything
/// else (somebody else's, another organisation's, a control token, over, revoked, garbage) is `{"active": false}` and
/// nothing more. Public clients prove nothing and are told nothing.
///
/// Source: RFC 7662 §2; §4 for what is not told; RFC 9449 §6.2 and RFC 8705 §3.2 for `cnf`.
#[utoipa::path(post, path = "/oauth2/introspect", operation_id = "oauth2_introspect", tag = "oauth2",
    security(("client" = []), ()),
    request_body(content = TokenReferenceForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "`active`, and the token's claims when it is", body = Value),
        (status = "default", description = "What went wrong (RFC 6749 §5.2)", body = OAuthErrorBody)))]
pub(crate) async fn introspect(
    State(state): State<Arc<IdentityState>>,
    request: OAuthRequest,
) -> Result<Json<Value>, OAuthError> {
    let client = state.client(&request).await?;
    if client.metadata().is_public() {
        return Err(OAuthError::invalid_client());
    }
    let token = request.form.require("token")?;
    let org = &client.credential.org;
    match state.tokens.verify_access(org, token).await {
        Ok(claims) if is_told(&claims, &client) => Ok(Json(told(claims))),
        Err(TokenError::Store(error)) => Err(state.store_failed(&error)),
        _ => Ok(Json(json!({ "active": false }))),
    }
}

fn is_told(claims: &Claims, client: &Client) -> bool {
    claims.client_id.as_ref() == Some(&client.client_id) || claims.aud.contains(&client.client_id)
}

fn told(mut claims: Claims) -> Value {
    let bound = claims.other.get("cnf").and_then(|cnf| cnf.get("jkt"));
    let mut answer = json!({
        "active": true,
        "token_type": if bound.is_some() { "DPoP" } else { "Bearer" },
        "iss": claims.iss,
        "sub": claims.sub,
        "aud": claims.aud,
        "client_id": claims.client_id,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
    });
    if !claims.scope.is_empty() {
        answer["scope"] = claims.scope.join(" ").into();
    }
    for claim in ["username", "cnf", "act", "auth_time", "acr", "amr", "sid"] {
        if let Some(value) = claims.other.remove(claim) {
            answer[claim] = value;
        }
    }
    answer
}
