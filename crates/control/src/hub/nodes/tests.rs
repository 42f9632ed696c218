use base::{ManualClock, Org};
use store_sql::{OpenOptions, SqlStore};
use tempfile::TempDir;

use super::*;

const LEASE_MS: u64 = 1000;

/// Two control processes over one store.
struct World {
    clock: Arc<ManualClock>,
    here: Arc<Nodes>,
    there: Arc<Nodes>,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::at(folder.path().join("tollway.db"));
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(&options).await.unwrap());
        let clock = Arc::new(ManualClock::at(1_000_000));
        let nodes = || Nodes::new(Arc::clone(&store), clock.clone(), LEASE_MS);
        Self {
            here: nodes(),
            there: nodes(),
            clock,
            _folder: folder,
        }
    }
}

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
        digest: Digest::of(&revision.to_be_bytes()),
        broken: Vec::new(),
        listeners: Vec::new(),
    }
}

/// What is known of the live nodes: name and acknowledged revision.
async fn facts(nodes: &Nodes) -> Vec<(String, Option<u64>)> {
    let alive = nodes.alive().await.unwrap();
    let facts = alive.into_iter().map(|node| (node.id.0, node.revision));
    facts.collect()
}

/// Asks until it is so: other processes learn it a little later.
async fn until(nodes: &Nodes, wanted: &[(&str, Option<u64>)]) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(id, revision)| ((*id).to_owned(), *revision))
        .collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = facts(nodes).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} is not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// req: C1
#[tokio::test]
async fn a_node_lives_until_its_lease_ends() {
    let world = World::new().await;
    assert!(facts(&world.here).await.is_empty());
    world.here.seen(&node("a"));
    world.here.acknowledge(ack("b", 5));
    let both = [("a".to_owned(), None), ("b".to_owned(), Some(5))];
    assert_eq!(facts(&world.here).await, both);
    let summary = world.here.summary(5);
    assert_eq!((summary.alive, summary.behind), (2, 1));
    world.clock.advance_ms(LEASE_MS - 1);
    world.here.acknowledge(ack("b", 6));
    world.clock.advance_ms(1);
    assert_eq!(facts(&world.here).await, [("b".to_owned(), Some(6))]);
}

/// req: C1
#[tokio::test]
async fn other_processes_know_what_nodes_say() {
    let world = World::new().await;
    world.here.seen(&node("a"));
    until(&world.there, &[("a", None)]).await;
    let mut ack = ack("a", 7);
    let key = ResourceKey {
        org: Org::default_org(),
        name: "pets".to_owned(),
    };
    ack.broken = vec![BrokenApi {
        key: key.clone(),
        diagnostics: Diagnostics(vec![base::Diagnostic::error("odd", "/spec", "no")]),
    }];
    world.here.acknowledge(ack.clone());
    until(&world.there, &[("a", Some(7))]).await;
    let told = world.there.alive().await.unwrap();
    assert_eq!(told, world.here.alive().await.unwrap());
    assert_eq!(told[0].broken(&key), Some(&ack.broken[0].diagnostics));
    assert_eq!(told[0].digest, Some(ack.digest));
    world.clock.advance_ms(LEASE_MS);
    until(&world.there, &[]).await;
}

/// req: C1
#[tokio::test]
async fn nodes_of_a_process_that_stops_hold_nobody_up() {
    let world = World::new().await;
    world.here.acknowledge(ack("a", 5));
    world.there.acknowledge(ack("b", 5));
    until(&world.there, &[("a", Some(5)), ("b", Some(5))]).await;
    world.here.leave().await.unwrap();
    until(&world.there, &[("b", Some(5))]).await;
    until(&world.here, &[("b", Some(5))]).await;
}

/// A node that speaks to another process now: the later lease says with whom.
#[tokio::test]
async fn a_node_may_go_from_one_process_to_another() {
    let world = World::new().await;
    world.here.acknowledge(ack("a", 5));
    until(&world.there, &[("a", Some(5))]).await;
    world.clock.advance_ms(10);
    world.there.acknowledge(ack("a", 6));
    until(&world.there, &[("a", Some(6))]).await;
    until(&world.here, &[("a", Some(6))]).await;
}

/// A lease that is renewed without news is told when half of it is over, and nothing is told in between.
#[tokio::test]
async fn a_quiet_node_costs_the_store_little() {
    let world = World::new().await;
    let told = async || world.here.store.node_list().await.unwrap()[0].lease_until_unix_ms;
    world.here.acknowledge(ack("a", 5));
    until(&world.there, &[("a", Some(5))]).await;
    let first = told().await;
    while world.here.lock().telling {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.clock.advance_ms(LEASE_MS / 2);
    world.here.acknowledge(ack("a", 5));
    assert!(!world.here.lock().telling, "nothing to tell yet");
    world.clock.advance_ms(1);
    world.here.seen(&node("a"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while told().await == first {
        assert!(Instant::now() < deadline, "the renewed lease was not told");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(told().await, first + LEASE_MS / 2 + 1);
}
