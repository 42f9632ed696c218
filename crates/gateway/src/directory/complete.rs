//! A complete update: what it does not name does not exist.

use std::collections::HashSet;
use std::sync::Arc;

use base::Org;
use sync::{Change, EntryKey, Update};

use super::{Map, Named, NodeDirectory};

/// Takes out the issuers that a complete update does not name.
pub(super) fn keep_issuers(directory: &NodeDirectory, update: &Update) {
    keep_named(&directory.issuers, &update.issuers);
}

/// Takes out what a complete update does not name. What it names is there already, so no caller finds a table empty.
pub(super) fn keep_only(directory: &NodeDirectory, update: &Update) {
    keep_named(&directory.plans, &update.plans);
    let named: HashSet<&EntryKey> = update
        .entries
        .iter()
        .filter_map(|(key, entry)| entry.as_ref().map(|_| key))
        .collect();
    let is_named = |key: EntryKey| named.contains(&key);
    let subscriptions = directory.subscription_places.pin();
    for id in subscriptions.keys() {
        if !is_named(EntryKey::Subscription(*id)) {
            directory.subscription_remove(*id);
        }
    }
    let mut credentials = directory.api_keys.credentials();
    credentials.extend(directory.client_places.pin().keys());
    for id in credentials {
        if !is_named(EntryKey::Credential(id)) {
            directory.credential_remove(&id);
        }
    }
    directory
        .applications
        .pin()
        .retain(|id, _| is_named(EntryKey::Application(*id)));
    directory.denials.keep_only(&named);
    directory
        .application_limits
        .pin()
        .retain(|id, _| is_named(EntryKey::ApplicationLimits(*id)));
    directory
        .application_names
        .pin()
        .retain(|_, id| is_named(EntryKey::Application(*id)));
    directory
        .revocations
        .pin()
        .retain(|jti, _| is_named(EntryKey::Revocation(jti.clone())));
    directory
        .ends
        .pin()
        .retain(|of, _| is_named(EntryKey::TokensEnd(of.clone())));
    if !is_named(EntryKey::ApiKeyHashing) {
        directory.hashing.store(None);
    }
}

fn keep_named<T, M>(table: &Map<Org, Arc<Named<Arc<T>>>>, changes: &[Change<M>]) {
    let named: HashSet<(&Org, &str)> = changes
        .iter()
        .filter(|change| change.model.is_some())
        .map(|change| (&change.key.org, change.key.name.as_str()))
        .collect();
    let table = table.pin();
    for (org, rows) in &table {
        if rows
            .keys()
            .any(|name| !named.contains(&(org, name.as_str())))
        {
            let mut kept = Named::clone(rows);
            kept.retain(|name, _| named.contains(&(org, name.as_str())));
            table.insert(org.clone(), Arc::new(kept));
        }
    }
}
