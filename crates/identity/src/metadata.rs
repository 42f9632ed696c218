//! `GET /oauth2/jwks` and the metadata documents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde_json::json;

use crate::IdentityState;
use crate::grants::GrantType;

/// Verifiers may keep these answers so long; a removed key is gone everywhere after it (req: T1).
const CACHE: &str = "public, max-age=300";

/// The public keys of access tokens (RFC 7517 §5)
#[utoipa::path(get, path = "/oauth2/jwks", operation_id = "oauth2_jwks", tag = "oauth2", security(()),
    responses((status = 200, description = "A JWK set", body = Value)))]
pub(crate) async fn jwks(State(state): State<Arc<IdentityState>>) -> impl IntoResponse {
    ([(CACHE_CONTROL, CACHE)], Json(state.tokens.jwks()))
}

/// What this server can do (RFC 8414 §3)
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", operation_id = "authorization_server_metadata",
    tag = "oauth2", security(()), responses((status = 200, description = "Endpoints and abilities", body = Value)))]
pub(crate) async fn authorization_server(
    State(state): State<Arc<IdentityState>>,
) -> impl IntoResponse {
    discovery(&state)
}

/// The same under the name of OpenID Connect Discovery, for clients that look there
#[utoipa::path(get, path = "/.well-known/openid-configuration", operation_id = "openid_configuration", tag = "oauth2",
    security(()), responses((status = 200, description = "Endpoints and abilities", body = Value)))]
pub(crate) async fn openid_configuration(
    State(state): State<Arc<IdentityState>>,
) -> impl IntoResponse {
    discovery(&state)
}

/// What this server can do, and nothing that it cannot.
///
/// `response_types_supported` is required by RFC 8414 §2 and empty, since there is no authorization endpoint.
fn discovery(state: &IdentityState) -> impl IntoResponse + use<> {
    let issuer = state.tokens.issuer();
    let methods = ["client_secret_basic", "client_secret_post"];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "response_types_supported": [],
        "grant_types_supported": GrantType::ALL.map(GrantType::name),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    });
    ([(CACHE_CONTROL, CACHE)], Json(document))
}
