//! Which nodes are alive, and what each of them serves.

use std::collections::HashMap;
use std::sync::Mutex;

use base::Diagnostics;
use sync::{Ack, ListenerFault, Node, NodeId, ResourceKey};
use tokio::sync::watch;

/// The nodes that spoke to this control plane.
///
/// A node is alive until its lease ends; every pull and every acknowledgement renews it. A node whose lease ended
/// holds nobody up: it has to pull before it serves anything new.
#[derive(Debug)]
pub(super) struct Nodes {
    lease_ms: u64,
    known: Mutex<HashMap<NodeId, State>>,
    /// Counts acknowledgements, so that waiting writers wake.
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    gateway: String,
    seen_ms: u64,
    revision: Option<u64>,
    broken: HashMap<ResourceKey, Diagnostics>,
    listeners: Vec<ListenerFault>,
}

/// How the nodes keep up, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodesSummary {
    /// Nodes whose lease has not ended.
    pub alive: u64,
    /// Those of them that have not acknowledged the newest revision.
    pub behind: u64,
}

/// What one live node says of a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Serving {
    /// The node.
    pub(crate) node: NodeId,
    /// It serves the wanted revision.
    pub(crate) current: bool,
    /// It refuses the API, and why.
    pub(crate) broken: Option<Diagnostics>,
}

impl Nodes {
    pub(super) fn new(lease_ms: u64) -> Self {
        Self {
            lease_ms,
            known: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }

    /// Renews a node's lease.
    pub(super) fn seen(&self, node: &Node, now_ms: u64) {
        let mut known = self.lock();
        let state = known.entry(node.id.clone()).or_insert_with(|| State {
            gateway: node.gateway.clone(),
            seen_ms: now_ms,
            revision: None,
            broken: HashMap::new(),
            listeners: Vec::new(),
        });
        state.gateway.clone_from(&node.gateway);
        state.seen_ms = now_ms;
    }

    /// Notes what a node serves, and wakes those who wait for it.
    pub(super) fn acknowledge(&self, ack: Ack, now_ms: u64) {
        self.seen(&ack.node, now_ms);
        if let Some(state) = self.lock().get_mut(&ack.node.id) {
            state.revision = Some(ack.revision);
            state.broken = ack
                .broken
                .into_iter()
                .map(|broken| (broken.key, broken.diagnostics))
                .collect();
            state.listeners = ack.listeners;
        }
        self.version.send_modify(|version| *version += 1);
    }

    /// Wakes at every acknowledgement.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The live nodes that do not serve this revision yet. Nodes long gone are forgotten.
    pub(super) fn behind(&self, revision: u64, now_ms: u64) -> Vec<NodeId> {
        let mut known = self.lock();
        known.retain(|_, state| now_ms.saturating_sub(state.seen_ms) < self.lease_ms);
        known
            .iter()
            .filter(|(_, state)| state.revision < Some(revision))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// How the live nodes keep up with this revision.
    pub(super) fn summary(&self, revision: u64, now_ms: u64) -> NodesSummary {
        let known = self.lock();
        let alive = known
            .values()
            .filter(|state| now_ms.saturating_sub(state.seen_ms) < self.lease_ms);
        let (mut count, mut behind) = (0, 0);
        for state in alive {
            count += 1;
            behind += u64::from(state.revision < Some(revision));
        }
        NodesSummary {
            alive: count,
            behind,
        }
    }

    /// What the live nodes of a gateway group say of an API that changed last in `revision`.
    pub(super) fn serving(
        &self,
        gateway: &str,
        key: &ResourceKey,
        revision: u64,
        now_ms: u64,
    ) -> Vec<Serving> {
        let known = self.lock();
        let mut serving: Vec<Serving> = known
            .iter()
            .filter(|(_, state)| {
                state.gateway == gateway && now_ms.saturating_sub(state.seen_ms) < self.lease_ms
            })
            .map(|(id, state)| Serving {
                node: id.clone(),
                current: state.revision >= Some(revision),
                broken: state.broken.get(key).cloned(),
            })
            .collect();
        serving.sort_by(|a, b| a.node.cmp(&b.node));
        serving
    }

    /// The ports that each live node of a gateway group could not open.
    pub(super) fn listening(
        &self,
        gateway: &str,
        now_ms: u64,
    ) -> Vec<(NodeId, Vec<ListenerFault>)> {
        let known = self.lock();
        let mut found: Vec<_> = known
            .iter()
            .filter(|(_, state)| {
                state.gateway == gateway && now_ms.saturating_sub(state.seen_ms) < self.lease_ms
            })
            .map(|(id, state)| (id.clone(), state.listeners.clone()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, State>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base::Org;

    use super::*;

    fn node(id: &str) -> Node {
        Node {
            id: NodeId(id.to_owned()),
            gateway: "default".to_owned(),
        }
    }

    fn ack(id: &str, revision: u64) -> Ack {
        Ack {
            node: node(id),
            revision,
            digest: base::Digest::from_bytes([0; 32]),
            broken: Vec::new(),
            listeners: Vec::new(),
        }
    }

    #[test]
    fn a_node_is_waited_for_until_its_lease_ends() {
        let nodes = Nodes::new(1000);
        assert!(
            nodes.behind(5, 0).is_empty(),
            "no nodes, nobody to wait for"
        );
        nodes.seen(&node("a"), 0);
        nodes.acknowledge(ack("b", 5), 0);
        assert_eq!(nodes.behind(5, 999), [NodeId("a".to_owned())]);
        let summary = nodes.summary(5, 999);
        assert_eq!((summary.alive, summary.behind), (2, 1));
        assert!(nodes.behind(5, 1000).is_empty());
        nodes.acknowledge(ack("a", 4), 1000);
        assert_eq!(nodes.behind(5, 1001), [NodeId("a".to_owned())]);
        nodes.acknowledge(ack("a", 6), 1002);
        assert!(nodes.behind(5, 1002).is_empty());
    }

    #[test]
    fn tells_what_a_group_serves() {
        let nodes = Nodes::new(1000);
        let key = ResourceKey {
            org: Org::default_org(),
            name: "pets".to_owned(),
        };
        nodes.acknowledge(ack("a", 7), 0);
        nodes.seen(&node("b"), 0);
        let serving = nodes.serving("default", &key, 7, 10);
        assert_eq!(
            serving.iter().map(|node| node.current).collect::<Vec<_>>(),
            [true, false]
        );
        assert!(nodes.serving("other", &key, 7, 10).is_empty());
    }
}
