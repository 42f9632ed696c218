//! What the tokens of an application may be: the scopes of the APIs that it is subscribed to, with what these APIs say
//! of tokens, and what the application chose.

use std::collections::{BTreeMap, BTreeSet};

use base::{ApplicationId, Org};
use credentials::{ApiTerms, TokenTerms, gateway_audience};
use spec::{ApiSpec, Security, Spec};
use store::{RecordKind, StoreError, TokenFormat};
use sync::api_audience;

use crate::Control;

/// What an API's document says of tokens; nodes do not need it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TokenRules {
    audience: Vec<String>,
    roles: BTreeMap<String, BTreeSet<String>>,
    lifetime_s_max: Option<u64>,
    mounts: Vec<String>,
    hosts: Vec<String>,
}

impl TokenRules {
    pub(crate) fn of(api: &ApiSpec) -> Self {
        let operations = api.operations.iter();
        let own = operations.filter_map(|operation| operation.security.as_ref());
        let security = own.flatten().chain(&api.security);
        let named = security.flat_map(Security::tokens).map(|jwt| &jwt.audience);
        let default = api.default_version.then(|| api.context.clone());
        let mounts = [format!("{}/{}", api.context, api.version)];
        Self {
            mounts: mounts.into_iter().chain(default).collect(),
            hosts: api.vhosts.clone(),
            audience: named.flatten().cloned().collect(),
            roles: api
                .scopes
                .iter()
                .map(|scope| (scope.name.clone(), scope.roles.iter().cloned().collect()))
                .collect(),
            lifetime_s_max: api.tokens.max_lifetime.map(spec::Duration::as_s),
        }
    }

    fn terms(&self, org: &Org, api: &str, scopes: &BTreeSet<String>) -> ApiTerms {
        ApiTerms {
            name: api.to_owned(),
            audiences: match self.audience.as_slice() {
                // Where the API names no audience its gateways take its own, and that of its organisation.
                [] => [api_audience(org, api), gateway_audience(org)].into(),
                named => named.to_vec(),
            },
            scopes: scopes.clone(),
            mounts: self.mounts.clone(),
            hosts: self.hosts.clone(),
            roles: self.roles.clone(),
            lifetime_s_max: self.lifetime_s_max,
        }
    }
}

#[async_trait::async_trait]
impl credentials::TermsSource for Control {
    async fn terms_of(&self, org: &Org, application: ApplicationId) -> store::Result<TokenTerms> {
        let compiled = self.hub().apis_of(org, application).await?;
        // Whatever revision a gateway serves: its scopes are wanted there, and its rules hold.
        let mut apis = Vec::new();
        for (name, compiled) in &compiled {
            for version in compiled.places.iter().map(|place| &place.version) {
                let terms = |rules: &TokenRules| rules.terms(org, name, &version.scopes);
                apis.extend(version.tokens.as_ref().map(terms));
            }
        }
        let (lifetime_s, format) = self.application_tokens(org, application).await?;
        Ok(TokenTerms {
            scopes: apis.iter().flat_map(|api| &api.scopes).cloned().collect(),
            lifetime_s,
            format,
            apis,
        })
    }
}

impl Control {
    async fn application_tokens(
        &self,
        org: &Org,
        application: ApplicationId,
    ) -> store::Result<(Option<u64>, TokenFormat)> {
        let none = (None, TokenFormat::default());
        let Some(name) = self.hub().application_name(application).await? else {
            return Ok(none);
        };
        let record = self.store().record_get(org, RecordKind::Application, &name);
        let Some(record) = record.await? else {
            return Ok(none);
        };
        let document = spec::from_json(record.document)
            .map_err(|_| StoreError::Corrupt(format!("Application {name}")))?;
        Ok(match document.spec {
            Spec::Application(spec) => {
                let format = match spec.tokens.format {
                    spec::TokenFormat::Jwt => TokenFormat::Jwt,
                    spec::TokenFormat::Opaque => TokenFormat::Opaque,
                };
                (Some(spec.tokens.lifetime.as_s()), format)
            }
            _ => none,
        })
    }
}
