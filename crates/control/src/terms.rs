//! What the tokens of an application may be: the scopes of the APIs that it is subscribed to, the lifetime that it chose.

use base::{ApplicationId, Org};
use credentials::TokenTerms;
use spec::Spec;
use store::{RecordKind, StoreError};

use crate::Control;

#[async_trait::async_trait]
impl credentials::TermsSource for Control {
    async fn terms_of(&self, org: &Org, application: ApplicationId) -> store::Result<TokenTerms> {
        let apis = self.hub().apis_of(org, application).await?;
        // Whatever revision a gateway serves: its scopes are wanted there.
        let scopes = apis
            .iter()
            .flat_map(|api| &api.places)
            .flat_map(|place| &place.version.scopes);
        Ok(TokenTerms {
            scopes: scopes.cloned().collect(),
            lifetime_s: self.token_lifetime_s(org, application).await?,
        })
    }
}

impl Control {
    async fn token_lifetime_s(
        &self,
        org: &Org,
        application: ApplicationId,
    ) -> store::Result<Option<u64>> {
        let Some(name) = self.hub().application_name(application).await? else {
            return Ok(None);
        };
        let record = self.store().record_get(org, RecordKind::Application, &name);
        let Some(record) = record.await? else {
            return Ok(None);
        };
        let document = spec::from_json(record.document)
            .map_err(|_| StoreError::Corrupt(format!("Application {name}")))?;
        Ok(match document.spec {
            Spec::Application(spec) => Some(spec.tokens.lifetime.as_s()),
            _ => None,
        })
    }
}
