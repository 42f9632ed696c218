//! Revisions of APIs.

use super::*;

fn revision(api: &str, text: &str, blob: Option<Digest>) -> Write {
    let document = document(api, text);
    Write::ApiRevisionPut {
        api: api.to_owned(),
        digest: digest(&document),
        document,
        blob,
    }
}

async fn numbers(store: &dyn Store, api: &str, before: Option<u64>, limit: u64) -> Vec<u64> {
    let found = store.api_revision_list(&org(), api, before, limit).await;
    found.unwrap().iter().map(|found| found.number).collect()
}

/// A new content is the next revision, the newest content again is none, an older one again is one; they come back as
/// they were written, newest first.
pub async fn api_revisions_are_made_of_new_contents(store: &dyn Store) {
    assert!(numbers(store, "pets", None, 10).await.is_empty());
    let blob = Some(Digest::of(b"definition"));
    let mut made = Vec::new();
    for text in ["1", "1", "2", "1"] {
        // Each beside a change, as a change of the API is.
        let other = put(
            RecordKind::Plan,
            "gold",
            &format!("{}", made.len()),
            Expect::Any,
        );
        let writes = vec![other, revision("pets", text, blob)];
        made.push(store.commit(batch(writes)).await.unwrap());
    }
    let list = store.api_revision_list(&org(), "pets", None, 10).await;
    let list = list.unwrap();
    let facts: Vec<_> = list.iter().map(|one| (one.number, one.revision)).collect();
    assert_eq!(facts, [(3, made[3]), (2, made[2]), (1, made[0])]);
    assert_eq!(list[0].digest, list[2].digest);
    assert_ne!(list[0].digest, list[1].digest);
    let (second, content) = store
        .api_revision_get(&org(), "pets", 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(content, document("pets", "2"));
    assert_eq!(second, list[1]);
    assert_eq!((second.blob, second.actor.as_str()), (blob, "ada"));
    assert_eq!(second.at_unix_ms, AT_UNIX_MS);
    assert_eq!(numbers(store, "pets", Some(3), 1).await, [2]);
    assert_eq!(numbers(store, "pets", Some(1), 10).await, [] as [u64; 0]);
    assert_eq!(
        store.api_revision_get(&org(), "pets", 4).await.unwrap(),
        None
    );
    assert_eq!(
        store.api_revision_get(&org(), "cats", 1).await.unwrap(),
        None
    );
    let elsewhere = Org::new("other");
    let other = store.api_revision_get(&elsewhere, "pets", 1).await;
    assert_eq!(other.unwrap(), None, "of another organisation");
}

/// Revisions stay when their API goes, and their numbers go on when its name comes back.
pub async fn api_revisions_outlive_their_api(store: &dyn Store) {
    let kind = RecordKind::Api;
    let make = |text| {
        batch(vec![
            put(kind, "pets", text, Expect::Absent),
            revision("pets", text, None),
        ])
    };
    store.commit(make("1")).await.unwrap();
    let gone = delete(kind, "pets", Expect::Any);
    store.commit(batch(vec![gone])).await.unwrap();
    assert_eq!(numbers(store, "pets", None, 10).await, [1]);
    store.commit(make("2")).await.unwrap();
    assert_eq!(numbers(store, "pets", None, 10).await, [2, 1]);
}

/// A batch that is refused makes no revision.
pub async fn api_revisions_fail_with_their_batch(store: &dyn Store) {
    let writes = vec![
        revision("pets", "1", None),
        delete(RecordKind::Plan, "nothing", Expect::Any),
    ];
    let error = store.commit(batch(writes)).await.unwrap_err();
    assert!(is_missing(&error));
    assert!(numbers(store, "pets", None, 10).await.is_empty());
}
