//! Updates one after the other, as one complete update.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sync::{
    BackendModel, Change, Entry, EntryKey, IssuerModel, ListenerModel, PackedApi, PlanModel,
    ResourceKey, Update,
};

type Models<M> = BTreeMap<ResourceKey, Arc<M>>;

/// What is there after all updates so far.
#[derive(Default)]
pub(super) struct Full {
    revision: u64,
    environment: String,
    public_url: Option<String>,
    apis: Models<PackedApi>,
    backends: Models<BackendModel>,
    plans: Models<PlanModel>,
    issuers: Models<IssuerModel>,
    listeners: Vec<ListenerModel>,
    entries: HashMap<EntryKey, Entry>,
}

impl Full {
    /// Adds an update, or a part of one.
    pub(super) fn put(&mut self, update: Update) {
        if update.reset {
            *self = Self::default();
        }
        self.revision = update.revision;
        self.environment = update.environment;
        self.public_url = update.public_url;
        self.listeners = update.listeners;
        put(&mut self.apis, update.apis);
        put(&mut self.backends, update.backends);
        put(&mut self.plans, update.plans);
        put(&mut self.issuers, update.issuers);
        for (key, entry) in update.entries {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    pub(super) fn into_update(self) -> Update {
        Update {
            revision: self.revision,
            reset: true,
            environment: self.environment,
            public_url: self.public_url,
            apis: changes(self.apis),
            backends: changes(self.backends),
            plans: changes(self.plans),
            issuers: changes(self.issuers),
            listeners: self.listeners,
            entries: self
                .entries
                .into_iter()
                .map(|(key, entry)| (key, Some(entry)))
                .collect(),
        }
    }
}

fn put<M>(models: &mut Models<M>, changes: Vec<Change<Arc<M>>>) {
    for change in changes {
        match change.model {
            Some(model) => models.insert(change.key, model),
            None => models.remove(&change.key),
        };
    }
}

fn changes<M>(models: Models<M>) -> Vec<Change<Arc<M>>> {
    models
        .into_iter()
        .map(|(key, model)| Change {
            key,
            model: Some(model),
        })
        .collect()
}
