//! CORS (Fetch §3.2) of what scripts of other origins may call: the endpoints that clients use without cookies. Never those
//! that people see: a page that another origin's script could read would be a hole.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderValue, Method, StatusCode};

/// What clients in browsers use. Introspection is for servers: it is asked with a secret.
const OPEN: [&str; 5] = [
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/jwks",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

/// Lets scripts of every origin read the answers of these endpoints. Nothing there goes by cookies, so no origin gains
/// what it could not ask for itself.
pub(crate) async fn open(request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path()) || !request.headers().contains_key(ORIGIN) {
        return next.run(request).await;
    }
    let preflight = *request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type, DPoP",
            ),
            (ACCESS_CONTROL_MAX_AGE, "7200"),
        ] {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    } else {
        next.run(request).await
    };
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "DPoP-Nonce, WWW-Authenticate",
        ),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
