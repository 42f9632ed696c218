//! The bound of the change feed, and writers on several threads.

use std::sync::Arc;

use store::{ChangeKey, Store};
use store_sql::{OpenOptions, SqlStore};

use super::{Home, api, batch, on_both};

on_both!(
    feed_is_bounded
    feed_survives_a_huge_revision
    two_openers_share_one_feed
    an_abandoned_commit_is_whole_or_nothing
);

/// The feed forgets its oldest revisions whole, and a reader that needs them is told to start anew.
async fn feed_is_bounded(home: Home) {
    let store = SqlStore::open(&OpenOptions {
        feed_rows_max: 40,
        ..home.options()
    })
    .await
    .unwrap();
    for number in 1..=100 {
        let text = number.to_string();
        let writes = vec![api("a", &text), api("b", &text)];
        assert_eq!(store.commit(batch(writes)).await.unwrap(), number);
        // 40 rows are 20 revisions; an eighth more and the last batch may stay.
        let oldest = number.saturating_sub(20);
        let part = store.changes_since(oldest, u64::MAX).await.unwrap();
        assert!(!part.reset, "{number}");
        assert_eq!(part.changes.len() as u64, 2 * (number - oldest));
        if number > 24 {
            let part = store.changes_since(number - 24, 5).await.unwrap();
            assert!(part.reset, "{number}");
            assert_eq!((part.changes.len(), part.upto), (0, number));
        }
    }
    // Also after a start: what the file keeps is what counts.
    store.close().await;
    let store = home.open().await;
    assert!(store.changes_since(1, 5).await.unwrap().reset);
    assert!(!store.changes_since(90, 5).await.unwrap().reset);
}

/// A revision larger than the whole feed is forgotten at once, and readers notice.
async fn feed_survives_a_huge_revision(home: Home) {
    let store = SqlStore::open(&OpenOptions {
        feed_rows_max: 10,
        ..home.options()
    })
    .await
    .unwrap();
    let writes = (0..250)
        .map(|number| api(&format!("{number}"), ""))
        .collect();
    assert_eq!(store.commit(batch(writes)).await.unwrap(), 1);
    assert!(store.changes_since(0, 10).await.unwrap().reset);
    assert!(!store.changes_since(1, 10).await.unwrap().reset);
    store.commit(batch(vec![api("x", "")])).await.unwrap();
    assert_eq!(store.changes_since(1, 10).await.unwrap().changes.len(), 1);
}

/// Two stores on one database, as two processes would: their commits queue, and the feed is one.
async fn two_openers_share_one_feed(home: Home) {
    let mut tasks = Vec::new();
    let mut stores = Vec::new();
    for opener in 0..2 {
        let store = Arc::new(home.open().await);
        stores.push(store.clone());
        for writer in 0..4 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                for number in 0..25 {
                    let name = format!("{opener}-{writer}-{number}");
                    store.commit(batch(vec![api(&name, "")])).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for store in stores {
        let part = store.changes_since(0, u64::MAX).await.unwrap();
        assert_eq!(part.upto, 200);
        let revisions: Vec<u64> = part.changes.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (1..=200).collect::<Vec<_>>());
        let names: std::collections::HashSet<_> = part
            .changes
            .iter()
            .map(|change| match &change.key {
                ChangeKey::Record { name, .. } => name.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names.len(), 200);
    }
}

/// A caller that goes away in the middle of a commit leaves all of it or nothing, and the writer free for the next.
async fn an_abandoned_commit_is_whole_or_nothing(home: Home) {
    let store = home.open().await;
    let mut abandoned = 0;
    for number in 0..40_u64 {
        let writes = ["a", "b", "c"].map(|part| api(&format!("{number}-{part}"), ""));
        let patience = std::time::Duration::from_micros(100 * number);
        let commit = store.commit(batch(writes.to_vec()));
        abandoned += u64::from(tokio::time::timeout(patience, commit).await.is_err());
        let text = number.to_string();
        store.commit(batch(vec![api("hot", &text)])).await.unwrap();
    }
    assert!(abandoned > 0);
    let newest = store.revision().await.unwrap();
    assert!((40..=80).contains(&newest), "{newest}");
    let feed = store.changes_since(0, u64::MAX).await.unwrap();
    for revision in 1..=newest {
        let of = |change: &&store::Change| change.revision == revision;
        let count = feed.changes.iter().filter(of).count();
        assert!([1, 3].contains(&count), "{revision}: {count}");
    }
}
