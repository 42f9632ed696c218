//! Revisions and the change feed.

use super::*;
use futures_util::future::{join, join_all};

/// Each kind of write that readers of the feed care for is told, in the order of the writes.
pub async fn every_kind_of_change_is_told(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let since = store.revision().await.unwrap();
    let credential = client(shop, "c", 1);
    let revocation = crate::Revocation {
        jti: "j".to_owned(),
        expires_unix_s: 10,
    };
    let writes = vec![
        put(RecordKind::Api, "pets", "1", Expect::Absent),
        Write::CredentialPut(credential.clone()),
        Write::RevocationPut(revocation),
        Write::SigningKeyPut(signing_key("k", 1)),
        Write::CredentialDelete {
            application: shop,
            id: credential.id,
        },
    ];
    let revision = store.commit(batch(writes)).await.unwrap();
    let api = get(store, &org(), RecordKind::Api, "pets").await.unwrap();
    let told = changes(store, since).await;
    assert_eq!(
        told,
        [
            changed(&api),
            ChangeKey::Credential(credential.id),
            ChangeKey::Revocation("j".to_owned()),
            ChangeKey::SigningKeys,
            ChangeKey::Credential(credential.id),
        ]
    );
    let write = delete(RecordKind::Api, "pets", Expect::Any);
    store.commit(batch(vec![write])).await.unwrap();
    assert_eq!(changes(store, revision).await, [changed(&api)]);
}

/// A revision that no reader of the feed cares for moves its position and tells nothing; a batch that changes nothing
/// has none.
pub async fn commits_without_a_change_leave_the_feed_alone(store: &dyn Store) {
    assert_eq!(store.commit(batch(Vec::new())).await.unwrap(), 0);
    let write = Write::BlobPut {
        digest: Digest::of(b"blob"),
        content: std::sync::Arc::from(*b"blob"),
    };
    assert_eq!(store.commit(batch(vec![write])).await.unwrap(), 0);
    let write = Write::UserPut(user("ada"), Expect::Absent);
    assert_eq!(store.commit(batch(vec![write])).await.unwrap(), 1);
    assert_eq!(changes(store, 0).await, []);
    assert_eq!(store.commit(batch(Vec::new())).await.unwrap(), 1);
    assert_eq!(store.revision().await.unwrap(), 1);
}

/// At most `limit` changes, but revisions come whole and the reader always gets on.
pub async fn feed_never_cuts_a_revision(store: &dyn Store) {
    let api = |name: &str| put(RecordKind::Api, name, "", Expect::Absent);
    for names in [vec!["a", "b", "c"], vec!["d"], vec!["e", "f"]] {
        let writes = names.into_iter().map(api).collect();
        store.commit(batch(writes)).await.unwrap();
    }
    let write = Write::UserPut(user("ada"), Expect::Absent);
    store.commit(batch(vec![write])).await.unwrap();
    for (since, limit, revisions, upto) in [
        (0, 0, vec![1, 1, 1], 1),
        (0, 1, vec![1, 1, 1], 1),
        (0, 3, vec![1, 1, 1], 1),
        (0, 4, vec![1, 1, 1, 2], 2),
        (0, 5, vec![1, 1, 1, 2], 2),
        (0, 6, vec![1, 1, 1, 2, 3, 3], 4),
        (0, u64::MAX, vec![1, 1, 1, 2, 3, 3], 4),
        (1, 2, vec![2], 2),
        (2, 1, vec![3, 3], 3),
        (2, 2, vec![3, 3], 4),
        (3, 2, vec![], 4),
        (4, 2, vec![], 4),
    ] {
        let part = store.changes_since(since, limit).await.unwrap();
        let told: Vec<_> = part.changes.iter().map(|change| change.revision).collect();
        assert_eq!(told, revisions, "since {since}, limit {limit}");
        assert_eq!(part.upto, upto, "since {since}, limit {limit}");
        assert!(!part.reset);
    }
}

/// A reader that knows more than the store (it was restored from a copy) has to read everything anew.
pub async fn feed_resets_a_reader_from_the_future(store: &dyn Store) {
    let write = put(RecordKind::Api, "pets", "", Expect::Absent);
    store.commit(batch(vec![write])).await.unwrap();
    let part = store.changes_since(2, 10).await.unwrap();
    assert!(part.reset);
    assert_eq!((part.changes.len(), part.upto), (0, 1));
}

/// Eight writers at once, each batch of two documents, and a reader meanwhile: every revision is told once, in order,
/// whole, and the numbers have no gap.
pub async fn feed_is_whole_under_concurrent_writers(store: &dyn Store) {
    const WRITERS: usize = 8;
    const BATCHES: usize = 20;
    let api = |writer: usize, number: usize, part: char| {
        let name = format!("{writer}-{number}-{part}");
        put(RecordKind::Api, &name, "", Expect::Absent)
    };
    let write = async |writer: usize| {
        let mut revisions = Vec::new();
        for number in 0..BATCHES {
            let writes = vec![api(writer, number, 'a'), api(writer, number, 'b')];
            let revision = store.commit(batch(writes)).await.unwrap();
            revisions.push((revision, format!("{writer}-{number}")));
        }
        assert!(revisions.is_sorted());
        revisions
    };
    let read = async {
        let (mut seen, mut since) = (Vec::new(), 0);
        while since < (WRITERS * BATCHES) as u64 {
            let part = store.changes_since(since, 7).await.unwrap();
            assert!(!part.reset && part.upto >= since);
            since = part.upto;
            seen.extend(part.changes);
        }
        seen
    };
    let (written, seen) = join(join_all((0..WRITERS).map(write)), read).await;
    let mut written: Vec<_> = written.into_iter().flatten().collect();
    written.sort();
    let numbers: Vec<u64> = written.iter().map(|(revision, _)| *revision).collect();
    let expected: Vec<u64> = (1..=(WRITERS * BATCHES) as u64).collect();
    assert_eq!(numbers, expected);
    assert_eq!(seen.len(), 2 * written.len());
    for (pair, (revision, stem)) in seen.chunks(2).zip(written) {
        for (change, part) in pair.iter().zip(["a", "b"]) {
            assert_eq!(change.revision, revision);
            assert!(matches!(
                &change.key,
                ChangeKey::Record { name, .. } if *name == format!("{stem}-{part}")
            ));
        }
    }
}

/// Of eight writers that believe in the same revision, one wins.
pub async fn one_of_concurrent_expectations_wins(store: &dyn Store) {
    let first = put(RecordKind::Api, "pets", "", Expect::Absent);
    let revision = store.commit(batch(vec![first])).await.unwrap();
    let write = async |writer: usize| {
        let expect = Expect::Revision(revision);
        let write = put(RecordKind::Api, "pets", &writer.to_string(), expect);
        store.commit(batch(vec![write])).await
    };
    let results = join_all((0..8).map(write)).await;
    let winners = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1);
    let losers = results.iter().filter(|result| {
        matches!(result, Err(StoreError::Stale { present, .. }) if *present == revision + 1)
    });
    assert_eq!(losers.count(), 7);
}

/// A waiter is woken by a commit, and does not wait for what it could know already.
pub async fn waiters_are_told_of_commits(store: &dyn Store) {
    let write = put(RecordKind::Api, "pets", "", Expect::Absent);
    let (revision, ()) = join(
        async { store.commit(batch(vec![write])).await.unwrap() },
        store.changed(0),
    )
    .await;
    assert_eq!(revision, 1);
    store.changed(0).await;
    let write = put(RecordKind::Api, "cats", "", Expect::Absent);
    join(store.changed(1), async {
        store.commit(batch(vec![write])).await.unwrap();
    })
    .await;
}

/// Eight writers that look before they write, each in its turn: none looks between another's look and write.
pub async fn turns_are_taken_one_by_one(store: &dyn Store) {
    let write = async |writer: usize| {
        let _turn = store.turn().await.unwrap();
        let seen = names(store, RecordKind::Api, &Filter::default(), &Page::ALL).await;
        let name = format!("{:02}-{writer}", seen.len());
        let write = put(RecordKind::Api, &name, "", Expect::Absent);
        store.commit(batch(vec![write])).await.unwrap();
    };
    join_all((0..8).map(write)).await;
    let names = names(store, RecordKind::Api, &Filter::default(), &Page::ALL).await;
    for (number, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{number:02}-")), "{names:?}");
    }
    assert_eq!(names.len(), 8);
}
