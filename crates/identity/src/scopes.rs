//! Which scopes a client may ask for, and which of them a user can give.

use std::collections::BTreeSet;

use credentials::TokenTerms;
use store::grants::Session;
use store::{Credential, User};

use crate::IdentityState;
use crate::browser::PageError;
use crate::pages::Language;
use crate::resources;

/// An ID token is wanted (OpenID Connect Core §3.1.2.1).
pub(crate) const OPENID: &str = "openid";
/// The user's name is wanted (OpenID Connect Core §5.4).
pub(crate) const PROFILE: &str = "profile";
/// Refresh tokens that outlive the session are wanted (OpenID Connect Core §11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
/// The scopes that belong to no API.
pub(crate) const OIDC: [&str; 3] = [OPENID, PROFILE, OFFLINE_ACCESS];

/// Whether a scope belongs to no API.
pub(crate) fn is_oidc(scope: &str) -> bool {
    OIDC.contains(&scope)
}

/// What the consent page says of a scope; empty where its name has to do.
pub(crate) fn text_of(language: Language, scope: &str) -> &'static str {
    match scope {
        OPENID => language.text("scope_openid"),
        PROFILE => language.text("scope_profile"),
        OFFLINE_ACCESS => language.text("scope_offline_access"),
        _ => "",
    }
}

impl IdentityState {
    /// What the tokens of a client may be.
    async fn client_terms(&self, credential: &Credential) -> Result<TokenTerms, PageError> {
        let terms = self
            .terms
            .terms_of(&credential.org, credential.application)
            .await?;
        Ok(match credential.client() {
            Some(client) => terms.for_client(&client.metadata),
            None => terms,
        })
    }

    /// The scopes that a client may ask users for: those of its application's subscriptions and those of OpenID Connect, as
    /// far as it is registered for them.
    pub(crate) async fn permitted_scopes(
        &self,
        credential: &Credential,
    ) -> Result<BTreeSet<String>, PageError> {
        let mut scopes = self.client_terms(credential).await?.scopes;
        scopes.extend(oidc_of(credential));
        Ok(scopes)
    }

    /// What tokens about this user may be: some scopes are bound to roles.
    pub(crate) async fn user_terms(
        &self,
        credential: &Credential,
        user: &User,
    ) -> Result<TokenTerms, PageError> {
        Ok(self.client_terms(credential).await?.for_user(&user.roles))
    }

    /// Those of some scopes that a client may have of the user of a session.
    pub(crate) async fn scopes_of_user(
        &self,
        credential: &Credential,
        session: &Session,
        scopes: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, PageError> {
        let Some(user) = self.store.user_get(&session.org, &session.user).await? else {
            return Ok(BTreeSet::new());
        };
        let mut most = self.user_terms(credential, &user).await?.scopes;
        most.extend(oidc_of(credential));
        Ok(scopes.intersection(&most).cloned().collect())
    }

    /// The audiences that access tokens of a client may have for these resources (RFC 8707); the inner error is for the
    /// client.
    pub(crate) async fn meant_resources(
        &self,
        credential: &Credential,
        resources: &[String],
    ) -> Result<Result<BTreeSet<String>, String>, PageError> {
        let terms = self.client_terms(credential).await?;
        let audience = resources::audience_of(resources, &terms);
        Ok(match terms.for_resources(&audience) {
            Ok(_) => Ok(audience.into_iter().collect()),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// The scopes of OpenID Connect that a client is registered for.
pub(crate) fn oidc_of(credential: &Credential) -> BTreeSet<String> {
    let registered = credential
        .client()
        .and_then(|client| client.metadata.scopes.as_ref());
    let may = |scope: &String| registered.is_none_or(|registered| registered.contains(scope));
    OIDC.map(str::to_owned).into_iter().filter(may).collect()
}
