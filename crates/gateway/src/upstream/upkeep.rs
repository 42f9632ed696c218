//! What the process does once, not once a core: it looks names of backends up, checks their endpoints, and looks at the
//! files of certificates. On a thread of its own, so that no request waits behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use snapshot::{Backend, Lookup, Snapshot};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::dns::Dns;
use super::health;
use super::members::Group;
use super::names::{Discovery, Tell};
use crate::worker::{Shared, Stage};

/// How often it is looked whether there is another snapshot.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Starts the thread; it ends with the gateway.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    wanted: mpsc::UnboundedReceiver<Tell>,
    mut stage: watch::Receiver<Stage>,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("gateway-upkeep".to_owned())
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "backends are not looked after: there is no runtime");
                    return;
                }
            };
            runtime.block_on(async move {
                let discovery = Dns::new(&shared.config.upstream);
                let shelf = Arc::clone(&shared.shelf);
                let stopped = stage.wait_for(|stage| *stage == Stage::Stopped);
                tokio::select! {
                    () = follow_names(discovery, wanted) => {}
                    () = look_after(shared) => {}
                    () = shelf.follow() => {}
                    // An error means that the gateway is gone.
                    _ = stopped => {}
                }
            });
        })?;
    Ok(())
}

async fn follow_names(discovery: impl Discovery, mut wanted: mpsc::UnboundedReceiver<Tell>) {
    while let Some(tell) = wanted.recv().await {
        spawn_local(discovery.follow(tell));
    }
}

/// A backend that is looked after: as long as this is there, names are followed and endpoints checked.
struct Care {
    group: Arc<Group>,
    checking: Option<JoinHandle<()>>,
}

impl Drop for Care {
    fn drop(&mut self) {
        if let Some(checking) = &self.checking {
            checking.abort();
        }
    }
}

/// Whether a backend needs more than being called.
fn needs_care(backend: &Backend) -> bool {
    let by_name = |lookup: Lookup| lookup != Lookup::Host;
    backend.health.check.is_some()
        || backend
            .endpoints
            .iter()
            .any(|endpoint| by_name(endpoint.lookup))
}

/// Looks after the backends of the snapshot in force, and forgets those of earlier ones.
async fn look_after(shared: Arc<Shared>) {
    let mut cared: HashMap<usize, Care> = HashMap::new();
    let mut seen = None;
    loop {
        let current = shared.snapshots.load_full();
        let address = Arc::as_ptr(&current).addr();
        if seen != Some(address) {
            if let Some(snapshot) = &*current {
                take_care(&shared, snapshot, &mut cared);
            }
            seen = Some(address);
        }
        // The snapshot is held, so that no other one gets its address while this is compared with it.
        tokio::time::sleep(LOOK_EVERY).await;
        drop(current);
    }
}

fn take_care(shared: &Arc<Shared>, snapshot: &Snapshot, cared: &mut HashMap<usize, Care>) {
    let mut before = std::mem::take(cared);
    for backend in snapshot.backends().filter(|backend| needs_care(backend)) {
        let address = Arc::as_ptr(backend).addr();
        // The group holds the backend, so the address is not used again.
        let care = before.remove(&address).unwrap_or_else(|| {
            let group = shared.endpoints.group(backend);
            let checking = health::checks(shared, &group);
            Care {
                checking: checking.map(spawn_local),
                group,
            }
        });
        cared.insert(address, care);
    }
    for gone in before.into_values() {
        let key = &gone.group.backend.key;
        let checked = snapshot
            .backend(key)
            .is_some_and(|backend| backend.health.check.is_some());
        if !checked {
            for member in &gone.group.members.load().list {
                member.state.forget_checks();
            }
        }
    }
    shared
        .endpoints
        .forget(|key| snapshot.backend(key).is_none());
}
