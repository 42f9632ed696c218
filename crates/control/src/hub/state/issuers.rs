//! Who issues the tokens that APIs accept: the platform itself, and the documents of others.

use std::collections::HashSet;
use std::sync::Arc;

use base::{ApplicationId, Org};
use credentials::gateway_audience;
use spec::{Document, Kind};
use store::{RecordKind, Result};
use sync::{IssuerModel, ResourceKey};

use super::State;
use crate::Parts;

impl State {
    pub(super) fn issuer_set(
        &mut self,
        key: &ResourceKey,
        document: &Document,
        application: Option<ApplicationId>,
        revision: u64,
    ) {
        if let Some(model) = compile::reduce_issuer(&key.org, document, application) {
            self.issuers.set(key, Some(Arc::new(model)), revision);
        }
    }

    /// The issuers whose tokens are all of this application, which has another id now, or none.
    pub(super) fn issuers_of(
        &mut self,
        org: &Org,
        name: &str,
        id: Option<ApplicationId>,
        revision: u64,
    ) {
        let catalogue = self.catalogue(org);
        for held in catalogue.of_kind(Kind::TokenIssuer) {
            if let spec::Spec::TokenIssuer(spec) = &held.document.spec
                && spec.application.as_deref() == Some(name)
            {
                let key = ResourceKey {
                    org: org.clone(),
                    name: held.document.name().to_owned(),
                };
                self.issuer_set(&key, &held.document, id, revision);
            }
        }
    }

    /// The platform itself, as an issuer of each organisation.
    pub(super) fn issuers_set(&mut self, parts: &Parts, revision: u64) {
        let jwks = self.jwks.clone();
        let default = Org::default_org();
        let orgs: HashSet<&Org> = self.catalogues.keys().chain([&default]).collect();
        for org in orgs {
            let model = IssuerModel {
                org: org.clone(),
                name: "resident".to_owned(),
                issuer: parts.tokens.issuer().to_owned(),
                audience: gateway_audience(org),
                jwks: jwks.clone(),
                outside: None,
            };
            let key = ResourceKey {
                org: org.clone(),
                name: model.name.clone(),
            };
            self.issuers.set(&key, Some(Arc::new(model)), revision);
        }
    }
}

/// The id of the application of this name, if there is one.
pub(super) async fn application_id(
    parts: &Parts,
    org: &Org,
    name: &str,
) -> Result<Option<ApplicationId>> {
    let found = parts
        .store
        .record_get(org, RecordKind::Application, name)
        .await?;
    Ok(found.map(|record| ApplicationId(record.id)))
}
