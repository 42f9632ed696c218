//! Which nodes are alive, and what each of them serves: those that speak to this process, and those of the others.
//!
//! What a node says is in force here at once; the store is told a little later, several words at a time, so that a
//! write never waits for another write. Other control processes read it there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Diagnostics, Digest};
use serde::{Deserialize, Serialize};
use store::{NodeRecord, Store};
use sync::{Ack, BackendReport, BrokenApi, IssuerReport, ListenerFault, Node, NodeId, ResourceKey};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long what nodes say is gathered before the store is told, and how old our knowledge of the nodes of other
/// processes may be.
pub(super) const GATHER: Duration = Duration::from_millis(20);
/// How long the store is left alone after it refused.
const RETRY: Duration = Duration::from_millis(500);

/// All nodes.
///
/// A node is alive until its lease ends; every pull and every acknowledgement renews it. A node whose lease ended
/// holds nobody up: it has to pull before it serves anything new.
pub(super) struct Nodes {
    lease_ms: u64,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    /// The name of this process among those that share the store.
    control: String,
    known: Mutex<Known>,
    /// What was read last of the nodes of other processes.
    others: tokio::sync::Mutex<Option<(Instant, Vec<Alive>)>>,
    /// Counts acknowledgements, so that waiting writers wake.
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    nodes: HashMap<NodeId, State>,
    /// A task is about to tell the store.
    telling: bool,
}

struct State {
    alive: Alive,
    /// The store does not know this yet.
    untold: bool,
    /// The lease that the store knows.
    told_until_unix_ms: u64,
}

/// How the nodes that speak to this process keep up, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodesSummary {
    /// Nodes whose lease has not ended.
    pub alive: u64,
    /// Those of them that have not acknowledged the newest revision.
    pub behind: u64,
}

/// A node whose lease has not ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Alive {
    pub(crate) id: NodeId,
    pub(crate) gateway: String,
    /// When its lease ends, in milliseconds since 1970.
    until_unix_ms: u64,
    /// The revision that it acknowledged last, and the digest over all that it serves.
    pub(crate) revision: Option<u64>,
    pub(crate) digest: Option<Digest>,
    pub(crate) report: Report,
}

/// What else a node says.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(default)]
    broken: Vec<BrokenApi>,
    #[serde(default)]
    pub(crate) listeners: Vec<ListenerFault>,
    /// How the endpoints of backends fare.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) backends: Vec<BackendReport>,
    /// How issuers outside of the platform fare.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) issuers: Vec<IssuerReport>,
}

impl Alive {
    /// Why it refuses to serve an API.
    pub(crate) fn broken(&self, key: &ResourceKey) -> Option<&Diagnostics> {
        let broken = self
            .report
            .broken
            .iter()
            .find(|broken| broken.key == *key)?;
        Some(&broken.diagnostics)
    }

    fn read(record: NodeRecord) -> Self {
        Self {
            id: NodeId(record.id),
            gateway: record.gateway,
            until_unix_ms: record.lease_until_unix_ms,
            revision: record.revision,
            digest: record.digest,
            // Written by another version: what it served is known all the same.
            report: serde_json::from_value(record.report).unwrap_or_default(),
        }
    }

    fn record(&self, control: &str) -> NodeRecord {
        NodeRecord {
            id: self.id.0.clone(),
            gateway: self.gateway.clone(),
            control: control.to_owned(),
            lease_until_unix_ms: self.until_unix_ms,
            revision: self.revision,
            digest: self.digest,
            report: serde_json::to_value(&self.report).unwrap_or_default(),
        }
    }
}

impl Nodes {
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, lease_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            lease_ms,
            clock,
            store,
            control: uuid::Uuid::now_v7().to_string(),
            known: Mutex::default(),
            others: tokio::sync::Mutex::default(),
            version: watch::Sender::new(0),
        })
    }

    /// Renews a node's lease.
    pub(super) fn seen(self: &Arc<Self>, node: &Node) {
        self.note(node, |_| false);
    }

    /// Notes what a node serves, and wakes those who wait for it.
    pub(super) fn acknowledge(self: &Arc<Self>, ack: Ack) {
        self.note(&ack.node, |alive| {
            let same = alive.revision == Some(ack.revision)
                && alive.digest == Some(ack.digest)
                && alive.report.broken == ack.broken
                && alive.report.listeners == ack.listeners;
            alive.revision = Some(ack.revision);
            alive.digest = Some(ack.digest);
            alive.report.broken = ack.broken;
            alive.report.listeners = ack.listeners;
            !same
        });
        self.version.send_modify(|version| *version += 1);
    }

    /// Notes how the endpoints of backends fare at a node.
    pub(super) fn endpoints(self: &Arc<Self>, node: &Node, backends: Vec<BackendReport>) {
        self.note(node, |alive| {
            let same = alive.report.backends == backends;
            alive.report.backends = backends;
            !same
        });
    }

    /// Notes how issuers outside of the platform fare at a node.
    pub(super) fn issuers(self: &Arc<Self>, node: &Node, issuers: Vec<IssuerReport>) {
        self.note(node, |alive| {
            let same = alive.report.issuers == issuers;
            alive.report.issuers = issuers;
            !same
        });
    }

    /// Renews the lease and lets `change` say whether there is more that other processes have to know.
    fn note(self: &Arc<Self>, node: &Node, change: impl FnOnce(&mut Alive) -> bool) {
        let until_unix_ms = self.clock.unix_ms() + self.lease_ms;
        let mut known = self.lock();
        let state = known.nodes.entry(node.id.clone()).or_insert_with(|| State {
            alive: Alive {
                id: node.id.clone(),
                gateway: node.gateway.clone(),
                until_unix_ms,
                revision: None,
                digest: None,
                report: Report::default(),
            },
            untold: true,
            told_until_unix_ms: 0,
        });
        state.alive.until_unix_ms = until_unix_ms;
        state.untold |= state.alive.gateway != node.gateway;
        state.alive.gateway.clone_from(&node.gateway);
        state.untold |= change(&mut state.alive);
        // Told again when half of the lease that the store knows is over.
        state.untold |= until_unix_ms.saturating_sub(state.told_until_unix_ms) > self.lease_ms / 2;
        if state.untold && !known.telling {
            known.telling = true;
            tokio::spawn(Arc::clone(self).tell());
        }
    }

    /// Tells the store what it does not know, until it knows all.
    async fn tell(self: Arc<Self>) {
        let mut wait = GATHER;
        loop {
            tokio::time::sleep(wait).await;
            let records = self.untold();
            if records.is_empty() {
                return;
            }
            let expired = self.clock.unix_ms().saturating_sub(self.lease_ms);
            let told = match self.store.node_put(&records).await {
                Ok(()) => self.store.node_expire(expired).await,
                Err(error) => Err(error),
            };
            wait = match told {
                Ok(()) => {
                    self.told(&records);
                    GATHER
                }
                Err(error) => {
                    tracing::warn!(%error, "other control processes cannot be told what nodes serve");
                    RETRY
                }
            };
        }
    }

    /// What the store does not know; when it knows all, the one who tells it is done.
    fn untold(&self) -> Vec<NodeRecord> {
        let mut known = self.lock();
        let untold = known.nodes.values().filter(|state| state.untold);
        let records: Vec<_> = untold
            .map(|state| state.alive.record(&self.control))
            .collect();
        known.telling = !records.is_empty();
        records
    }

    fn told(&self, records: &[NodeRecord]) {
        let mut known = self.lock();
        for record in records {
            let Some(state) = known.nodes.get_mut(&NodeId(record.id.clone())) else {
                continue;
            };
            state.told_until_unix_ms = record.lease_until_unix_ms;
            // It may have said something else meanwhile; a newer lease alone can wait.
            let mut now = state.alive.record(&self.control);
            now.lease_until_unix_ms = record.lease_until_unix_ms;
            state.untold = now != *record;
        }
    }

    /// This process stops, and its nodes with it: nobody has to wait for their leases to end.
    pub(super) async fn leave(&self) -> store::Result<()> {
        let records: Vec<NodeRecord> = {
            let mut known = self.lock();
            let states = known.nodes.drain();
            states
                .map(|(_, state)| NodeRecord {
                    lease_until_unix_ms: 0,
                    ..state.alive.record(&self.control)
                })
                .collect()
        };
        self.store.node_put(&records).await
    }

    /// Wakes at every acknowledgement of a node that speaks to this process.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How the live nodes that speak to this process keep up with this revision.
    pub(super) fn summary(&self, revision: u64) -> NodesSummary {
        let now = self.clock.unix_ms();
        let known = self.lock();
        let states = known.nodes.values().map(|state| &state.alive);
        let (mut alive, mut behind) = (0, 0);
        for node in states.filter(|node| now < node.until_unix_ms) {
            alive += 1;
            behind += u64::from(node.revision < Some(revision));
        }
        NodesSummary { alive, behind }
    }

    /// All live nodes, by id. Nodes long gone are forgotten.
    pub(super) async fn alive(&self) -> store::Result<Vec<Alive>> {
        let others = self.others().await?;
        let now = self.clock.unix_ms();
        let mut alive: BTreeMap<NodeId, Alive> = BTreeMap::new();
        for other in others {
            alive.insert(other.id.clone(), other);
        }
        {
            let mut known = self.lock();
            known
                .nodes
                .retain(|_, state| now < state.alive.until_unix_ms);
            for state in known.nodes.values() {
                let ours = &state.alive;
                // A node that went from one process to another: it speaks to the one with the later lease.
                let theirs = alive.get(&ours.id);
                if theirs.is_none_or(|theirs| theirs.until_unix_ms <= ours.until_unix_ms) {
                    alive.insert(ours.id.clone(), ours.clone());
                }
            }
        }
        alive.retain(|_, node| now < node.until_unix_ms);
        Ok(alive.into_values().collect())
    }

    /// The nodes that speak to other processes.
    async fn others(&self) -> store::Result<Vec<Alive>> {
        let mut others = self.others.lock().await;
        if let Some((at, nodes)) = &*others
            && at.elapsed() < GATHER
        {
            return Ok(nodes.clone());
        }
        let records = self.store.node_list().await?;
        let nodes: Vec<Alive> = records
            .into_iter()
            .filter(|record| record.control != self.control)
            .map(Alive::read)
            .collect();
        *others = Some((Instant::now(), nodes.clone()));
        Ok(nodes)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
