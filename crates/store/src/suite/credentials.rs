//! Users, credentials, revocations and signing keys.

use super::*;
use crate::{KeyState, Revocation, SigningAlgorithm, SigningKeyRecord};

pub(super) fn signing_key(kid: &str, created_unix_ms: u64) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: kid.to_owned(),
        algorithm: SigningAlgorithm::EdDsa,
        state: KeyState::Signing,
        sealed: vec![0, 255, 7],
        public_jwk: json!({"kty": "EC", "crv": "P-256", "kid": kid}),
        created_unix_ms,
        since_unix_ms: created_unix_ms,
    }
}

/// Users are created, replaced, listed by name and deleted.
pub async fn users_are_kept(store: &dyn Store) {
    let (eve, ada) = (user("eve"), user("ada"));
    let commit = async |write| store.commit(batch(vec![write])).await;
    let missing = commit(Write::UserPut(ada.clone(), Expect::Revision(1))).await;
    assert!(is_missing(&missing.unwrap_err()));
    for user in [&eve, &ada] {
        let write = Write::UserPut(user.clone(), Expect::Absent);
        commit(write).await.unwrap();
    }
    let again = commit(Write::UserPut(ada.clone(), Expect::Absent)).await;
    assert!(is_exists(&again.unwrap_err()));
    let list = store.user_list(&org()).await.unwrap();
    assert_eq!(list, [ada.clone(), eve.clone()]);
    assert_eq!(list[0].password_hash, ada.password_hash);

    let changed = User {
        roles: Vec::new(),
        password_hash: "new".to_owned(),
        ..ada
    };
    commit(Write::UserPut(changed.clone(), Expect::Any))
        .await
        .unwrap();
    let stored = store.user_get(&org(), "ada").await.unwrap();
    assert_eq!(stored, Some(changed));
    commit(Write::UserDelete("ada".to_owned())).await.unwrap();
    let again = commit(Write::UserDelete("ada".to_owned())).await;
    assert!(is_missing(&again.unwrap_err()));
    assert_eq!(store.user_list(&org()).await.unwrap(), [eve]);
}

/// Credentials of both kinds are found by id, by application and, for clients, by their public id.
pub async fn credentials_are_kept(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let till = application(store, "till", "ada").await;
    let (newer, older, other) = (
        client(shop, "newer", 20),
        api_key(shop, "older", 10),
        client(till, "other", 15),
    );
    for credential in [&newer, &older, &other] {
        let write = Write::CredentialPut(credential.clone());
        store.commit(batch(vec![write])).await.unwrap();
        let stored = store.credential_get(&org(), credential.id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(credential));
    }
    let list = store.credential_list(Some(shop)).await.unwrap();
    assert_eq!(list, [older.clone(), newer.clone()]);
    let all = store.credential_list(None).await.unwrap();
    assert_eq!(all, [older.clone(), other.clone(), newer.clone()]);
    let found = store.client_get("newer").await.unwrap();
    assert_eq!(found, Some(newer.clone()));
    assert_eq!(store.client_get("older").await.unwrap(), None);

    // An application deletes only its own.
    let delete = |application, id| batch(vec![Write::CredentialDelete { application, id }]);
    let wrong = store.commit(delete(till, newer.id)).await;
    assert!(is_missing(&wrong.unwrap_err()));
    store.commit(delete(shop, newer.id)).await.unwrap();
    let again = store.commit(delete(shop, newer.id)).await;
    assert!(is_missing(&again.unwrap_err()));
    assert_eq!(store.client_get("newer").await.unwrap(), None);
    let all = store.credential_list(None).await.unwrap();
    assert_eq!(all, [older, other]);
}

/// A client id, the hash of an API key and an id exist once, whatever the organisation.
pub async fn client_ids_and_key_hashes_are_unique(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let other = Org::new("other");
    let theirs = application_in(store, &other, "shop", "eve").await;
    let (first, key) = (client(shop, "c", 1), api_key(shop, "k", 1));
    let writes = vec![
        Write::CredentialPut(first.clone()),
        Write::CredentialPut(key.clone()),
    ];
    store.commit(batch(writes)).await.unwrap();
    let of_theirs = |credential: Credential| Credential {
        org: other.clone(),
        ..credential
    };
    for (org, credential) in [
        (org(), client(shop, "c", 2)),
        (org(), api_key(shop, "k", 2)),
        (other.clone(), of_theirs(client(theirs, "c", 2))),
        (other.clone(), of_theirs(api_key(theirs, "k", 2))),
        (
            org(),
            Credential {
                id: first.id,
                ..client(shop, "d", 2)
            },
        ),
    ] {
        let write = Write::CredentialPut(credential);
        let error = store.commit(batch_in(&org, vec![write])).await.unwrap_err();
        assert!(is_exists(&error), "{error}");
    }
    // Hashes of clients' secrets need not differ: a client is found by its id.
    let mut twin = client(shop, "twin", 3);
    twin.secrets[0].hash = first.secrets[0].hash;
    let write = Write::CredentialPut(twin);
    store.commit(batch(vec![write])).await.unwrap();
    assert_eq!(store.credential_list(Some(theirs)).await.unwrap(), []);
}

/// A revocation is listed until the second of its expiry; twice is as good as once; forgetting gives no change.
pub async fn revocations_last_until_they_expire(store: &dyn Store) {
    let revocation = |jti: &str, expires_unix_s| Revocation {
        jti: jti.to_owned(),
        expires_unix_s,
    };
    let (short, long) = (revocation("short", 100), revocation("long", 200));
    let put = |revocation: &Revocation| batch(vec![Write::RevocationPut(revocation.clone())]);
    assert_eq!(store.commit(put(&short)).await.unwrap(), 1);
    assert_eq!(store.commit(put(&long)).await.unwrap(), 2);
    assert_eq!(store.commit(put(&short)).await.unwrap(), 2);
    assert_eq!(changes(store, 0).await.len(), 2);
    let stored = store.revocation_get("short").await.unwrap();
    assert_eq!(stored.as_ref(), Some(&short));
    assert_eq!(store.revocation_get("none").await.unwrap(), None);

    let list = async |now| store.revocation_list(now).await.unwrap();
    assert_eq!(list(99).await, [short.clone(), long.clone()]);
    assert_eq!(list(100).await, std::slice::from_ref(&long));
    assert_eq!(list(200).await, []);

    let expire = async |before, limit| store.revocations_expire(before, limit).await.unwrap();
    assert_eq!(expire(100, 10).await, 0);
    assert!(store.revocation_get("short").await.unwrap().is_some());
    assert_eq!(expire(101, 10).await, 1);
    assert_eq!(store.revocation_get("short").await.unwrap(), None);
    assert_eq!(list(0).await, [long]);
    assert_eq!(changes(store, 2).await, []);
    assert_eq!(store.revision().await.unwrap(), 2);
}

/// Expired revocations go in parts, the oldest first (req: T5).
pub async fn revocations_expire_in_parts(store: &dyn Store) {
    let writes = (1..=25).map(|number| {
        Write::RevocationPut(Revocation {
            jti: format!("t{number}"),
            expires_unix_s: number,
        })
    });
    store.commit(batch(writes.collect())).await.unwrap();
    let mut rest = Vec::new();
    for expected in [10, 10, 4, 0] {
        assert_eq!(store.revocations_expire(25, 10).await.unwrap(), expected);
        rest.push(store.revocation_list(0).await.unwrap());
    }
    let oldest = rest.iter().map(|list| list[0].expires_unix_s);
    assert_eq!(oldest.collect::<Vec<_>>(), [11, 21, 25, 25]);
    assert_eq!(store.revocations_expire(25, 0).await.unwrap(), 0);
}

/// Signing keys come back newest first.
pub async fn signing_keys_are_kept(store: &dyn Store) {
    let (old, new) = (signing_key("old", 1), signing_key("new", 2));
    for key in [&new, &old] {
        let write = Write::SigningKeyPut(key.clone());
        store.commit(batch(vec![write])).await.unwrap();
    }
    let list = store.signing_key_list().await.unwrap();
    assert_eq!(list, [new, old]);
}

/// A signing key changes its state and is withdrawn; both is told once.
pub async fn signing_keys_change_and_go(store: &dyn Store) {
    let commit = async |write: Write| store.commit(batch(vec![write])).await;
    let mut key = signing_key("a", 1);
    key.state = KeyState::Next;
    commit(Write::SigningKeyPut(key.clone())).await.unwrap();
    let states = [
        KeyState::Signing,
        KeyState::Retiring { until_unix_s: 77 },
        KeyState::Next,
    ];
    for (number, state) in (2..).zip(states) {
        key.state = state;
        key.since_unix_ms = number;
        let put = Write::SigningKeyPut(key.clone());
        assert_eq!(commit(put.clone()).await.unwrap(), number);
        assert_eq!(commit(put).await.unwrap(), number, "the same again");
        assert_eq!(store.signing_key_list().await.unwrap(), [key.clone()]);
    }
    let delete = Write::SigningKeyDelete("a".to_owned());
    commit(delete.clone()).await.unwrap();
    assert!(is_missing(&commit(delete).await.unwrap_err()));
    assert_eq!(store.signing_key_list().await.unwrap(), []);
    let told = changes(store, 0).await;
    assert_eq!(told, vec![ChangeKey::SigningKeys; 5]);
}
