//! What an organisation has stored of the kinds that do not grow with use: APIs, backends, plans, gateways.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Digest;
use spec::{ApiSpec, Document, Kind};
use store::{Record, RecordKind};

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
    pub(crate) fn of(record: &Record) -> store::Result<Self> {
        Ok(Self {
            document: read(record)?,
            blob: record.blob,
        })
    }
}
