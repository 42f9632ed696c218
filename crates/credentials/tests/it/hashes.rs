use base::{ApplicationId, KeyLimits, Org, Secret};
use credentials::{KeyFile, NewApiKey, NewClient, RotateError, SecretHashes, Wish, equal};
use store::{AuthMethod, ClientMetadata, Credential, CredentialKind};

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
        .map(|(credential, _)| credential)
}

fn client(app: ApplicationId, expires_unix_s: Option<u64>) -> (NewClient, Secret<String>) {
    let wish = Wish {
        expires_unix_s,
        ..Wish::new(&Org::default_org(), app)
    };
    let mut new = hashes(1)
        .client_create(wish, ClientMetadata::default(), NOW_S * 1000)
        .unwrap();
    let secret = new.client_secret.take().unwrap();
    (new, secret)
}

fn api_key() -> NewApiKey {
    let wish = Wish::new(&Org::default_org(), ApplicationId::generate());
    hashes(1)
        .api_key_create(wish, KeyLimits::default(), NOW_S * 1000)
        .unwrap()
}

#[tokio::test]
async fn a_client_proves_itself_with_its_own_secret_alone() {
    let store = Memory::default();
    let app = ApplicationId::generate();
    let ((one, one_secret), (two, two_secret)) = (client(app, None), client(app, None));
    assert_ne!(one.client_id, two.client_id);
    assert!(one.client_id.starts_with("twc_") && one_secret.expose().starts_with("tws_"));
    store.rows().credentials = vec![one.credential.clone(), two.credential.clone()];

    let found = authenticate(&store, &one.client_id, one_secret.expose(), NOW_S).await;
    assert_eq!(found, Some(one.credential));
    for (id, secret) in [
        (one.client_id.as_str(), two_secret.expose().as_str()),
        (&one.client_id, ""),
        (&one.client_id, &one.client_id),
        (&one.client_id, &one_secret.expose()[..55]),
        (&one.client_id, &one_secret.expose().to_uppercase()),
        ("", one_secret.expose()),
        ("twc_unknown", one_secret.expose()),
        ("' OR 1=1 --", one_secret.expose()),
    ] {
        assert_eq!(authenticate(&store, id, secret, NOW_S).await, None, "{id}");
    }
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let store = Memory::default();
    let (new, secret) = client(ApplicationId::generate(), Some(NOW_S + 10));
    store.rows().credentials.push(new.credential);
    let secret = secret.expose();
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
    let key = api_key();
    let text = key.key.expose().clone();
    let (other, _) = client(ApplicationId::generate(), None);
    // Even in a row that calls itself a client: the hashing keys differ.
    store.rows().credentials.push(Credential {
        kind: other.credential.kind,
        ..key.credential
    });
    let id = &other.client_id;
    assert_eq!(authenticate(&store, id, &text, NOW_S).await, None);
}

#[test]
fn what_is_kept_is_a_keyed_hash() {
    let new = api_key();
    let key = new.key.expose();
    let kept = &new.credential.secrets[0];
    assert_eq!(kept.hash, hashes(1).api_key_hash(key));
    assert_ne!(kept.hash, hashes(2).api_key_hash(key), "keyed");
    assert_ne!(kept.hash, base::Digest::of(key.as_bytes()));
    let prefix = kept.prefix.as_deref().unwrap();
    assert!(key.starts_with(prefix));
    assert_eq!(prefix.len(), 12);
    assert_eq!(key.len(), 63);
    assert!(base::key_text::is_well_formed(key));

    // What a node computes: HMAC-SHA-256 of the whole text under the key it is given.
    let node = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        hashes(1).api_key_hashing().expose(),
    );
    let tag = aws_lc_rs::hmac::sign(&node, key.as_bytes());
    assert_eq!(tag.as_ref(), kept.hash.as_bytes());
}

/// req: T6
#[tokio::test]
async fn two_secrets_are_good_until_a_chosen_date() {
    let store = Memory::default();
    let (mut new, old) = client(ApplicationId::generate(), None);
    let id = new.client_id.clone();
    let until = NOW_S + 100;
    let hashes = hashes(1);
    let next = hashes
        .rotate(&mut new.credential, until, NOW_S * 1000)
        .unwrap();
    let refused = hashes.rotate(&mut new.credential, until, NOW_S * 1000);
    assert_eq!(refused.unwrap_err(), RotateError::TooMany);
    store.rows().credentials.push(new.credential.clone());
    let good = async |secret: &Secret<String>, now| {
        authenticate(&store, &id, secret.expose(), now)
            .await
            .is_some()
    };
    assert!(good(&old, until - 1).await && good(&next, until - 1).await);
    assert!(!good(&old, until).await && good(&next, until).await);
    // The next turn drops what has ended; an end that is past ends the present one at once.
    let third = hashes.rotate(&mut new.credential, 0, until * 1000).unwrap();
    assert_eq!(new.credential.secrets.len(), 1);
    store.rows().credentials = vec![new.credential.clone()];
    assert!(good(&third, until).await && !good(&next, until).await);

    let mut key = api_key().credential;
    let text = hashes.rotate(&mut key, until, NOW_S * 1000).unwrap();
    assert!(base::key_text::is_well_formed(text.expose()));
    assert_eq!(key.secrets[0].expires_unix_s, Some(until));
    assert_eq!(key.secrets[1].hash, hashes.api_key_hash(text.expose()));
    assert_eq!(key.secrets[1].expires_unix_s, None);

    if let CredentialKind::Client(client) = &mut new.credential.kind {
        client.metadata.token_endpoint_auth_method = AuthMethod::PrivateKeyJwt;
    }
    new.credential.secrets.clear();
    let refused = hashes.rotate(&mut new.credential, until, NOW_S * 1000);
    assert_eq!(refused.unwrap_err(), RotateError::NoSecret);
}

#[test]
fn secrets_are_not_shown() {
    let (client, secret) = client(ApplicationId::generate(), None);
    let key = api_key();
    let shown = format!("{client:?} {key:?} {secret:?} {:?}", hashes(1));
    for secret in [secret.expose(), key.key.expose()] {
        assert!(!shown.contains(secret.as_str()));
    }
    assert!(!shown.contains(&client.credential.secrets[0].hash.to_string()));
    assert!(shown.contains("***"));
}

#[test]
fn equal_compares_all_of_both() {
    assert!(equal(b"", b"") && equal(b"secret", b"secret"));
    for other in ["", "secre", "secret ", "Secret", "secreT"] {
        assert!(!equal(b"secret", other.as_bytes()), "{other}");
    }
}
