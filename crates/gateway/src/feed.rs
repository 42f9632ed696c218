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
use sync::{
    Ack, BackendModel, BrokenApi, Change, ControlPlane, ListenerFault, ListenerModel, Node,
    ResourceKey, SyncError, Update,
};

use tokio::sync::{Notify, watch};

use crate::Snapshots;
use crate::asking::{Asker, AskingLimits, Rounds};
use crate::directory::NodeDirectory;
use crate::last_good::{self, Keeper};
use crate::live::{Closer, Reason};
use crate::ports::Ports;

/// How long the feed waits after the control plane failed, and how often old revocations are swept.
const RETRY: Duration = Duration::from_millis(500);
const SWEEP: Duration = Duration::from_secs(30);
/// How long the control plane may take to answer at the start, before what is on the disk is served.
const FIRST: Duration = Duration::from_secs(2);
/// How often the disk is told that the control plane answers.
const TELL_MS: u64 = 10_000;

/// What the feed has brought the node to; shared with readiness and metrics.
#[derive(Debug, Default)]
pub struct FeedState {
    ready: AtomicBool,
    revision: AtomicU64,
    broken: AtomicU64,
    failures: AtomicU64,
    /// What is served came from the disk.
    from_disk: AtomicBool,
    seen_unix_ms: AtomicU64,
    /// A round is wanted at once.
    nudge: Notify,
    rounds: watch::Sender<u64>,
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

    /// Whether what is served came from the disk, and the control plane has not answered since.
    #[must_use]
    pub fn is_from_disk(&self) -> bool {
        self.from_disk.load(Ordering::Acquire)
    }

    /// When the control plane last answered, in milliseconds since 1970; 0 = never.
    #[must_use]
    pub fn seen_unix_ms(&self) -> u64 {
        self.seen_unix_ms.load(Ordering::Acquire)
    }

    /// Has the feed look for news at once; returns when a round that began after this has ended well.
    pub async fn caught_up(&self) {
        let mut rounds = self.rounds.subscribe();
        // The first one that ends may have begun before.
        for _ in 0..2 {
            let seen = *rounds.borrow_and_update();
            self.nudge.notify_one();
            // The sender is `self`.
            let _ = rounds.wait_for(|rounds| *rounds > seen).await;
        }
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
    public_url: Option<Arc<str>>,
    apis: BTreeMap<ResourceKey, BuiltApi>,
    backends: HashMap<BackendKey, Arc<Backend>>,
    ports: Option<Ports>,
    rounds: Arc<Rounds>,
    asking: AskingLimits,
    closer: Option<Closer>,
    kept: Option<Kept>,
    /// What there was is too old to be served; the next update has to be put in force whole.
    expired: bool,
}

/// What is kept on the disk, and the way there.
struct Kept {
    settings: last_good::Settings,
    keeper: Keeper,
    told_unix_ms: u64,
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
            public_url: None,
            apis: BTreeMap::new(),
            backends: HashMap::new(),
            ports: None,
            rounds: Arc::default(),
            asking: AskingLimits::default(),
            closer: None,
            kept: None,
            expired: false,
        }
    }

    /// Keeps what the node serves on its disk, and begins with that where the control plane is away.
    #[must_use]
    pub fn with_last_good(mut self, settings: last_good::Settings, keeper: Keeper) -> Self {
        self.kept = Some(Kept {
            settings,
            keeper,
            told_unix_ms: 0,
        });
        self
    }

    /// Asks the control plane within these limits what the tables cannot tell.
    #[must_use]
    pub fn with_asking(mut self, limits: AskingLimits) -> Self {
        self.directory.asking_limits_set(limits);
        self.asking = limits;
        self
    }

    /// Ends calls that are open when what let them in ends: tokens, credentials, applications, subscriptions.
    #[must_use]
    pub fn with_closer(mut self, closer: Closer) -> Self {
        self.closer = Some(closer);
        self
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
            self.asking,
        ));
        let asked = self.directory.asking();
        let paused = || {
            asked.catch_ups_paused.fetch_add(1, Ordering::Relaxed);
        };
        let mut nudged = None;
        let mut since = self.begin().await;
        let mut swept_ms = self.clock.monotonic_ms();
        loop {
            let round = self.rounds.begin();
            match self.step(since).await {
                Ok(revision) => since = Some(revision),
                Err(error) => {
                    self.state.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the control plane cannot be reached; serving what is there");
                    self.expire();
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            self.rounds.end(round);
            // What ends by the clock: a round comes every few seconds.
            self.close_ended();
            self.state.rounds.send_modify(|rounds| *rounds += 1);
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
                () = self.rounds.wanted(&mut nudged, self.asking.pause_ms, paused) => {}
                () = self.state.nudge.notified() => {}
            }
        }
    }

    /// One round: returns the revision that the node is at.
    async fn step(&mut self, since: Option<u64>) -> Result<u64, SyncError> {
        let mut update = self.plane.pull(&self.node, since).await?;
        let revision = update.revision;
        let delta = self.kept.is_some() && !update.reset && since != Some(revision);
        let delta = delta.then(|| update.clone());
        let wanted = std::mem::take(&mut update.listeners);
        self.apply(update);
        let listeners = self.in_force(revision, wanted).await;
        let broken = self.broken();
        let now_unix_ms = self.clock.unix_ms();
        self.state
            .seen_unix_ms
            .store(now_unix_ms, Ordering::Release);
        if self.state.from_disk.swap(false, Ordering::AcqRel) {
            tracing::info!(revision, "the control plane is back");
        }
        self.plane
            .acknowledge(Ack {
                node: self.node.clone(),
                revision,
                digest: self.digest(),
                broken,
                listeners,
            })
            .await?;
        self.keep(delta, now_unix_ms).await?;
        Ok(revision)
    }

    /// Opens ports, and says what is in force.
    async fn in_force(&self, revision: u64, ports: Vec<ListenerModel>) -> Vec<ListenerFault> {
        let faults = match &self.ports {
            Some(open) => open.set(ports).await,
            None => Vec::new(),
        };
        let broken = self.broken().len() as u64;
        self.state.broken.store(broken, Ordering::Relaxed);
        self.state.revision.store(revision, Ordering::Release);
        self.state.ready.store(true, Ordering::Release);
        faults
    }

    /// The first round: from the control plane, or, where that is away, from the disk.
    async fn begin(&mut self) -> Option<u64> {
        let settings = self.kept.as_ref()?.settings.clone();
        match tokio::time::timeout(FIRST, self.step(None)).await {
            Ok(Ok(revision)) => return Some(revision),
            Ok(Err(error)) => tracing::warn!(%error, "the control plane cannot be reached"),
            Err(_) => tracing::warn!("the control plane does not answer"),
        }
        self.state.failures.fetch_add(1, Ordering::Relaxed);
        if self.state.is_ready() {
            return Some(self.state.revision());
        }
        let age_max_ms = settings.age_max_ms;
        let loaded = tokio::task::spawn_blocking(move || last_good::load(&settings)).await;
        let loaded = match loaded {
            Ok(Ok(loaded)) => loaded?,
            Ok(Err(damage)) => {
                tracing::error!(%damage, "what was kept on the disk cannot be used");
                return None;
            }
            Err(_) => return None,
        };
        for damage in &loaded.damage {
            tracing::error!(%damage, "of what was kept on the disk the end is lost");
        }
        let age_ms = self.clock.unix_ms().saturating_sub(loaded.seen_unix_ms);
        if age_ms > age_max_ms {
            tracing::error!(
                age_s = age_ms / 1000,
                "what was kept on the disk is too old to be served"
            );
            return None;
        }
        let mut update = loaded.update;
        let revision = update.revision;
        let ports = std::mem::take(&mut update.listeners);
        self.state.from_disk.store(true, Ordering::Release);
        self.state
            .seen_unix_ms
            .store(loaded.seen_unix_ms, Ordering::Release);
        self.apply(update);
        self.in_force(revision, ports).await;
        tracing::warn!(
            revision,
            age_s = age_ms / 1000,
            "the control plane is away: serving what was kept on the disk"
        );
        Some(revision)
    }

    /// Puts on the disk what has changed, or all of it where that is wanted.
    async fn keep(&mut self, delta: Option<Update>, now_unix_ms: u64) -> Result<(), SyncError> {
        let Some(kept) = &mut self.kept else {
            return Ok(());
        };
        if kept.keeper.wants_base() {
            let update = self.plane.pull(&self.node, None).await?;
            kept.keeper.base(update, now_unix_ms);
        } else if let Some(delta) = delta {
            kept.keeper.delta(delta, now_unix_ms);
        } else if now_unix_ms.saturating_sub(kept.told_unix_ms) >= TELL_MS {
            kept.told_unix_ms = now_unix_ms;
            kept.keeper.seen(now_unix_ms);
        }
        Ok(())
    }

    /// Stops serving what is too old: what was revoked meanwhile is not known.
    fn expire(&mut self) {
        let Some(kept) = &self.kept else { return };
        let age_ms = self
            .clock
            .unix_ms()
            .saturating_sub(self.state.seen_unix_ms());
        if self.state.is_ready() && age_ms > kept.settings.age_max_ms {
            tracing::error!(
                age_s = age_ms / 1000,
                "the control plane was away for too long: calls are refused"
            );
            self.expired = true;
            self.state.ready.store(false, Ordering::Release);
            self.snapshots.store(Arc::new(None));
        }
    }

    /// Puts an update in force.
    pub fn apply(&mut self, update: Update) {
        let ended = update.reset || !update.entries.is_empty();
        for (issuer, error) in self.directory.apply(&update) {
            tracing::error!(issuer, %error, "the issuer cannot be used; its tokens are refused");
        }
        if ended {
            self.close_ended();
        }
        if update.reset {
            self.keep_only(&update);
        }
        let moved = *self.environment != *update.environment
            || self.public_url.as_deref() != update.public_url.as_deref();
        if moved {
            self.environment = update.environment.as_str().into();
            self.public_url = update.public_url.as_deref().map(Arc::from);
        }
        let expired = std::mem::take(&mut self.expired);
        let changed = update.reset
            || moved
            || expired
            || !update.apis.is_empty()
            || !update.backends.is_empty();
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

    /// Ends open calls whose caller would not be let in any more (req: T2).
    fn close_ended(&self) {
        let Some(closer) = &self.closer else {
            return;
        };
        let directory = Arc::clone(&self.directory);
        let now_unix_s = self.clock.unix_s();
        closer.close_where(Reason::Revoked, move |caller| {
            directory.has_ended(caller, now_unix_s)
        });
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
        let snapshot = snapshot
            .in_environment(&self.environment)
            .at_public_url(self.public_url.clone());
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
