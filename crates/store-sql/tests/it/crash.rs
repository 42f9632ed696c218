//! `kill -9` while writers write: what was acknowledged is there, and nothing is there by half.
//!
//! The process that is killed is this test binary itself, called for the ignored test [`child`]; on PostgreSQL in every
//! third round the server with all its processes is killed too. (A power cut cannot be played here: `synchronous=FULL`,
//! `fsync` and the file system's word stand for it.)
//!
//! `STORE_SQL_CRASH_ROUNDS=500 cargo test -p store-sql --release -- crash` plays more rounds than CI does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base::{Digest, Org};
use parts::Postgres;
use store::{ChangeKey, HistoryFilter, Page, RecordKind, ResourceStore, Store, StoreError, Write};
use store_sql::{OpenOptions, SqlStore};
use tempfile::TempDir;

use super::{Home, api, batch, options, patient};

const FOLDER: &str = "STORE_SQL_CRASH_FOLDER";
const URL: &str = "STORE_SQL_CRASH_URL";
const ROUND: &str = "STORE_SQL_CRASH_ROUND";
const WRITERS: usize = 4;

/// Rounds: a handful in CI, as many as are asked for otherwise.
fn rounds() -> usize {
    std::env::var("STORE_SQL_CRASH_ROUNDS").map_or(10, |text| text.parse().unwrap())
}

/// What one writer commits: two documents of its own, one that all writers share, and a blob.
fn writes(stem: &str) -> Vec<Write> {
    vec![
        Write::BlobPut {
            digest: Digest::of(stem.as_bytes()),
            content: Arc::from(stem.as_bytes()),
        },
        api(&format!("{stem}-a"), ""),
        api("hot", stem),
        api(&format!("{stem}-b"), ""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed; called by the tests of this file"]
async fn child() {
    let Ok(round) = std::env::var(ROUND) else {
        return;
    };
    let options = match (std::env::var_os(FOLDER), std::env::var(URL)) {
        (Some(folder), _) => options(Path::new(&folder)),
        (None, url) => patient(OpenOptions::on(url.unwrap().parse().unwrap())),
    };
    let store = Arc::new(SqlStore::open(&options).await.unwrap());
    let tasks = (0..WRITERS).map(|writer| {
        let (store, round) = (store.clone(), round.clone());
        tokio::spawn(async move {
            // An end in case that nobody kills us.
            for number in 0..100_000 {
                let stem = format!("{round}-{writer}-{number}");
                let revision = match store.commit(batch(writes(&stem))).await {
                    Ok(revision) => revision,
                    // The server was killed: whether this one was done nobody knows.
                    Err(StoreError::Database(_)) => return,
                    Err(error) => panic!("{error}"),
                };
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

fn start(place: (&str, &std::ffi::OsStr), round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(place.0, place.1)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the child write for a random while after one of its first answers, kills it (and `also`, just before), and returns what
/// it acknowledged.
fn killed_at_random(mut child: Child, also: impl FnOnce() + Send + 'static) -> Vec<(u64, String)> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged = |line: String| {
        let line = line.split_once("acknowledged ")?.1;
        let (revision, stem) = line.split_once(' ')?;
        Some((revision.parse().unwrap(), stem.to_owned()))
    };
    let random = uuid::Uuid::new_v4();
    // However slow the machine is, it gets to some of them.
    let first: Vec<_> = lines
        .by_ref()
        .filter_map(|line| acknowledged(line.unwrap()))
        .take(1 + usize::from(random.as_bytes()[1] % 8))
        .collect();
    assert!(!first.is_empty(), "the child answers before it ends");
    let killer = std::thread::spawn(move || {
        let random = u64::from(random.as_bytes()[0]);
        std::thread::sleep(Duration::from_micros(400 * random));
        also();
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let rest = lines.map_while(Result::ok).filter_map(acknowledged);
    let all = first.into_iter().chain(rest).collect();
    killer.join().unwrap();
    all
}

/// What a round leaves behind is looked at in the next one as well, but old rounds need not be compared for ever.
const ROUNDS_COMPARED: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_loses_nothing_acknowledged_in_a_file() {
    let mut folder = TempDir::new().unwrap();
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let mut total = 0;
    for round in 0..rounds() {
        if round % ROUNDS_COMPARED == 0 {
            acknowledged.clear();
            folder = TempDir::new().unwrap();
        }
        let child = start((FOLDER, folder.path().as_os_str()), round);
        let answers = killed_at_random(child, || {});
        total += answers.len();
        acknowledged.extend(answers);
        let store = SqlStore::open(&options(folder.path())).await.unwrap();
        check(&store, &acknowledged).await;
        store.close().await;
    }
    println!(
        "{} kills, {total} acknowledged commits, all there and whole",
        rounds()
    );
    assert!(total > rounds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_loses_nothing_acknowledged_on_a_server() {
    let postgres = Arc::new(Postgres::start());
    let mut url = String::new();
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let (mut total, mut servers) = (0, 0);
    for round in 0..rounds() {
        if round % ROUNDS_COMPARED == 0 {
            acknowledged.clear();
            url = postgres.database();
        }
        let child = start((URL, url.as_ref()), round);
        let with_server = round % 3 == 2;
        let server = Arc::clone(&postgres);
        let answers = killed_at_random(child, move || {
            if with_server {
                server.kill();
            }
        });
        if with_server {
            postgres.restart();
            servers += 1;
        }
        total += answers.len();
        acknowledged.extend(answers);
        let store = Home::Server(url.clone()).open().await;
        settled(&store).await;
        check(&store, &acknowledged).await;
        store.close().await;
    }
    println!(
        "{} kills ({servers} of the server too), {total} acknowledged commits, all there and whole",
        rounds()
    );
    assert!(total > rounds());
}

/// The server may still be busy with the last words of the killed client: a commit that was sent and not answered.
async fn settled(store: &SqlStore) {
    let marker = store.commit(batch(vec![])).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), marker);
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
    if let Some((_, stem)) = acknowledged.last() {
        let blob = store.blob_get(&Digest::of(stem.as_bytes())).await.unwrap();
        assert_eq!(blob.as_deref(), Some(stem.as_bytes()));
    }
    // All revisions are whole: the feed, the documents and the history agree on three documents each.
    let newest = store.revision().await.unwrap();
    let feed = store.changes_since(0, u64::MAX).await.unwrap();
    assert!(!feed.reset, "the feed is longer than these rounds");
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
    let hot = HistoryFilter::of(kind, "hot");
    let history = store.history_list(&org, &hot).await.unwrap();
    assert_eq!(history.len() as u64, newest);
}
