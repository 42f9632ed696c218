//! Copies of the embedded database: made under load, refused when damaged, put back whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Org;
use store::{Page, RecordKind, ResourceStore, Store};
use store_sql::{CopyError, OpenError, OpenOptions, SqlStore, back_up, restore};
use tempfile::TempDir;

use super::{api, batch, options, patient};

async fn names(store: &SqlStore) -> Vec<String> {
    let (org, filter) = (Org::default_org(), store::Filter::default());
    let list = store
        .record_list(&org, RecordKind::Api, &filter, &Page::ALL)
        .await;
    list.unwrap()
        .into_iter()
        .map(|record| record.name)
        .collect()
}

async fn open(path: &Path) -> SqlStore {
    SqlStore::open(&patient(OpenOptions::at(path)))
        .await
        .unwrap()
}

/// Writers go on while copies are made; each copy is a moment: batches are in it whole, and nothing is newer than its
/// revision. What was acknowledged before the copy began is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_is_one_moment() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tollway.db");
    let store = Arc::new(open(&file).await);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let pair = ["a", "b"].map(|part| api(&format!("{writer}-{number}-{part}"), ""));
                    store.commit(batch(pair.to_vec())).await.unwrap();
                    number += 1;
                }
                number
            })
        })
        .collect();
    for round in 0..5 {
        let acknowledged = store.revision().await.unwrap();
        // Somebody writes meanwhile, however slow the machine is.
        while store.revision().await.unwrap() == acknowledged {
            tokio::task::yield_now().await;
        }
        let copy = folder.path().join(format!("copy-{round}"));
        back_up(&file, &copy).await.unwrap();
        let copied = open(&copy).await;
        let revision = copied.revision().await.unwrap();
        assert!(revision >= acknowledged, "{revision} < {acknowledged}");
        let names = names(&copied).await;
        assert_eq!(names.len() as u64, 2 * revision);
        for pair in names.chunks(2) {
            assert_eq!(pair[0].strip_suffix("-a"), pair[1].strip_suffix("-b"));
        }
        let feed = copied.changes_since(0, u64::MAX).await.unwrap();
        assert_eq!(
            (feed.changes.len() as u64, feed.upto),
            (2 * revision, revision)
        );
        copied.close().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert_eq!(store.revision().await.unwrap(), written);
    assert!(written > 5, "nobody wrote meanwhile");
}

#[tokio::test]
async fn a_copy_is_private_and_takes_nobodys_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tollway.db");
    open(&file).await.close().await;
    let copy = folder.path().join("copy");
    back_up(&file, &copy).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::write(&copy, "mine").unwrap();
    let error = back_up(&file, &copy).await.unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), b"mine");
    let missing = folder.path().join("missing.db");
    let error = back_up(&missing, &folder.path().join("c"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing.db"), "{error}");
    assert!(!missing.exists());
    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["copy", "tollway.db"], "no half of a copy stays");
}

#[tokio::test]
async fn a_copy_is_put_back_and_what_was_there_is_kept() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tollway.db");
    let copy = folder.path().join("copy");
    let store = open(&file).await;
    store.commit(batch(vec![api("old", "")])).await.unwrap();
    back_up(&file, &copy).await.unwrap();
    store.commit(batch(vec![api("new", "")])).await.unwrap();
    // As after a crash: the last commit is in the log alone.
    std::mem::forget(store);
    let aside = restore(&copy, &file).await.unwrap().unwrap();

    let restored = open(&file).await;
    assert_eq!(names(&restored).await, ["old"]);
    assert_eq!(restored.revision().await.unwrap(), 1);
    restored.commit(batch(vec![api("next", "")])).await.unwrap();
    restored.close().await;
    assert_eq!(names(&open(&aside).await).await, ["new", "old"]);

    // Into a folder that is empty.
    let other = TempDir::new().unwrap();
    let file = other.path().join("tollway.db");
    assert_eq!(restore(&copy, &file).await.unwrap(), None);
    assert_eq!(names(&open(&file).await).await, ["old"]);
}

#[tokio::test]
async fn what_is_no_sound_copy_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tollway.db");
    let store = SqlStore::open(&options(folder.path())).await.unwrap();
    for number in 0..200 {
        let write = api(&format!("api-{number}"), &"text ".repeat(100));
        store.commit(batch(vec![write])).await.unwrap();
    }
    store.close().await;
    let before = std::fs::read(&file).unwrap();
    let bad = folder.path().join("bad");

    std::fs::write(&bad, "no database at all, but some text").unwrap();
    let error = restore(&bad, &file).await.unwrap_err();
    assert!(
        matches!(error, CopyError::Open(OpenError::Foreign { .. })),
        "{error}"
    );

    // Pages in the middle are overwritten: the head is sound and the rest is not.
    let mut torn = before.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 8192].fill(0xee);
    std::fs::write(&bad, &torn).unwrap();
    let error = restore(&bad, &file).await.unwrap_err();
    assert!(matches!(error, CopyError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("bad"), "{error}");

    // Cut off.
    std::fs::write(&bad, &before[..before.len() / 2]).unwrap();
    assert!(restore(&bad, &file).await.is_err());
    assert!(restore(&folder.path().join("none"), &file).await.is_err());
    assert_eq!(std::fs::read(&file).unwrap(), before, "it was left alone");
}
