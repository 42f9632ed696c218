use std::sync::Mutex;

use async_trait::async_trait;
use base::{Digest, ManualClock, Org};
use http::Method;
use serde_json::json;
use snapshot::{Found, Gate};
use sync::{ApiModel, Decision, NodeId, OperationModel, PackedApi, PolicyUse, SyncError};

use super::*;

/// A control plane that answers what the test has laid ready, and keeps what it is told.
#[derive(Default)]
struct Plane {
    updates: Mutex<Vec<Result<Update, SyncError>>>,
    asked: Mutex<Vec<Option<u64>>>,
    acks: Mutex<Vec<Ack>>,
}

#[async_trait]
impl ControlPlane for Plane {
    async fn pull(&self, _: &Node, since: Option<u64>) -> Result<Update, SyncError> {
        self.asked.lock().unwrap().push(since);
        self.updates.lock().unwrap().remove(0)
    }

    async fn changed(&self, _: u64) {}

    async fn acknowledge(&self, ack: Ack) -> Result<(), SyncError> {
        self.acks.lock().unwrap().push(ack);
        Ok(())
    }

    async fn report(&self, _: usage::Batch) -> Result<(), SyncError> {
        Ok(())
    }

    async fn endpoints(&self, _: &Node, _: Vec<sync::BackendReport>) -> Result<(), SyncError> {
        Ok(())
    }

    async fn decided(&self, _: &Node, _: Vec<Decision>) -> Result<(), SyncError> {
        Ok(())
    }
}

fn model(name: &str, policy: &str, seed: u64) -> Arc<PackedApi> {
    let org = Org::default_org();
    let operation = |template: &str| OperationModel {
        method: "GET".into(),
        template: template.into(),
        id: None,
        scopes: vec![],
        security: None,
        backend: Some("b".into()),
        sandbox: None,
        policies: vec![],
    };
    Arc::new(PackedApi::of(&ApiModel {
        org,
        name: name.into(),
        api: name.into(),
        version: "1".into(),
        context: format!("/{name}"),
        default_version: false,
        vhosts: vec![],
        gate: sync::Gate::Serve { deprecation: None },
        security: vec![],
        subscription_required: true,
        cors: None,
        transports: None,
        policies: vec![PolicyUse {
            policy: policy.into(),
            config: json!("5s"),
            pointer: "/spec/policies/0".into(),
        }],
        operations: vec![operation("/x"), operation("/y/{id}")],
        backends: vec![],
        digest: Digest::of(format!("{name} {policy} {seed}").as_bytes()),
    }))
}

fn update(revision: u64, reset: bool, apis: Vec<(&str, Option<Arc<PackedApi>>)>) -> Update {
    let change = |(name, model): (&str, Option<Arc<PackedApi>>)| Change {
        key: ResourceKey {
            org: Org::default_org(),
            name: name.to_owned(),
        },
        model,
    };
    let apis = apis.into_iter().map(change).collect();
    Update {
        revision,
        reset,
        apis,
        backends: vec![],
        plans: vec![],
        issuers: vec![],
        listeners: Vec::new(),
        environment: String::new(),
        public_url: None,
        entries: vec![],
    }
}

fn feed(plane: Arc<Plane>) -> Feed {
    let node = Node {
        id: NodeId("n".into()),
        gateway: "default".into(),
    };
    let snapshots = Arc::new(Snapshots::from_pointee(None));
    Feed::new(
        plane,
        node,
        Arc::new(ManualClock::at(0)),
        Arc::new(NodeDirectory::new()),
        snapshots,
    )
}

fn api(feed: &Feed, name: &str) -> Option<Arc<Api>> {
    let snapshot = feed.snapshots.load();
    Option::as_ref(&snapshot)?
        .api(&Org::default_org(), name)
        .cloned()
}

#[tokio::test]
async fn a_round_applies_then_acknowledges() {
    let plane = Arc::new(Plane::default());
    plane.updates.lock().unwrap().extend([
        Ok(update(7, true, vec![("a", Some(model("a", "timeout", 0)))])),
        Ok(update(9, false, vec![("a", None)])),
    ]);
    let mut feed = feed(Arc::clone(&plane));
    let state = feed.state();
    assert!(!state.is_ready());
    assert_eq!(feed.step(None).await.unwrap(), 7);
    assert!(state.is_ready() && state.revision() == 7 && api(&feed, "a").is_some());
    assert_eq!(feed.step(Some(7)).await.unwrap(), 9);
    assert!(api(&feed, "a").is_none());
    assert_eq!(*plane.asked.lock().unwrap(), [None, Some(7)]);
    let acks = plane.acks.lock().unwrap();
    assert_eq!(
        acks.iter().map(|ack| ack.revision).collect::<Vec<_>>(),
        [7, 9]
    );
}

/// Usage is counted under the environment of the gateway, from the moment that it changes.
#[tokio::test]
async fn the_environment_comes_with_the_update() {
    let plane = Arc::new(Plane::default());
    let in_environment = |revision, name: &str| Update {
        environment: name.to_owned(),
        ..update(revision, false, vec![])
    };
    plane.updates.lock().unwrap().extend([
        Ok(in_environment(1, "production")),
        Ok(in_environment(2, "test")),
    ]);
    let mut feed = feed(Arc::clone(&plane));
    for (since, name) in [(None, "production"), (Some(1), "test")] {
        feed.step(since).await.unwrap();
        let snapshot = feed.snapshots.load();
        let snapshot = Option::as_ref(&snapshot).unwrap();
        assert_eq!(&*snapshot.environment, name);
    }
}

/// A control plane that is away changes nothing of what is served.
#[tokio::test]
async fn a_failed_round_keeps_what_is_there() {
    let plane = Arc::new(Plane::default());
    let away = Err(SyncError::Unavailable("away".into()));
    plane.updates.lock().unwrap().extend([
        Ok(update(1, true, vec![("a", Some(model("a", "timeout", 0)))])),
        away,
    ]);
    let mut feed = feed(Arc::clone(&plane));
    feed.step(None).await.unwrap();
    assert!(feed.step(Some(1)).await.is_err());
    assert!(api(&feed, "a").is_some());
    assert_eq!(plane.acks.lock().unwrap().len(), 1);
}

/// req: C2
#[tokio::test]
async fn one_bad_api_is_broken_alone() {
    let plane = Arc::new(Plane::default());
    let both = vec![
        ("a", Some(model("a", "timeout", 0))),
        ("bad", Some(model("bad", "no-such-policy", 0))),
    ];
    plane
        .updates
        .lock()
        .unwrap()
        .push(Ok(update(1, true, both)));
    let mut feed = feed(Arc::clone(&plane));
    feed.step(None).await.unwrap();
    assert_eq!(api(&feed, "a").unwrap().gate, Gate::Serve);
    assert_eq!(api(&feed, "bad").unwrap().gate, Gate::Broken);
    assert_eq!(feed.state().broken(), 1);
    let acks = plane.acks.lock().unwrap();
    assert_eq!(acks[0].broken[0].key.name, "bad");
    assert!(acks[0].broken[0].diagnostics.has_errors());
}

#[test]
fn an_unchanged_api_keeps_its_form_and_a_reset_forgets() {
    let mut feed = feed(Arc::default());
    feed.apply(update(
        1,
        true,
        vec![
            ("a", Some(model("a", "timeout", 0))),
            ("b", Some(model("b", "timeout", 0))),
        ],
    ));
    let first = api(&feed, "a").unwrap();
    feed.apply(update(
        2,
        false,
        vec![
            ("a", Some(model("a", "timeout", 0))),
            ("b", Some(model("b", "timeout", 1))),
        ],
    ));
    assert!(Arc::ptr_eq(&first, &api(&feed, "a").unwrap()));
    feed.apply(update(
        3,
        false,
        vec![("a", Some(model("a", "timeout", 1)))],
    ));
    assert!(!Arc::ptr_eq(&first, &api(&feed, "a").unwrap()));
    feed.apply(update(4, true, vec![("b", Some(model("b", "timeout", 1)))]));
    assert!(api(&feed, "a").is_none() && api(&feed, "b").is_some());
}

/// Bytes of this process's memory that are resident.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Says that [`ten_thousand_swaps_do_not_grow_memory`] is to be run and not only called.
const ALONE: &str = "GATEWAY_FEED_SWAPS";

/// Other tests of this binary take memory too: this one has a process of its own.
///
/// req: C3
#[test]
fn ten_thousand_swaps_do_not_grow_memory() {
    if std::env::var_os(ALONE).is_none() {
        let name = "feed::tests::ten_thousand_swaps_do_not_grow_memory";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    let mut feed = feed(Arc::default());
    let models = [0, 1].map(|seed| model("a", "timeout", seed));
    let swap = |feed: &mut Feed, round: u64| {
        let model = Arc::clone(&models[usize::from(round % 2 == 1)]);
        feed.apply(update(round, false, vec![("a", Some(model))]));
    };
    (0..1_000).for_each(|round| swap(&mut feed, round));
    let before = resident();
    (1_000..11_000).for_each(|round| swap(&mut feed, round));
    let after = resident();
    assert!(
        after < before + before / 10,
        "{before} bytes grew to {after}"
    );
    let snapshots = feed.snapshots.load();
    let snapshot = Option::as_ref(&snapshots).unwrap();
    assert_eq!(snapshot.revision, 10_999);
    assert!(matches!(
        snapshot.find("h", "/a/1/x", &Method::GET),
        Found::Operation { .. }
    ));
}

/// A feed that keeps what it serves in a folder.
fn keeping(plane: Arc<Plane>, folder: &std::path::Path, age_max_ms: u64) -> Feed {
    let mut settings = crate::last_good::tests::settings(folder);
    settings.age_max_ms = age_max_ms;
    let keeper = Keeper::start(settings.clone()).unwrap();
    feed(plane).with_last_good(settings, keeper)
}

fn away() -> Result<Update, SyncError> {
    Err(SyncError::Unavailable("away".into()))
}

/// Keeps two APIs at revision 5 in a folder.
async fn kept_in(folder: &std::path::Path) {
    let plane = Arc::new(Plane::default());
    let all = || update(4, true, vec![("a", Some(model("a", "timeout", 1)))]);
    let more = update(5, false, vec![("b", Some(model("b", "timeout", 1)))]);
    *plane.updates.lock().unwrap() = vec![Ok(all()), Ok(all()), Ok(more)];
    let mut feed = keeping(Arc::clone(&plane), folder, u64::MAX);
    assert_eq!(feed.begin().await, Some(4));
    assert_eq!(feed.step(Some(4)).await.unwrap(), 5);
    let state = feed.kept.as_ref().unwrap().keeper.state();
    crate::last_good::tests::kept(&state, 5);
    assert_eq!(*plane.asked.lock().unwrap(), [None, None, Some(4)]);
}

/// req: GW14
#[tokio::test]
async fn a_node_starts_from_its_disk_and_joins_when_the_control_plane_is_back() {
    let folder = tempfile::tempdir().unwrap();
    kept_in(folder.path()).await;
    let plane = Arc::new(Plane::default());
    let next = update(6, false, vec![("a", None)]);
    *plane.updates.lock().unwrap() = vec![away(), Ok(next), Ok(update(6, true, vec![]))];
    let mut feed = keeping(Arc::clone(&plane), folder.path(), u64::MAX);
    assert_eq!(feed.begin().await, Some(5));
    let state = feed.state();
    assert!(state.is_ready() && state.is_from_disk());
    assert!(api(&feed, "a").is_some() && api(&feed, "b").is_some());
    assert!(plane.acks.lock().unwrap().is_empty());
    let b = api(&feed, "b").unwrap();
    assert_eq!(feed.step(Some(5)).await.unwrap(), 6);
    assert!(!state.is_from_disk());
    assert!(api(&feed, "a").is_none());
    assert!(
        Arc::ptr_eq(&b, &api(&feed, "b").unwrap()),
        "it was not touched"
    );
    assert_eq!(plane.acks.lock().unwrap()[0].revision, 6);
}

#[tokio::test]
async fn what_is_damaged_or_too_old_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    kept_in(folder.path()).await;
    // The clock of these tests stands near 1970, so what was kept there is young; age is what a limit of 0 makes of it.
    let plane = Arc::new(Plane::default());
    *plane.updates.lock().unwrap() = vec![away(), away()];
    let mut feed = keeping(Arc::clone(&plane), folder.path(), u64::MAX);
    std::fs::write(folder.path().join("base"), "nonsense").unwrap();
    assert_eq!(feed.begin().await, None);
    assert!(!feed.state().is_ready());
    assert!(feed.snapshots.load().is_none());
}

/// What was revoked while a node cannot hear of it goes on working: not for longer than its operator allows.
#[tokio::test]
async fn a_node_that_hears_nothing_for_too_long_refuses_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Arc::new(Plane::default());
    let all = || update(4, true, vec![("a", Some(model("a", "timeout", 1)))]);
    let same = || update(4, false, vec![]);
    *plane.updates.lock().unwrap() = vec![Ok(all()), Ok(all()), away(), away(), Ok(same())];
    let clock = Arc::new(ManualClock::at(1_000_000));
    let mut feed = keeping(Arc::clone(&plane), folder.path(), 60_000);
    feed.clock = clock.clone();
    assert_eq!(feed.begin().await, Some(4));
    clock.advance_ms(59_000);
    assert!(feed.step(Some(4)).await.is_err());
    feed.expire();
    assert!(feed.state().is_ready());
    clock.advance_ms(2_000);
    assert!(feed.step(Some(4)).await.is_err());
    feed.expire();
    assert!(!feed.state().is_ready());
    assert!(feed.snapshots.load().is_none(), "calls are refused");
    assert_eq!(feed.step(Some(4)).await.unwrap(), 4);
    assert!(feed.state().is_ready() && api(&feed, "a").is_some());
}
