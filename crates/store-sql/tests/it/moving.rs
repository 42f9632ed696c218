//! From SQLite to PostgreSQL with everything.

use base::{ApplicationId, Digest, Org};
use store::{
    Change, Client, ClientMetadata, ClientStore, Credential, CredentialKind, CredentialSecret,
    CredentialStore, Expect, Filter, HistoryEntry, HistoryFilter, KeyState, Page, Record,
    RecordKind, ResourceStore, Revocation, Role, SigningAlgorithm, SigningKeyRecord, Store, User,
    Write,
};
use store_sql::{MoveError, SqlStore};

use super::{Home, api, batch};

/// Something of all that is kept.
async fn fill(store: &SqlStore) {
    let mut application = api("shop", "");
    if let Write::RecordPut { kind, links, .. } = &mut application {
        *kind = RecordKind::Application;
        links.owner = Some("ada".to_owned());
    }
    let blob = vec![7_u8; 100_000];
    let writes = vec![
        Write::BlobPut {
            digest: Digest::of(&blob),
            content: blob.into(),
        },
        api("pets", "ü \u{1F43E} \u{0}"),
        application,
    ];
    store.commit(batch(writes)).await.unwrap();
    let org = Org::default_org();
    let shop = store
        .record_get(&org, RecordKind::Application, "shop")
        .await
        .unwrap();
    let shop = ApplicationId(shop.unwrap().id);
    let key = Credential {
        id: base::CredentialId::generate(),
        org: org.clone(),
        application: shop,
        kind: CredentialKind::ApiKey(base::KeyLimits::default()),
        secrets: vec![CredentialSecret {
            prefix: Some("tw_ab".to_owned()),
            ..secret(b"key")
        }],
        ..client(shop)
    };
    let writes = vec![
        Write::CredentialPut(client(shop)),
        Write::CredentialPut(key),
        Write::RevocationPut(Revocation {
            jti: "jti".to_owned(),
            expires_unix_s: 4_000_000_000,
        }),
        Write::SigningKeyPut(SigningKeyRecord {
            kid: "kid".to_owned(),
            algorithm: SigningAlgorithm::EdDsa,
            state: KeyState::Retiring { until_unix_s: 9 },
            since_unix_ms: 1,
            sealed: vec![0, 1, 255],
            public_jwk: serde_json::json!({"kty": "EC"}),
            created_unix_ms: 1,
        }),
        Write::UserPut(
            User {
                id: base::UserId::generate(),
                org: org.clone(),
                name: "ada".to_owned(),
                password_hash: "$argon2id$".to_owned(),
                roles: vec![Role::Admin],
                created_unix_ms: 1,
            },
            Expect::Absent,
        ),
    ];
    store.commit(batch(writes)).await.unwrap();
    // More rows than are moved at a time.
    for number in 0..450 {
        let name = format!("api-{}", number % 7);
        let write = api(&name, &number.to_string());
        store.commit(batch(vec![write])).await.unwrap();
    }
}

fn secret(text: &[u8]) -> CredentialSecret {
    CredentialSecret {
        id: base::SecretId::generate(),
        hash: Digest::of(text),
        prefix: None,
        created_unix_ms: 1,
        expires_unix_s: Some(7),
        used_unix_s: None,
    }
}

fn client(application: ApplicationId) -> Credential {
    Credential {
        id: base::CredentialId::generate(),
        org: Org::default_org(),
        application,
        name: String::new(),
        kind: CredentialKind::Client(Box::new(Client {
            client_id: "client".to_owned(),
            issuer: store::RESIDENT.to_owned(),
            registration: None,
            metadata: ClientMetadata::default(),
        })),
        secrets: vec![secret(b"secret")],
        created_unix_ms: 1,
        updated_unix_ms: 1,
        used_unix_s: None,
        expires_unix_s: None,
        environment: base::Environment::default(),
    }
}

#[derive(PartialEq, Debug)]
struct Everything {
    revision: u64,
    feed: Vec<Change>,
    records: Vec<Record>,
    history: Vec<HistoryEntry>,
    credentials: Vec<Credential>,
    revocations: Vec<Revocation>,
    users: Vec<User>,
    keys: Vec<SigningKeyRecord>,
    blob: Option<std::sync::Arc<[u8]>>,
}

async fn everything(store: &SqlStore) -> Everything {
    let org = Org::default_org();
    let mut records = Vec::new();
    for kind in RecordKind::ALL {
        let list = store
            .record_list(&org, kind, &Filter::default(), &Page::ALL)
            .await;
        for record in list.unwrap() {
            records.push(record);
        }
    }
    let all = HistoryFilter {
        limit: u64::MAX,
        ..HistoryFilter::default()
    };
    let history = store.history_list(&org, &all).await.unwrap();
    let blob = Digest::of(&vec![7_u8; 100_000]);
    Everything {
        revision: store.revision().await.unwrap(),
        feed: store.changes_since(0, u64::MAX).await.unwrap().changes,
        records,
        history,
        credentials: store.credential_list(None).await.unwrap(),
        revocations: store.revocation_list(0).await.unwrap(),
        users: store.user_list(&org).await.unwrap(),
        keys: store.signing_key_list().await.unwrap(),
        blob: store.blob_get(&blob).await.unwrap(),
    }
}

#[tokio::test]
async fn everything_moves_and_the_revisions_go_on() {
    let homes = (Home::folder(), Home::server());
    let (from, to) = (homes.0.open().await, homes.1.open().await);
    fill(&from).await;
    let before = everything(&from).await;
    let moved = from.move_to(&to).await.unwrap();
    assert_eq!(everything(&to).await, before);
    assert!(before.history.len() > 450 && before.blob.is_some());
    let rows = |table| {
        moved
            .iter()
            .find(|moved| moved.table == table)
            .unwrap()
            .rows
    };
    assert_eq!((rows("counter"), rows("blobs"), rows("users")), (1, 1, 1));

    let revision = to.commit(batch(vec![api("next", "")])).await.unwrap();
    assert_eq!(revision, before.revision + 1);

    // A second time would mix two platforms.
    let error = from.move_to(&to).await.unwrap_err();
    assert!(matches!(error, MoveError::NotEmpty(_)), "{error}");
    assert_eq!(to.revision().await.unwrap(), revision);
}

/// The way back is the same one.
#[tokio::test]
async fn it_moves_back_as_well() {
    let homes = (Home::server(), Home::folder());
    let (from, to) = (homes.0.open().await, homes.1.open().await);
    fill(&from).await;
    let before = everything(&from).await;
    from.move_to(&to).await.unwrap();
    assert_eq!(everything(&to).await, before);
}
