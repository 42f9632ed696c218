use std::collections::BTreeSet;

use async_trait::async_trait;
use base::{CredentialId, Digest, KeyMark, ManualClock};
use sync::{Ack, Node, SyncError, Update};
use tempfile::TempDir;
use usage::{Epoch, StatusClass, Unclean};

use super::*;
use crate::usage::table::{Call, Subject};
use crate::usage::{Tally, channel};

const PATIENCE: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(5);
const ROOMY: u64 = 1 << 20;

/// A control plane that can be away, or take a batch and lose its word on it.
#[derive(Default)]
struct Plane {
    /// Everything that came, also what was refused.
    asked: Mutex<Vec<(Epoch, u64)>>,
    stored: Mutex<Vec<Batch>>,
    mood: Mutex<Mood>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Well,
    /// It does not answer.
    Away,
    /// It stores, and the answer gets lost.
    Mute,
    /// It can never take it.
    Refusing,
}

#[async_trait]
impl ControlPlane for Plane {
    async fn pull(&self, _: &Node, _: Option<u64>) -> Result<Update, SyncError> {
        Err(SyncError::Unavailable("not asked here".to_owned()))
    }

    async fn changed(&self, _: u64) {}

    async fn acknowledge(&self, _: Ack) -> Result<(), SyncError> {
        Ok(())
    }

    async fn endpoints(&self, _: &Node, _: Vec<sync::BackendReport>) -> Result<(), SyncError> {
        Ok(())
    }

    async fn decided(&self, _: &Node, _: Vec<sync::Decision>) -> Result<(), SyncError> {
        Ok(())
    }

    async fn report(&self, batch: Batch) -> Result<(), SyncError> {
        let mood = *self.mood.lock().unwrap();
        let key = (batch.epoch, batch.sequence);
        self.asked.lock().unwrap().push(key);
        match mood {
            Mood::Away => return Err(SyncError::Unavailable("away".to_owned())),
            Mood::Refusing => return Err(SyncError::Refused("never".to_owned())),
            Mood::Well | Mood::Mute => {}
        }
        let mut stored = self.stored.lock().unwrap();
        if stored
            .last()
            .is_none_or(|last| (last.epoch, last.sequence) < key)
        {
            stored.push(batch);
        }
        match mood {
            Mood::Mute => Err(SyncError::Unavailable("mute".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Plane {
    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn stored(&self) -> u64 {
        self.stored
            .lock()
            .unwrap()
            .iter()
            .map(Batch::requests)
            .sum()
    }
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: it never was"));
}

/// Workers, played by the test, and the collector that asks them.
struct Node1 {
    tallies: Vec<Tally>,
    collector: Option<tokio::task::JoinHandle<()>>,
    state: Arc<UsageState>,
    epoch: Epoch,
}

impl Node1 {
    fn start(folder: &TempDir, plane: &Arc<Plane>, bytes_max: u64) -> Self {
        Self::start_with(folder, plane, bytes_max, INTERVAL)
    }

    fn start_with(
        folder: &TempDir,
        plane: &Arc<Plane>,
        bytes_max: u64,
        interval: Duration,
    ) -> Self {
        let spool = Spool::open(folder.path(), "n1", bytes_max).unwrap();
        let epoch = spool.epoch();
        let clock = Arc::new(ManualClock::at(1_789_776_000_000));
        let (outlet, flushes) = channel(2);
        let tally = || Tally::new(100, outlet.clone(), clock.clone() as Arc<dyn Clock>);
        let tallies = vec![tally(), tally()];
        drop(outlet);
        let plane = Arc::clone(plane);
        let mut collector = Collector::new(
            flushes,
            spool,
            interval,
            plane.clone() as _,
            clock.clone() as _,
        );
        // However busy the machine is.
        collector.last_send = PATIENCE;
        let state = collector.state();
        Self {
            tallies,
            collector: Some(tokio::spawn(collector.run())),
            state,
            epoch,
        }
    }

    /// Counts calls on both cores, and answers the collector's questions meanwhile.
    async fn calls(&self, count: u64) {
        for call in 0..count {
            let tally = &self.tallies[usize::from(call % 2 == 0)];
            let subject = Subject {
                org: "default",
                environment: "production",
                api: "pets",
                operation: "list",
                mark: None,
                method: "GET",
                application: None,
                plan: "",
                status: StatusClass::of(if call % 5 == 0 { 404 } else { 200 }),
            };
            let row = tally.table.row(&subject);
            tally.table.count(&row, Call::default());
            if call % 7 == 0 {
                self.answer();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn answer(&self) {
        for tally in &self.tallies {
            let round = *tally.outlet.rounds.borrow();
            tally.flush(Some(round));
        }
    }

    /// The workers end, and the collector after them.
    async fn stop(mut self) {
        self.tallies.clear();
        let collector = self.collector.take().unwrap();
        tokio::time::timeout(2 * PATIENCE, collector)
            .await
            .unwrap()
            .unwrap();
    }

    /// Nothing more happens, as after `kill -9`.
    async fn kill(mut self) {
        let collector = self.collector.take().unwrap();
        collector.abort();
        let _ = collector.await;
    }
}

#[tokio::test]
async fn what_is_counted_is_stored_and_the_stop_is_told() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    let node = Node1::start(&folder, &plane, ROOMY);
    node.calls(100).await;
    let state = Arc::clone(&node.state);
    node.stop().await;
    assert_eq!(plane.stored(), 100);
    let stored = plane.stored.lock().unwrap();
    let sequences: Vec<u64> = stored.iter().map(|batch| batch.sequence).collect();
    assert_eq!(sequences, (1..=stored.len() as u64).collect::<Vec<_>>());
    assert!(stored[0].rows.is_empty() && stored[0].unclean.is_none());
    let last = stored.last().unwrap();
    assert!(last.last && last.rows.is_empty());
    assert_eq!(last.sent_requests, 100);
    assert_eq!(state.sent(), stored.len() as u64);
    assert_eq!((state.spooled(), state.lost_batches()), (state.sent(), 0));
}

/// The control plane goes away, and loses answers: all that is counted arrives, in order, and counts once (req: O1).
#[tokio::test]
async fn a_control_plane_that_comes_back_gets_everything_once() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    let node = Node1::start(&folder, &plane, ROOMY);
    node.calls(30).await;
    plane.be(Mood::Away);
    node.calls(200).await;
    node.answer();
    until("failures", || node.state.failures() > 1).await;
    let stored = plane.stored();
    assert!(stored <= 30, "{stored}");
    assert!(node.state.waiting_bytes() > 0);
    plane.be(Mood::Mute);
    let failures = node.state.failures();
    until("lost answers", || node.state.failures() > failures + 1).await;
    plane.be(Mood::Well);
    node.calls(30).await;
    node.stop().await;
    assert_eq!(plane.stored(), 260);
    let asked = plane.asked.lock().unwrap();
    assert!(asked.is_sorted(), "in their order");
    let different: BTreeSet<_> = asked.iter().collect();
    assert!(asked.len() > different.len(), "some were sent twice");
    assert_eq!(different.len(), plane.stored.lock().unwrap().len());
}

/// A crash while the control plane is away: what was flushed is sent by the next start, which tells of the crash.
#[tokio::test]
async fn a_crash_loses_what_was_not_flushed_and_no_more() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    plane.be(Mood::Away);
    let node = Node1::start(&folder, &plane, ROOMY);
    node.calls(50).await;
    node.answer();
    let spooled = node.state.spooled();
    until("the last flush", || {
        node.answer();
        node.state.spooled() > spooled + 2 || node.state.waiting_bytes() > 0
    })
    .await;
    // Three questions later everything is on the disk.
    let rounds = *node.tallies[0].outlet.rounds.borrow();
    until("rounds", || {
        node.answer();
        *node.tallies[0].outlet.rounds.borrow() > rounds + 3
    })
    .await;
    let first = node.epoch;
    // These are not flushed any more.
    let subject = Subject::UNKNOWN;
    let table = &node.tallies[0].table;
    (0..7).for_each(|_| {
        table.count(&table.row(&subject), Call::default());
    });
    node.kill().await;

    plane.be(Mood::Well);
    let node = Node1::start(&folder, &plane, ROOMY);
    node.calls(10).await;
    node.stop().await;
    assert_eq!(plane.stored(), 60);
    let stored = plane.stored.lock().unwrap();
    let latest = stored
        .iter()
        .filter(|batch| batch.epoch == first)
        .map(|batch| batch.sequence)
        .max();
    let start = stored.iter().find(|batch| batch.epoch != first).unwrap();
    let unclean = Unclean {
        epoch: first,
        sequence: latest.unwrap(),
    };
    assert_eq!((start.sequence, start.unclean), (1, Some(unclean)));
}

/// A start on a full spool tells of the crash as soon as there is room.
#[tokio::test]
async fn an_unclean_end_is_told_however_full_the_spool_is() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    plane.be(Mood::Away);
    let node = Node1::start(&folder, &plane, 4_096);
    while node.state.lost_batches() == 0 {
        node.calls(20).await;
        node.answer();
    }
    let first = node.epoch;
    node.kill().await;
    let node = Node1::start(&folder, &plane, 2_000);
    until("a lost batch", || node.state.lost_batches() > 0).await;
    plane.be(Mood::Well);
    until("room", || node.state.sent() > 0).await;
    node.calls(20).await;
    node.stop().await;
    let stored = plane.stored.lock().unwrap();
    let told: Vec<_> = stored.iter().filter_map(|batch| batch.unclean).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].epoch, first);
}

/// A full spool loses what comes, and says how much.
#[tokio::test]
async fn what_a_full_spool_loses_is_counted() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    plane.be(Mood::Away);
    let node = Node1::start(&folder, &plane, 4_096);
    while node.state.lost_requests() < 20 {
        node.calls(20).await;
        node.answer();
    }
    plane.be(Mood::Well);
    node.calls(20).await;
    let (state, tables) = (Arc::clone(&node.state), Arc::clone(&plane));
    node.stop().await;
    let stored = tables.stored.lock().unwrap();
    let last = stored.last().unwrap();
    assert_eq!(last.lost.requests, state.lost_requests());
    assert_eq!(last.lost.batches, state.lost_batches());
    let kept: u64 = stored.iter().map(Batch::requests).sum();
    assert_eq!(kept, last.sent_requests);
    assert_eq!(
        (kept + last.lost.requests) % 20,
        0,
        "nothing else is missing"
    );
    assert_eq!(last.sequence, stored.len() as u64 + last.lost.batches);
}

#[tokio::test]
async fn what_the_control_plane_refuses_is_lost_and_counted() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    plane.be(Mood::Refusing);
    let node = Node1::start(&folder, &plane, ROOMY);
    node.calls(10).await;
    node.answer();
    until("the refusal", || {
        node.answer();
        node.state.lost_requests() == 10
    })
    .await;
    plane.be(Mood::Well);
    node.stop().await;
    assert_eq!(plane.stored(), 0);
}

/// A stop does not wait for the interval.
#[tokio::test]
async fn a_stop_is_gathered_at_once() {
    let (folder, plane) = (TempDir::new().unwrap(), Arc::new(Plane::default()));
    let node = Node1::start_with(&folder, &plane, ROOMY, Duration::from_secs(600));
    until("the first batch", || node.state.sent() > 0).await;
    node.calls(10).await;
    node.stop().await;
    assert_eq!(plane.stored(), 10);
}

/// Calls belong to the minute in which their interval began.
#[tokio::test]
async fn a_batch_does_not_cross_a_minute() {
    let mut gathered = Gathered::default();
    let (outlet, _flushes) = channel(1);
    let clock = Arc::new(ManualClock::at(59_500));
    let tally = Tally::new(10, outlet, clock.clone());
    let key = KeyUse {
        credential: CredentialId::generate(),
        mark: KeyMark::of(&Digest::of(b"key")),
    };
    for _ in 0..3 {
        let table = &tally.table;
        table.count(&table.row(&Subject::UNKNOWN), Call::default());
        clock.advance_ms(400);
        let (from_unix_ms, rows) = table.take(clock.unix_ms());
        gathered.add(Flush {
            round: Some(1),
            from_unix_ms,
            rows,
            keys: vec![key],
        });
    }
    let told: Vec<_> = gathered
        .0
        .values()
        .map(|counted| {
            let requests = counted.rows.values().map(|counts| counts.requests).sum();
            (counted.from_unix_ms, requests, counted.keys.len())
        })
        .collect();
    assert_eq!(told, [(59_500, 2, 1), (60_300, 1, 1)]);
}
