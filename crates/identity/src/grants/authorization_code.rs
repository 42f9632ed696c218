//! `authorization_code` (RFC 6749 §4.1.3, RFC 7636 §4.5): what a user allowed, for the code that says so.

use base::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credentials::{Confirmation, equal};
use store::grants::{CodeBinding, CodeUse, Grant};

use crate::IdentityState;
use crate::form::Form;
use crate::id_token::IdTokenInput;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// What a refused code is answered: it does not tell a code that never was from one that is over.
const REFUSED: &str = "the code is unknown, over, was used, or belongs to another client";

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let form = &asked.request.form;
    let hash = Digest::of(form.require("code")?.as_bytes());
    let store = &state.people.store;
    let found = store.code_get(&hash).await;
    let found = found.map_err(|error| state.store_failed(&error))?;
    let (code, grant) = found
        .filter(|(_, grant)| grant.client_id == asked.client.client_id)
        .ok_or_else(|| OAuthError::invalid_grant(REFUSED))?;
    check_redirect_uri(form, &code.binding)?;
    check_verifier(form, &code.binding)?;
    check_key(asked.confirmation.as_ref(), &code.binding)?;
    let user = state.user_of(&grant).await?;
    let refresh = state.first_refresh_token(asked, &grant)?;
    let row = refresh.as_ref().map(|refresh| &refresh.row);
    let used = store.code_use(&hash, state.clock.unix_ms(), row).await;
    match used.map_err(|error| state.store_failed(&error))? {
        CodeUse::Granted => {}
        CodeUse::Unknown => return Err(OAuthError::invalid_grant(REFUSED)),
        CodeUse::Replayed => {
            state.metrics.codes_replayed.count();
            return Err(replayed(state, &grant).await);
        }
    }
    let id_token = IdTokenInput {
        nonce: code.binding.nonce.clone(),
    };
    let mut answer = state
        .answer_for_user(asked, &grant, &user, &grant.terms.scopes, id_token)
        .await?;
    answer.refresh_token = refresh.map(|refresh| refresh.text);
    Ok(answer)
}

/// Somebody used what was used before: what it gave is over (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
pub(super) async fn replayed(state: &IdentityState, grant: &Grant) -> OAuthError {
    tracing::warn!(client = grant.client_id, grant = %grant.id, "a code or refresh token came a second time: its grant is revoked");
    match state.end_tokens_of_grant(&grant.org, grant.id).await {
        Ok(()) => OAuthError::invalid_grant(REFUSED),
        Err(error) => state.store_failed(&error),
    }
}

/// RFC 6749 §4.1.3: as it was in the authorization request, if it was there.
fn check_redirect_uri(form: &Form, binding: &CodeBinding) -> Result<(), OAuthError> {
    match form.get("redirect_uri") {
        Some(uri) if uri == binding.redirect_uri => Ok(()),
        None if !binding.redirect_uri_named => Ok(()),
        _ => Err(OAuthError::invalid_grant(
            "redirect_uri is not that of the authorization request",
        )),
    }
}

/// RFC 7636 §4.6, RFC 9700 §2.1.1: a verifier without a challenge is an attempt to get around PKCE.
fn check_verifier(form: &Form, binding: &CodeBinding) -> Result<(), OAuthError> {
    let refused = |text| Err(OAuthError::invalid_grant(text));
    match (&binding.challenge, form.get("code_verifier")) {
        (None, None) => Ok(()),
        (None, Some(_)) => refused("there is a code_verifier, but there was no code_challenge"),
        (Some(_), None) => refused("code_verifier is missing"),
        (Some(challenge), Some(verifier)) => {
            let sound = (43..=128).contains(&verifier.len())
                && verifier
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            let digest = Digest::of(verifier.as_bytes());
            let derived = URL_SAFE_NO_PAD.encode(digest.as_bytes());
            if sound && equal(derived.as_bytes(), challenge.as_bytes()) {
                Ok(())
            } else {
                refused("code_verifier does not fit the code_challenge")
            }
        }
    }
}

/// RFC 9449 §10: the key that the authorization request announced.
fn check_key(proved: Option<&Confirmation>, binding: &CodeBinding) -> Result<(), OAuthError> {
    let Some(announced) = &binding.dpop_jkt else {
        return Ok(());
    };
    match proved {
        Some(Confirmation::Key(key)) if key == announced => Ok(()),
        _ => Err(OAuthError::invalid_grant(
            "the code is bound to another DPoP key (dpop_jkt)",
        )),
    }
}
