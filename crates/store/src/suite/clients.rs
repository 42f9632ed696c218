//! Clients with all that they are registered with, secrets in turn, when they were used, registration tokens, notices.

use base::RegistrationTokenId;

use super::*;
use crate::{AuthMethod, CredentialUse, GrantType, Notice, RegistrationToken};

async fn stored(store: &dyn Store, id: CredentialId) -> Credential {
    let found = store.credential_get(&org(), id).await.unwrap();
    found.unwrap()
}

/// A client comes back with its metadata, an API key with its limits.
pub async fn clients_are_kept_whole(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let mut web = client(shop, "web", 1);
    web.secrets.clear();
    web.kind = CredentialKind::Client(Box::new(Client {
        client_id: "web".to_owned(),
        issuer: RESIDENT.to_owned(),
        registration: Some(Digest::of(b"registration")),
        metadata: ClientMetadata {
            token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
            grant_types: GrantType::ALL.into(),
            redirect_uris: vec!["https://app.example/ü?x=1".to_owned()],
            jwks: Some(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "…"}]})),
            scopes: Some(["read".to_owned(), "write".to_owned()].into()),
            access_token_lifetime_s: Some(60),
            require_pkce: false,
            ..ClientMetadata::default()
        },
    }));
    let mut key = api_key(shop, "key", 2);
    key.kind = CredentialKind::ApiKey(KeyLimits {
        ip_ranges: vec!["192.0.2.0/24".parse().unwrap()],
        operations: Vec::new(),
        scopes: Some(["read".to_owned()].into()),
    });
    for credential in [&web, &key] {
        let put = Write::CredentialPut(credential.clone());
        store.commit(batch(vec![put])).await.unwrap();
        assert_eq!(&stored(store, credential.id).await, credential);
    }
    let all = store.credential_list(Some(shop)).await.unwrap();
    assert_eq!(all, [web.clone(), key]);
    assert_eq!(store.client_get("web").await.unwrap(), Some(web));
}

/// Replacing a credential replaces its secrets; what it is and whose stays.
/// req: T6
pub async fn secrets_change_with_their_credential(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let till = application(store, "till", "ada").await;
    let key = api_key(shop, "old", 1);
    let put = Write::CredentialPut(key.clone());
    let first = store.commit(batch(vec![put])).await.unwrap();
    let mut both = key.clone();
    both.updated_unix_ms = 9;
    both.secrets[0].expires_unix_s = Some(50);
    both.secrets.push(CredentialSecret {
        prefix: Some("tw_cd".to_owned()),
        ..secret("new", 9)
    });
    let replace =
        |credential: &Credential| batch(vec![Write::CredentialReplace(credential.clone())]);
    store.commit(replace(&both)).await.unwrap();
    assert_eq!(stored(store, key.id).await, both);
    assert_eq!(changes(store, first).await, [ChangeKey::Credential(key.id)]);
    let entries = store
        .history_list(&org(), &HistoryFilter::default())
        .await
        .unwrap();
    assert!(entries[0].before.is_some() && entries[0].after.is_some());
    let told = format!("{entries:?}");
    assert!(!told.contains(&both.secrets[1].hash.to_string()));

    // The old key is gone, and its text could be a key again.
    both.secrets.remove(0);
    store.commit(replace(&both)).await.unwrap();
    assert_eq!(stored(store, key.id).await, both);
    let again = Write::CredentialPut(api_key(shop, "old", 3));
    store.commit(batch(vec![again])).await.unwrap();
    let taken = Write::CredentialPut(api_key(shop, "new", 3));
    assert!(is_exists(
        &store.commit(batch(vec![taken])).await.unwrap_err()
    ));

    for wrong in [
        Credential {
            application: till,
            ..both.clone()
        },
        Credential {
            id: CredentialId::generate(),
            ..both.clone()
        },
        Credential {
            kind: client(shop, "c", 1).kind,
            ..both.clone()
        },
    ] {
        assert!(is_missing(
            &store.commit(replace(&wrong)).await.unwrap_err()
        ));
    }
    let delete = Write::CredentialDelete {
        application: shop,
        id: key.id,
    };
    store.commit(batch(vec![delete])).await.unwrap();
    let free = Write::CredentialPut(api_key(shop, "new", 3));
    store.commit(batch(vec![free])).await.unwrap();
}

/// Credentials that end, or one of whose secrets ends, within some time.
/// req: T6
pub async fn ends_are_listed(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let theirs = application_in(store, &Org::new("other"), "shop", "eve").await;
    let mut own = client(shop, "own", 1);
    own.expires_unix_s = Some(100);
    let mut secret = client(shop, "secret", 2);
    secret.secrets[0].expires_unix_s = Some(150);
    let never = client(shop, "never", 3);
    let other = Credential {
        org: Org::new("other"),
        expires_unix_s: Some(100),
        ..client(theirs, "other", 4)
    };
    for credential in [&own, &secret, &never, &other] {
        let put = Write::CredentialPut(credential.clone());
        let batch = batch_in(&credential.org, vec![put]);
        store.commit(batch).await.unwrap();
    }
    let ending = async |from, until| {
        store
            .credential_list_ending(&org(), from, until)
            .await
            .unwrap()
    };
    assert_eq!(ending(0, 1000).await, [own.clone(), secret.clone()]);
    assert_eq!(ending(100, 101).await, [own]);
    assert_eq!(ending(101, 151).await, [secret]);
    assert_eq!(ending(0, 100).await, []);
}

/// The latest use is kept, and no revision is made; puts leave it alone.
/// req: T6
pub async fn uses_are_noted(store: &dyn Store) {
    let shop = application(store, "shop", "ada").await;
    let mut web = client(shop, "web", 1);
    let put = Write::CredentialPut(web.clone());
    let revision = store.commit(batch(vec![put])).await.unwrap();
    let used = |at_unix_s, secret| CredentialUse {
        credential: web.id,
        secret,
        at_unix_s,
    };
    let gone = CredentialUse {
        credential: CredentialId::generate(),
        secret: None,
        at_unix_s: 1,
    };
    let secret = Some(web.secrets[0].id);
    for uses in [
        vec![],
        vec![used(70, secret), gone],
        vec![used(60, secret), used(80, None)],
    ] {
        store.credentials_used(&uses).await.unwrap();
    }
    let times =
        |credential: &Credential| (credential.used_unix_s, credential.secrets[0].used_unix_s);
    assert_eq!(times(&stored(store, web.id).await), (Some(80), Some(70)));
    assert_eq!(store.revision().await.unwrap(), revision);
    web.name = "Other".to_owned();
    let replace = Write::CredentialReplace(web.clone());
    store.commit(batch(vec![replace])).await.unwrap();
    let kept = stored(store, web.id).await;
    assert_eq!(
        (times(&kept), kept.name.as_str()),
        ((Some(80), Some(70)), "Other")
    );
}

fn registration_token(uses_left: u64) -> RegistrationToken {
    RegistrationToken {
        id: RegistrationTokenId::generate(),
        org: org(),
        name: "partners".to_owned(),
        hash: Digest::of(b"token"),
        uses_left,
        owner: "ada".to_owned(),
        created_unix_ms: 1,
        expires_unix_s: 100,
    }
}

/// A registration token is found by its hash until it is deleted; a use that it has not refuses the batch.
pub async fn registration_tokens_are_used_up(store: &dyn Store) {
    let token = registration_token(1);
    let commit = async |writes| store.commit(batch(writes)).await;
    commit(vec![Write::RegistrationTokenPut(token.clone())])
        .await
        .unwrap();
    let found = async || store.registration_token_get(&token.hash).await.unwrap();
    assert_eq!(found().await, Some(token.clone()));
    let other = batch_in(
        &Org::new("other"),
        vec![Write::RegistrationTokenUse(token.id)],
    );
    assert!(is_missing(&store.commit(other).await.unwrap_err()));
    commit(vec![Write::RegistrationTokenUse(token.id)])
        .await
        .unwrap();
    assert_eq!(found().await.unwrap().uses_left, 0);
    let writes = vec![
        put(RecordKind::Api, "pets", "", Expect::Absent),
        Write::RegistrationTokenUse(token.id),
    ];
    assert!(is_missing(&commit(writes).await.unwrap_err()));
    assert_eq!(get(store, &org(), RecordKind::Api, "pets").await, None);
    assert_eq!(
        store.registration_token_list(&org()).await.unwrap().len(),
        1
    );
    commit(vec![Write::RegistrationTokenDelete(token.id)])
        .await
        .unwrap();
    assert_eq!(found().await, None);
    let again = commit(vec![Write::RegistrationTokenDelete(token.id)]).await;
    assert!(is_missing(&again.unwrap_err()));
}

/// Of many that take the last use at once one gets it.
pub async fn registration_tokens_are_used_up_in_a_race(store: &dyn Store) {
    let token = registration_token(3);
    let put = Write::RegistrationTokenPut(token.clone());
    store.commit(batch(vec![put])).await.unwrap();
    let uses = (0..8).map(|_| store.commit(batch(vec![Write::RegistrationTokenUse(token.id)])));
    let done = futures_util::future::join_all(uses).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 3);
}

/// The same thing is noted once, however often it is put; notices go when their time is over.
/// req: T6
pub async fn notices_are_noted_once(store: &dyn Store) {
    let notice = |subject: &str, due_unix_s| Notice {
        id: Uuid::now_v7(),
        org: org(),
        kind: "credential.expiring".to_owned(),
        subject: subject.to_owned(),
        due_unix_s,
        at_unix_ms: 1,
        body: json!({"application": "shop"}),
    };
    let (first, second, third) = (notice("a", 10), notice("a", 20), notice("b", 10));
    let new = store
        .notice_put(vec![first.clone(), second.clone()])
        .await
        .unwrap();
    assert_eq!(new, [first.clone(), second.clone()]);
    let again = vec![notice("a", 10), third.clone()];
    assert_eq!(
        store.notice_put(again).await.unwrap(),
        std::slice::from_ref(&third)
    );
    let list = async |after, limit| store.notice_list(&org(), after, limit).await.unwrap();
    assert_eq!(
        list(None, 9).await,
        [first.clone(), second.clone(), third.clone()]
    );
    assert_eq!(list(Some(first.id), 1).await, std::slice::from_ref(&second));
    assert_eq!(
        store
            .notice_list(&Org::new("other"), None, 9)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.notices_expire(20, 1).await.unwrap(), 1);
    assert_eq!(store.notices_expire(20, 9).await.unwrap(), 1);
    assert_eq!(list(None, 9).await, [second]);
    assert_eq!(store.revision().await.unwrap(), 0);
}
