//! `POST /oauth2/token`: who asks, by which grant, and what is answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jose::Confirmation;

use crate::IdentityState;
use crate::client::Client;
use crate::described::{OAuthErrorBody, TokenForm};
use crate::form::OAuthRequest;
use crate::grants::GrantType;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;

/// What a grant works with: a request for tokens, by a client that has proved itself. No `Debug`: it holds secrets.
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) client: Client,
    /// What for.
    pub(crate) request: OAuthRequest,
    /// The key that the client proved to have: the tokens are bound to it.
    pub(crate) confirmation: Option<Confirmation>,
    /// The store's revision before anything was looked at; see [`credentials::AccessGrant::revision`].
    pub(crate) revision: u64,
}

/// Where it is.
pub(crate) const PATH: &str = "/oauth2/token";

/// Get tokens
///
/// By `grant_type`: `client_credentials` is a client's token for itself. The application's subscriptions grant the scopes
/// of the APIs: a scope outside is refused with `invalid_scope`, and who asks for none gets all. Token exchange gives a
/// token for another audience of a token that somebody else was given. With a DPoP proof the tokens are bound to its key.
///
/// Source: RFC 6749 §3.2, §4.4 (client_credentials), §3.3 (scope), §5 (answers); RFC 8693 (exchange); RFC 8707
/// (`resource`); RFC 9449 §5 (DPoP); RFC 8705 §3 (certificates); RFC 9068 (the token). The resource owner
/// password and implicit grants do not exist (RFC 9700 §2.1.2, §2.4).
#[utoipa::path(post, path = "/oauth2/token", operation_id = "oauth2_token", tag = "oauth2", security(("client" = []), ()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token; `no-store`", body = TokenAnswer),
        (status = "default", description = "What went wrong (RFC 6749 §5.2)", body = OAuthErrorBody)))]
pub(crate) async fn token(
    State(state): State<Arc<IdentityState>>,
    request: OAuthRequest,
) -> Result<Json<TokenAnswer>, OAuthError> {
    let grant_type = GrantType::parse(request.form.require("grant_type")?)?;
    let revision = state
        .store
        .revision()
        .await
        .map_err(|error| state.store_failed(&error))?;
    let client = state.client(&request).await?;
    grant_type.allowed(&client)?;
    let confirmation = state.bound_to(&request, &client).await?;
    let asked = Asked {
        client,
        request,
        confirmation,
        revision,
    };
    grant_type.answer(&state, &asked).await.map(Json)
}
