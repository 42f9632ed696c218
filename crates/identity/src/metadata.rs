//! `GET /oauth2/jwks` and the metadata documents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, HeaderName};
use serde_json::{Value, json};
use store::{AuthMethod, SigningAlgorithm};

use crate::IdentityState;
use crate::browser::ACR;
use crate::grants::GrantType;
use crate::scopes::OIDC;

/// The public keys of access tokens (RFC 7517 §5)
#[utoipa::path(get, path = "/oauth2/jwks", operation_id = "oauth2_jwks", tag = "oauth2", security(()),
    responses((status = 200, description = "A JWK set", body = Value)))]
pub(crate) async fn jwks(State(state): State<Arc<IdentityState>>) -> impl IntoResponse {
    (kept(&state), Json(state.tokens.jwks()))
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
/// Source: RFC 8414 §2; OpenID Connect Discovery §3; RFC 9126 §5, RFC 9207 §3, RFC 8628 §4, RP-Initiated Logout §2.1,
/// Back-Channel Logout §2.1.
fn discovery(state: &IdentityState) -> impl IntoResponse + use<> {
    let issuer = state.tokens.issuer();
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "registration_endpoint": format!("{issuer}/oauth2/register"),
        "grant_types_supported": GrantType::ALL.map(GrantType::name),
    });
    for_clients(state, &mut document);
    for_people(issuer, &mut document);
    (kept(state), Json(document))
}

/// Verifiers may keep these answers so long; a removed key is gone everywhere after it (req: T1).
fn kept(state: &IdentityState) -> [(HeaderName, String); 1] {
    let age_s = state.config.jwks_max_age_s;
    [(CACHE_CONTROL, format!("public, max-age={age_s}"))]
}

/// What has to do with users.
fn for_people(issuer: &str, document: &mut Value) {
    let more = json!({
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth2/par"),
        "device_authorization_endpoint": format!("{issuer}/oauth2/device_authorization"),
        "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
        "end_session_endpoint": format!("{issuer}/oauth2/logout"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "require_request_uri_registration": false,
        "claims_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": ["en", "de", "zh"],
        "scopes_supported": OIDC,
        "subject_types_supported": ["public", "pairwise"],
        "acr_values_supported": [ACR],
        "id_token_signing_alg_values_supported": SigningAlgorithm::ALL.map(SigningAlgorithm::as_str),
        "claim_types_supported": ["normal"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash",
            "name", "preferred_username",
        ],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "frontchannel_logout_supported": false,
    });
    let (Value::Object(document), Value::Object(more)) = (document, more) else {
        return;
    };
    document.extend(more);
}

/// How clients prove themselves and their keys.
///
/// Source: RFC 8414 §2, RFC 8705 §3.3 and §5, RFC 9449 §5.1.
fn for_clients(state: &IdentityState, document: &mut Value) {
    let config = &state.proving.config;
    let known = AuthMethod::ALL.into_iter().filter(|method| {
        let by_certificate = matches!(
            method,
            AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth
        );
        config.certificates || !by_certificate
    });
    let methods: Vec<&str> = known.map(AuthMethod::as_str).collect();
    let proving: Vec<&str> = methods
        .iter()
        .copied()
        .filter(|name| *name != "none")
        .collect();
    for (endpoint, methods) in [
        ("token", &methods),
        ("introspection", &proving),
        ("revocation", &methods),
    ] {
        document[format!("{endpoint}_endpoint_auth_methods_supported")] = json!(methods);
        document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")] =
            json!(jose::ALGORITHMS);
    }
    document["dpop_signing_alg_values_supported"] = json!(jose::ALGORITHMS);
    document["tls_client_certificate_bound_access_tokens"] = config.certificates.into();
    if let Some(url) = &config.mtls_url {
        // Where clients prove themselves, or that they hold the certificate of a token.
        document["mtls_endpoint_aliases"] = json!({
            "token_endpoint": format!("{url}/oauth2/token"),
            "introspection_endpoint": format!("{url}/oauth2/introspect"),
            "revocation_endpoint": format!("{url}/oauth2/revoke"),
            "pushed_authorization_request_endpoint": format!("{url}/oauth2/par"),
            "device_authorization_endpoint": format!("{url}/oauth2/device_authorization"),
            "userinfo_endpoint": format!("{url}/oauth2/userinfo"),
        });
    }
}
