//! The deny rules of a node.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use base::{ApplicationId, Org};
use expr::Expr;
use ipnet::IpNet;
use policy::{Denials, DenyRule};
use sync::{DenyModel, EntryKey, ResourceKey};

use super::Map;

/// The rules as they came, and as calls are held against them. One writer; readers take no lock.
#[derive(Default)]
pub(super) struct Denying {
    models: Mutex<BTreeMap<ResourceKey, DenyModel>>,
    rules: ArcSwapOption<Denials>,
    /// There are rules.
    any: AtomicBool,
    /// The rules are not those of the models any more.
    stale: AtomicBool,
}

impl Denying {
    /// What is in force; `None` where there is none.
    pub(super) fn rules(&self) -> Option<Arc<Denials>> {
        // Asked at every call, and most nodes have none.
        let any = self.any.load(Ordering::Acquire);
        any.then(|| self.rules.load_full()).flatten()
    }

    pub(super) fn put(&self, key: &ResourceKey, model: Option<DenyModel>) {
        let mut models = self.models();
        match model {
            Some(model) => models.insert(key.clone(), model),
            None => models.remove(key),
        };
        self.stale.store(true, Ordering::Relaxed);
    }

    /// An application came or went: rules name applications by their documents.
    pub(super) fn application_changed(&self) {
        let named = |model: &DenyModel| !model.applications.is_empty();
        if self.models().values().any(named) {
            self.stale.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets what a complete update does not name.
    pub(super) fn keep_only(&self, named: &HashSet<&EntryKey>) {
        let before = self.models().len();
        self.models()
            .retain(|key, _| named.contains(&EntryKey::DenyRule(key.clone())));
        if self.models().len() != before {
            self.stale.store(true, Ordering::Relaxed);
        }
    }

    /// Puts in force what has changed.
    pub(super) fn settle(&self, applications: &Map<ApplicationId, (Org, String)>) {
        if !self.stale.swap(false, Ordering::Relaxed) {
            return;
        }
        let models = self.models();
        let rules: Vec<DenyRule> = models
            .iter()
            .filter_map(|(key, model)| rule(key, model, applications))
            .collect();
        let any = !rules.is_empty();
        self.rules.store(any.then(|| Arc::new(Denials(rules))));
        self.any.store(any, Ordering::Release);
    }

    pub(super) fn len(&self) -> usize {
        self.models().len()
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<ResourceKey, DenyModel>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition that cannot be read was checked before it was stored, by a later version. It has no answer: what the rest of
/// the rule meets is refused; a rule that is nothing else would refuse everybody, and is left out.
fn rule(
    key: &ResourceKey,
    model: &DenyModel,
    applications: &Map<ApplicationId, (Org, String)>,
) -> Option<DenyRule> {
    let when = model.when.as_deref().map(Expr::compile).transpose();
    let lists = [
        &model.clients,
        &model.applications,
        &model.users,
        &model.apis,
    ];
    if let Err(error) = &when {
        tracing::error!(rule = key.name, %error, "the condition of a deny rule cannot be read");
        if lists.iter().all(|list| list.is_empty()) {
            return None;
        }
    }
    let network = |text: &String| {
        let network = text.parse::<IpNet>().ok();
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let applications = applications.pin();
    let is_named =
        |(org, name): &(Org, String)| *org == key.org && model.applications.contains(name);
    let named = applications
        .iter()
        .filter(|(_, known)| is_named(known))
        .map(|(id, _)| *id);
    Some(DenyRule {
        org: key.org.clone(),
        name: key.name.clone(),
        clients: model.clients.iter().filter_map(network).collect(),
        applications: (!model.applications.is_empty()).then(|| named.collect()),
        users: model.users.clone(),
        apis: model.apis.clone(),
        when: when.unwrap_or_default(),
        until_unix_s: model.until_unix_s,
        reason: model.reason.clone(),
    })
}
