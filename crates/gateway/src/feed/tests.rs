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

/// req: C3
#[test]
fn ten_thousand_swaps_do_not_grow_memory() {
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
