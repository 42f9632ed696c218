//! `POST /oauth2/revoke`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use base::{Digest, TokensOf};
use credentials::{TokenError, revocation};
use http::StatusCode;
use store::grants::GrantFilter;
use store::{Batch, Write};

use crate::IdentityState;
use crate::client::Client;
use crate::described::{OAuthErrorBody, TokenReferenceForm};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// Revoke a token of the client's own
///
/// When the answer is 200, the revocation is durable and every node refuses the token. A refresh token takes along what it
/// stands for: the other refresh tokens of its grant, and the access tokens.
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
    let mut write = state.refresh_token_end(&client, token).await?;
    if write.is_none() {
        write = state.access_token_end(&client, token).await?;
    }
    let Some(write) = write else {
        return Ok(StatusCode::OK);
    };
    let batch = Batch {
        org: client.credential.org,
        actor: client.client_id,
        at_unix_ms: state.clock.unix_ms(),
        request: Some(crate::problem::trace_id(&request.headers)),
        writes: vec![write],
    };
    // On a task of its own: a client that hangs up must not leave a revocation that no node was told of.
    tokio::spawn(commit(state, batch))
        .await
        .map_err(|_| OAuthError::server_error())??;
    Ok(StatusCode::OK)
}

impl IdentityState {
    /// What ends an access token; `None` for what is none here. Whether it was revoked before does not matter: the nodes
    /// may still have to hear of it.
    async fn access_token_end(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<Option<Write>, OAuthError> {
        let claims = match self
            .tokens
            .access_claims(&client.credential.org, token)
            .await
        {
            Ok(claims) => claims,
            Err(TokenError::Store(error)) => return Err(self.store_failed(&error)),
            Err(_) => return Ok(None),
        };
        if claims.client_id.as_ref() != Some(&client.client_id) {
            return Err(not_yours());
        }
        Ok(claims
            .jti
            .map(|jti| Write::RevocationPut(revocation(&jti, claims.exp))))
    }

    /// Revokes the grant of a refresh token and returns what ends its access tokens; `None` for what is no refresh token.
    async fn refresh_token_end(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<Option<Write>, OAuthError> {
        let hash = Digest::of(token.as_bytes());
        let found = self.people.store.refresh_get(&hash).await;
        let Some((_, grant)) = found.map_err(|error| self.store_failed(&error))? else {
            return Ok(None);
        };
        if grant.client_id != client.client_id {
            return Err(not_yours());
        }
        let filter = GrantFilter::Id(grant.id);
        let revoked = self
            .people
            .store
            .grants_revoke(&filter, self.clock.unix_ms())
            .await;
        revoked.map_err(|error| self.store_failed(&error))?;
        Ok(Some(self.end_of(TokensOf::Grant(grant.id))))
    }
}

fn not_yours() -> OAuthError {
    OAuthError::unauthorized_client("the token was not issued to this client")
}

async fn commit(state: Arc<IdentityState>, batch: Batch) -> Result<(), OAuthError> {
    let begun = Instant::now();
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
    state.metrics.revocations.add(begun.elapsed());
    state.metrics.tokens_revoked.count();
    Ok(())
}
