//! `client_credentials` (RFC 6749 §4.4): a client's token for itself.

use credentials::{Subject, grant};

use crate::IdentityState;
use crate::mint::{Issue, TokenAnswer};
use crate::oauth::OAuthError;
use crate::token::Asked;

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let application = asked.client.credential.application;
    let terms = state.terms_of(&asked.client).await?;
    let scopes = grant(
        asked.request.form.get("scope"),
        terms.scopes,
        state.tokens.config().scope_bytes_max,
    )
    .map_err(|error| OAuthError::invalid_scope(&error.to_string()))?;
    let issue = Issue {
        scopes,
        lifetime_s: terms.lifetime_s,
        ..Issue::new(Subject::Application(application))
    };
    state.issue(asked, issue).await
}
