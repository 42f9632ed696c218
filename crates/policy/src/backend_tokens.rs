//! Access tokens that the gateway itself shows to backends: what is asked for, and who has it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::{Digest, Secret};
use http::header::HeaderValue;

/// What a token is asked for with (RFC 6749 §4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRequest {
    /// The token endpoint.
    pub url: String,
    /// The client.
    pub client_id: String,
    /// How it proves itself.
    pub proof: TokenProof,
    /// Scopes, joined by spaces.
    pub scope: Option<String>,
    /// `audience`
    pub audience: Option<String>,
    /// `resource` (RFC 8707)
    pub resource: Option<String>,
    /// How long one request may take.
    pub timeout_ms: u64,
    /// How long a token is good that does not say so.
    pub lifetime_ms: u64,
}

/// How a client proves itself (RFC 6749 §2.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenProof {
    /// HTTP Basic.
    Basic,
    /// In the form.
    Form,
}

/// A client of an authorization server, without its secret. Equal requests are equal clients.
#[derive(Debug)]
pub struct TokenClient {
    id: Digest,
    request: TokenRequest,
}

impl TokenClient {
    /// The client of this request.
    #[must_use]
    pub fn new(request: TokenRequest) -> Self {
        let id = Digest::of(format!("{request:?}").as_bytes());
        Self { id, request }
    }

    /// Tells it from others.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// What it asks for.
    #[must_use]
    pub fn request(&self) -> &TokenRequest {
        &self.request
    }
}

/// A token, ready to be shown.
pub struct BackendToken {
    /// `Bearer …`, sensitive.
    pub value: HeaderValue,
    /// From then on another one is asked for, while this one is still good; monotonic.
    pub renew_ms: u64,
    /// From then on it is shown no more; monotonic.
    pub ends_ms: u64,
}

impl fmt::Debug for BackendToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendToken")
            .field("ends_ms", &self.ends_ms)
            .finish_non_exhaustive()
    }
}

/// Why there is no token. Says nothing of what was found at the endpoint but its status.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoToken {
    /// The endpoint did not give one.
    #[error("{0}")]
    Failed(String),
    /// It did not give one before, and is left alone for so many seconds.
    #[error("no token was given; it is asked again in {0} s")]
    Wait(u64),
    /// The node keeps as many tokens as it may.
    #[error("the node keeps as many tokens for backends as it may")]
    TooMany,
    /// Nobody asks for tokens here.
    #[error("this gateway asks for no tokens")]
    Nobody,
}

/// A token that somebody may have to ask for.
pub type AskingToken = Pin<Box<dyn Future<Output = Result<Arc<BackendToken>, NoToken>> + Send>>;

/// Has tokens, asks for them before they end, once at a time for each client, and leaves an endpoint alone that fails.
pub trait BackendTokens: Send + Sync {
    /// The token of a client; at once where there is one.
    fn token(&self, client: Arc<TokenClient>, secret: Secret<String>) -> AskingToken;

    /// A backend has refused this token (401).
    fn refused(&self, client: &TokenClient, token: &Arc<BackendToken>);
}

/// Asks for none.
#[derive(Clone, Copy, Debug)]
pub struct NoBackendTokens;

impl BackendTokens for NoBackendTokens {
    fn token(&self, _: Arc<TokenClient>, _: Secret<String>) -> AskingToken {
        Box::pin(std::future::ready(Err(NoToken::Nobody)))
    }

    fn refused(&self, _: &TokenClient, _: &Arc<BackendToken>) {}
}
