//! API keys, in little memory: there may be a million of them.
//!
//! A key is found by the first half of its keyed hash, which nobody can choose; the row holds the other half, and both
//! must be equal. What only the writer needs (which rows a credential has) readers never see.

use std::sync::{Arc, Mutex, PoisonError};

use base::{ApplicationId, CredentialId, Digest, Environment, KeyLimits};
use papaya::HashMap;
use sync::KeyHash;

type Half = [u8; 16];

/// An end that never comes: the year 2106.
const NEVER: u32 = u32::MAX;

/// The table.
#[derive(Default)]
pub(super) struct Keys {
    rows: HashMap<Half, KeyRow, foldhash::quality::RandomState>,
    /// For the writer alone, of which there is one.
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    first: std::collections::HashMap<CredentialId, Half, foldhash::fast::RandomState>,
    /// While a key is being replaced it has two texts.
    more: std::collections::HashMap<CredentialId, Vec<Half>, foldhash::fast::RandomState>,
}

impl Places {
    /// Forgets where the texts of a key are, and says it.
    fn take(&mut self, credential: &CredentialId) -> Vec<Half> {
        let mut all = self.more.remove(credential).unwrap_or_default();
        all.extend(self.first.remove(credential));
        all
    }
}

/// One text of one key.
#[derive(Clone)]
pub(super) struct KeyRow {
    rest: Half,
    pub(super) application: ApplicationId,
    pub(super) credential: CredentialId,
    expires_unix_s: u32,
    pub(super) environment: Environment,
    pub(super) limits: Option<Arc<KeyLimits>>,
}

impl KeyRow {
    /// The second since 1970 from which it no longer works.
    pub(super) fn expires_unix_s(&self) -> Option<u64> {
        (self.expires_unix_s != NEVER).then_some(self.expires_unix_s.into())
    }
}

/// What all texts of a key share.
pub(super) struct Key<'e> {
    pub(super) application: ApplicationId,
    pub(super) credential: CredentialId,
    pub(super) environment: Environment,
    pub(super) limits: &'e KeyLimits,
}

impl Keys {
    /// How many texts of keys there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of the key with this hash.
    pub(super) fn get(&self, hash: &Digest) -> Option<KeyRow> {
        let (half, rest) = halves(hash);
        let rows = self.rows.pin();
        let row = rows.get(&half).filter(|row| row.rest == rest)?;
        Some(row.clone())
    }

    /// The credentials that have a key.
    pub(super) fn credentials(&self) -> Vec<CredentialId> {
        self.places().first.keys().copied().collect()
    }

    /// Adds a key, or replaces the one of the same id: a text that stays is never away.
    pub(super) fn put(&self, key: &Key<'_>, texts: &[KeyHash]) {
        let limits = (!key.limits.is_empty()).then(|| Arc::new(key.limits.clone()));
        let rows = self.rows.pin();
        let mut places = self.places();
        let before = places.take(&key.credential);
        for (number, text) in texts.iter().enumerate() {
            let (half, rest) = halves(&text.hash);
            let row = KeyRow {
                rest,
                application: key.application,
                credential: key.credential,
                expires_unix_s: text
                    .expires_unix_s
                    .map_or(NEVER, |at| u32::try_from(at).unwrap_or(NEVER)),
                environment: key.environment,
                limits: limits.clone(),
            };
            rows.insert(half, row);
            if number == 0 {
                places.first.insert(key.credential, half);
            } else {
                places.more.entry(key.credential).or_default().push(half);
            }
        }
        let stays = |half: &Half| texts.iter().any(|text| halves(&text.hash).0 == *half);
        for half in before.iter().filter(|half| !stays(half)) {
            rows.remove(half);
        }
    }

    /// Whether a key has no text (any more) that is good now. Nobody waits for the writer: while it is at it the answer is
    /// no, and the next question tells.
    pub(super) fn has_ended(&self, credential: &CredentialId, now_unix_s: u64) -> bool {
        let Ok(places) = self.places.try_lock() else {
            return false;
        };
        let rows = self.rows.pin();
        let more = places.more.get(credential).into_iter().flatten();
        let mut texts = places.first.get(credential).into_iter().chain(more);
        !texts.any(|half| {
            let row = rows.get(half).filter(|row| row.credential == *credential);
            let ends = row.map(|row| row.expires_unix_s().unwrap_or(u64::MAX));
            ends.is_some_and(|ends| now_unix_s < ends)
        })
    }

    /// Removes a key with all its texts; another credential's is not there.
    pub(super) fn remove(&self, credential: &CredentialId) {
        let rows = self.rows.pin();
        let mut places = self.places();
        for half in places.take(credential) {
            rows.remove(&half);
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn halves(hash: &Digest) -> (Half, Half) {
    let (mut first, mut rest) = ([0; 16], [0; 16]);
    first.copy_from_slice(&hash.as_bytes()[..16]);
    rest.copy_from_slice(&hash.as_bytes()[16..]);
    (first, rest)
}
