//! `GET /oauth2/jwks` and the metadata documents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde_json::json;

use crate::IdentityState;

/// Verifiers may keep these answers so long; a removed key is gone everywhere after it (req: T1).
const CACHE: &str = "public, max-age=300";

/// The public keys (RFC 7517 §5).
pub(crate) async fn jwks(State(state): State<Arc<IdentityState>>) -> impl IntoResponse {
    ([(CACHE_CONTROL, CACHE)], Json(state.tokens.jwks()))
}

/// What this server can do, and nothing that it cannot.
///
/// `response_types_supported` is required by RFC 8414 §2 and empty, since there is no authorization endpoint.
///
/// Source: RFC 8414 §3; the same document under the name of OpenID Connect Discovery, for clients that look there.
pub(crate) async fn discovery(State(state): State<Arc<IdentityState>>) -> impl IntoResponse {
    let issuer = state.tokens.issuer();
    let methods = ["client_secret_basic", "client_secret_post"];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    });
    ([(CACHE_CONTROL, CACHE)], Json(document))
}
