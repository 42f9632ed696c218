//! Whatever is changed about a token, it is no longer one.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::forge::Forge;

static FORGED: LazyLock<(Forge, String)> = LazyLock::new(|| {
    let forge = Forge::new();
    let token = forge.with_header(&[]);
    (forge, token)
});

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é";

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_token_never_verifies(
        edits in proptest::collection::vec(
            (0_u8..5, any::<Index>(), any::<Index>(), select(ALPHABET.chars().collect::<Vec<_>>())),
            1..4,
        ),
    ) {
        let (forge, good) = &*FORGED;
        let mut token: Vec<char> = good.chars().collect();
        for (kind, at, other, character) in edits {
            let (at, other) = (at.index(token.len()), other.index(token.len()));
            match kind {
                0 => token[at] = character,
                1 => token.insert(at, character),
                2 => token.swap(at, other),
                3 => token.truncate(at.max(1)),
                _ => {
                    token.remove(at);
                    if token.is_empty() {
                        token.push(character);
                    }
                }
            }
        }
        let token: String = token.into_iter().collect();
        prop_assume!(token != *good);
        prop_assert!(forge.verify(&token).is_err(), "{token}");
    }

    #[test]
    fn noise_never_verifies_nor_panics(token in "\\PC{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,60}", 3)) {
        let (forge, _) = &*FORGED;
        prop_assert!(forge.verify(&token).is_err());
        prop_assert!(forge.verify(&parts.join(".")).is_err());
    }
}
