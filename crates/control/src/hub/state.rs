//! All that nodes may know, at one revision.

mod issuers;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use base::{ApplicationId, CredentialId, Diagnostic, Diagnostics, Digest, Org, SubscriptionId};
use spec::{ApiSpec, Document, Kind, Lifecycle, RevisionRef};
use store::{
    ChangeKey, Credential, CredentialKind, Filter, HistoryFilter, Page, Record, RecordKind, Result,
    Revocation, StoreError, Watermark,
};
use sync::{
    ApiModel, BackendModel, Entry, EntryKey, Gate, IssuerModel, KeyHash, PackedApi, PlanModel,
    ResourceKey,
};

use super::changelog::Changelog;
use super::expected::Expected;
use crate::catalogue::{Catalogue, Held, Pinned};
use crate::change::definition_text;
use crate::terms::TokenRules;
use crate::{ControlConfig, Parts};

/// An API as nodes get it: on each gateway the revision that is deployed there.
#[derive(PartialEq, Debug)]
pub(crate) struct Compiled {
    /// What the document says, whether it is deployed or not.
    pub(crate) latest: Arc<Version>,
    /// What gateways serve.
    pub(crate) places: Vec<Place>,
}

/// One content of an API, reduced.
#[derive(Debug)]
pub(crate) struct Version {
    /// The model; of an API that does not reduce the one that says so.
    pub(crate) model: Arc<PackedApi>,
    /// The scopes that calls may need; none where it does not serve.
    pub(crate) scopes: BTreeSet<String>,
    /// Why it does not reduce.
    pub(crate) broken: Option<Diagnostics>,
    /// What it says of tokens; nothing where it does not serve.
    pub(crate) tokens: Option<TokenRules>,
}

impl Version {
    fn of(model: &ApiModel, broken: Option<Diagnostics>, api: Option<&ApiSpec>) -> Self {
        let serves = matches!(model.gate, Gate::Serve { .. });
        let operations = model.operations.iter().filter(|_| serves);
        Self {
            model: Arc::new(PackedApi::of(model)),
            scopes: operations
                .flat_map(|operation| operation.scopes.iter().flatten().cloned())
                .collect(),
            broken,
            tokens: api.filter(|_| serves).map(TokenRules::of),
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.model.digest() == other.model.digest()
            && self.broken == other.broken
            && self.tokens == other.tokens
    }
}

/// What one gateway serves of an API.
#[derive(PartialEq, Debug)]
pub(crate) struct Place {
    /// The gateway.
    pub(crate) gateway: String,
    /// The revision, as the document names it.
    pub(crate) revision: RevisionRef,
    /// That revision.
    pub(crate) version: Arc<Version>,
    /// What it adds to the digest over all that the gateway's nodes serve.
    mark: Digest,
}

impl Compiled {
    /// What this gateway serves.
    pub(crate) fn at(&self, gateway: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.gateway == gateway)
    }

    fn is_broken(&self) -> bool {
        let versions = self.places.iter().map(|place| &place.version);
        versions
            .chain([&self.latest])
            .any(|version| version.broken.is_some())
    }
}

/// See the module.
pub(super) struct State {
    revision: u64,
    catalogues: HashMap<Org, Arc<Catalogue>>,
    /// The APIs that each application is subscribed to (document names).
    subscribed: HashMap<ApplicationId, BTreeMap<SubscriptionId, String>>,
    pub(super) apis: Changelog<ResourceKey, Arc<Compiled>>,
    pub(super) backends: Changelog<ResourceKey, Arc<BackendModel>>,
    pub(super) plans: Changelog<ResourceKey, Arc<PlanModel>>,
    pub(super) issuers: Changelog<ResourceKey, Arc<IssuerModel>>,
    pub(super) entries: Changelog<EntryKey, Entry>,
    pub(super) expected: Expected,
    /// The public signing keys, as they were read for a revision: those of the moment may be newer than what is told.
    jwks: serde_json::Value,
}

/// APIs that have to be reduced anew.
type Touched = BTreeSet<(Org, String)>;

/// Records that are read at a time.
const PAGE: u64 = 256;

impl State {
    /// Reads all that is stored.
    pub(super) async fn load(parts: &Parts, config: &ControlConfig) -> Result<Self> {
        // What is read below may be newer than this revision; the feed from here on brings it once more, to no effect.
        let revision = parts.store.revision().await?;
        let max = config.deleted_max;
        let mut state = Self {
            revision,
            catalogues: HashMap::new(),
            subscribed: HashMap::new(),
            apis: Changelog::new(revision, max),
            backends: Changelog::new(revision, max),
            plans: Changelog::new(revision, max),
            issuers: Changelog::new(revision, max),
            entries: Changelog::new(revision, max),
            expected: Expected::new(revision),
            jwks: serde_json::Value::Null,
        };
        let mut touched = Touched::new();
        for org in parts.store.org_list().await? {
            for kind in RecordKind::ALL {
                state
                    .records_set(parts, (&org, kind), revision, &mut touched)
                    .await?;
            }
        }
        state.reduce(parts, &touched, revision).await?;
        for credential in parts.store.credential_list(None).await? {
            state.credential_set(credential.id, Some(&credential), revision);
        }
        for revocation in parts.store.revocation_list(parts.clock.unix_s()).await? {
            let key = EntryKey::Revocation(revocation.jti.clone());
            state
                .entries
                .set(&key, Some(revoked(&revocation)), revision);
        }
        for end in parts.store.watermark_list(parts.clock.unix_s()).await? {
            let key = EntryKey::TokensEnd(end.of.clone());
            state.entries.set(&key, Some(tokens_end(&end)), revision);
        }
        let hashing = Entry::ApiKeyHashing {
            key: parts.hashes.api_key_hashing().expose().to_vec(),
        };
        state
            .entries
            .set(&EntryKey::ApiKeyHashing, Some(hashing), revision);
        state.keys_read(parts).await;
        state.issuers_set(parts, revision);
        Ok(state)
    }

    /// Follows the store's feed to its end; `false` when the feed does not reach back far enough.
    pub(super) async fn catch_up(&mut self, parts: &Parts, config: &ControlConfig) -> Result<bool> {
        loop {
            let part = parts
                .store
                .changes_since(self.revision, config.feed_max)
                .await?;
            if part.reset {
                return Ok(false);
            }
            let done = part.changes.is_empty();
            let mut seen = HashSet::new();
            let mut touched = Touched::new();
            let mut keys = false;
            for change in &part.changes {
                if !seen.insert(&change.key) {
                    continue;
                }
                match &change.key {
                    ChangeKey::Record {
                        org,
                        kind,
                        name,
                        id,
                    } => {
                        let found = parts.store.record_get(org, *kind, name).await?;
                        // Another id is another object, that took the name of the one that is meant here.
                        match found.filter(|record| record.id == *id) {
                            Some(record) => {
                                self.record_set(parts, &record, part.upto, &mut touched)
                                    .await?;
                            }
                            None => {
                                self.record_gone((org, *kind, name, *id), part.upto, &mut touched);
                            }
                        }
                    }
                    ChangeKey::Credential(id) => {
                        self.credential_read(parts, *id, part.upto).await?;
                    }
                    ChangeKey::Revocation(jti) => {
                        let found = parts.store.revocation_get(jti).await?;
                        let entry = found.as_ref().map(revoked);
                        self.entries
                            .set(&EntryKey::Revocation(jti.clone()), entry, part.upto);
                    }
                    ChangeKey::TokensEnd(of) => {
                        let found = parts.store.watermark_get(of).await?;
                        let entry = found.as_ref().map(tokens_end);
                        self.entries
                            .set(&EntryKey::TokensEnd(of.clone()), entry, part.upto);
                    }
                    ChangeKey::SigningKeys => keys = true,
                }
            }
            self.reduce(parts, &touched, part.upto).await?;
            if keys {
                self.keys_read(parts).await;
            }
            self.issuers_set(parts, part.upto);
            self.revision = part.upto;
            if done {
                self.forget_expired(parts.clock.unix_s());
                return Ok(true);
            }
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Deltas are complete for nodes at this revision and later.
    pub(super) fn floor(&self) -> u64 {
        [
            self.apis.floor(),
            self.backends.floor(),
            self.plans.floor(),
            self.issuers.floor(),
            self.entries.floor(),
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
    }

    pub(super) fn catalogue(&self, org: &Org) -> Arc<Catalogue> {
        self.catalogues.get(org).cloned().unwrap_or_default()
    }

    pub(super) fn catalogues(&self) -> Vec<(Org, Arc<Catalogue>)> {
        self.catalogues
            .iter()
            .map(|(org, catalogue)| (org.clone(), Arc::clone(catalogue)))
            .collect()
    }

    /// An API and the revision of its last change.
    pub(super) fn api(&self, key: &ResourceKey) -> Option<(Arc<Compiled>, u64)> {
        let compiled = self.apis.get(key)?;
        Some((Arc::clone(compiled), self.apis.changed_in(key)?))
    }

    /// The document's name of an application.
    pub(super) fn application_name(&self, application: ApplicationId) -> Option<String> {
        match self.entries.get(&EntryKey::Application(application)) {
            Some(Entry::Application { name, .. }) => Some(name.clone()),
            _ => None,
        }
    }

    /// The models of the APIs that an application is subscribed to.
    pub(super) fn apis_of(
        &self,
        org: &Org,
        application: ApplicationId,
    ) -> Vec<(String, Arc<Compiled>)> {
        let names = self.subscribed.get(&application).into_iter();
        names
            .flat_map(BTreeMap::values)
            .filter_map(|name| {
                let (org, name) = (org.clone(), name.clone());
                let key = ResourceKey { org, name };
                let compiled = self.apis.get(&key).cloned()?;
                Some((key.name, compiled))
            })
            .collect()
    }

    /// Takes all records of a kind, a page at a time: thousands of documents at once would be many times the memory of what
    /// is kept of them.
    async fn records_set(
        &mut self,
        parts: &Parts,
        (org, kind): (&Org, RecordKind),
        revision: u64,
        touched: &mut Touched,
    ) -> Result<()> {
        let mut page = Page {
            after: None,
            limit: PAGE,
        };
        loop {
            let records = parts
                .store
                .record_list(org, kind, &Filter::default(), &page)
                .await?;
            for record in &records {
                self.record_set(parts, record, revision, touched).await?;
            }
            match records.last() {
                Some(last) if records.len() as u64 == PAGE => page.after = Some(last.name.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn record_set(
        &mut self,
        parts: &Parts,
        record: &Record,
        revision: u64,
        touched: &mut Touched,
    ) -> Result<()> {
        let key = ResourceKey {
            org: record.org.clone(),
            name: record.name.clone(),
        };
        match record.kind {
            RecordKind::Application => {
                let id = ApplicationId(record.id);
                let limits = application_limits(record)?.map(Entry::ApplicationLimits);
                self.entries
                    .set(&EntryKey::ApplicationLimits(id), limits, revision);
                let entry = Entry::Application {
                    org: key.org,
                    name: key.name,
                    owner: record.document["spec"]["owner"].as_str().map(Into::into),
                };
                let key = EntryKey::Application(id);
                self.entries.set(&key, Some(entry), revision);
                let id = Some(ApplicationId(record.id));
                self.issuers_of(&record.org, &record.name, id, revision);
                return Ok(());
            }
            RecordKind::Subscription => {
                let id = SubscriptionId(record.id);
                self.subscription_set(id, Some(subscribed(record)?), revision);
                return Ok(());
            }
            RecordKind::Api
            | RecordKind::Backend
            | RecordKind::Plan
            | RecordKind::Gateway
            | RecordKind::DenyRule
            | RecordKind::TokenIssuer => {}
        }
        let held = match Held::load(parts.store.as_ref(), record).await {
            Ok(held) => Arc::new(held),
            // It was checked before it was stored. It is out of order alone; the others serve.
            Err(StoreError::Corrupt(_)) => {
                let gone = (&record.org, record.kind, record.name.as_str(), record.id);
                self.record_gone(gone, revision, touched);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let is_new = !self.put(&record.org, Arc::clone(&held));
        if record.kind == RecordKind::Api {
            touched.insert((key.org.clone(), key.name.clone()));
        }
        if let Some(model) = compile::reduce_backend(&key.org, &held.document) {
            self.backends.set(&key, Some(Arc::new(model)), revision);
        }
        if let Some(model) = compile::reduce_deny_rule(&held.document) {
            let entry = Entry::DenyRule(model);
            self.entries
                .set(&EntryKey::DenyRule(key.clone()), Some(entry), revision);
        }
        if let spec::Spec::TokenIssuer(spec) = &held.document.spec {
            let application = match &spec.application {
                Some(name) => issuers::application_id(parts, &record.org, name).await?,
                None => None,
            };
            self.issuer_set(&key, &held.document, application, revision);
        }
        if let Some(model) = compile::reduce_plan(&key.org, &held.document) {
            self.plans.set(&key, Some(Arc::new(model)), revision);
        }
        if is_new {
            self.touch_broken(&record.org, touched);
        }
        Ok(())
    }

    fn subscription_set(&mut self, id: SubscriptionId, entry: Option<Entry>, revision: u64) {
        let key = EntryKey::Subscription(id);
        if let Some(Entry::Subscription { application, .. }) = self.entries.get(&key)
            && let Some(apis) = self.subscribed.get_mut(application)
        {
            apis.remove(&id);
        }
        if let Some(Entry::Subscription {
            application, api, ..
        }) = &entry
        {
            let apis = self.subscribed.entry(*application).or_default();
            apis.insert(id, api.clone());
        }
        self.entries.set(&key, entry, revision);
    }

    /// Puts a document into its catalogue; whether there was one before.
    fn put(&mut self, org: &Org, held: Arc<Held>) -> bool {
        let catalogue = Arc::make_mut(self.catalogues.entry(org.clone()).or_default());
        let there = catalogue
            .get(held.document.kind(), held.document.name())
            .is_some();
        catalogue.put(held);
        there
    }

    /// What an API lacked may be there now.
    fn touch_broken(&self, org: &Org, touched: &mut Touched) {
        touched.extend(
            self.apis
                .iter()
                .filter(|(key, compiled)| key.org == *org && compiled.is_broken())
                .map(|(key, _)| (key.org.clone(), key.name.clone())),
        );
    }

    fn record_gone(
        &mut self,
        (org, kind, name, id): (&Org, RecordKind, &str, uuid::Uuid),
        revision: u64,
        touched: &mut Touched,
    ) {
        let key = ResourceKey {
            org: org.clone(),
            name: name.to_owned(),
        };
        let kind = match kind {
            RecordKind::Application => {
                let id = ApplicationId(id);
                self.subscribed.remove(&id);
                self.entries
                    .set(&EntryKey::ApplicationLimits(id), None, revision);
                self.issuers_of(org, name, None, revision);
                return self.entries.set(&EntryKey::Application(id), None, revision);
            }
            RecordKind::Subscription => {
                return self.subscription_set(SubscriptionId(id), None, revision);
            }
            RecordKind::Api => {
                touched.insert((org.clone(), key.name.clone()));
                Kind::Api
            }
            RecordKind::Backend => {
                self.backends.set(&key, None, revision);
                Kind::Backend
            }
            RecordKind::Plan => {
                self.plans.set(&key, None, revision);
                Kind::Plan
            }
            RecordKind::TokenIssuer => {
                self.issuers.set(&key, None, revision);
                Kind::TokenIssuer
            }
            RecordKind::Gateway => Kind::Gateway,
            RecordKind::DenyRule => {
                self.entries
                    .set(&EntryKey::DenyRule(key.clone()), None, revision);
                Kind::DenyRule
            }
        };
        if let Some(catalogue) = self.catalogues.get_mut(org) {
            Arc::make_mut(catalogue).remove(kind, name);
        }
    }

    /// Reduces APIs, or notes that they are gone.
    async fn reduce(&mut self, parts: &Parts, touched: &Touched, revision: u64) -> Result<()> {
        let mut worlds: HashMap<&Org, compile::World> = HashMap::new();
        for (org, name) in touched {
            let catalogue = self.catalogue(org);
            let world = worlds.entry(org).or_insert_with(|| catalogue.world());
            let compiled = match catalogue.get(Kind::Api, name) {
                Some(held) => compiled(parts, org, held, world).await?,
                None => None,
            };
            let key = ResourceKey {
                org: org.clone(),
                name: name.clone(),
            };
            self.apis.set(&key, compiled.map(Arc::new), revision);
        }
        if touched.is_empty() {
            self.expected.reached(revision);
        } else {
            self.expect(revision);
        }
        Ok(())
    }

    /// Notes what nodes are to serve from this revision on.
    fn expect(&mut self, revision: u64) {
        let mut marks: BTreeMap<&str, Vec<Digest>> = BTreeMap::new();
        for place in self.apis.iter().flat_map(|(_, compiled)| &compiled.places) {
            marks.entry(&place.gateway).or_default().push(place.mark);
        }
        let digests = marks
            .into_iter()
            .map(|(gateway, marks)| (gateway.to_owned(), sync::served_digest(marks)))
            .collect();
        self.expected.push(revision, digests);
    }

    async fn credential_read(
        &mut self,
        parts: &Parts,
        id: CredentialId,
        revision: u64,
    ) -> Result<()> {
        let mut found = None;
        for org in self.catalogues.keys() {
            if let Some(credential) = parts.store.credential_get(org, id).await? {
                found = Some(credential);
                break;
            }
        }
        self.credential_set(id, found.as_ref(), revision);
        Ok(())
    }

    fn credential_set(&mut self, id: CredentialId, found: Option<&Credential>, revision: u64) {
        let entry = found.map(|credential| match &credential.kind {
            CredentialKind::Client(client) => Entry::Client {
                application: credential.application,
                client_id: client.client_id.clone(),
                environment: credential.environment,
                issuer: (client.issuer != store::RESIDENT).then(|| ResourceKey {
                    org: credential.org.clone(),
                    name: client.issuer.clone(),
                }),
            },
            CredentialKind::ApiKey(limits) => Entry::ApiKey {
                application: credential.application,
                keys: credential
                    .secrets
                    .iter()
                    .map(|secret| KeyHash {
                        hash: secret.hash,
                        expires_unix_s: earlier(credential.expires_unix_s, secret.expires_unix_s),
                    })
                    .collect(),
                environment: credential.environment,
                limits: limits.clone(),
            },
        });
        self.entries.set(&EntryKey::Credential(id), entry, revision);
    }

    /// Reads the signing keys again. Only at their own change: keys that were told under an earlier revision would never
    /// reach a node that has that revision.
    async fn keys_read(&mut self, parts: &Parts) {
        if let Err(error) = parts.tokens.reload().await {
            tracing::error!(%error, "the signing keys could not be read again");
        }
        self.jwks = parts.tokens.jwks();
    }

    /// Nodes forget expired revocations by themselves.
    fn forget_expired(&mut self, now_unix_s: u64) {
        self.entries.forget(|_, entry| {
            matches!(entry, Entry::Revocation { expires_unix_s } | Entry::TokensEnd { expires_unix_s, .. }
                if *expires_unix_s < now_unix_s)
        });
    }
}

/// The earlier of two ends, either of which may be missing.
fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b)
}

fn revoked(revocation: &Revocation) -> Entry {
    Entry::Revocation {
        expires_unix_s: revocation.expires_unix_s,
    }
}

fn tokens_end(end: &Watermark) -> Entry {
    Entry::TokensEnd {
        revision: end.revision,
        expires_unix_s: end.expires_unix_s,
    }
}

/// What an application may call all APIs together.
fn application_limits(record: &Record) -> Result<Option<PlanModel>> {
    let spec = &record.document["spec"];
    // Most say nothing, and there are many.
    if spec["quota"].is_null() && spec["burst"].is_null() {
        return Ok(None);
    }
    let spec = serde_json::from_value(spec.clone())
        .map_err(|_| StoreError::Corrupt(format!("Application {}", record.name)))?;
    Ok(compile::reduce_application(
        &record.org,
        &record.name,
        &spec,
    ))
}

fn subscribed(record: &Record) -> Result<Entry> {
    let corrupt = || StoreError::Corrupt(format!("Subscription {}", record.name));
    let links = &record.links;
    Ok(Entry::Subscription {
        application: links.application.ok_or_else(corrupt)?,
        api: links.api.clone().ok_or_else(corrupt)?,
        plan: links.plan.clone().ok_or_else(corrupt)?,
    })
}

async fn compiled(
    parts: &Parts,
    org: &Org,
    held: &Held,
    world: &compile::World,
) -> Result<Option<Compiled>> {
    let document = &held.document;
    let Some(api) = document.as_api() else {
        return Ok(None);
    };
    let since = deprecated_since(parts, org, document).await?;
    let reduce = async |document, blob| -> Result<Arc<Version>> {
        let reduced = reduce(parts, org, (document, blob), since, world).await?;
        Ok(Arc::new(reduced))
    };
    let latest = reduce(document, held.blob).await?;
    let key = ResourceKey {
        org: org.clone(),
        name: document.name().to_owned(),
    };
    let mut places = Vec::with_capacity(api.deployments.len());
    for (index, deployment) in api.deployments.iter().enumerate() {
        let version = match held.pinned_at(index) {
            None => Arc::clone(&latest),
            Some(Pinned {
                content: Some(content),
                ..
            }) => reduce(&content.document, content.blob).await?,
            Some(Pinned { number, .. }) => Arc::new(lost(org, document.name(), api, *number)),
        };
        places.push(Place {
            gateway: deployment.gateway.clone(),
            revision: deployment.revision,
            mark: sync::served_mark(&key, version.model.digest()),
            version,
        });
    }
    Ok(Some(Compiled { latest, places }))
}

/// One content, reduced; what is wrong with it breaks it alone.
async fn reduce(
    parts: &Parts,
    org: &Org,
    (document, blob): (&Document, Option<Digest>),
    since: u64,
    world: &compile::World,
) -> Result<Version> {
    let reduced = match definition_text(parts.store.as_ref(), document, blob).await {
        Ok(definition) => compile::reduce(org, document, &definition, since, world),
        Err(StoreError::Corrupt(what)) => Err(Diagnostics(vec![Diagnostic::error(
            "definition-lost",
            "/spec/definition",
            format!("{what} cannot be read from the database"),
        )])),
        Err(error) => return Err(error),
    };
    Ok(match (reduced, document.as_api()) {
        (Ok(reduced), api) => Version::of(&reduced.model, None, api),
        (Err(problems), Some(api)) => {
            let model = compile::broken(org, document.name(), api);
            Version::of(&model, Some(problems), Some(api))
        }
        (Err(_), None) => return Err(StoreError::Corrupt(document.name().to_owned())),
    })
}

/// A revision that is not there any more, or cannot be read.
fn lost(org: &Org, name: &str, now: &ApiSpec, number: u64) -> Version {
    let problem = Diagnostic::error(
        "revision-lost",
        "/spec/deployments",
        format!("revision {number} cannot be read from the database"),
    );
    Version::of(
        &compile::broken(org, name, now),
        Some(Diagnostics(vec![problem])),
        Some(now),
    )
}

/// When an API became deprecated, in seconds since 1970; 0 when it is not.
async fn deprecated_since(parts: &Parts, org: &Org, document: &Document) -> Result<u64> {
    let is_deprecated = |value: &serde_json::Value| {
        value["spec"]["lifecycle"].as_str() == Some(Lifecycle::Deprecated.as_str())
    };
    if document.as_api().map(|api| api.lifecycle) != Some(Lifecycle::Deprecated) {
        return Ok(0);
    }
    let filter = HistoryFilter::of(RecordKind::Api, document.name());
    let history = parts.store.history_list(org, &filter).await?;
    let since = history
        .iter()
        .find(|entry| {
            entry.after.as_ref().is_some_and(is_deprecated)
                && !entry.before.as_ref().is_some_and(is_deprecated)
        })
        .map(|entry| entry.at_unix_ms / 1000);
    Ok(since.unwrap_or_else(|| parts.clock.unix_s()))
}
