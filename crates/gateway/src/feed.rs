//! Keeps a node at the control plane's revision: pull, apply, compile, swap, acknowledge.
//!
//! The order is what makes an acknowledgement true: tables first, then the snapshot, then the word. A reset puts
//! new tables beside empty ones for a moment, so a node is ready only after its first update.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::{Clock, Diagnostics, Digest, Org};
use snapshot::{Api, Backend, BackendKey, Snapshot};
use sync::{Ack, BackendModel, BrokenApi, Change, ControlPlane, Node, ResourceKey, Update};

use crate::Snapshots;
use crate::asking::{Asker, Rounds};
use crate::directory::NodeDirectory;
use crate::ports::Ports;

/// How long the feed waits after the control plane failed, and how often old revocations are swept.
const RETRY: Duration = Duration::from_millis(500);
const SWEEP: Duration = Duration::from_secs(30);

/// What the feed has brought the node to; shared with readiness and metrics.
#[derive(Debug, Default)]
pub struct FeedState {
    ready: AtomicBool,
    revision: AtomicU64,
    broken: AtomicU64,
    failures: AtomicU64,
}

impl FeedState {
    /// Whether a first complete update is in force.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The revision in force.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// How many APIs do not compile on this node.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// How often the control plane could not be reached.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The loop that feeds one node.
pub struct Feed {
    plane: Arc<dyn ControlPlane>,
    node: Node,
    clock: Arc<dyn Clock>,
    directory: Arc<NodeDirectory>,
    snapshots: Arc<Snapshots>,
    state: Arc<FeedState>,
    environment: Arc<str>,
    apis: BTreeMap<ResourceKey, BuiltApi>,
    backends: HashMap<BackendKey, Arc<Backend>>,
    ports: Option<Ports>,
    rounds: Arc<Rounds>,
}

struct BuiltApi {
    /// What it adds to the digest over all.
    mark: Digest,
    api: Arc<Api>,
    backends: Vec<Arc<Backend>>,
    diagnostics: Diagnostics,
}

impl Feed {
    /// A feed that has brought nothing yet.
    #[must_use]
    pub fn new(
        plane: Arc<dyn ControlPlane>,
        node: Node,
        clock: Arc<dyn Clock>,
        directory: Arc<NodeDirectory>,
        snapshots: Arc<Snapshots>,
    ) -> Self {
        let state = Arc::default();
        Self {
            plane,
            node,
            clock,
            directory,
            snapshots,
            state,
            environment: "".into(),
            apis: BTreeMap::new(),
            backends: HashMap::new(),
            ports: None,
            rounds: Arc::default(),
        }
    }

    /// Brings the ports of this gateway along too.
    #[must_use]
    pub fn with_ports(mut self, ports: Ports) -> Self {
        self.ports = Some(ports);
        self
    }

    /// What others may watch.
    #[must_use]
    pub fn state(&self) -> Arc<FeedState> {
        Arc::clone(&self.state)
    }

    /// Feeds the node until it is dropped. A control plane that is away is asked again; the node serves what it has.
    pub async fn run(mut self) {
        self.directory.ask_by(Asker::new(
            Arc::clone(&self.plane),
            self.node.clone(),
            Arc::clone(&self.rounds),
            self.directory.asking(),
        ));
        let mut since = None;
        let mut nudged = None;
        let mut swept_ms = self.clock.monotonic_ms();
        loop {
            let round = self.rounds.begin();
            match self.step(since).await {
                Ok(revision) => since = Some(revision),
                Err(error) => {
                    self.state.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the control plane cannot be reached; serving what is there");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            self.rounds.end(round);
            let now_ms = self.clock.monotonic_ms();
            if now_ms.saturating_sub(swept_ms)
                >= u64::try_from(SWEEP.as_millis()).unwrap_or(u64::MAX)
            {
                self.directory.sweep(self.clock.unix_s());
                swept_ms = now_ms;
            }
            // The time limit makes the node speak up now and then, so that its lease does not run out.
            let news = tokio::time::timeout(SWEEP / 6, self.plane.changed(since.unwrap_or(0)));
            tokio::select! {
                _ = news => {}
                () = self.rounds.wanted(&mut nudged) => {}
            }
        }
    }

    /// One round: returns the revision that the node is at.
    async fn step(&mut self, since: Option<u64>) -> Result<u64, sync::SyncError> {
        let mut update = self.plane.pull(&self.node, since).await?;
        let revision = update.revision;
        let wanted = std::mem::take(&mut update.listeners);
        self.apply(update);
        let listeners = match &self.ports {
            Some(ports) => ports.set(wanted).await,
            None => Vec::new(),
        };
        let broken = self.broken();
        self.state
            .broken
            .store(broken.len() as u64, Ordering::Relaxed);
        self.state.revision.store(revision, Ordering::Release);
        self.state.ready.store(true, Ordering::Release);
        self.plane
            .acknowledge(Ack {
                node: self.node.clone(),
                revision,
                digest: self.digest(),
                broken,
                listeners,
            })
            .await?;
        Ok(revision)
    }

    /// Puts an update in force.
    pub fn apply(&mut self, update: Update) {
        for (issuer, error) in self.directory.apply(&update) {
            tracing::error!(issuer, %error, "the issuer's keys cannot be read; its tokens are refused");
        }
        if update.reset {
            self.keep_only(&update);
        }
        let moved = *self.environment != *update.environment;
        if moved {
            self.environment = update.environment.as_str().into();
        }
        let changed =
            update.reset || moved || !update.apis.is_empty() || !update.backends.is_empty();
        for change in update.backends {
            self.backend_put(change);
        }
        for change in update.apis {
            let Some(model) = change.model else {
                self.apis.remove(&change.key);
                continue;
            };
            let unchanged = self
                .apis
                .get(&change.key)
                .is_some_and(|built| built.api.digest == *model.digest());
            if !unchanged {
                let built = compile::build(&model.open());
                let built = BuiltApi {
                    mark: sync::served_mark(&change.key, &built.api.digest),
                    api: built.api,
                    backends: built.backends,
                    diagnostics: built.diagnostics,
                };
                self.apis.insert(change.key, built);
            }
        }
        if changed {
            self.swap(update.revision);
        }
    }

    /// Forgets what a complete update does not name; what it names stays as it is, where it is the same.
    fn keep_only(&mut self, update: &Update) {
        let apis: HashSet<&ResourceKey> = update.apis.iter().map(|change| &change.key).collect();
        self.apis.retain(|key, _| apis.contains(key));
        let backends: HashSet<(&Org, &str)> = update
            .backends
            .iter()
            .map(|change| (&change.key.org, change.key.name.as_str()))
            .collect();
        self.backends
            .retain(|key, _| backends.contains(&(&key.org, &*key.name)));
    }

    fn backend_put(&mut self, change: Change<Arc<BackendModel>>) {
        let key = BackendKey {
            org: change.key.org,
            name: change.key.name.as_str().into(),
        };
        let unchanged = |model: &Arc<BackendModel>| {
            let have = self.backends.get(&key);
            have.is_some_and(|have| have.digest == model.digest)
        };
        // The same one keeps its connections.
        if change.model.as_ref().is_some_and(unchanged) {
            return;
        }
        let built = change.model.map(|model| compile::build_backend(&model));
        match built {
            Some(Ok(backend)) => {
                self.backends.insert(key, backend);
            }
            Some(Err(diagnostics)) => {
                tracing::error!(
                    backend = &*key.name,
                    ?diagnostics,
                    "the backend cannot be used; calls to it fail"
                );
                self.backends.remove(&key);
            }
            None => {
                self.backends.remove(&key);
            }
        }
    }

    fn swap(&self, revision: u64) {
        let own = self
            .apis
            .values()
            .flat_map(|built| &built.backends)
            .map(|own| (own.key.clone(), Arc::clone(own)));
        let backends = self
            .backends
            .iter()
            .map(|(key, backend)| (key.clone(), Arc::clone(backend)))
            .chain(own);
        let apis = self.apis.values().map(|built| Arc::clone(&built.api));
        let (snapshot, conflicts) = Snapshot::new(revision, apis, backends);
        for conflict in conflicts {
            tracing::error!(
                mount = conflict.mount,
                holder = conflict.holder,
                loser = conflict.loser,
                "conflicting APIs"
            );
        }
        let snapshot = snapshot.in_environment(&self.environment);
        self.snapshots.store(Arc::new(Some(snapshot)));
    }

    /// The digest over all that is in force here.
    fn digest(&self) -> Digest {
        sync::served_digest(self.apis.values().map(|built| built.mark))
    }

    fn broken(&self) -> Vec<BrokenApi> {
        let broken = |(key, built): (&ResourceKey, &BuiltApi)| {
            built.diagnostics.has_errors().then(|| BrokenApi {
                key: key.clone(),
                diagnostics: built.diagnostics.clone(),
            })
        };
        self.apis.iter().filter_map(broken).collect()
    }
}

#[cfg(test)]
mod tests;
