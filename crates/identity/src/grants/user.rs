//! What the grants that a user gave have in common.

use std::collections::BTreeSet;

use credentials::{Subject, TokenTerms, UserSubject, gateway_audience};
use store::User;
use store::grants::Grant;

use crate::IdentityState;
use crate::id_token::IdTokenInput;
use crate::mint::{Issue, TokenAnswer};
use crate::oauth::OAuthError;
use crate::resources;
use crate::scopes::{OPENID, oidc_of};
use crate::token::Asked;

impl IdentityState {
    /// The user of a grant, who must be there still, with the password of that login: a new one ends what was allowed
    /// before.
    pub(crate) async fn user_of(&self, grant: &Grant) -> Result<User, OAuthError> {
        let found = self.store.user_get(&grant.org, &grant.terms.user).await;
        found
            .map_err(|error| self.store_failed(&error))?
            // By id too: a new user of the same name is somebody else.
            .filter(|user| {
                user.id == grant.user_id && user.password_stamp() == grant.terms.login.stamp
            })
            .ok_or_else(|| {
                OAuthError::invalid_grant("the user is gone, or has another password by now")
            })
    }

    /// Tokens about the user of a grant: what the client and the user may have by now, of what was allowed then.
    pub(crate) async fn answer_for_user(
        &self,
        asked: &Asked,
        grant: &Grant,
        user: &User,
        scopes: &BTreeSet<String>,
        id_token: IdTokenInput,
    ) -> Result<TokenAnswer, OAuthError> {
        let credential = &asked.client.credential;
        let terms = self.user_terms(credential, user).await;
        let terms = terms.map_err(|error| self.page_error(&error))?;
        let resources = narrowed_resources(asked, grant, &terms)?;
        let terms = terms
            .for_resources(&resources)
            .map_err(|error| OAuthError::of("invalid_target", &error.to_string()))?;
        let lifetime_s = terms.lifetime_of(&resources, &gateway_audience(&grant.org));
        let format = terms.format;
        let mut most = terms.scopes;
        most.extend(oidc_of(credential));
        let scopes: BTreeSet<String> = scopes.intersection(&most).cloned().collect();
        let login = &grant.terms.login;
        let subject = UserSubject {
            id: grant.user_id,
            pairwise: grant.terms.subject.clone(),
            name: grant.terms.user.clone(),
            auth_time_unix_s: login.at_unix_s,
            acr: Some(login.acr.clone()),
            amr: login.amr.clone(),
            session: grant.sid.filter(|_| !grant.offline),
        };
        let issue = Issue {
            scopes: scopes.clone(),
            audience: resources,
            lifetime_s,
            format,
            grant: Some(grant.id),
            ..Issue::new(Subject::User(subject))
        };
        let mut answer = self.issue(asked, issue).await?;
        if scopes.contains(OPENID) {
            let token = self.id_token(asked, grant, &scopes, &id_token, &answer.access_token)?;
            answer.id_token = Some(token);
        }
        Ok(answer)
    }
}

/// RFC 8707 §2.2: a token for fewer resources than the user allowed; without a word of the client's, for all of them, or,
/// where the authorization named none, for those that the client is registered with.
fn narrowed_resources(
    asked: &Asked,
    grant: &Grant,
    terms: &TokenTerms,
) -> Result<Vec<String>, OAuthError> {
    let granted = &grant.terms.resources;
    let wanted = resources::audience_of(asked.request.form.all("resource"), terms);
    if wanted.is_empty() {
        let registered = &asked.client.metadata().default_resources;
        return Ok(if granted.is_empty() {
            resources::audience_of(registered, terms)
        } else {
            granted.iter().cloned().collect()
        });
    }
    if !granted.is_empty() && !wanted.iter().all(|one| granted.contains(one)) {
        let text = "the user was not asked for this resource";
        return Err(OAuthError::of("invalid_target", text));
    }
    Ok(wanted)
}
