//! What belongs to whom.

use super::*;

/// Two organisations with the same names never see or touch each other's.
pub async fn organisations_are_apart(store: &dyn Store) {
    let other = Org::new("other");
    let kinds = RecordKind::ALL.map(|kind| (kind, "same"));
    for (org, text) in [(org(), "ours"), (other.clone(), "theirs")] {
        let id = application_in(store, &org, "app", text).await;
        for (kind, name) in kinds {
            let links = Links {
                owner: Some(text.to_owned()),
                application: Some(id),
                api: Some("same".to_owned()),
                plan: None,
            };
            let write = put_linked(kind, name, text, links, Expect::Absent);
            store.commit(batch_in(&org, vec![write])).await.unwrap();
        }
        let user = User {
            org: org.clone(),
            password_hash: text.to_owned(),
            ..user("same")
        };
        let write = Write::UserPut(user, Expect::Absent);
        store.commit(batch_in(&org, vec![write])).await.unwrap();
    }
    assert_eq!(store.org_list().await.unwrap(), [org(), other.clone()]);
    let api = Filter {
        api: Some("same".to_owned()),
        application: Some("app".to_owned()),
        ..Filter::default()
    };
    let kind = RecordKind::Subscription;
    assert_eq!(names(store, kind, &api, &Page::ALL).await.len(), 1);

    // Everything of ours goes; theirs stays as it was.
    for (kind, name) in kinds {
        let ours = get(store, &org(), kind, name).await.unwrap();
        assert_eq!(ours.document, document(name, "ours"));
        let list = list(store, &org(), kind, &Filter::default(), &Page::ALL).await;
        assert!(list.iter().all(|row| row.org == org()));
        let write = delete(kind, name, Expect::Any);
        if kind != RecordKind::Subscription {
            store.commit(batch(vec![write])).await.unwrap();
        }
    }
    let writes = vec![
        delete(RecordKind::Application, "app", Expect::Any),
        Write::UserDelete("same".to_owned()),
    ];
    store.commit(batch(writes)).await.unwrap();
    for (kind, name) in kinds {
        assert_eq!(get(store, &org(), kind, name).await, None);
        let theirs = get(store, &other, kind, name).await.unwrap();
        assert_eq!(theirs.document, document(name, "theirs"));
        let found = history(store, &other, kind, name).await;
        assert_eq!(found.len(), 1);
        let found = history(store, &org(), kind, name).await;
        assert_eq!(found.len(), 2);
    }
    assert_eq!(store.user_get(&org(), "same").await.unwrap(), None);
    let theirs = store.user_get(&other, "same").await.unwrap().unwrap();
    assert_eq!(theirs.password_hash, "theirs");
    assert_eq!(store.org_list().await.unwrap(), [other]);
}

/// An application of another organisation is as good as unknown, and so are its credentials.
pub async fn organisations_do_not_share_applications(store: &dyn Store) {
    let other = Org::new("other");
    let theirs = application_in(store, &other, "shop", "eve").await;
    let credential = Credential {
        org: other.clone(),
        ..client(theirs, "c", 1)
    };
    let write = Write::CredentialPut(credential.clone());
    store.commit(batch_in(&other, vec![write])).await.unwrap();
    let before = store.revision().await.unwrap();

    let stranger = Credential {
        org: other.clone(),
        ..client(theirs, "d", 1)
    };
    for write in [
        subscription("s", theirs, "pets"),
        subscription("s", ApplicationId::generate(), "pets"),
        Write::CredentialPut(client(theirs, "d", 1)),
        Write::CredentialPut(stranger),
        Write::CredentialDelete {
            application: theirs,
            id: credential.id,
        },
        Write::UserPut(
            User {
                org: other.clone(),
                ..user("eve")
            },
            Expect::Any,
        ),
    ] {
        let error = store.commit(batch(vec![write])).await.unwrap_err();
        assert!(is_missing(&error), "{error}");
    }
    assert_eq!(store.revision().await.unwrap(), before);
    let ours = store.credential_get(&org(), credential.id).await;
    assert_eq!(ours.unwrap(), None);
    let theirs = store.credential_get(&other, credential.id).await;
    assert_eq!(theirs.unwrap(), Some(credential));
}
