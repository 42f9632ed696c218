//! The endpoints with their description, so that neither is there without the other.

use std::sync::Arc;

use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{IdentityState, introspect, login, metadata, revoke, token};

/// Routes that still lack their state.
type Routes = OpenApiRouter<Arc<IdentityState>>;

/// Login and logout.
pub(crate) fn login() -> Routes {
    Routes::new()
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
}

/// What clients call with their secret.
pub(crate) fn oauth() -> Routes {
    Routes::new()
        .routes(routes!(token::token))
        .routes(routes!(introspect::introspect))
        .routes(routes!(revoke::revoke))
}

/// What anybody may read.
pub(crate) fn public() -> Routes {
    Routes::new()
        .routes(routes!(metadata::jwks))
        .routes(routes!(metadata::authorization_server))
        .routes(routes!(metadata::openid_configuration))
}

/// The OpenAPI description of all endpoints, by their full paths.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = login().merge(oauth()).merge(public()).into_openapi();
    let components = document.components.get_or_insert_default();
    let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
    components.add_security_scheme("client", basic);
    document
}

/// The form of the token endpoint (RFC 6749 §4.4.2). Read by [`crate::form`], which refuses what a derive would take.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(crate) struct TokenForm {
    /// `client_credentials`
    grant_type: String,
    /// Scopes, separated by spaces; absent = all that the application's subscriptions grant.
    scope: Option<String>,
    /// Where the client does not authenticate by HTTP Basic (RFC 6749 §2.3.1).
    client_id: Option<String>,
    /// As `client_id`.
    client_secret: Option<String>,
}

/// The form of introspection (RFC 7662 §2.1) and revocation (RFC 7009 §2.1).
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(crate) struct TokenReferenceForm {
    /// The token.
    token: String,
    /// Taken and not needed.
    token_type_hint: Option<String>,
    /// Where the client does not authenticate by HTTP Basic (RFC 6749 §2.3.1).
    client_id: Option<String>,
    /// As `client_id`.
    client_secret: Option<String>,
}

/// An error of the OAuth endpoints (RFC 6749 §5.2).
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(crate) struct OAuthErrorBody {
    /// `invalid_request`, `invalid_client`, `invalid_scope`, …
    error: String,
    /// What is wrong, for people.
    error_description: String,
}
