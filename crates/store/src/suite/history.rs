//! The history: of what is no document, and how it is searched.

use super::*;
use crate::{HistoryKind, Revocation};

async fn found(store: &dyn Store, filter: HistoryFilter) -> Vec<HistoryEntry> {
    store.history_list(&org(), &filter).await.unwrap()
}

/// Credentials, users, tokens and keys have their entries, and no secret is in any of them.
pub async fn history_tells_of_what_is_no_document(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let (web, key) = (client(shop, "web", 1), api_key(shop, "key", 2));
    let eve = user("eve");
    let mut renewed = eve.clone();
    renewed.password_hash = "$argon2id$other".to_owned();
    renewed.roles = vec![crate::Role::Admin];
    let token = Revocation {
        jti: "j1".to_owned(),
        expires_unix_s: 9_000,
    };
    let writes = vec![
        Write::CredentialPut(web.clone()),
        Write::CredentialPut(key.clone()),
        Write::CredentialDelete {
            application: shop,
            id: web.id,
        },
        Write::UserPut(eve.clone(), Expect::Absent),
        Write::UserPut(renewed.clone(), Expect::Any),
        Write::UserDelete("eve".to_owned()),
        Write::RevocationPut(token),
        Write::SigningKeyPut(signing_key("k1", 1)),
        delete(RecordKind::Application, "shop", Expect::Any),
    ];
    let revision = store.commit(batch(writes)).await.unwrap();
    let filter = HistoryFilter {
        revision: Some(revision),
        ..HistoryFilter::default()
    };
    let mut entries = found(store, filter).await;
    entries.reverse();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let sides = (entry.before.is_some(), entry.after.is_some());
            (entry.kind, entry.name.clone(), sides)
        })
        .collect();
    let (web_id, key_id) = (web.id.to_string(), key.id.to_string());
    let application = HistoryKind::Record(RecordKind::Application);
    let (new, changed, gone) = ((false, true), (true, true), (true, false));
    assert_eq!(
        told,
        [
            (HistoryKind::Credential, web_id.clone(), new),
            (HistoryKind::Credential, key_id.clone(), new),
            (HistoryKind::Credential, web_id, gone),
            (HistoryKind::User, "eve".to_owned(), new),
            (HistoryKind::User, "eve".to_owned(), changed),
            (HistoryKind::User, "eve".to_owned(), gone),
            (HistoryKind::Token, "j1".to_owned(), new),
            (HistoryKind::SigningKey, "k1".to_owned(), new),
            (HistoryKind::Credential, key_id, gone),
            (application, "shop".to_owned(), gone),
        ]
    );
    let ordinals: Vec<u64> = entries.iter().map(|entry| entry.ordinal).collect();
    assert!(ordinals.is_sorted());
    let first = entries[0].after.as_ref().unwrap();
    assert_eq!(first["application"], "shop");
    let password = |index: usize| entries[index].after.as_ref().unwrap()["password"].clone();
    assert_eq!((password(3), password(4)), (Value::Null, json!("changed")));
    let text = format!("{entries:?}");
    for secret in [
        eve.password_hash,
        renewed.password_hash,
        web.secrets[0].hash.to_string(),
        key.secrets[0].hash.to_string(),
    ] {
        assert!(!text.contains(&secret), "{secret}");
    }
    assert!(!text.contains("sealed"));
}

/// An entry knows the definitions on both sides, and the call that it was done by.
pub async fn history_knows_definitions_and_calls(store: &dyn Store) {
    let put = |text: &str, definition: &[u8]| {
        let mut write = put(RecordKind::Api, "pets", text, Expect::Any);
        if let Write::RecordPut { blob, .. } = &mut write {
            *blob = Some(Digest::of(definition));
        }
        let mut batch = batch(vec![write]);
        batch.request = Some(format!("call-{text}"));
        batch
    };
    store.commit(put("1", b"a")).await.unwrap();
    store.commit(put("2", b"b")).await.unwrap();
    let gone = delete(RecordKind::Api, "pets", Expect::Any);
    store.commit(batch(vec![gone])).await.unwrap();
    let entries = history(store, &org(), RecordKind::Api, "pets").await;
    let (a, b) = (Some(Digest::of(b"a")), Some(Digest::of(b"b")));
    let facts: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.before_blob,
                entry.after_blob,
                entry.request.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            (None, a, Some("call-1")),
            (a, b, Some("call-2")),
            (b, None, None)
        ]
    );
}

/// Every part of a filter narrows the list; it is newest first and continues where the part before ended.
pub async fn history_is_filtered(store: &dyn Store) {
    let kind = RecordKind::Plan;
    for (actor, name, later_ms) in [("ada", "a", 0), ("eve", "b", 10), ("ada", "b", 20)] {
        let writes = vec![
            put(kind, name, &format!("{actor}-{later_ms}"), Expect::Any),
            put(
                RecordKind::Api,
                name,
                &format!("{actor}-{later_ms}"),
                Expect::Any,
            ),
        ];
        let mut batch = batch(writes);
        batch.actor = actor.to_owned();
        batch.at_unix_ms += later_ms;
        store.commit(batch).await.unwrap();
    }
    let all = HistoryFilter::default;
    let places = async |filter: HistoryFilter| -> Vec<(u64, u64)> {
        let entries = found(store, filter).await;
        let places = entries.iter().map(|entry| (entry.revision, entry.ordinal));
        places.collect()
    };
    let whole = [(3, 1), (3, 0), (2, 1), (2, 0), (1, 1), (1, 0)];
    assert_eq!(places(all()).await, whole);
    let cases = [
        (
            HistoryFilter {
                kinds: vec![HistoryKind::Record(kind)],
                ..all()
            },
            vec![(3, 0), (2, 0), (1, 0)],
        ),
        (
            HistoryFilter {
                kinds: vec![HistoryKind::User, HistoryKind::Token],
                ..all()
            },
            vec![],
        ),
        (HistoryFilter::of(kind, "b"), vec![(3, 0), (2, 0)]),
        (
            HistoryFilter {
                actor: Some("eve".to_owned()),
                ..all()
            },
            vec![(2, 1), (2, 0)],
        ),
        (
            HistoryFilter {
                since_unix_ms: Some(AT_UNIX_MS + 10),
                until_unix_ms: Some(AT_UNIX_MS + 20),
                ..all()
            },
            vec![(2, 1), (2, 0)],
        ),
        (
            HistoryFilter {
                revision: Some(1),
                ..all()
            },
            vec![(1, 1), (1, 0)],
        ),
        (
            HistoryFilter {
                later_than: Some(2),
                ..all()
            },
            vec![(3, 1), (3, 0)],
        ),
        (
            HistoryFilter {
                before: Some((3, 0)),
                limit: 3,
                ..all()
            },
            vec![(2, 1), (2, 0), (1, 1)],
        ),
    ];
    for (filter, expected) in cases {
        let what = format!("{filter:?}");
        assert_eq!(places(filter).await, expected, "{what}");
    }
}
