//! The control plane's side of `sync`, in process: what nodes get, and what they said they serve.
//!
//! The hub holds everything that nodes may know, in memory, at one revision of the store, and moves on by the store's
//! change feed. Pulls are answered from it, so ten nodes cost the database what one costs.

mod changelog;
mod expected;
mod nodes;
mod state;

use std::sync::Arc;
use std::time::Duration;

use base::{ApplicationId, Diagnostics, Digest, Org};
use spec::{GatewaySpec, Kind, Spec};
use store::StoreError;
use sync::{
    Ack, BackendReport, Change, ControlPlane, Decision, IssuerReport, ListenerFault, ListenerModel,
    Node, NodeId, ResourceKey, SyncError, Update,
};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::decisions::Decisions;
use crate::{ControlConfig, Parts};
pub(crate) use nodes::Alive;
use nodes::Nodes;
pub use nodes::NodesSummary;
use state::State;
pub(crate) use state::{Compiled, Place};

/// What one live node says of an API that its gateway is to serve.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The node.
    pub(crate) node: Alive,
    /// It serves what it is to serve.
    pub(crate) current: bool,
    /// It refuses the API, and why.
    pub(crate) broken: Option<Diagnostics>,
}

/// Nodes did not serve a revision in time.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The revision.
    pub(crate) revision: u64,
    /// Those nodes, with what they serve.
    pub(crate) missing: Vec<Alive>,
}

/// See the module.
pub(crate) struct Hub {
    parts: Parts,
    config: ControlConfig,
    nodes: Arc<Nodes>,
    decisions: Decisions,
    /// The newest revision that anybody told of.
    newest: watch::Sender<u64>,
    /// Absent until the first call.
    state: Mutex<Option<State>>,
}

impl Hub {
    pub(crate) fn new(parts: Parts, config: &ControlConfig) -> Self {
        let (store, clock) = (Arc::clone(&parts.store), Arc::clone(&parts.clock));
        Self {
            parts,
            config: config.clone(),
            nodes: Nodes::new(store, clock, config.lease_ms),
            decisions: Decisions::new(config.decisions_max),
            newest: watch::Sender::new(0),
            state: Mutex::default(),
        }
    }

    /// How the nodes keep up with what was told of.
    pub(crate) fn nodes_summary(&self) -> NodesSummary {
        self.nodes.summary(*self.newest.borrow())
    }

    /// Takes leave of the other control processes.
    pub(crate) async fn leave(&self) -> store::Result<()> {
        self.nodes.leave().await
    }

    /// What nodes told of refused and failed calls.
    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Tells the nodes that there is a revision.
    pub(crate) fn announce(&self, revision: u64) {
        self.newest.send_if_modified(|newest| {
            let news = revision > *newest;
            *newest = revision.max(*newest);
            news
        });
    }

    /// Waits until every live node serves this revision, all of them or those of some gateways. Returns how many they
    /// are; with none there is nobody to wait for.
    ///
    /// # Errors
    /// [`Behind`], when the limit is reached before.
    pub(crate) async fn acknowledged(
        &self,
        revision: u64,
        gateways: Option<&[String]>,
        limit: Duration,
    ) -> Result<usize, Behind> {
        self.announce(revision);
        let mut acknowledgements = self.nodes.watch();
        let deadline = Instant::now() + limit;
        let mut missing = Vec::new();
        loop {
            acknowledgements.mark_unchanged();
            // A store that is away is asked again until the limit: what nodes of other processes serve is not known.
            match self.wanted(gateways).await {
                Ok(nodes) => {
                    let count = nodes.len();
                    missing = self.behind(nodes, revision).await;
                    if missing.is_empty() {
                        return Ok(count);
                    }
                }
                Err(error) => tracing::warn!(%error, "the nodes cannot be listed"),
            }
            let now = Instant::now();
            if now >= deadline {
                tracing::warn!(revision, ?missing, "nodes did not acknowledge in time");
                return Err(Behind { revision, missing });
            }
            // Nodes of other processes acknowledge, and leases end, without anybody waking us.
            let until = deadline.min(now + nodes::GATHER);
            let _ = tokio::time::timeout_at(until, acknowledgements.changed()).await;
        }
    }

    async fn wanted(&self, gateways: Option<&[String]>) -> store::Result<Vec<Alive>> {
        let mut nodes = self.nodes.alive().await?;
        nodes.retain(|node| gateways.is_none_or(|wanted| wanted.contains(&node.gateway)));
        Ok(nodes)
    }

    /// Those that do not serve this revision.
    async fn behind(&self, mut nodes: Vec<Alive>, revision: u64) -> Vec<Alive> {
        let state = self.state.lock().await;
        nodes.retain(|node| !serves(state.as_ref(), node, revision));
        nodes
    }

    /// What an organisation has stored, at the newest revision.
    pub(crate) async fn catalogue(&self, org: &Org) -> store::Result<Arc<Catalogue>> {
        self.view(|state| state.catalogue(org)).await
    }

    /// What all organisations have stored.
    pub(crate) async fn catalogues(&self) -> store::Result<Vec<(Org, Arc<Catalogue>)>> {
        self.view(State::catalogues).await
    }

    /// An API as nodes get it, and what each live node of its gateways says of it.
    pub(crate) async fn api(
        &self,
        org: &Org,
        name: &str,
    ) -> store::Result<Option<(Arc<Compiled>, Vec<Serving>)>> {
        let key = ResourceKey {
            org: org.clone(),
            name: name.to_owned(),
        };
        let nodes = self.nodes.alive().await?;
        self.view_known(|state| {
            let (compiled, revision) = state.api(&key)?;
            let serving = nodes
                .into_iter()
                .filter(|node| compiled.at(&node.gateway).is_some())
                .map(|node| Serving {
                    current: serves(Some(state), &node, revision),
                    broken: node.broken(&key).cloned(),
                    node,
                })
                .collect();
            Some((compiled, serving))
        })
        .await
    }

    /// What each live node of a gateway group says of the ports that it is to open.
    pub(crate) async fn listening(
        &self,
        gateway: &str,
    ) -> store::Result<Vec<(NodeId, Vec<ListenerFault>)>> {
        let mut nodes = self.nodes.alive().await?;
        nodes.retain(|node| node.gateway == gateway);
        let facts = nodes
            .into_iter()
            .map(|node| (node.id, node.report.listeners));
        Ok(facts.collect())
    }

    /// What each live node says of a backend; `None` of those that have nothing to say.
    pub(crate) async fn endpoints_of(
        &self,
        key: &ResourceKey,
    ) -> store::Result<Vec<(NodeId, String, Option<BackendReport>)>> {
        let nodes = self.nodes.alive().await?.into_iter();
        let told = nodes.map(|node| {
            let mut backends = node.report.backends.into_iter();
            let report = backends.find(|report| report.key == *key);
            (node.id, node.gateway, report)
        });
        Ok(told.collect())
    }

    /// What each live node says of an issuer outside of the platform; `None` of those that have nothing to say.
    pub(crate) async fn issuers_of(
        &self,
        key: &ResourceKey,
    ) -> store::Result<Vec<(NodeId, String, Option<IssuerReport>)>> {
        let nodes = self.nodes.alive().await?.into_iter();
        let told = nodes.map(|node| {
            let mut issuers = node.report.issuers.into_iter();
            let report = issuers.find(|report| report.key == *key);
            (node.id, node.gateway, report)
        });
        Ok(told.collect())
    }

    /// The APIs that an application is subscribed to.
    pub(crate) async fn apis_of(
        &self,
        org: &Org,
        application: ApplicationId,
    ) -> store::Result<Vec<(String, Arc<Compiled>)>> {
        self.view(|state| state.apis_of(org, application)).await
    }

    /// As [`Hub::view`], without asking the store when it holds all that was told of: for what is asked once per item.
    async fn view_known<T>(&self, look: impl FnOnce(&State) -> T) -> store::Result<T> {
        let newest = *self.newest.borrow();
        if let Some(state) = self.state.lock().await.as_ref()
            && state.revision() >= newest
        {
            return Ok(look(state));
        }
        self.view(look).await
    }

    /// The document's name of an application.
    pub(crate) async fn application_name(
        &self,
        application: ApplicationId,
    ) -> store::Result<Option<String>> {
        self.view(|state| state.application_name(application)).await
    }

    async fn view<T>(&self, look: impl FnOnce(&State) -> T) -> store::Result<T> {
        let mut guard = self.state.lock().await;
        if let Some(state) = guard.as_mut()
            && state.catch_up(&self.parts, &self.config).await?
        {
            return Ok(look(state));
        }
        // Dropped first: two whole states would be twice the memory.
        *guard = None;
        let state = guard.insert(State::load(&self.parts, &self.config).await?);
        Ok(look(state))
    }

    fn update(&self, state: &State, node: &Node, since: Option<u64>) -> Update {
        let since = since.filter(|since| *since >= state.floor() && *since <= state.revision());
        let for_node = |compiled: &Arc<Compiled>| {
            let place = compiled.at(&node.gateway)?;
            Some(Arc::clone(&place.version.model))
        };
        let apis = state
            .apis
            .part(since)
            .map(|(key, value)| Change {
                key: key.clone(),
                model: value.and_then(for_node),
            })
            .filter(|change| since.is_some() || change.model.is_some())
            .collect();
        let catalogue = state.catalogue(&Org::default_org());
        let gateway = gateway(&catalogue, &node.gateway);
        Update {
            revision: state.revision(),
            reset: since.is_none(),
            apis,
            backends: state.backends.changes(since),
            plans: state.plans.changes(since),
            issuers: state.issuers.changes(since),
            listeners: listeners(&catalogue, &node.gateway),
            environment: gateway.map_or_else(String::new, |gateway| gateway.environment.clone()),
            public_url: gateway.and_then(|gateway| gateway.public_url.clone()),
            entries: state
                .entries
                .part(since)
                .map(|(key, value)| (key.clone(), value.cloned()))
                .collect(),
        }
    }
}

#[async_trait::async_trait]
impl ControlPlane for Hub {
    async fn pull(&self, node: &Node, since: Option<u64>) -> Result<Update, SyncError> {
        self.nodes.seen(node);
        let update = self
            .view(|state| self.update(state, node, since))
            .await
            .map_err(|error| unavailable(&error))?;
        self.announce(update.revision);
        Ok(update)
    }

    async fn changed(&self, since: u64) {
        // Early enough for a node to renew its lease, however quiet it is.
        let limit = Duration::from_millis((self.config.lease_ms / 3).max(1));
        let mut newest = self.newest.subscribe();
        let told = newest.wait_for(|newest| *newest > since);
        // Of revisions that other processes wrote nobody tells us but the store.
        let news = async {
            tokio::select! {
                _ = told => {}
                () = self.parts.store.changed(since) => {}
            }
        };
        // All that can happen leads to the next pull.
        let _ = tokio::time::timeout(limit, news).await;
    }

    async fn acknowledge(&self, ack: Ack) -> Result<(), SyncError> {
        self.nodes.acknowledge(ack);
        Ok(())
    }

    async fn opaque_token(
        &self,
        node: &Node,
        digest: &Digest,
    ) -> Result<Option<serde_json::Value>, SyncError> {
        self.nodes.seen(node);
        let found = self.parts.store.opaque_get(digest).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let now_unix_s = self.parts.clock.unix_s();
        Ok(found
            .filter(|token| now_unix_s < token.expires_unix_s)
            .map(|token| token.claims))
    }

    async fn decided(&self, node: &Node, decisions: Vec<Decision>) -> Result<(), SyncError> {
        self.decisions.add(&node.id, decisions);
        Ok(())
    }

    async fn endpoints(&self, node: &Node, backends: Vec<BackendReport>) -> Result<(), SyncError> {
        self.nodes.endpoints(node, backends);
        Ok(())
    }

    async fn issuers(&self, node: &Node, issuers: Vec<IssuerReport>) -> Result<(), SyncError> {
        self.nodes.issuers(node, issuers);
        Ok(())
    }

    async fn report(&self, batch: usage::Batch) -> Result<(), SyncError> {
        let now_unix_ms = self.parts.clock.unix_ms();
        match self.parts.usage.usage_put(&batch, now_unix_ms).await {
            Ok(_) => Ok(()),
            // The next try would find the same.
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, batch.node, "usage cannot be added to what is stored");
                Err(SyncError::Refused(error.to_string()))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// The document of a gateway group.
fn gateway<'c>(catalogue: &'c Catalogue, name: &str) -> Option<&'c GatewaySpec> {
    match &catalogue.get(Kind::Gateway, name)?.document.spec {
        Spec::Gateway(gateway) => Some(gateway),
        _ => None,
    }
}

/// Whether a node serves this revision: it said so, and the digest over all that it serves is the one that was meant.
fn serves(state: Option<&State>, node: &Alive, revision: u64) -> bool {
    let Some(acknowledged) = node
        .revision
        .filter(|acknowledged| *acknowledged >= revision)
    else {
        return false;
    };
    let expected = state.and_then(|state| state.expected.at(&node.gateway, acknowledged));
    expected.is_none_or(|expected| node.digest == Some(expected))
}

/// Ports belong to whoever runs the platform: to the documents of its first organisation.
fn listeners(catalogue: &Catalogue, gateway: &str) -> Vec<ListenerModel> {
    let held = catalogue.get(Kind::Gateway, gateway);
    held.map_or_else(Vec::new, |held| compile::reduce_gateway(&held.document))
}

fn unavailable(error: &StoreError) -> SyncError {
    tracing::error!(%error, "the store failed while a node asked");
    SyncError::Unavailable("the store failed".to_owned())
}
