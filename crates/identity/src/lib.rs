//! The identity role: who somebody is, tokens that say so, and their end.
//!
//! | endpoint | source |
//! |---|---|
//! | `POST /api/v1/login`, `POST /api/v1/logout` | users of the control API |
//! | `POST /oauth2/token` (client_credentials) | RFC 6749 §4.4, tokens as in RFC 9068 |
//! | … by authorization_code, refresh_token, device_code | RFC 6749 §4.1 and §6, RFC 7636, RFC 8628 |
//! | `GET /oauth2/authorize`, `POST /oauth2/par` | RFC 6749 §4.1.1, RFC 9126, RFC 9207, OpenID Connect Core §3.1.2 |
//! | `POST /oauth2/device_authorization`, `GET /oauth2/device` | RFC 8628 §3.1, §3.3 |
//! | `GET /oauth2/userinfo` | OpenID Connect Core §5.3 |
//! | `GET /account` | one's own sessions and consents |
//! | `GET /oauth2/logout` | OpenID Connect RP-Initiated Logout, Back-Channel Logout |
//! | … by token-exchange | RFC 8693 |
//! | … with proofs of possession, for named resources | RFC 9449, RFC 8705, RFC 8707 |
//! | `POST /oauth2/introspect` | RFC 7662 |
//! | `POST /oauth2/revoke` | RFC 7009 |
//! | `GET /oauth2/jwks` | RFC 7517 §5 |
//! | `GET /.well-known/oauth-authorization-server`, `…/openid-configuration` | RFC 8414, OpenID Connect Discovery |
//!
//! Knows nothing of documents, gateways, or what a user may do; which scopes an application has and whether the nodes
//! have a revocation it asks through traits of `credentials`. Issuer and links come from the configured public URL, never
//! from what a request says about its host.
//!
//! Start reading at [`router`].

mod account;
mod authorize;
mod backchannel;
mod browser;
mod client;
mod cookies;
mod cors;
mod described;
mod device;
mod dpop;
mod end_session;
mod endings;
mod flow;
mod form;
mod grants;
mod id_token;
mod introspect;
mod login;
mod metadata;
mod metrics;
mod mint;
mod oauth;
mod page_form;
mod pages;
mod people;
mod problem;
mod proving;
mod register;
mod resources;
mod revoke;
mod scopes;
mod sign_in;
mod token;
mod userinfo;

pub mod housekeeping;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use base::Clock;
use credentials::{Acknowledged, Passwords, SecretHashes, TermsSource, Tokens};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, PRAGMA};
use store::Store;

pub use backchannel::{LogoutLimits, tell_of_logouts};
pub use client::ClientCertificate;
pub use described::openapi;
pub use housekeeping::housekeeping;
pub use limits::GuessLimits;
pub use metrics::{Counter, Gauge, IdentityMetrics, Times};
pub use people::{People, PeopleConfig};
pub use proving::{Proving, ProvingConfig};

/// What the role works with.
pub struct IdentityState {
    /// Users, clients, revocations.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Mints and checks tokens.
    pub tokens: Tokens,
    /// Checks passwords.
    pub passwords: Passwords,
    /// Checks client secrets.
    pub secrets: SecretHashes,
    /// What the tokens of an application may be.
    pub terms: Arc<dyn TermsSource>,
    /// Whether the nodes have a revocation.
    pub acknowledged: Arc<dyn Acknowledged>,
    /// What clients prove by.
    pub proving: Proving,
    /// Limits.
    pub config: IdentityConfig,
    /// What people pass through.
    pub people: People,
    /// Counters; keep a clone to read them.
    pub metrics: Arc<IdentityMetrics>,
}

/// Limits of the role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdentityConfig {
    /// The longest body of a request, in bytes; default 16 KiB.
    pub body_bytes_max: usize,
    /// How long verifiers may keep the public keys and the metadata, in seconds; default 300. For so long after an emergency
    /// roll somebody who is no gateway of ours may accept what the lost key signed.
    pub jwks_max_age_s: u64,
    /// What `Retry-After` says when something is too busy or away, in seconds; default 2.
    pub retry_after_s: u64,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 * 1024,
            jwks_max_age_s: 300,
            retry_after_s: 2,
        }
    }
}

/// All endpoints, by their full paths. It has no fallback: merge it with whatever else the listener serves.
pub fn router(state: Arc<IdentityState>) -> Router {
    login_router(Arc::clone(&state)).merge(oauth_router(state))
}

/// Login and logout of the control API's users.
pub fn login_router(state: Arc<IdentityState>) -> Router {
    secret(described::login().split_for_parts().0, state)
}

/// The authorization server alone, for a listener of its own.
pub fn oauth_router(state: Arc<IdentityState>) -> Router {
    let public = described::public()
        .split_for_parts()
        .0
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(cors::open))
        .with_state(Arc::clone(&state));
    let pages = described::pages()
        .split_for_parts()
        .0
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(state.config.body_bytes_max))
        .with_state(Arc::clone(&state));
    secret(described::oauth().split_for_parts().0, state)
        .merge(public)
        .merge(pages)
}

/// What all routes share that read or answer secrets: small bodies, and nothing is stored on the way.
fn secret(routes: Router<Arc<IdentityState>>, state: Arc<IdentityState>) -> Router {
    routes
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(state.config.body_bytes_max))
        .layer(from_fn(cors::open))
        .layer(map_response(no_store))
        .with_state(state)
}

/// RFC 6749 §5.1: whatever carries a token, or says why there is none, is not stored anywhere.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
