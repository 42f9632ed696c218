use std::collections::BTreeMap;

use super::*;

/// A hash that begins with these bytes: keys whose hashes begin alike lie in one shard.
fn hash(start: [u8; 8], number: u32) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&start);
    bytes[8..12].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

fn text(hash: Digest, expires_unix_s: Option<u64>) -> KeyHash {
    KeyHash {
        hash,
        expires_unix_s,
    }
}

fn put(keys: &Keys, credential: CredentialId, texts: &[KeyHash]) {
    let key = Key {
        application: ApplicationId::generate(),
        credential,
        environment: Environment::Sandbox,
        limits: &KeyLimits::default(),
    };
    keys.put(&key, texts);
}

/// Among keys whose hashes begin alike, and at the end of a shard, where the search goes on at its beginning.
#[test]
fn keys_are_found_whatever_their_hashes_have_in_common() {
    let keys = Keys::default();
    let mut known = BTreeMap::new();
    for start in [[0; 8], [0xff; 8], [0, 0, 0xff, 0xff, 0xff, 0xff, 0, 1]] {
        for number in 0..40 {
            let (id, hash) = (CredentialId::generate(), hash(start, number));
            put(&keys, id, &[text(hash, None)]);
            known.insert(hash, id);
        }
    }
    assert_eq!(keys.len(), known.len());
    let mut credentials = keys.credentials();
    credentials.sort_unstable();
    let mut ids: Vec<_> = known.values().copied().collect();
    ids.sort_unstable();
    assert_eq!(credentials, ids);
    let mut left = known.len();
    for (number, (one, id)) in known.iter().enumerate() {
        let row = keys.get(one).unwrap();
        assert_eq!((row.credential, row.expires_unix_s()), (*id, None));
        assert_eq!(row.environment, Environment::Sandbox);
        if number % 3 == 0 {
            keys.remove(id);
            left -= 1;
            assert!(keys.get(one).is_none());
        }
    }
    assert_eq!(keys.len(), left);
    for (number, one) in known.keys().enumerate() {
        assert_eq!(keys.get(one).is_some(), number % 3 != 0);
    }
    assert!(keys.get(&hash([0; 8], 40)).is_none(), "nobody has this one");
}

/// The key that is being replaced has two texts; other keys of the same shard stay as they are (req: T6).
#[test]
fn a_key_may_have_two_texts_and_loses_those_that_are_not_named() {
    let keys = Keys::default();
    let (id, other) = (CredentialId::generate(), CredentialId::generate());
    let [first, second, third] = [0, 1, 2].map(|number| hash([1; 8], number));
    put(&keys, other, &[text(third, None)]);
    put(&keys, id, &[text(first, None)]);
    put(&keys, id, &[text(second, None), text(first, Some(100))]);
    assert_eq!(keys.get(&first).unwrap().expires_unix_s(), Some(100));
    assert_eq!(keys.get(&second).unwrap().expires_unix_s(), None);
    assert_eq!(keys.len(), 3);
    put(&keys, id, &[text(second, Some(200))]);
    assert!(keys.get(&first).is_none());
    assert_eq!(keys.get(&second).unwrap().credential, id);
    assert_eq!(keys.get(&third).unwrap().credential, other);
    assert!(!keys.has_ended(&id, 199) && keys.has_ended(&id, 200));
    assert!(!keys.has_ended(&other, u64::MAX - 1));
    put(&keys, id, &[text(second, Some(0))]);
    assert!(keys.has_ended(&id, 1), "an end in 1970 is one");
    keys.remove(&id);
    assert!(keys.has_ended(&id, 0));
    assert_eq!((keys.len(), keys.credentials()), (1, vec![other]));
}

/// A row that another credential took over is that one's.
#[test]
fn a_text_belongs_to_who_had_it_last() {
    let keys = Keys::default();
    let (id, other) = (CredentialId::generate(), CredentialId::generate());
    let one = hash([2; 8], 0);
    put(&keys, id, &[text(one, None)]);
    put(&keys, other, &[text(one, None)]);
    assert_eq!(keys.len(), 1);
    keys.remove(&id);
    assert_eq!(keys.get(&one).unwrap().credential, other);
}
