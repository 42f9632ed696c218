//! The control plane's side of `sync`, in process: what nodes get, and what they said they serve.
//!
//! The hub holds everything that nodes may know, in memory, at one revision of the store, and moves on by the store's
//! change feed. Pulls are answered from it, so ten nodes cost the database what one costs.

mod changelog;
mod nodes;
mod state;

use std::sync::Arc;
use std::time::Duration;

use base::{ApplicationId, Org};
use credentials::NotAcknowledged;
use spec::{Kind, Spec};
use store::StoreError;
use sync::{
    Ack, Change, ControlPlane, Decision, ListenerFault, ListenerModel, Node, NodeId, ResourceKey,
    SyncError, Update,
};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::decisions::Decisions;
use crate::{ControlConfig, Parts};
use nodes::Nodes;
pub use nodes::NodesSummary;
pub(crate) use nodes::Serving;
pub(crate) use state::Compiled;
use state::State;

/// See the module.
pub(crate) struct Hub {
    parts: Parts,
    config: ControlConfig,
    nodes: Nodes,
    decisions: Decisions,
    /// The newest revision that anybody told of.
    newest: watch::Sender<u64>,
    /// Absent until the first call.
    state: Mutex<Option<State>>,
}

impl Hub {
    pub(crate) fn new(parts: Parts, config: &ControlConfig) -> Self {
        Self {
            parts,
            config: config.clone(),
            nodes: Nodes::new(config.lease_ms),
            decisions: Decisions::new(config.decisions_max),
            newest: watch::Sender::new(0),
            state: Mutex::default(),
        }
    }

    /// How the nodes keep up with what was told of.
    pub(crate) fn nodes_summary(&self) -> NodesSummary {
        self.nodes.summary(*self.newest.borrow(), self.now_ms())
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

    /// Waits until every live node serves this revision; with no nodes there is nobody to wait for.
    pub(crate) async fn acknowledged(
        &self,
        revision: u64,
        limit: Duration,
    ) -> Result<(), NotAcknowledged> {
        self.announce(revision);
        let mut acknowledgements = self.nodes.watch();
        let deadline = Instant::now() + limit;
        // Leases end without anybody saying so.
        let look_again = Duration::from_millis((self.config.lease_ms / 10).max(1));
        loop {
            acknowledgements.mark_unchanged();
            let behind = self.nodes.behind(revision, self.now_ms());
            if behind.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            if now >= deadline {
                tracing::warn!(revision, ?behind, "nodes did not acknowledge in time");
                return Err(NotAcknowledged { revision });
            }
            let until = deadline.min(now + look_again);
            // Both ways to wake lead to another look.
            let _ = tokio::time::timeout_at(until, acknowledgements.changed()).await;
        }
    }

    /// What an organisation has stored, at the newest revision.
    pub(crate) async fn catalogue(&self, org: &Org) -> store::Result<Arc<Catalogue>> {
        self.view(|state| state.catalogue(org)).await
    }

    /// What all organisations have stored.
    pub(crate) async fn catalogues(&self) -> store::Result<Vec<(Org, Arc<Catalogue>)>> {
        self.view(State::catalogues).await
    }

    /// An API as nodes get it, the revision of its last change, and what each live node says of it, by gateway.
    pub(crate) async fn api(
        &self,
        org: &Org,
        name: &str,
    ) -> store::Result<Option<(Arc<Compiled>, Vec<(String, Vec<Serving>)>)>> {
        let key = ResourceKey {
            org: org.clone(),
            name: name.to_owned(),
        };
        let found = self.view_known(|state| state.api(&key)).await?;
        Ok(found.map(|(compiled, revision)| {
            let serving = compiled
                .gateways
                .iter()
                .map(|gateway| {
                    let nodes = self.nodes.serving(gateway, &key, revision, self.now_ms());
                    (gateway.clone(), nodes)
                })
                .collect();
            (compiled, serving)
        }))
    }

    /// What each live node of a gateway group says of the ports that it is to open.
    pub(crate) fn listening(&self, gateway: &str) -> Vec<(NodeId, Vec<ListenerFault>)> {
        self.nodes.listening(gateway, self.now_ms())
    }

    /// The APIs that an application is subscribed to.
    pub(crate) async fn apis_of(
        &self,
        org: &Org,
        application: ApplicationId,
    ) -> store::Result<Vec<Arc<Compiled>>> {
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
            compiled
                .gateways
                .contains(&node.gateway)
                .then(|| Arc::clone(&compiled.model))
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
        Update {
            revision: state.revision(),
            reset: since.is_none(),
            apis,
            backends: state.backends.changes(since),
            plans: state.plans.changes(since),
            issuers: state.issuers.changes(since),
            listeners: listeners(&state.catalogue(&Org::default_org()), &node.gateway),
            environment: environment(&state.catalogue(&Org::default_org()), &node.gateway),
            entries: state
                .entries
                .part(since)
                .map(|(key, value)| (key.clone(), value.cloned()))
                .collect(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic_ms()
    }
}

#[async_trait::async_trait]
impl ControlPlane for Hub {
    async fn pull(&self, node: &Node, since: Option<u64>) -> Result<Update, SyncError> {
        self.nodes.seen(node, self.now_ms());
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
        self.nodes.acknowledge(ack, self.now_ms());
        Ok(())
    }

    async fn decided(&self, node: &Node, decisions: Vec<Decision>) -> Result<(), SyncError> {
        self.decisions.add(&node.id, decisions);
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

/// The environment of a gateway group.
fn environment(catalogue: &Catalogue, gateway: &str) -> String {
    let held = catalogue.get(Kind::Gateway, gateway);
    let environment = held.and_then(|held| match &held.document.spec {
        Spec::Gateway(gateway) => Some(gateway.environment.clone()),
        _ => None,
    });
    environment.unwrap_or_default()
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
