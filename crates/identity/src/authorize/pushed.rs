//! `POST /oauth2/par`: authorization requests that clients push (RFC 9126).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::Digest;
use credentials::random_text;
use http::StatusCode;
use serde::Serialize;
use store::grants::PushedRequest;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::request::{self, Refusal};
use crate::IdentityState;
use crate::browser::PageError;
use crate::described::OAuthErrorBody;
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

/// What request URIs begin with (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// Bits of a request URI: nobody guesses it.
const BITS: usize = 160;
/// The longest lifetime of a pushed request, in seconds.
const LIFETIME_MAX_S: u64 = 90;

/// A request that was pushed (RFC 9126 §2.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct PushedAnswer {
    /// What the authorization request names it by, once.
    request_uri: String,
    /// Its lifetime in seconds.
    expires_in: u64,
}

/// What a request says of a pushed one.
pub(super) enum Pushed {
    /// Nothing.
    No,
    /// These are its parameters; nobody gets them a second time.
    Taken(Parameters),
    /// It names one that is over, was used, or is another client's.
    Gone,
}

/// Push an authorization request
///
/// The client authenticates as at the token endpoint and sends the parameters of the authorization request. They are checked
/// here, and `request_uri` stands for them once. A DPoP proof binds the code to its key, as `dpop_jkt` does.
///
/// Source: RFC 9126 §2; RFC 9449 §10.1.
#[utoipa::path(post, path = "/oauth2/par", operation_id = "oauth2_par", tag = "oauth2", security(("client" = []), ()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 201, description = "The request is kept; `no-store`", body = PushedAnswer),
        (status = "default", description = "What went wrong (RFC 9126 §2.3)", body = OAuthErrorBody)))]
pub(crate) async fn pushed_authorization_request(
    State(state): State<Arc<IdentityState>>,
    asking: OAuthRequest,
) -> Result<Response, OAuthError> {
    if asking.body.len() > super::QUERY_BYTES_MAX {
        return Err(OAuthError::too_large(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let mut parameters = Parameters::parse(&asking.body)?;
    let client = state.client(&asking).await?;
    if parameters.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request(
            "request_uri cannot be pushed (RFC 9126 section 2.1)",
        ));
    }
    let Some(registered) = client.credential.client() else {
        return Err(OAuthError::invalid_client());
    };
    if let Some(key) = state.proved_key(&asking).await? {
        parameters = announcing(parameters, &key)?;
    }
    let to = request::find_return(&parameters, registered)
        .map_err(|detail| OAuthError::invalid_request(&detail))?;
    let checked = state.check_request(&parameters, &client.credential, registered, to);
    checked
        .await
        .map_err(|error| state.page_error(&error))?
        .map_err(|Refusal { error, description }| OAuthError::of(error, &description))?;
    let text = random_text("", BITS).map_err(|_| OAuthError::server_error())?;
    let lifetime_s = state
        .people
        .config
        .pushed_lifetime_s
        .clamp(1, LIFETIME_MAX_S);
    let kept = PushedRequest {
        hash: Digest::of(text.as_bytes()),
        client_id: client.client_id,
        parameters: parameters.to_json(),
        expires_unix_s: state.clock.unix_s().saturating_add(lifetime_s),
    };
    let put = state.people.store.pushed_put(&kept).await;
    put.map_err(|error| state.store_failed(&error))?;
    state.metrics.requests_pushed.count();
    let answer = PushedAnswer {
        request_uri: format!("{PREFIX}{text}"),
        expires_in: lifetime_s,
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// The parameters with the key that the push proved (RFC 9449 §10.1), which has to be the one that they name.
fn announcing(parameters: Parameters, key: &str) -> Result<Parameters, OAuthError> {
    match parameters.get("dpop_jkt") {
        None => parameters.with("dpop_jkt", key),
        Some(named) if named == key => Ok(parameters),
        Some(_) => Err(OAuthError::of(
            "invalid_dpop_proof",
            "dpop_jkt is not the thumbprint of the key of the DPoP proof",
        )),
    }
}

impl IdentityState {
    /// The parameters that a request stands for. It says nothing beside the client and the request URI that counts
    /// (RFC 9126 §4; RFC 9101 §5).
    pub(super) async fn pushed_parameters(
        &self,
        given: &Parameters,
        client_id: &str,
    ) -> Result<Pushed, PageError> {
        let pushed = given
            .get("request_uri")
            .and_then(|uri| uri.strip_prefix(PREFIX));
        let Some(text) = pushed else {
            return Ok(Pushed::No);
        };
        let hash = Digest::of(text.as_bytes());
        let now = self.clock.unix_s();
        let taken = self.people.store.pushed_take(&hash, now).await?;
        let parameters = taken
            .filter(|taken| taken.client_id == client_id)
            .and_then(|taken| Parameters::from_json(&taken.parameters));
        Ok(parameters.map_or(Pushed::Gone, Pushed::Taken))
    }

    /// What broke a page, as an answer to a client.
    pub(crate) fn page_error(&self, error: &PageError) -> OAuthError {
        match error {
            PageError::Store(error) => self.store_failed(error),
            PageError::Random(_) | PageError::Seal => {
                tracing::error!(error = error as &dyn std::error::Error, "a request broke");
                OAuthError::server_error()
            }
        }
    }
}
