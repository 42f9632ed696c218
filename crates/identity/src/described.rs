//! The endpoints with their description, so that neither is there without the other.

use std::sync::Arc;

use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{
    IdentityState, account, authorize, device, end_session, introspect, login, metadata, register,
    revoke, sign_in, token, userinfo,
};

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
        .routes(routes!(authorize::pushed_authorization_request))
        .routes(routes!(device::device_authorization))
        .routes(routes!(register::register))
        .routes(routes!(
            register::registration,
            register::registration_put,
            register::registration_delete
        ))
        .routes(routes!(
            userinfo::userinfo,
            userinfo::userinfo_post,
            userinfo::userinfo_options
        ))
}

/// What people see. Never with CORS: scripts of other origins have no business here.
pub(crate) fn pages() -> Routes {
    Routes::new()
        .routes(routes!(authorize::authorize, authorize::authorize_form))
        .routes(routes!(sign_in::log_in))
        .routes(routes!(sign_in::choose_account))
        .routes(routes!(sign_in::consent))
        .routes(routes!(device::device_page, device::device_code))
        .routes(routes!(device::device_decide))
        .routes(routes!(end_session::logout, end_session::logout_form))
        .routes(routes!(end_session::logout_confirm))
        .routes(routes!(account::account))
        .routes(routes!(account::end))
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
    let all = login().merge(oauth()).merge(pages()).merge(public());
    let mut document = all.into_openapi();
    let components = document.components.get_or_insert_default();
    let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
    components.add_security_scheme("client", basic);
    document
}

/// The form of the token endpoint (RFC 6749 §4.4.2). Read by [`crate::form`], which refuses what a derive would take.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(crate) struct TokenForm {
    /// `authorization_code`, `refresh_token`, `client_credentials`, `urn:ietf:params:oauth:grant-type:device_code`
    grant_type: String,
    /// With `authorization_code`: the code (RFC 6749 §4.1.3).
    code: Option<String>,
    /// With `authorization_code`: as in the authorization request, if it was there.
    redirect_uri: Option<String>,
    /// With `authorization_code`: what the challenge was made of (RFC 7636 §4.5).
    code_verifier: Option<String>,
    /// With `refresh_token` (RFC 6749 §6).
    refresh_token: Option<String>,
    /// With `device_code` (RFC 8628 §3.4).
    device_code: Option<String>,
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
