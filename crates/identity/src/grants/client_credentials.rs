//! `client_credentials` (RFC 6749 §4.4): a client's token for itself.

use credentials::{Subject, grant};

use crate::IdentityState;
use crate::mint::{Issue, TokenAnswer};
use crate::oauth::OAuthError;
use crate::resources;
use crate::token::Asked;

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let form = &asked.request.form;
    let credential = &asked.client.credential;
    let terms = state.terms_of(&asked.client).await?;
    let metadata = asked.client.metadata();
    let (audience, mut terms) = resources::narrowed(form.all("resource"), metadata, terms)?;
    let scopes = grant(
        form.get("scope"),
        std::mem::take(&mut terms.scopes),
        state.tokens.config().scope_bytes_max,
    )
    .map_err(|error| OAuthError::invalid_scope(&error.to_string()))?;
    let issue = Issue {
        scopes,
        ..Issue::new(Subject::Application(credential.application))
    };
    let issue = issue.for_audience(audience, &terms, &credential.org);
    state.issue(asked, issue).await
}
