//! `refresh_token` (RFC 6749 §6): new tokens of what a user allowed, no more than that.

use std::collections::BTreeSet;

use base::{Digest, TokensOf};
use credentials::{Confirmation, equal, random_text};
use store::clients::GrantType;
use store::grants::{Grant, RefreshRule, RefreshToken, RefreshUse};

use super::authorization_code::replayed;
use crate::IdentityState;
use crate::id_token::IdTokenInput;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// Bits of a refresh token.
const BITS: usize = 256;
/// What a refused refresh token is answered.
const REFUSED: &str = "the refresh token is unknown, over, was used, or belongs to another client";

/// A refresh token that is about to be stored. No `Debug`: it holds a secret.
pub(crate) struct NewRefreshToken {
    pub(crate) text: String,
    pub(crate) row: RefreshToken,
}

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let form = &asked.request.form;
    let hash = Digest::of(form.require("refresh_token")?.as_bytes());
    let store = &state.people.store;
    let found = store.refresh_get(&hash).await;
    let found = found.map_err(|error| state.store_failed(&error))?;
    let (token, grant) = found
        .filter(|(_, grant)| grant.client_id == asked.client.client_id)
        .ok_or_else(|| OAuthError::invalid_grant(REFUSED))?;
    if grant.revoked_unix_ms.is_some() {
        return Err(over(state, &grant).await);
    }
    if !is_bound_to(&token, asked.confirmation.as_ref()) {
        return Err(OAuthError::invalid_grant(
            "the refresh token is bound to another key or certificate",
        ));
    }
    let scopes = narrowed(form.get("scope"), &grant.terms.scopes)?;
    let user = state.user_of(&grant).await?;
    let rotates = asked
        .client
        .credential
        .client()
        .is_none_or(|client| client.metadata.rotates_refresh_tokens());
    let mut next = None;
    if rotates {
        let new = state.new_refresh_token(asked, &grant)?;
        next = Some(NewRefreshToken {
            row: RefreshToken {
                binding: token.binding.clone(),
                ..new.row
            },
            ..new
        });
    }
    let rule = RefreshRule {
        now_unix_ms: state.clock.unix_ms(),
        next: next.as_ref().map(|next| next.row.clone()),
        stays_until_unix_s: state.refresh_ends(asked, &grant),
        grace_ms: state.people.config.refresh_grace_ms,
        siblings_max: state.people.config.refresh_siblings_max,
    };
    let used = store.refresh_use(&hash, &rule).await;
    match used.map_err(|error| state.store_failed(&error))? {
        RefreshUse::Granted => {}
        RefreshUse::Unknown => return Err(OAuthError::invalid_grant(REFUSED)),
        RefreshUse::Replayed => {
            state.metrics.refreshes_replayed.count();
            return Err(replayed(state, &grant).await);
        }
    }
    state.metrics.refreshes.count();
    let id_token = IdTokenInput::default();
    let mut answer = state
        .answer_for_user(asked, &grant, &user, &scopes, id_token)
        .await?;
    answer.refresh_token = next.map(|next| next.text);
    Ok(answer)
}

/// A token of a grant that is over. Whoever revoked the grant may not have come as far as the end of its access tokens:
/// then that is made up for here.
async fn over(state: &IdentityState, grant: &Grant) -> OAuthError {
    match state.store.watermark_get(&TokensOf::Grant(grant.id)).await {
        Ok(Some(_)) => OAuthError::invalid_grant(REFUSED),
        Ok(None) => replayed(state, grant).await,
        Err(error) => state.store_failed(&error),
    }
}

/// RFC 6749 §6: scopes may become fewer, never more. What is left out now may be asked for again.
fn narrowed(
    wanted: Option<&str>,
    granted: &BTreeSet<String>,
) -> Result<BTreeSet<String>, OAuthError> {
    let Some(wanted) = wanted else {
        return Ok(granted.clone());
    };
    let wanted: BTreeSet<String> = wanted.split(' ').map(str::to_owned).collect();
    if wanted.is_subset(granted) {
        Ok(wanted)
    } else {
        Err(OAuthError::invalid_scope(
            "the user did not allow all of these scopes",
        ))
    }
}

/// RFC 9449 §5 and RFC 8705 §4: the refresh token of a public client comes with the key that it was given to.
fn is_bound_to(token: &RefreshToken, proved: Option<&Confirmation>) -> bool {
    let Some(bound) = &token.binding else {
        return true;
    };
    proved.is_some_and(|proved| equal(binding_of(proved).as_bytes(), bound.as_bytes()))
}

fn binding_of(proved: &Confirmation) -> String {
    match proved {
        Confirmation::Key(thumbprint) => format!("jkt:{thumbprint}"),
        Confirmation::Certificate(thumbprint) => format!("x5t#S256:{thumbprint}"),
    }
}

impl IdentityState {
    /// The first refresh token of a grant, for a client that may refresh.
    pub(crate) fn first_refresh_token(
        &self,
        asked: &Asked,
        grant: &Grant,
    ) -> Result<Option<NewRefreshToken>, OAuthError> {
        let client = asked.client.credential.client();
        let may = client.is_some_and(|client| client.metadata.may(GrantType::RefreshToken));
        may.then(|| self.new_refresh_token(asked, grant))
            .transpose()
    }

    fn new_refresh_token(
        &self,
        asked: &Asked,
        grant: &Grant,
    ) -> Result<NewRefreshToken, OAuthError> {
        let text = random_text("twr_", BITS).map_err(|_| OAuthError::server_error())?;
        let client = asked.client.credential.client();
        let public = client.is_some_and(|client| client.metadata.is_public());
        let proved = asked.confirmation.as_ref().filter(|_| public);
        let row = RefreshToken {
            hash: Digest::of(text.as_bytes()),
            grant: grant.id,
            binding: proved.map(binding_of),
            expires_unix_s: self.refresh_ends(asked, grant),
        };
        Ok(NewRefreshToken { text, row })
    }

    /// When a refresh token that is given or used now ends: no later than its grant.
    fn refresh_ends(&self, asked: &Asked, grant: &Grant) -> u64 {
        let client = asked.client.credential.client();
        let lifetime_s = client
            .and_then(|client| client.metadata.refresh_token_lifetime_s)
            .unwrap_or(self.people.config.refresh_lifetime_s);
        let ends = self.clock.unix_s().saturating_add(lifetime_s);
        ends.min(grant.expires_unix_s)
    }
}
