//! Documents, their history and their blobs.

use super::*;

/// A new store is at revision 0 and has nothing.
pub async fn empty_store_answers(store: &dyn Store) {
    assert_eq!(store.revision().await.unwrap(), 0);
    assert_eq!(changes(store, 0).await, []);
    assert_eq!(store.org_list().await.unwrap(), []);
    for kind in RecordKind::ALL {
        assert_eq!(get(store, &org(), kind, "x").await, None);
        let none = names(store, kind, &Filter::default(), &Page::ALL).await;
        assert!(none.is_empty());
        assert_eq!(history(store, &org(), kind, "x").await, []);
    }
    assert_eq!(store.user_list(&org()).await.unwrap(), []);
    assert_eq!(store.credential_list(None).await.unwrap(), []);
    assert_eq!(store.revocation_list(0).await.unwrap(), []);
    assert_eq!(store.signing_key_list().await.unwrap(), []);
    assert_eq!(store.blob_get(&Digest::of(b"x")).await.unwrap(), None);
}

/// Every field of a document of every kind comes back, its members in their order.
pub async fn record_is_kept_as_written(store: &dyn Store) {
    let shop = application(store, "shop", "eve").await;
    for (kind, links) in [
        (RecordKind::Api, Links::default()),
        (RecordKind::Backend, Links::default()),
        (RecordKind::Plan, Links::default()),
        (RecordKind::Gateway, Links::default()),
        (RecordKind::TokenIssuer, Links::default()),
        (
            RecordKind::Application,
            Links {
                owner: Some("ada".to_owned()),
                ..Links::default()
            },
        ),
        (
            RecordKind::Subscription,
            Links {
                owner: None,
                application: Some(shop),
                api: Some("pets:1.0.0".to_owned()),
                plan: Some("Gold".to_owned()),
            },
        ),
    ] {
        let document = document("pets:1.0.0", "text");
        let expected = Record {
            org: org(),
            kind,
            name: "pets:1.0.0".to_owned(),
            id: Uuid::now_v7(),
            digest: digest(&document),
            blob: Some(Digest::of(b"definition")),
            links,
            revision: store.revision().await.unwrap() + 1,
            created_unix_ms: AT_UNIX_MS,
            updated_unix_ms: AT_UNIX_MS,
            document,
        };
        let write = Write::RecordPut {
            kind,
            name: expected.name.clone(),
            new_id: expected.id,
            document: expected.document.clone(),
            digest: expected.digest,
            blob: expected.blob,
            links: expected.links.clone(),
            expect: Expect::Absent,
        };
        let revision = store.commit(batch(vec![write])).await.unwrap();
        assert_eq!(revision, expected.revision);
        let stored = get(store, &org(), kind, &expected.name).await.unwrap();
        assert_eq!(stored, expected);
        assert_eq!(stored.document.to_string(), expected.document.to_string());
        let after = Page {
            after: (kind == RecordKind::Application).then(|| "a".to_owned()),
            limit: 1,
        };
        let list = list(store, &org(), kind, &Filter::default(), &after).await;
        assert_eq!(list, [expected]);
    }
}

/// Replacing keeps the id and the time of creation, and moves revision, time and links.
pub async fn record_replaced_keeps_id_and_creation(store: &dyn Store) {
    let kind = RecordKind::Application;
    application(store, "shop", "ada").await;
    let old = get(store, &org(), kind, "shop").await.unwrap();
    let links = Links {
        owner: Some("eve".to_owned()),
        ..Links::default()
    };
    let mut again = batch(vec![put_linked(kind, "shop", "2", links, Expect::Any)]);
    again.at_unix_ms = AT_UNIX_MS + 5;
    store.commit(again).await.unwrap();
    let new = get(store, &org(), kind, "shop").await.unwrap();
    assert_eq!(new.id, old.id);
    assert_eq!(new.created_unix_ms, AT_UNIX_MS);
    assert_eq!(new.updated_unix_ms, AT_UNIX_MS + 5);
    assert_eq!(new.revision, old.revision + 1);
    assert_eq!(new.links.owner.as_deref(), Some("eve"));
    assert_eq!(new.document, document("shop", "2"));
}

/// A document equal to the stored one changes nothing; another definition is a change.
pub async fn equal_put_changes_nothing(store: &dyn Store) {
    let kind = RecordKind::Api;
    let write = put(kind, "pets", "1", Expect::Any);
    assert_eq!(store.commit(batch(vec![write.clone()])).await.unwrap(), 1);
    let first = get(store, &org(), kind, "pets").await.unwrap();
    let mut later = batch(vec![write.clone()]);
    later.at_unix_ms += 1;
    assert_eq!(store.commit(later).await.unwrap(), 1);
    assert_eq!(store.revision().await.unwrap(), 1);
    assert_eq!(get(store, &org(), kind, "pets").await.unwrap(), first);
    assert_eq!(changes(store, 0).await.len(), 1);
    let found = history(store, &org(), kind, "pets").await;
    assert_eq!(found.len(), 1);

    // Beside a real change the equal one still keeps its revision.
    let other = put(kind, "cats", "1", Expect::Any);
    assert_eq!(store.commit(batch(vec![write, other])).await.unwrap(), 2);
    assert_eq!(get(store, &org(), kind, "pets").await.unwrap(), first);
    assert_eq!(changes(store, 1).await.len(), 1);

    let mut redefined = put(kind, "pets", "1", Expect::Any);
    if let Write::RecordPut { blob, .. } = &mut redefined {
        *blob = Some(Digest::of(b"definition"));
    }
    assert_eq!(store.commit(batch(vec![redefined])).await.unwrap(), 3);
}

/// What the writer believes is checked before a put, also before an equal one.
pub async fn expectations_hold_for_puts(store: &dyn Store) {
    for kind in [RecordKind::Plan, RecordKind::Application] {
        let try_put = async |text: &str, expect| {
            let write = put(kind, "gold", text, expect);
            store.commit(batch(vec![write])).await
        };
        assert!(is_missing(
            &try_put("1", Expect::Revision(1)).await.unwrap_err()
        ));
        let first = try_put("1", Expect::Absent).await.unwrap();
        assert!(is_exists(&try_put("1", Expect::Absent).await.unwrap_err()));
        let stale = try_put("1", Expect::Revision(first + 1)).await;
        assert!(matches!(
            stale.unwrap_err(),
            StoreError::Stale { present, expected, .. } if present == first && expected == first + 1
        ));
        let second = try_put("2", Expect::Revision(first)).await.unwrap();
        let third = try_put("3", Expect::Any).await.unwrap();
        assert_eq!([second, third], [first + 1, first + 2]);
        assert!(matches!(
            try_put("4", Expect::Revision(second)).await.unwrap_err(),
            StoreError::Stale { .. }
        ));
        let stored = get(store, &org(), kind, "gold").await.unwrap();
        assert_eq!(stored.document, document("gold", "3"));
        assert_eq!(store.revision().await.unwrap(), third);
    }
}

/// A delete needs the object, at the revision that the writer knows.
pub async fn expectations_hold_for_deletes(store: &dyn Store) {
    let kind = RecordKind::Backend;
    let try_delete = async |expect| {
        let write = delete(kind, "pets", expect);
        store.commit(batch(vec![write])).await
    };
    for expect in [Expect::Any, Expect::Absent, Expect::Revision(1)] {
        assert!(is_missing(&try_delete(expect).await.unwrap_err()));
    }
    let write = put(kind, "pets", "1", Expect::Absent);
    let revision = store.commit(batch(vec![write])).await.unwrap();
    assert!(is_exists(&try_delete(Expect::Absent).await.unwrap_err()));
    assert!(matches!(
        try_delete(Expect::Revision(revision + 7))
            .await
            .unwrap_err(),
        StoreError::Stale { .. }
    ));
    assert!(get(store, &org(), kind, "pets").await.is_some());
    try_delete(Expect::Revision(revision)).await.unwrap();
    assert_eq!(get(store, &org(), kind, "pets").await, None);
}

/// A batch whose last write fails leaves nothing of the others, and no gap in the revisions.
pub async fn batch_is_all_or_nothing(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let kept = store.commit(batch(vec![
        put(RecordKind::Plan, "gold", "1", Expect::Absent),
        Write::UserPut(user("ada"), Expect::Absent),
    ]));
    let before = kept.await.unwrap();
    let revocation = crate::Revocation {
        jti: "j".to_owned(),
        expires_unix_s: u64::MAX,
    };
    let writes = vec![
        Write::BlobPut {
            digest: Digest::of(b"b"),
            content: b"b".as_slice().into(),
        },
        put(RecordKind::Api, "pets", "1", Expect::Absent),
        put(RecordKind::Plan, "gold", "2", Expect::Any),
        subscription("s", shop, "pets"),
        Write::CredentialPut(client(shop, "c", 1)),
        Write::RevocationPut(revocation),
        Write::UserPut(user("eve"), Expect::Absent),
        Write::UserDelete("ada".to_owned()),
        Write::SigningKeyPut(signing_key("k", 1)),
        delete(RecordKind::Application, "shop", Expect::Any),
        delete(RecordKind::Gateway, "nowhere", Expect::Any),
    ];
    let error = store.commit(batch(writes)).await.unwrap_err();
    assert!(is_missing(&error));

    assert_eq!(store.revision().await.unwrap(), before);
    assert_eq!(changes(store, before).await, []);
    assert_eq!(store.blob_get(&Digest::of(b"b")).await.unwrap(), None);
    assert_eq!(get(store, &org(), RecordKind::Api, "pets").await, None);
    let gold = get(store, &org(), RecordKind::Plan, "gold").await.unwrap();
    assert_eq!(gold.document, document("gold", "1"));
    assert_eq!(
        get(store, &org(), RecordKind::Subscription, "s").await,
        None
    );
    assert!(
        get(store, &org(), RecordKind::Application, "shop")
            .await
            .is_some()
    );
    assert_eq!(store.credential_list(None).await.unwrap(), []);
    assert_eq!(store.revocation_get("j").await.unwrap(), None);
    assert_eq!(store.user_get(&org(), "eve").await.unwrap(), None);
    assert!(store.user_get(&org(), "ada").await.unwrap().is_some());
    assert_eq!(store.signing_key_list().await.unwrap(), []);
    let kind = RecordKind::Api;
    assert_eq!(history(store, &org(), kind, "pets").await, []);

    let next = put(RecordKind::Api, "pets", "1", Expect::Absent);
    assert_eq!(store.commit(batch(vec![next])).await.unwrap(), before + 1);
}

/// Writes of one batch see those before them, and each has its change and its history.
pub async fn batch_is_done_in_order(store: &dyn Store) {
    let kind = RecordKind::Api;
    let revision = store
        .commit(batch(vec![
            put(kind, "pets", "1", Expect::Absent),
            put(kind, "pets", "2", Expect::Revision(1)),
            delete(kind, "pets", Expect::Any),
            put(kind, "pets", "3", Expect::Absent),
        ]))
        .await
        .unwrap();
    let stored = get(store, &org(), kind, "pets").await.unwrap();
    assert_eq!(stored.document, document("pets", "3"));
    assert_eq!(changes(store, 0).await.len(), 4);
    let found = history(store, &org(), kind, "pets").await;
    assert!(found.iter().all(|entry| entry.revision == revision));
    let after: Vec<_> = found.into_iter().map(|entry| entry.after).collect();
    let text = |text| Some(document("pets", text));
    assert_eq!(after, [text("1"), text("2"), None, text("3")]);
}

/// A list is ordered by the bytes of the names and continues after any name, whether it exists or not.
pub async fn list_is_paged_by_name(store: &dyn Store) {
    for kind in [
        RecordKind::Api,
        RecordKind::Application,
        RecordKind::Subscription,
    ] {
        let shop = application(store, &format!("of-{}", kind.as_str()), "ada").await;
        let writes = ["b", "a", "c:2", "c:10", "B"].map(|name| match kind {
            RecordKind::Subscription => subscription(name, shop, "pets"),
            _ => put(kind, name, "", Expect::Absent),
        });
        store.commit(batch(writes.to_vec())).await.unwrap();
        let page = async |after: Option<&str>, limit| {
            let page = Page {
                after: after.map(str::to_owned),
                limit,
            };
            names(store, kind, &Filter::default(), &page).await
        };
        let mut all = page(None, u64::MAX).await;
        all.retain(|name| !name.starts_with("of-"));
        assert_eq!(all, ["B", "a", "b", "c:10", "c:2"]);
        assert_eq!(page(None, 2).await, ["B", "a"]);
        assert_eq!(page(Some("a"), 2).await, ["b", "c:10"]);
        assert_eq!(page(Some("bb"), 2).await, ["c:10", "c:2"]);
        assert_eq!(page(Some("z"), 2).await, [""; 0]);
        assert_eq!(page(None, 0).await, [""; 0]);
    }
}

/// Owner, application and API narrow a list, together too.
pub async fn list_is_filtered(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let till = application(store, "till", "ada").await;
    let desk = application(store, "desk", "eve").await;
    let writes = vec![
        subscription("1", shop, "pets"),
        subscription("2", shop, "cats"),
        subscription("3", till, "pets"),
        subscription("4", desk, "pets"),
    ];
    store.commit(batch(writes)).await.unwrap();
    let list = async |kind, owner: &str, application: &str, api: &str| {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let filter = Filter {
            owner: value(owner),
            application: value(application),
            api: value(api),
        };
        names(store, kind, &filter, &Page::ALL).await
    };
    let kind = RecordKind::Application;
    assert_eq!(list(kind, "", "", "").await, ["desk", "shop", "till"]);
    assert_eq!(list(kind, "ada", "", "").await, ["shop", "till"]);
    assert_eq!(list(kind, "bob", "", "").await, [""; 0]);
    let kind = RecordKind::Subscription;
    assert_eq!(list(kind, "", "", "").await, ["1", "2", "3", "4"]);
    assert_eq!(list(kind, "ada", "", "").await, ["1", "2", "3"]);
    assert_eq!(list(kind, "eve", "", "").await, ["4"]);
    assert_eq!(list(kind, "", "shop", "").await, ["1", "2"]);
    assert_eq!(list(kind, "", "nowhere", "").await, [""; 0]);
    assert_eq!(list(kind, "", "", "pets").await, ["1", "3", "4"]);
    assert_eq!(list(kind, "ada", "", "pets").await, ["1", "3"]);
    assert_eq!(list(kind, "eve", "shop", "").await, [""; 0]);
    assert_eq!(list(kind, "ada", "shop", "cats").await, ["2"]);
}

/// Every change, who made it and when, before and after; deletion does not end it, and a new object has a new id.
pub async fn history_tells_everything(store: &dyn Store) {
    let kind = RecordKind::Backend;
    let mut ids = Vec::new();
    for (at, actor, write) in [
        (1, "ada", put(kind, "pets", "1", Expect::Any)),
        (2, "eve", put(kind, "pets", "2", Expect::Any)),
        (3, "system", delete(kind, "pets", Expect::Any)),
        (4, "ada", put(kind, "pets", "1", Expect::Any)),
    ] {
        let mut batch = batch(vec![write]);
        batch.at_unix_ms = at;
        batch.actor = actor.to_owned();
        assert_eq!(store.commit(batch).await.unwrap(), at);
        ids.extend(get(store, &org(), kind, "pets").await.map(|old| old.id));
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    let found = history(store, &org(), kind, "pets").await;
    let text = |text| Some(document("pets", text));
    let expected = [
        (1, "ada", None, text("1")),
        (2, "eve", text("1"), text("2")),
        (3, "system", text("2"), None),
        (4, "ada", None, text("1")),
    ];
    assert_eq!(found.len(), expected.len());
    for (entry, (at, actor, before, after)) in found.into_iter().zip(expected) {
        assert_eq!((entry.revision, entry.at_unix_ms), (at, at));
        assert_eq!(entry.actor, actor);
        assert_eq!((entry.before, entry.after), (before, after));
    }
}

/// Deleting an application deletes its subscriptions and credentials, each with its change, and no others.
pub async fn application_takes_its_dependants_along(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let till = application(store, "till", "ada").await;
    let (gone, key, stays) = (
        client(shop, "gone", 1),
        api_key(shop, "key", 2),
        client(till, "stays", 3),
    );
    let writes = vec![
        subscription("a", shop, "pets"),
        subscription("b", shop, "cats"),
        subscription("c", till, "pets"),
        Write::CredentialPut(gone.clone()),
        Write::CredentialPut(key.clone()),
        Write::CredentialPut(stays.clone()),
    ];
    let before = store.commit(batch(writes)).await.unwrap();
    let mut expected = vec![
        ChangeKey::Credential(gone.id),
        ChangeKey::Credential(key.id),
    ];
    for (kind, name) in [
        (RecordKind::Subscription, "a"),
        (RecordKind::Subscription, "b"),
        (RecordKind::Application, "shop"),
    ] {
        expected.push(changed(&get(store, &org(), kind, name).await.unwrap()));
    }
    let write = delete(RecordKind::Application, "shop", Expect::Any);
    let revision = store.commit(batch(vec![write])).await.unwrap();
    assert_eq!(revision, before + 1);
    let told = changes(store, before).await;
    assert_eq!(told.len(), expected.len());
    assert!(expected.iter().all(|key| told.contains(key)), "{told:?}");

    let kind = RecordKind::Subscription;
    let left = names(store, kind, &Filter::default(), &Page::ALL).await;
    assert_eq!(left, ["c"]);
    assert_eq!(store.credential_list(None).await.unwrap(), [stays]);
    assert_eq!(store.client_get("gone").await.unwrap(), None);
    let found = history(store, &org(), kind, "a").await;
    let last = found.last().unwrap();
    assert_eq!((last.revision, &last.after), (revision, &None));
    assert_eq!(last.before, Some(document("a", "")));
}

/// Deleting an API or a plan leaves the subscriptions to it.
pub async fn api_and_plan_take_nothing_along(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let writes = vec![
        put(RecordKind::Api, "pets", "", Expect::Absent),
        put(RecordKind::Plan, "Gold", "", Expect::Absent),
        subscription("a", shop, "pets"),
        delete(RecordKind::Api, "pets", Expect::Any),
        delete(RecordKind::Plan, "Gold", Expect::Any),
    ];
    store.commit(batch(writes)).await.unwrap();
    assert!(
        get(store, &org(), RecordKind::Subscription, "a")
            .await
            .is_some()
    );
}

/// A blob comes back byte for byte; storing it again is no error and no revision.
pub async fn blobs_are_kept_once(store: &dyn Store) {
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of(&content);
    let write = Write::BlobPut {
        digest,
        content: content.as_slice().into(),
    };
    for _ in 0..2 {
        let writes = vec![write.clone(), write.clone()];
        assert_eq!(store.commit(batch(writes)).await.unwrap(), 0);
    }
    let stored = store.blob_get(&digest).await.unwrap().unwrap();
    assert_eq!(stored[..], content[..]);
}
