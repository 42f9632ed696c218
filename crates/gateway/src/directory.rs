//! The node's tables of what changes by the second, fed by [`crate::feed`], read by policies.
//!
//! One writer, many readers. Reads take no lock (papaya); a change is in force before [`Directory::version`] grows.

mod complete;
mod denying;
mod keys;

use std::collections::HashMap as StdMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use base::{
    ApplicationId, CredentialId, Digest, Environment, KeyMark, Org, SubscriptionId, TokenMarks,
    TokensOf,
};
use denying::Denying;
use jose::{Claims, KeySet};
use keys::{Key, Keys};
use papaya::HashMap;
use policy::{
    ApiKeyView, ApplicationView, Asking, Caller, ClientView, Denials, Directory, Introspected,
    Issuer, Measure, NotAnswered, Once, Outside, Plan, Principal, SubscriptionView, Window,
};

use crate::asking::{Asker, AskingCounts, AskingLimits};
use crate::issuers::Issuers;
use sync::{Change, Entry, EntryKey, IssuerModel, PlanModel, Quota, ResourceKey, Update};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
/// Rows by a document's name.
type Named<V> = StdMap<String, V, foldhash::fast::RandomState>;
/// Keys that callers choose are hashed with a seed they do not know.
type StrangersMap<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// The tables of one node.
#[derive(Default)]
pub struct NodeDirectory {
    version: AtomicU64,
    hashing: ArcSwapOption<hmac::Key>,
    issuers: Map<Org, Arc<Named<Arc<Issuer>>>>,
    /// Held while one is changed: keys come from elsewhere than the feed.
    issuers_writing: Mutex<()>,
    outside: ArcSwapOption<Issuers>,
    plans: Map<Org, Arc<Named<Arc<Plan>>>>,
    /// The organisation and the document's name of each.
    applications: Map<ApplicationId, (Org, String)>,
    application_names: Map<(Org, String), ApplicationId>,
    owners: Map<ApplicationId, String>,
    /// By their ids; those of other issuers by [`outside_client`].
    clients: StrangersMap<String, ClientRow>,
    api_keys: Keys,
    /// The public ids of clients, so that they can be removed by id.
    client_places: Map<CredentialId, String>,
    subscriptions: Map<ApplicationId, Arc<Named<SubscriptionRow>>>,
    application_limits: Map<ApplicationId, Arc<Plan>>,
    denials: Denying,
    subscription_places: Map<SubscriptionId, (ApplicationId, String)>,
    revocations: StrangersMap<String, u64>,
    ends: StrangersMap<TokensOf, TokensEnd>,
    /// What was used that is good for one use, and until when that is remembered.
    used: StrangersMap<Digest, u64>,
    used_max: AtomicUsize,
    not_known_max: AtomicUsize,
    asker: ArcSwapOption<Asker>,
    asking: Arc<AskingCounts>,
}

/// What is remembered of what is good for one use, unless configured.
const USED_MAX: usize = 200_000;

/// The end of all tokens of something.
#[derive(Clone, Copy)]
struct TokensEnd {
    revision: u64,
    expires_unix_s: u64,
}

#[derive(Clone, Copy)]
struct ClientRow {
    application: ApplicationId,
    credential: CredentialId,
    environment: Environment,
}

#[derive(Clone)]
struct SubscriptionRow {
    id: SubscriptionId,
    plan: String,
}

/// How many rows each table has, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorySizes {
    /// Applications.
    pub applications: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// OAuth clients.
    pub clients: usize,
    /// API keys.
    pub api_keys: usize,
    /// Revoked tokens that have not expired, and ends of all tokens of something.
    pub revocations: usize,
    /// What was used that is good for one use: DPoP proofs.
    pub used: usize,
    /// Deny rules.
    pub deny_rules: usize,
}

impl NodeDirectory {
    /// Empty tables: every caller is unknown.
    #[must_use]
    pub fn new() -> Self {
        let directory = Self::default();
        directory.used_max_set(USED_MAX);
        directory.asking_limits_set(AskingLimits::default());
        directory
    }

    /// How much is remembered at a time of what is good for one use (DPoP proofs); default 200,000, of about 100 bytes.
    /// When it is full, more is refused until something is forgotten.
    pub fn used_max_set(&self, used_max: usize) {
        self.used_max.store(used_max, Ordering::Relaxed);
    }

    /// How much of what is good for one use is remembered at most.
    #[must_use]
    pub fn used_max(&self) -> usize {
        self.used_max.load(Ordering::Relaxed)
    }

    /// How much of what nobody knows each core remembers.
    pub(crate) fn asking_limits_set(&self, limits: AskingLimits) {
        let max = limits.not_known_max;
        self.not_known_max.store(max, Ordering::Relaxed);
    }

    /// What was asked of the control plane.
    #[must_use]
    pub fn asking(&self) -> Arc<AskingCounts> {
        Arc::clone(&self.asking)
    }

    /// Who is asked what the tables cannot tell.
    pub(crate) fn ask_by(&self, asker: Asker) {
        self.asker.store(Some(Arc::new(asker)));
    }

    /// Who fetches the keys of other issuers, and asks them.
    pub(crate) fn issuers_by(&self, issuers: Issuers) {
        self.outside.store(Some(Arc::new(issuers)));
    }

    /// Puts the keys of an issuer in force, unless its document says something else by now.
    pub(crate) fn issuer_keys_put(&self, key: &ResourceKey, model: &IssuerModel, keys: KeySet) {
        let _writing = self.issuers_turn();
        let Some(present) = self.issuer(&key.org, &key.name) else {
            return;
        };
        let same = present.issuer == model.issuer
            && present.outside.as_ref().map(|outside| &outside.model) == model.outside.as_deref();
        if !same || present.keys == keys {
            return;
        }
        let issuer = Issuer {
            name: present.name.clone(),
            issuer: present.issuer.clone(),
            audience: present.audience.clone(),
            keys,
            outside: present.outside.clone(),
        };
        put_named(&self.issuers, &key.org, &key.name, Some(Arc::new(issuer)));
        self.version.fetch_add(1, Ordering::Release);
    }

    fn issuers_turn(&self) -> MutexGuard<'_, ()> {
        self.issuers_writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an update in force. What a complete one names was never away for a caller, and what it does not name goes at
    /// the end. Issuers whose keys cannot be read are refused whole and reported: their tokens fail.
    pub fn apply(&self, update: &Update) -> Vec<(String, IssuerFault)> {
        let mut faults = Vec::new();
        let turn = self.issuers_turn();
        for change in &update.issuers {
            faults.extend(self.issuer_put(change));
        }
        if update.reset {
            complete::keep_issuers(self, update);
        }
        drop(turn);
        for change in &update.plans {
            let plan = change.model.as_deref().map(|model| Arc::new(plan(model)));
            put_named(&self.plans, &change.key.org, &change.key.name, plan);
        }
        for (key, entry) in &update.entries {
            self.entry_put(key, entry.as_ref());
        }
        if update.reset {
            complete::keep_only(self, update);
        }
        self.denials.settle(&self.applications);
        self.version.fetch_add(1, Ordering::Release);
        if let Some(outside) = &*self.outside.load() {
            outside.apply(&update.issuers, update.reset);
        }
        faults
    }

    /// Whether what let a caller in has ended by now: the token, the credential, the application, the subscription.
    #[must_use]
    pub fn has_ended(&self, caller: &Caller, now_unix_s: u64) -> bool {
        let principal = &*caller.principal;
        let token = principal.token.as_ref().is_some_and(|token| {
            let ends_unix_s = token.ends_unix_s.saturating_add(jose::LEEWAY_S_DEFAULT);
            now_unix_s >= ends_unix_s || self.is_revoked(&token.marks)
        });
        let places = self.subscription_places.pin();
        let subscribed = caller.subscription;
        token
            || self.credential_ended(principal, now_unix_s)
            || principal
                .application
                .is_some_and(|application| self.org_of(application).is_none())
            || subscribed.is_some_and(|id| !places.contains_key(&id))
            || self
                .denials
                .rules()
                .is_some_and(|denials| denials.end(principal, now_unix_s))
    }

    fn credential_ended(&self, principal: &Principal, now_unix_s: u64) -> bool {
        let Some(credential) = &principal.credential else {
            return false;
        };
        match &principal.token {
            Some(_) => !self.client_places.pin().contains_key(credential),
            None => self.api_keys.has_ended(credential, now_unix_s),
        }
    }

    /// Forgets revocations of tokens that have expired by themselves.
    pub fn sweep(&self, now_unix_s: u64) {
        self.revocations
            .pin()
            .retain(|_, expires| *expires > now_unix_s);
        self.ends
            .pin()
            .retain(|_, end| end.expires_unix_s > now_unix_s);
        self.used.pin().retain(|_, until| *until > now_unix_s);
    }

    /// The sizes of the tables.
    #[must_use]
    pub fn sizes(&self) -> DirectorySizes {
        DirectorySizes {
            applications: self.applications.len(),
            subscriptions: self.subscription_places.len(),
            clients: self.clients.len(),
            api_keys: self.api_keys.len(),
            revocations: self.revocations.len() + self.ends.len(),
            used: self.used.len(),
            deny_rules: self.denials.len(),
        }
    }

    fn issuer_put(&self, change: &Change<Arc<IssuerModel>>) -> Option<(String, IssuerFault)> {
        let before = self.issuer(&change.key.org, &change.key.name);
        let model = change.model.as_deref();
        let (issuer, fault) = match model.map(|model| issuer(model, before.as_deref())) {
            None => (None, None),
            Some(Ok(issuer)) => (Some(Arc::new(issuer)), None),
            Some(Err(error)) => (None, Some((change.key.name.clone(), error))),
        };
        put_named(&self.issuers, &change.key.org, &change.key.name, issuer);
        fault
    }

    fn entry_put(&self, key: &EntryKey, entry: Option<&Entry>) {
        match (key, entry) {
            (EntryKey::Application(id), entry) => self.application_put(*id, entry),
            (EntryKey::DenyRule(key), entry) => {
                let model = match entry {
                    Some(Entry::DenyRule(model)) => Some(model.clone()),
                    _ => None,
                };
                self.denials.put(key, model);
            }
            (EntryKey::ApplicationLimits(id), Some(Entry::ApplicationLimits(limits))) => {
                self.application_limits
                    .pin()
                    .insert(*id, Arc::new(plan(limits)));
            }
            (EntryKey::ApplicationLimits(id), _) => {
                self.application_limits.pin().remove(id);
            }
            (EntryKey::Subscription(id), entry) => {
                if let Some(Entry::Subscription {
                    application,
                    api,
                    plan,
                }) = entry
                {
                    self.subscription_put(*id, *application, api, plan);
                } else {
                    self.subscription_remove(*id);
                }
            }
            (EntryKey::Credential(id), entry) => {
                self.credential_put(*id, entry);
            }
            (EntryKey::Revocation(jti), Some(Entry::Revocation { expires_unix_s })) => {
                self.revocations.pin().insert(jti.clone(), *expires_unix_s);
            }
            (EntryKey::Revocation(jti), _) => {
                self.revocations.pin().remove(jti);
            }
            (
                EntryKey::TokensEnd(of),
                Some(&Entry::TokensEnd {
                    revision,
                    expires_unix_s,
                }),
            ) => {
                let end = TokensEnd {
                    revision,
                    expires_unix_s,
                };
                self.ends.pin().insert(of.clone(), end);
            }
            (EntryKey::TokensEnd(of), _) => {
                self.ends.pin().remove(of);
            }
            (EntryKey::ApiKeyHashing, Some(Entry::ApiKeyHashing { key })) => {
                self.hashing
                    .store(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key))));
            }
            (EntryKey::ApiKeyHashing, _) => self.hashing.store(None),
        }
    }

    fn application_put(&self, id: ApplicationId, entry: Option<&Entry>) {
        let applications = self.applications.pin();
        let names = self.application_names.pin();
        let owners = self.owners.pin();
        match entry {
            Some(Entry::Application {
                owner: Some(owner), ..
            }) => owners.insert(id, owner.clone()),
            _ => owners.remove(&id),
        };
        let before = match entry {
            Some(Entry::Application { org, name, .. }) => {
                let place = (org.clone(), name.clone());
                names.insert(place.clone(), id);
                let before = applications.insert(id, place.clone()).cloned();
                before.filter(|before| *before != place)
            }
            _ => applications.remove(&id).cloned(),
        };
        self.denials.application_changed();
        // Another one may have taken the name.
        if let Some(before) = before
            && names.get(&before) == Some(&id)
        {
            names.remove(&before);
        }
    }

    fn credential_put(&self, id: CredentialId, entry: Option<&Entry>) {
        match entry {
            Some(Entry::Client {
                application,
                client_id,
                environment,
                issuer,
            }) => {
                let client_id = match issuer {
                    None => client_id.clone(),
                    Some(issuer) => outside_client(&issuer.org, &issuer.name, client_id),
                };
                let row = ClientRow {
                    application: *application,
                    credential: id,
                    environment: *environment,
                };
                self.clients.pin().insert(client_id.clone(), row);
                let places = self.client_places.pin();
                if let Some(before) = places.insert(id, client_id.clone())
                    && *before != client_id
                {
                    self.clients.pin().remove(before);
                }
            }
            Some(Entry::ApiKey {
                application,
                keys,
                environment,
                limits,
            }) => {
                let key = Key {
                    application: *application,
                    credential: id,
                    environment: *environment,
                    limits,
                };
                self.api_keys.put(&key, keys);
            }
            _ => self.credential_remove(&id),
        }
    }

    fn credential_remove(&self, id: &CredentialId) {
        self.api_keys.remove(id);
        if let Some(client_id) = self.client_places.pin().remove(id) {
            self.clients.pin().remove(client_id);
        }
    }

    fn subscription_put(
        &self,
        id: SubscriptionId,
        application: ApplicationId,
        api: &str,
        plan: &str,
    ) {
        let subscriptions = self.subscriptions.pin();
        let mut rows = subscriptions
            .get(&application)
            .map(|rows| Named::clone(rows))
            .unwrap_or_default();
        rows.insert(
            api.to_owned(),
            SubscriptionRow {
                id,
                plan: plan.to_owned(),
            },
        );
        subscriptions.insert(application, Arc::new(rows));
        let place = (application, api.to_owned());
        let places = self.subscription_places.pin();
        if let Some(before) = places.insert(id, place.clone())
            && *before != place
        {
            self.row_remove(id, before);
        }
    }

    fn subscription_remove(&self, id: SubscriptionId) {
        if let Some(place) = self.subscription_places.pin().remove(&id) {
            self.row_remove(id, place);
        }
    }

    /// Takes a subscription out of a place, unless another one has taken the place.
    fn row_remove(&self, id: SubscriptionId, (application, api): &(ApplicationId, String)) {
        let subscriptions = self.subscriptions.pin();
        let Some(rows) = subscriptions.get(application) else {
            return;
        };
        if rows.get(api).is_none_or(|row| row.id != id) {
            return;
        }
        let mut rows = Named::clone(rows);
        rows.remove(api);
        if rows.is_empty() {
            subscriptions.remove(application);
        } else {
            subscriptions.insert(*application, Arc::new(rows));
        }
    }

    fn org_of(&self, application: ApplicationId) -> Option<Org> {
        let applications = self.applications.pin();
        applications.get(&application).map(|(org, _)| org.clone())
    }
}

impl Directory for NodeDirectory {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn issuer(&self, org: &Org, name: &str) -> Option<Arc<Issuer>> {
        self.issuers.pin().get(org)?.get(name).cloned()
    }

    fn client(&self, client_id: &str) -> Option<ClientView> {
        let row = *self.clients.pin().get(client_id)?;
        Some(ClientView {
            org: self.org_of(row.application)?,
            application: row.application,
            credential: row.credential,
            environment: row.environment,
        })
    }

    fn outside_client(&self, org: &Org, issuer: &str, client_id: &str) -> Option<ClientView> {
        self.client(&outside_client(org, issuer, client_id))
    }

    fn api_key(&self, presented: &str) -> Option<ApiKeyView> {
        let key = self.hashing.load_full()?;
        let tag = hmac::sign(&key, presented.as_bytes());
        let hash = Digest::from_bytes(tag.as_ref().try_into().ok()?);
        let row = self.api_keys.get(&hash)?;
        Some(ApiKeyView {
            org: self.org_of(row.application)?,
            application: row.application,
            credential: row.credential,
            mark: KeyMark::of(&hash),
            environment: row.environment,
            expires_unix_s: row.expires_unix_s(),
            limited: row.limited,
        })
    }

    fn application(&self, org: &Org, name: &str) -> Option<ApplicationId> {
        let names = self.application_names.pin();
        names.get(&(org.clone(), name.to_owned())).copied()
    }

    fn application_view(&self, application: ApplicationId) -> Option<ApplicationView> {
        let (_, name) = self.applications.pin().get(&application)?.clone();
        let owner = self.owners.pin().get(&application).cloned();
        Some(ApplicationView { name, owner })
    }

    fn subscription(&self, application: ApplicationId, api: &str) -> Option<SubscriptionView> {
        let subscriptions = self.subscriptions.pin();
        let row = subscriptions.get(&application)?.get(api)?;
        let org = self.org_of(application)?;
        let plan = self
            .plans
            .pin()
            .get(&org)
            .and_then(|plans| plans.get(&row.plan).cloned());
        Some(SubscriptionView { id: row.id, plan })
    }

    fn denials(&self) -> Option<Arc<Denials>> {
        self.denials.rules()
    }

    fn application_limits(&self, application: ApplicationId) -> Option<Arc<Plan>> {
        // Most nodes have none.
        if self.application_limits.is_empty() {
            return None;
        }
        self.application_limits.pin().get(&application).cloned()
    }

    fn is_revoked(&self, token: &TokenMarks) -> bool {
        let revocations = self.revocations.pin();
        if !revocations.is_empty() && token.ids().any(|id| revocations.contains_key(id)) {
            return true;
        }
        let ends = self.ends.pin();
        // Most nodes have none: then the hashes are saved.
        !ends.is_empty()
            && token.of.iter().any(|of| {
                ends.get(of)
                    .is_some_and(|end| token.ended_by(of, end.revision))
            })
    }

    fn opaque_token(&self, digest: Digest) -> Asking<Option<Claims>> {
        match &*self.asker.load() {
            Some(asker) => asker.opaque_token(digest),
            None => Box::pin(std::future::ready(Err(NotAnswered::Unavailable))),
        }
    }

    fn catch_up(&self) -> Asking<()> {
        match &*self.asker.load() {
            Some(asker) => asker.catch_up(),
            None => Box::pin(std::future::ready(Err(NotAnswered::Unavailable))),
        }
    }

    fn not_known_max(&self) -> usize {
        self.not_known_max.load(Ordering::Relaxed)
    }

    fn not_remembered(&self) {
        self.asking.not_remembered.fetch_add(1, Ordering::Relaxed);
    }

    fn newer_keys(&self, org: &Org, issuer: &str) -> Asking<()> {
        match &*self.outside.load() {
            Some(issuers) => issuers.newer_keys(org, issuer),
            None => Box::pin(std::future::ready(Err(NotAnswered::Unavailable))),
        }
    }

    fn introspect(
        &self,
        org: &Org,
        issuer: &str,
        token: &str,
    ) -> Asking<Option<Arc<Introspected>>> {
        match &*self.outside.load() {
            Some(issuers) => issuers.introspect(org, issuer, token),
            None => Box::pin(std::future::ready(Err(NotAnswered::Unavailable))),
        }
    }

    fn use_once(&self, digest: Digest, until_unix_s: u64) -> Once {
        let used = self.used.pin();
        if used.len() >= self.used_max.load(Ordering::Relaxed) {
            return Once::Full;
        }
        match used.try_insert(digest, until_unix_s) {
            Ok(_) => Once::First,
            Err(_) => Once::Again,
        }
    }
}

/// Puts or removes `value` under `name` in the organisation's table, which readers see change at once.
fn put_named<T>(table: &Map<Org, Arc<Named<Arc<T>>>>, org: &Org, name: &str, value: Option<Arc<T>>)
where
    Org: Hash,
{
    let table = table.pin();
    let mut rows = table
        .get(org)
        .map(|rows| Named::clone(rows))
        .unwrap_or_default();
    match value {
        Some(value) => rows.insert(name.to_owned(), value),
        None => rows.remove(name),
    };
    table.insert(org.clone(), Arc::new(rows));
}

/// Where the client of another issuer stands among all clients. Neither an organisation nor the name of a document has a line break,
/// and no client of the platform's own has one in its id.
fn outside_client(org: &Org, issuer: &str, client_id: &str) -> String {
    format!("{org}\n{issuer}\n{client_id}")
}

/// An issuer cannot be used: its tokens are refused.
#[derive(Debug, thiserror::Error)]
pub enum IssuerFault {
    /// Its keys cannot be read.
    #[error(transparent)]
    Keys(#[from] jose::KeyError),
    /// A condition is none.
    #[error(transparent)]
    Condition(#[from] expr::CompileError),
}

/// Makes a model ready. Keys that are fetched stay those of before, where they have the same source, until there are newer ones.
fn issuer(model: &IssuerModel, before: Option<&Issuer>) -> Result<Issuer, IssuerFault> {
    let keys = KeySet::from_json(&model.jwks.to_string(), &compile::key_rules())?;
    let outside = match &model.outside {
        None => None,
        Some(outside) => Some(Arc::new(Outside::new((**outside).clone())?)),
    };
    let fetches = outside.as_ref().is_some_and(|outside| outside.fetches());
    let same_source = |before: &&Issuer| {
        let source = |outside: &Outside| outside.model.keys.clone();
        before.issuer == model.issuer
            && before.outside.as_deref().map(source) == outside.as_deref().map(source)
    };
    let earlier = before.filter(|_| fetches).filter(same_source);
    Ok(Issuer {
        name: model.name.clone(),
        issuer: model.issuer.clone(),
        audience: model.audience.clone(),
        keys: earlier.map_or(keys, |before| before.keys.clone()),
        outside,
    })
}

fn plan(model: &PlanModel) -> Plan {
    let window = |quota: Quota| Window {
        requests: quota.requests,
        window_ms: quota.window_ms,
        measure: match quota.measure {
            sync::Measure::Requests => Measure::Requests,
            sync::Measure::Bytes => Measure::Bytes,
            sync::Measure::Events => Measure::Events,
        },
    };
    Plan {
        name: model.name.clone(),
        quota: model.quota.map(window),
        burst: model.burst.map(window),
    }
}

#[cfg(test)]
mod tests;
