//! What the tokens of a client may be: which scopes, for whom, how long, in which form.
//!
//! Start with what an application may have ([`TermsSource::terms_of`]), narrow it to the client
//! ([`TokenTerms::for_client`]) and, where a user is behind it, to the user ([`TokenTerms::for_user`]); then ask what a
//! token for some resources and scopes is ([`TokenTerms::for_resources`], [`TokenTerms::lifetime_of`]).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use base::{ApplicationId, Org};
use store::{ClientMetadata, Role, TokenFormat};

/// What the tokens of an application may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenTerms {
    /// The scopes of all APIs that it is subscribed to.
    pub scopes: BTreeSet<String>,
    /// Their lifetime in seconds; `None` = the configured one.
    pub lifetime_s: Option<u64>,
    /// What they look like.
    pub format: TokenFormat,
    /// The APIs that it is subscribed to.
    pub apis: Vec<ApiTerms>,
}

/// What an API says of tokens that are for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ApiTerms {
    /// Its document's name.
    pub name: String,
    /// The audiences that its gateways take, the one to prefer first. With none of its own these are the audience of
    /// the API alone and that of all gateways of the organisation.
    pub audiences: Vec<String>,
    /// The paths that it is reached at, without a slash at the end; of a URL as a resource.
    pub mounts: Vec<String>,
    /// The hosts that it is served at; none = every host.
    pub hosts: Vec<String>,
    /// Its scopes.
    pub scopes: BTreeSet<String>,
    /// Scopes that users have only with one of these roles.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// The longest lifetime of tokens for it, in seconds.
    pub lifetime_s_max: Option<u64>,
}

/// Knows the terms of every application. The control role implements it, from the stored documents.
#[async_trait]
pub trait TermsSource: Send + Sync {
    /// The terms of this application; an unknown one has no scopes.
    async fn terms_of(&self, org: &Org, application: ApplicationId) -> store::Result<TokenTerms>;
}

/// A resource that no subscription leads to: `invalid_target` (RFC 8707 §2).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the application is subscribed to no API with the resource {0:?}")]
pub struct UnknownResource(pub String);

impl TokenTerms {
    /// Narrowed to what a client is registered for: its scopes; its lifetime and format where it has its own.
    #[must_use]
    pub fn for_client(mut self, metadata: &ClientMetadata) -> Self {
        if let Some(own) = &metadata.scopes {
            self.retain(|scope| own.contains(scope));
        }
        self.lifetime_s = metadata.access_token_lifetime_s.or(self.lifetime_s);
        self.format = metadata.access_token_format.unwrap_or(self.format);
        self
    }

    /// Narrowed to what a user with these roles may give: a scope that an API binds to roles goes, unless the user has
    /// one of them. A token does not say which API a scope is of: where several APIs bind it, all of them must agree.
    #[must_use]
    pub fn for_user(mut self, roles: &[Role]) -> Self {
        let roles: BTreeSet<&str> = roles.iter().map(|role| role.as_str()).collect();
        let has = |of: &BTreeSet<String>| of.iter().any(|role| roles.contains(role.as_str()));
        let missing: BTreeSet<String> = self
            .apis
            .iter()
            .flat_map(|api| &api.roles)
            .filter(|(_, of)| !has(of))
            .map(|(scope, _)| scope.clone())
            .collect();
        self.retain(|scope| !missing.contains(scope));
        self
    }

    /// Narrowed to these resources (RFC 8707 §2): audiences of APIs that it is subscribed to, or of all gateways. With
    /// none nothing changes.
    ///
    /// # Errors
    /// [`UnknownResource`].
    pub fn for_resources(mut self, resources: &[String]) -> Result<Self, UnknownResource> {
        if resources.is_empty() {
            return Ok(self);
        }
        let takes = |api: &ApiTerms, resource: &String| api.audiences.contains(resource);
        for resource in resources {
            if !self.apis.iter().any(|api| takes(api, resource)) {
                return Err(UnknownResource(resource.clone()));
            }
        }
        self.apis
            .retain(|api| resources.iter().any(|resource| takes(api, resource)));
        let wanted: BTreeSet<String> = self
            .apis
            .iter()
            .flat_map(|api| &api.scopes)
            .cloned()
            .collect();
        self.scopes.retain(|scope| wanted.contains(scope));
        Ok(self)
    }

    /// How long a token for these audiences is good, in seconds: as long as application and client say, but not longer
    /// than any API allows whose gateways take it. `audience` is what the token will name; with none it is for the
    /// gateways of the organisation, which is `everywhere`.
    #[must_use]
    pub fn lifetime_of(&self, audience: &[String], everywhere: &str) -> Option<u64> {
        let named = |api: &ApiTerms| {
            let takes = |one: &str| api.audiences.iter().any(|own| own == one);
            audience.iter().any(|one| takes(one)) || (audience.is_empty() && takes(everywhere))
        };
        let limits = self.apis.iter().filter(|api| named(api));
        let limit = limits.filter_map(|api| api.lifetime_s_max).min();
        match (self.lifetime_s, limit) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        }
    }

    fn retain(&mut self, keep: impl Fn(&String) -> bool) {
        self.scopes.retain(&keep);
        for api in &mut self.apis {
            api.scopes.retain(&keep);
        }
    }
}

#[cfg(test)]
mod tests;
