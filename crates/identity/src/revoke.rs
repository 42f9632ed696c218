//! `POST /oauth2/revoke`.

use std::sync::Arc;

use axum::extract::State;
use credentials::revocation;
use http::StatusCode;
use store::{Batch, Write};

use crate::IdentityState;
use crate::described::{OAuthErrorBody, TokenReferenceForm};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// Revoke a token of the client's own
///
/// When the answer is 200, the revocation is durable and every node refuses the token.
///
/// What is no valid token here (garbage, over, a control token, another organisation's) is 200 too: there is nothing to
/// revoke. A token of another client is refused. When the nodes do not acknowledge in time the answer is 503: the
/// revocation is stored, asking again waits again.
///
/// Source: RFC 7009 §2.
#[utoipa::path(post, path = "/oauth2/revoke", operation_id = "oauth2_revoke", tag = "oauth2",
    security(("client" = []), ()),
    request_body(content = TokenReferenceForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Every node refuses the token"),
        (status = "default", description = "What went wrong (RFC 6749 §5.2)", body = OAuthErrorBody)))]
pub(crate) async fn revoke(
    State(state): State<Arc<IdentityState>>,
    request: OAuthRequest,
) -> Result<StatusCode, OAuthError> {
    let client = state.client(&request).await?;
    let token = request.form.require("token")?;
    // Whether it was revoked before does not matter: the nodes may still have to hear of it.
    let Ok(claims) = state.tokens.read_access(&client.credential.org, token) else {
        return Ok(StatusCode::OK);
    };
    if claims.client_id.as_ref() != Some(&client.client_id) {
        return Err(OAuthError::unauthorized_client(
            "the token was not issued to this client",
        ));
    }
    let Some(jti) = claims.jti else {
        return Ok(StatusCode::OK);
    };
    let batch = Batch {
        org: client.credential.org,
        actor: client.client_id,
        at_unix_ms: state.clock.unix_ms(),
        request: Some(crate::problem::trace_id(&request.headers)),
        writes: vec![Write::RevocationPut(revocation(&jti, claims.exp))],
    };
    // On a task of its own: a client that hangs up must not leave a revocation that no node was told of.
    tokio::spawn(commit(state, batch))
        .await
        .map_err(|_| OAuthError::server_error())??;
    Ok(StatusCode::OK)
}

async fn commit(state: Arc<IdentityState>, batch: Batch) -> Result<(), OAuthError> {
    let revision = state
        .store
        .commit(batch)
        .await
        .map_err(|error| state.store_failed(&error))?;
    state
        .acknowledged
        .acknowledged(revision)
        .await
        .map_err(|error| {
            tracing::warn!(
                revision = error.revision,
                "a revocation is stored but not yet served"
            );
            OAuthError::unavailable(
                "the revocation is stored, but not every gateway has confirmed it yet",
                state.config.retry_after_s,
            )
        })?;
    state.metrics.tokens_revoked.count();
    Ok(())
}
