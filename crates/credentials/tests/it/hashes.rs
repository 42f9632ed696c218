use base::{ApplicationId, Org, Secret};
use credentials::{KeyFile, SecretHashes, equal};
use store::{Credential, CredentialKind};

use crate::memory::Memory;

const NOW_S: u64 = 1_700_000_000;

fn hashes(root: u8) -> SecretHashes {
    SecretHashes::new(&KeyFile::from_root(&Secret::new([root; 32])).unwrap())
}

async fn authenticate(store: &Memory, id: &str, secret: &str, now_s: u64) -> Option<Credential> {
    let secret = Secret::new(secret.to_owned());
    hashes(1)
        .client_authenticate(store, id, &secret, now_s)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_client_proves_itself_with_its_own_secret_alone() {
    let store = Memory::default();
    let app = ApplicationId::generate();
    let org = Org::default_org();
    let one = hashes(1)
        .client_create(&org, app, NOW_S * 1000, None)
        .unwrap();
    let two = hashes(1)
        .client_create(&org, app, NOW_S * 1000, None)
        .unwrap();
    assert_ne!(one.client_id, two.client_id);
    assert!(one.client_id.starts_with("twc_") && one.client_secret.expose().starts_with("tws_"));
    store.rows().credentials = vec![one.credential.clone(), two.credential.clone()];

    let found = authenticate(&store, &one.client_id, one.client_secret.expose(), NOW_S).await;
    assert_eq!(found, Some(one.credential));
    for (id, secret) in [
        (one.client_id.as_str(), two.client_secret.expose().as_str()),
        (&one.client_id, ""),
        (&one.client_id, &one.client_id),
        (&one.client_id, &one.client_secret.expose()[..55]),
        (&one.client_id, &one.client_secret.expose().to_uppercase()),
        ("", one.client_secret.expose()),
        ("twc_unknown", one.client_secret.expose()),
        ("' OR 1=1 --", one.client_secret.expose()),
    ] {
        assert_eq!(authenticate(&store, id, secret, NOW_S).await, None, "{id}");
    }
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let store = Memory::default();
    let new = hashes(1)
        .client_create(
            &Org::default_org(),
            ApplicationId::generate(),
            NOW_S * 1000,
            Some(NOW_S + 10),
        )
        .unwrap();
    store.rows().credentials.push(new.credential);
    let secret = new.client_secret.expose();
    assert!(
        authenticate(&store, &new.client_id, secret, NOW_S + 9)
            .await
            .is_some()
    );
    assert!(
        authenticate(&store, &new.client_id, secret, NOW_S + 10)
            .await
            .is_none()
    );
}

#[tokio::test]
async fn an_api_key_is_no_client_secret() {
    let store = Memory::default();
    let org = Org::default_org();
    let key = hashes(1)
        .api_key_create(&org, ApplicationId::generate(), 0, None)
        .unwrap();
    let text = key.key.expose().clone();
    // Even in a row that calls itself a client: the hashing keys differ.
    store.rows().credentials.push(Credential {
        kind: CredentialKind::Client {
            client_id: "twc_x".into(),
        },
        ..key.credential
    });
    assert_eq!(authenticate(&store, "twc_x", &text, NOW_S).await, None);
}

#[test]
fn what_is_kept_is_a_keyed_hash() {
    let org = Org::default_org();
    let new = hashes(1)
        .api_key_create(&org, ApplicationId::generate(), 0, None)
        .unwrap();
    let key = new.key.expose();
    assert_eq!(new.credential.hash, hashes(1).api_key_hash(key));
    assert_ne!(new.credential.hash, hashes(2).api_key_hash(key), "keyed");
    assert_ne!(new.credential.hash, base::Digest::of(key.as_bytes()));
    let CredentialKind::ApiKey { prefix } = &new.credential.kind else {
        panic!("an API key");
    };
    assert!(key.starts_with(prefix.as_str()));
    assert_eq!(prefix.len(), 12);
    assert_eq!(key.len(), 56);

    // What a node computes: HMAC-SHA-256 of the whole text under the key it is given.
    let node = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        hashes(1).api_key_hashing().expose(),
    );
    let tag = aws_lc_rs::hmac::sign(&node, key.as_bytes());
    assert_eq!(tag.as_ref(), new.credential.hash.as_bytes());
}

#[test]
fn secrets_are_not_shown() {
    let org = Org::default_org();
    let client = hashes(1)
        .client_create(&org, ApplicationId::generate(), 0, None)
        .unwrap();
    let key = hashes(1)
        .api_key_create(&org, ApplicationId::generate(), 0, None)
        .unwrap();
    let shown = format!("{client:?} {key:?} {:?}", hashes(1));
    for secret in [client.client_secret.expose(), key.key.expose()] {
        assert!(!shown.contains(secret.as_str()));
    }
    assert!(!shown.contains(&client.credential.hash.to_string()));
    assert!(shown.contains("***"));
}

#[test]
fn equal_compares_all_of_both() {
    assert!(equal(b"", b"") && equal(b"secret", b"secret"));
    for other in ["", "secre", "secret ", "Secret", "secreT"] {
        assert!(!equal(b"secret", other.as_bytes()), "{other}");
    }
}
