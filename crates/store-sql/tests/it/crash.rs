//! `kill -9` while writers write: what was acknowledged is there, and nothing is there by half.
//!
//! The process that is killed is this test binary itself, called for the ignored test [`child`].
//! (A power cut cannot be played here: `synchronous=FULL` and the file system's word stand for it.)

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base::Org;
use store::{ChangeKey, HistoryFilter, Page, RecordKind, ResourceStore, Store};
use store_sql::SqlStore;
use tempfile::TempDir;

use super::{api, batch, options};

const FOLDER: &str = "STORE_SQL_CRASH_FOLDER";
const ROUND: &str = "STORE_SQL_CRASH_ROUND";
const ROUNDS: usize = 20;
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed; called by kill_loses_nothing_acknowledged"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let round = std::env::var(ROUND).unwrap();
    let store = SqlStore::open(&options(Path::new(&folder))).await.unwrap();
    let store = Arc::new(store);
    let tasks = (0..WRITERS).map(|writer| {
        let (store, round) = (store.clone(), round.clone());
        tokio::spawn(async move {
            // An end in case that nobody kills us.
            for number in 0..100_000 {
                let stem = format!("{round}-{writer}-{number}");
                let writes = vec![
                    api(&format!("{stem}-a"), ""),
                    api("hot", &stem),
                    api(&format!("{stem}-b"), ""),
                ];
                let revision = store.commit(batch(writes)).await.unwrap();
                let line = format!("acknowledged {revision} {stem}\n");
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).unwrap();
                out.flush().unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn start(folder: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the child write for a random while after its first answer, kills it, and returns what it acknowledged.
fn killed_at_random(mut child: Child) -> Vec<(u64, String)> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged = |line: String| {
        let line = line.split_once("acknowledged ")?.1;
        let (revision, stem) = line.split_once(' ')?;
        Some((revision.parse().unwrap(), stem.to_owned()))
    };
    let first = lines
        .by_ref()
        .find_map(|line| acknowledged(line.unwrap()))
        .expect("the child answers before it ends");
    let killer = std::thread::spawn(move || {
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        std::thread::sleep(Duration::from_micros(400 * random));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let rest = lines.map_while(Result::ok).filter_map(acknowledged);
    let all = std::iter::once(first).chain(rest).collect();
    killer.join().unwrap();
    all
}

#[tokio::test]
async fn kill_loses_nothing_acknowledged() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in 0..ROUNDS {
        let child = start(folder.path(), round);
        acknowledged.extend(killed_at_random(child));
        let store = SqlStore::open(&options(folder.path())).await.unwrap();
        check(&store, &acknowledged).await;
        store.close().await;
    }
    assert!(acknowledged.len() > ROUNDS);
}

async fn check(store: &SqlStore, acknowledged: &[(u64, String)]) {
    let (org, kind) = (Org::default_org(), RecordKind::Api);
    let filter = store::Filter::default();
    let list = store.record_list(&org, kind, &filter, &Page::ALL).await;
    let records: HashMap<String, u64> = list
        .unwrap()
        .into_iter()
        .map(|record| (record.name, record.revision))
        .collect();
    for (revision, stem) in acknowledged {
        for part in ["a", "b"] {
            let stored = records.get(&format!("{stem}-{part}"));
            assert_eq!(stored, Some(revision), "{stem} was acknowledged");
        }
    }
    // All revisions are whole: the feed, the documents and the history agree on three documents each.
    let newest = store.revision().await.unwrap();
    let feed = store.changes_since(0, u64::MAX).await.unwrap();
    assert_eq!(feed.changes.len() as u64, 3 * newest);
    for (group, revision) in feed.changes.chunks(3).zip(1..) {
        assert!(group.iter().all(|change| change.revision == revision));
        let ChangeKey::Record { name, .. } = &group[0].key else {
            panic!("{group:?}");
        };
        let stem = name.strip_suffix("-a").unwrap();
        for part in ["a", "b"] {
            assert_eq!(records.get(&format!("{stem}-{part}")), Some(&revision));
        }
    }
    assert_eq!(records.len() as u64, 2 * newest + 1);
    assert_eq!(records.get("hot"), Some(&newest));
    let history = store
        .history_list(&org, &HistoryFilter::of(kind, "hot"))
        .await
        .unwrap();
    assert_eq!(history.len() as u64, newest);
}
