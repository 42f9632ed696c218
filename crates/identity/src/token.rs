//! `POST /oauth2/token`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use credentials::{AccessGrant, grant};
use serde::Serialize;
use utoipa::ToSchema;

use crate::IdentityState;
use crate::described::{OAuthErrorBody, TokenForm};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// A token (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    /// The token.
    access_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// Its lifetime in seconds.
    expires_in: u64,
    /// Always stated: it may be more than was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

/// Get an access token for a client itself
///
/// The application's subscriptions grant the scopes of the APIs: a scope outside is refused with `invalid_scope`, and who
/// asks for none gets all.
///
/// Source: RFC 6749 §4.4 (grant), §3.3 (scope), §5 (answers); RFC 9068 (the token). The resource owner password and
/// implicit grants do not exist (RFC 9700 §2.1.2, §2.4).
#[utoipa::path(post, path = "/oauth2/token", operation_id = "oauth2_token", tag = "oauth2", security(("client" = []), ()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token; `no-store`", body = TokenAnswer),
        (status = "default", description = "What went wrong (RFC 6749 §5.2)", body = OAuthErrorBody)))]
pub(crate) async fn token(
    State(state): State<Arc<IdentityState>>,
    request: OAuthRequest,
) -> Result<Json<TokenAnswer>, OAuthError> {
    if request.form.require("grant_type")? != "client_credentials" {
        return Err(OAuthError::unsupported_grant_type());
    }
    let client = state.client(&request).await?;
    let org = client.credential.org;
    let application = client.credential.application;
    let terms = state
        .terms
        .terms_of(&org, application)
        .await
        .map_err(|error| state.store_failed(&error))?;
    let scopes = grant(
        request.form.get("scope"),
        terms.scopes,
        state.tokens.config().scope_bytes_max,
    )
    .map_err(|error| OAuthError::invalid_scope(&error.to_string()))?;
    let scope = scopes
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    let minted = state
        .tokens
        .mint_access_token(&AccessGrant {
            org,
            application,
            client_id: client.client_id,
            scopes,
            lifetime_s: terms.lifetime_s,
        })
        .map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "no token was minted"
            );
            OAuthError::server_error()
        })?;
    state.metrics.tokens_issued.count();
    Ok(Json(TokenAnswer {
        access_token: minted.token.expose().clone(),
        token_type: "Bearer",
        expires_in: minted.expires_in,
        scope,
    }))
}
