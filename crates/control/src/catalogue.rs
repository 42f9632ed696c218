//! What an organisation has stored of the kinds that do not grow with use: APIs, backends, plans, gateways.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Digest, Org};
use spec::{ApiSpec, Deployment, Document, Kind};
use store::{Record, RecordKind, RevisionStore};

/// The documents of one organisation, by kind and name. Cheap to clone: the documents are shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    documents: BTreeMap<Kind, BTreeMap<String, Arc<Held>>>,
}

/// One document of a [`Catalogue`].
#[derive(Debug)]
pub(crate) struct Held {
    /// The document.
    pub(crate) document: Document,
    /// The blob of its definition, where that is not written inside it.
    pub(crate) blob: Option<Digest>,
    /// The revisions that gateways serve in its stead.
    pub(crate) pinned: Vec<Pinned>,
}

/// A deployment that names a number.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// Its place among the document's deployments.
    pub(crate) index: usize,
    /// The number.
    pub(crate) number: u64,
    /// What is served; absent when there is no such revision, or when it cannot be read.
    pub(crate) content: Option<Content>,
}

/// A document and the blob of its definition.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) document: Document,
    pub(crate) blob: Option<Digest>,
}

impl Catalogue {
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Held>> {
        self.documents.get(&kind)?.get(name)
    }

    pub(crate) fn put(&mut self, held: Arc<Held>) {
        self.documents
            .entry(held.document.kind())
            .or_default()
            .insert(held.document.name().to_owned(), held);
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &str) -> Option<Arc<Held>> {
        self.documents.get_mut(&kind)?.remove(name)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Held>> {
        self.documents
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// All APIs.
    pub(crate) fn apis(&self) -> impl Iterator<Item = (&str, &ApiSpec)> {
        self.of_kind(Kind::Api)
            .filter_map(|held| Some((held.document.name(), held.document.as_api()?)))
    }

    /// All backends that have a document.
    pub(crate) fn backends(&self) -> impl Iterator<Item = (&str, &spec::BackendSpec)> {
        self.of_kind(Kind::Backend)
            .filter_map(|held| match &held.document.spec {
                spec::Spec::Backend(backend) => Some((held.document.name(), &**backend)),
                _ => None,
            })
    }

    /// All issuers outside of the platform.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = (&str, &spec::TokenIssuerSpec)> {
        self.of_kind(Kind::TokenIssuer)
            .filter_map(|held| match &held.document.spec {
                spec::Spec::TokenIssuer(issuer) => Some((held.document.name(), &**issuer)),
                _ => None,
            })
    }

    /// All that APIs say, or said in a revision that is still served.
    pub(crate) fn served(&self) -> impl Iterator<Item = (&str, &ApiSpec)> {
        self.of_kind(Kind::Api).flat_map(|held| {
            let pinned = held
                .pinned
                .iter()
                .filter_map(|pinned| pinned.content.as_ref());
            std::iter::once(&held.document)
                .chain(pinned.map(|content| &content.document))
                .filter_map(|document| Some((held.document.name(), document.as_api()?)))
        })
    }

    /// What references may name.
    pub(crate) fn world(&self) -> compile::World {
        let names = |kind| {
            compile::Names::Known(
                self.of_kind(kind)
                    .map(|held| held.document.name().to_owned())
                    .collect(),
            )
        };
        compile::World {
            backends: names(Kind::Backend),
            plans: names(Kind::Plan),
            gateways: names(Kind::Gateway),
            issuers: names(Kind::TokenIssuer),
        }
    }

    /// The document of an API by the name and version that people say.
    pub(crate) fn api_called(&self, name: &str, version: &str) -> Option<(&str, &ApiSpec)> {
        self.apis()
            .find(|(_, api)| api.name == name && api.version == version)
    }
}

/// The store's word for a kind.
pub(crate) fn record_kind(kind: Kind) -> RecordKind {
    match kind {
        Kind::Api => RecordKind::Api,
        Kind::Backend => RecordKind::Backend,
        Kind::Plan => RecordKind::Plan,
        Kind::Gateway => RecordKind::Gateway,
        Kind::Application => RecordKind::Application,
        Kind::Subscription => RecordKind::Subscription,
        Kind::DenyRule => RecordKind::DenyRule,
        Kind::TokenIssuer => RecordKind::TokenIssuer,
    }
}

/// A stored document cannot be read back: an older version wrote what this one does not understand, or the file was
/// damaged.
pub(crate) fn read(record: &Record) -> store::Result<Document> {
    spec::from_json(record.document.clone()).map_err(|problems| {
        let what = format!("{} {}", record.kind.as_str(), record.name);
        for problem in &problems.0 {
            tracing::error!(what, %problem, "a stored document cannot be read");
        }
        store::StoreError::Corrupt(what)
    })
}

impl Held {
    /// A document with all that is served of it.
    pub(crate) async fn load(
        store: &(impl RevisionStore + ?Sized),
        record: &Record,
    ) -> store::Result<Self> {
        let document = read(record)?;
        let pinned = pinned(store, &record.org, &document).await?;
        Ok(Self {
            document,
            blob: record.blob,
            pinned,
        })
    }

    /// The revision that the deployment at this place names by its number.
    pub(crate) fn pinned_at(&self, index: usize) -> Option<&Pinned> {
        self.pinned.iter().find(|pinned| pinned.index == index)
    }

    /// Each deployment of an API with what is served there; of what cannot be read the present document stands for it.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &Deployment, &ApiSpec)> {
        let now = self.document.as_api();
        let deployments = now
            .into_iter()
            .flat_map(|api| api.deployments.iter().enumerate());
        deployments.filter_map(move |(index, deployment)| {
            let content = self
                .pinned_at(index)
                .and_then(|pinned| pinned.content.as_ref());
            let api = content
                .and_then(|content| content.document.as_api())
                .or(now)?;
            Some((index, deployment, api))
        })
    }
}

/// The revisions that a document's deployments name by their numbers.
pub(crate) async fn pinned(
    store: &(impl RevisionStore + ?Sized),
    org: &Org,
    document: &Document,
) -> store::Result<Vec<Pinned>> {
    let Some(api) = document.as_api() else {
        return Ok(Vec::new());
    };
    let mut pinned = Vec::new();
    for (index, deployment) in api.deployments.iter().enumerate() {
        let Some(number) = deployment.revision.number() else {
            continue;
        };
        let found = store.api_revision_get(org, document.name(), number).await?;
        let content = found.and_then(|(revision, content)| {
            let read = spec::from_json(content).map_err(|problems| {
                let name = document.name();
                tracing::error!(name, number, ?problems, "a revision cannot be read");
            });
            Some(Content {
                document: read.ok()?.placed(api, deployment),
                blob: revision.blob,
            })
        });
        pinned.push(Pinned {
            index,
            number,
            content,
        });
    }
    Ok(pinned)
}
