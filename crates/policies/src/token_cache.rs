//! Tokens that were verified on this core, so that a signature is checked once and not at every call.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use base::Org;
use jose::Confirmation;
use policy::{Issuer, Memory, Principal, Remembered, TokenInUse};

/// The verified tokens of one core, by all bytes of their text. Lives in [`policy::Core::memory`]; what it may hold is said by
/// [`Remembered`], which all cores share.
///
/// Two generations: what is used moves to the young one; when that holds half of what is allowed it becomes the old
/// one, and what was not used since is forgotten. So memory is bounded, and an entry costs the same however many
/// there are. Expired entries are refused by their reader and leave with their generation.
#[derive(Default)]
pub struct TokenCache {
    young: Generation,
    old: Generation,
}

/// Tokens are chosen by strangers, so their hash is seeded.
type Tokens = HashMap<Box<[u8]>, Entry, Seed>;

/// Bytes of a token's end, and of its middle, that its hash is made of. Only tokens that were found good are kept: what tells
/// them apart is their signature, at the end, or whatever their issuer makes them of. All bytes are compared.
const HASHED_BYTES: usize = 32;

#[derive(Default)]
struct Seed(foldhash::quality::RandomState);

/// See [`HASHED_BYTES`].
struct Parts<H>(H);

impl BuildHasher for Seed {
    type Hasher = Parts<<foldhash::quality::RandomState as BuildHasher>::Hasher>;

    fn build_hasher(&self) -> Self::Hasher {
        Parts(self.0.build_hasher())
    }
}

impl<H: Hasher> Hasher for Parts<H> {
    fn write(&mut self, bytes: &[u8]) {
        match bytes.len().checked_sub(HASHED_BYTES) {
            Some(end @ HASHED_BYTES..) => {
                self.0.write(&bytes[end / 2..][..HASHED_BYTES]);
                self.0.write(&bytes[end..]);
            }
            _ => self.0.write(bytes),
        }
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[derive(Default)]
struct Generation {
    tokens: Tokens,
    bytes: usize,
}

/// A verified token.
pub(crate) struct Entry {
    /// The organisation whose issuer it was verified with.
    pub(crate) org: Org,
    /// That issuer, as it was then.
    pub(crate) issuer: Arc<Issuer>,
    /// The key that signed it; `None` for an opaque token, which nobody signed.
    pub(crate) kid: Option<Box<str>>,
    /// Whom it is for.
    pub(crate) audience: Box<[String]>,
    /// `exp`
    pub(crate) ends_unix_s: u64,
    /// The later of `nbf` and `iat`, with the name of that claim.
    pub(crate) begins_unix_s: (&'static str, u64),
    /// What ends it.
    pub(crate) token: Arc<TokenInUse>,
    /// What it is bound to.
    pub(crate) confirmation: Option<Confirmation>,
    /// `client_id`
    pub(crate) client_id: Box<str>,
    /// Who calls.
    pub(crate) principal: Rc<Principal>,
    /// When its issuer has to be asked again, in milliseconds since 1970; never for one that was verified here.
    pub(crate) good_until_unix_ms: u64,
    /// The directory's version at which issuer, client and revocations were looked up.
    pub(crate) version: u64,
}

impl TokenCache {
    /// How many tokens it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.tokens.len() + self.old.tokens.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&mut self, token: &[u8], limits: &Remembered) -> Option<&mut Entry> {
        // Hashed only where there are any.
        if !self.old.tokens.is_empty()
            && let Some((token, entry)) = self.old.tokens.remove_entry(token)
        {
            self.old.bytes -= token.len();
            self.put(token, entry, limits);
        }
        self.young.tokens.get_mut(token)
    }

    pub(crate) fn put(&mut self, token: Box<[u8]>, entry: Entry, limits: &Remembered) {
        let (tokens_max, bytes_max) = (limits.tokens_max / 2, limits.token_bytes_max / 2);
        if token.len() > bytes_max || tokens_max == 0 {
            limits.forget(Memory::Tokens, 1);
            return;
        }
        self.remove(&token);
        let full =
            self.young.tokens.len() >= tokens_max || self.young.bytes + token.len() > bytes_max;
        if full {
            limits.forget(Memory::Tokens, self.old.tokens.len());
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += token.len();
        self.young.tokens.insert(token, entry);
    }

    pub(crate) fn remove(&mut self, token: &[u8]) {
        for generation in [&mut self.young, &mut self.old] {
            if let Some((token, _)) = generation.tokens.remove_entry(token) {
                generation.bytes -= token.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{ApplicationId, CredentialId, TokenMarks};

    use super::*;
    use crate::testing::Bench;

    fn limits(tokens_max: usize, token_bytes_max: usize) -> Remembered {
        Remembered {
            tokens_max,
            token_bytes_max,
            ..Remembered::default()
        }
    }

    fn entry(bench: &Bench) -> Entry {
        Entry {
            org: Org::default_org(),
            issuer: crate::testing::issuer_of(&bench.key),
            kid: Some("k".into()),
            audience: Box::default(),
            ends_unix_s: 0,
            begins_unix_s: ("nbf", 0),
            token: Arc::new(TokenInUse {
                marks: TokenMarks::of_claims("t", "c", "s", &serde_json::Map::new()),
                ends_unix_s: 0,
            }),
            confirmation: None,
            client_id: "c".into(),
            principal: Rc::new(Principal {
                org: Org::default_org(),
                application: Some(ApplicationId::generate()),
                credential: Some(CredentialId::generate()),
                key: None,
                environment: base::Environment::Production,
                identity: Arc::default(),
                limits: None,
                token: None,
            }),
            version: 0,
            good_until_unix_ms: u64::MAX,
        }
    }

    #[test]
    fn number_and_bytes_are_bounded_and_what_is_used_stays() {
        let bench = Bench::new();
        for limits in [limits(10, 1 << 20), limits(1000, 60)] {
            let mut cache = TokenCache::default();
            for number in 0..1000 {
                cache.put(
                    format!("token-{number:05}").into_bytes().into(),
                    entry(&bench),
                    &limits,
                );
                cache
                    .get(b"token-00000", &limits)
                    .expect("used all the time");
                assert!(cache.len() <= 10, "{}", cache.len());
                assert!(cache.young.bytes + cache.old.bytes <= 120);
            }
            assert!(cache.get(b"token-00500", &limits).is_none());
            // Each that is not there any more was counted.
            let forgotten = limits.forgotten(Memory::Tokens);
            assert_eq!(forgotten + cache.len() as u64, 1000);
        }
    }

    #[test]
    fn tokens_differ_wherever_they_differ() {
        let bench = Bench::new();
        let limits = limits(1_000, 1 << 20);
        for length in [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300] {
            let mut cache = TokenCache::default();
            let token = vec![b'a'; length];
            cache.put(token.clone().into(), entry(&bench), &limits);
            for at in 0..length {
                let mut other = token.clone();
                other[at] = b'b';
                assert!(cache.get(&other, &limits).is_none(), "{length} {at}");
            }
            assert!(cache.get(&token[1..], &limits).is_none());
            assert!(cache.get(&token, &limits).is_some());
        }
    }

    #[test]
    fn what_cannot_be_held_is_not() {
        let bench = Bench::new();
        let limits = limits(10, 10);
        let mut cache = TokenCache::default();
        cache.put((*b"longer-than-half").into(), entry(&bench), &limits);
        assert!(cache.is_empty());
        cache.put((*b"abc").into(), entry(&bench), &limits);
        cache.put((*b"abc").into(), entry(&bench), &limits);
        assert_eq!(limits.forgotten(Memory::Tokens), 1);
        assert_eq!((cache.len(), cache.young.bytes), (1, 3));
        cache.remove(b"abc");
        assert_eq!((cache.len(), cache.young.bytes), (0, 0));
    }
}
