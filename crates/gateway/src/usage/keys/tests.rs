use base::{CredentialId, Digest, KeyMark};

use super::*;

fn key(text: &str) -> KeyUse {
    KeyUse {
        credential: CredentialId::generate(),
        mark: KeyMark::of(&Digest::of(text.as_bytes())),
    }
}

/// req: T6
#[test]
fn a_key_is_noted_once_a_minute() {
    let keys = UsedKeys::new(10, 59_000);
    let (one, other) = (key("one"), key("other"));
    let (last, elsewhere) = (LastKey::default(), LastKey::default());
    for _ in 0..3 {
        keys.used(&last, one);
        keys.used(&last, other);
        keys.used(&elsewhere, one);
    }
    assert_eq!(keys.take(), [one, other]);
    keys.turn(59_900);
    keys.used(&last, one);
    assert!(keys.take().is_empty(), "the same minute");
    keys.turn(60_000);
    keys.used(&last, one);
    keys.used(&elsewhere, one);
    assert_eq!(keys.take(), [one], "the next");
}

#[test]
fn a_core_notes_so_many_keys_a_minute() {
    let keys = UsedKeys::new(2, 0);
    let last = LastKey::default();
    let all = ["a", "b", "c"].map(key);
    for one in all {
        keys.used(&last, one);
    }
    assert_eq!(keys.take(), all[..2]);
    keys.turn(60_000);
    keys.used(&last, all[2]);
    assert_eq!(keys.take(), all[2..], "in a later one");
}
