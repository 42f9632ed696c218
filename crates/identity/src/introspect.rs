//! `POST /oauth2/introspect`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use credentials::TokenError;
use serde_json::{Value, json};

use crate::IdentityState;
use crate::described::{OAuthErrorBody, TokenReferenceForm};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// Ask about a token of the client's own
///
/// Anything else (somebody else's, another organisation's, a control token, over,
/// revoked, garbage) is `{"active": false}` and nothing more.
///
/// Source: RFC 7662 §2; §4 for what is not told.
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
    let token = request.form.require("token")?;
    let inactive = json!({ "active": false });
    let claims = match state
        .tokens
        .verify_access(&client.credential.org, token)
        .await
    {
        Ok(claims) if claims.client_id.as_ref() == Some(&client.client_id) => claims,
        Err(TokenError::Store(error)) => return Err(state.store_failed(&error)),
        _ => return Ok(Json(inactive)),
    };
    let mut answer = json!({
        "active": true,
        "token_type": "Bearer",
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
    Ok(Json(answer))
}
