//! API keys, in little memory: there may be a million of them.
//!
//! A key is found by its keyed hash, which nobody can choose. The rows lie in shards by the beginning of the hash, each an
//! immutable table that is two thirds full and as large as it has to be: a look-up reads the shard's place and mostly one
//! row of 64 bytes, the same among a thousand keys and among a million. A change makes its shard anew, which costs what a
//! 4096th of all keys costs. What only the writer needs (which texts a credential has) readers never see.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use base::{ApplicationId, CredentialId, Digest, Environment, KeyLimits};
use policy::LimitedKey;
use sync::KeyHash;

/// Shards of rows, and of places.
const SHARDS: usize = 4096;
/// Bytes of the keyed hash that are compared: more than half, as RFC 2104 §5 has it for a truncated one.
const COMPARED: usize = 19;
/// How a keyed hash begins: what says the shard and the place in it, and is all that the writer remembers.
type Start = [u8; 8];
/// An end that never comes: the year 2106.
const NEVER: NonZeroU32 = NonZeroU32::MAX;

/// The table.
pub(super) struct Keys {
    shards: Box<[ArcSwapOption<Shard>]>,
    texts: AtomicUsize,
    /// For the writer alone, of which there is one.
    places: Mutex<Places>,
}

/// Which texts a credential has, in shards by the id.
struct Places(Box<[Vec<Place>]>);

#[derive(Clone, Copy)]
struct Place {
    credential: CredentialId,
    start: Start,
}

/// Rows at or behind the place that their hash says, the first free one.
struct Shard {
    slots: Box<[Option<KeyRow>]>,
}

/// One text of one key: a line of the processor's cache.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct KeyRow {
    hash: [u8; COMPARED],
    pub(super) environment: Environment,
    pub(super) application: ApplicationId,
    pub(super) credential: CredentialId,
    expires_unix_s: NonZeroU32,
    pub(super) limited: Option<Arc<LimitedKey>>,
}

const _: () = assert!(size_of::<Option<KeyRow>>() == 64, "a row is one cache line");

impl KeyRow {
    /// The second since 1970 from which it no longer works.
    pub(super) fn expires_unix_s(&self) -> Option<u64> {
        (self.expires_unix_s != NEVER).then_some(self.expires_unix_s.get().into())
    }

    fn start(&self) -> Start {
        start_of(&self.hash)
    }
}

/// What all texts of a key share.
pub(super) struct Key<'e> {
    pub(super) application: ApplicationId,
    pub(super) credential: CredentialId,
    pub(super) environment: Environment,
    pub(super) limits: &'e KeyLimits,
}

impl Shard {
    /// With room for half as many again.
    fn of(rows: Vec<KeyRow>) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(rows.len() + rows.len() / 2 + 1, || None);
        let mut shard = Self {
            slots: slots.into_boxed_slice(),
        };
        for row in rows {
            let mut at = shard.begin(row.start());
            while shard.slots[at].is_some() {
                at = (at + 1) % shard.slots.len();
            }
            shard.slots[at] = Some(row);
        }
        shard
    }

    /// Where a row would like to be: the bytes behind those that say the shard, scaled to the room.
    fn begin(&self, start: Start) -> usize {
        let number = u32::from_be_bytes([start[2], start[3], start[4], start[5]]);
        let scaled = (u64::from(number) * self.slots.len() as u64) >> 32;
        usize::try_from(scaled).expect("it is below the number of slots")
    }

    /// The rows whose hash may begin so. There is always a free slot, where they end.
    fn candidates(&self, start: Start) -> impl Iterator<Item = &KeyRow> {
        let (front, back) = self.slots.split_at(self.begin(start));
        back.iter().chain(front).map_while(Option::as_ref)
    }

    fn rows(&self) -> impl Iterator<Item = &KeyRow> {
        self.slots.iter().flatten()
    }
}

impl Default for Keys {
    fn default() -> Self {
        let places = (0..SHARDS).map(|_| Vec::new()).collect();
        Self {
            shards: (0..SHARDS).map(|_| ArcSwapOption::empty()).collect(),
            texts: AtomicUsize::new(0),
            places: Mutex::new(Places(places)),
        }
    }
}

impl Keys {
    /// How many texts of keys there are.
    pub(super) fn len(&self) -> usize {
        self.texts.load(Ordering::Relaxed)
    }

    /// The row of the key with this hash.
    pub(super) fn get(&self, hash: &Digest) -> Option<KeyRow> {
        let hash = compared(hash);
        let start = start_of(&hash);
        let shard = self.shards[shard_of(start)].load();
        let mut rows = shard.as_ref()?.candidates(start);
        rows.find(|row| row.hash == hash).cloned()
    }

    /// The credentials that have a key.
    pub(super) fn credentials(&self) -> Vec<CredentialId> {
        let places = self.places();
        let all = places.0.iter().flatten();
        all.map(|place| place.credential).collect()
    }

    /// Adds a key, or replaces the one of the same id: a text that stays is never away.
    pub(super) fn put(&self, key: &Key<'_>, texts: &[KeyHash]) {
        let limited = LimitedKey::of(key.limits);
        let mut places = self.places();
        let before = places.take(&key.credential);
        for text in texts {
            let ends = text.expires_unix_s.map(|at| u32::try_from(at).ok());
            let row = KeyRow {
                hash: compared(&text.hash),
                environment: key.environment,
                application: key.application,
                credential: key.credential,
                // Who ends in the first second of 1970 has ended as well in the next.
                expires_unix_s: ends
                    .flatten()
                    .map_or(NEVER, |at| NonZeroU32::new(at).unwrap_or(NonZeroU32::MIN)),
                limited: limited.clone(),
            };
            places.add(key.credential, row.start());
            self.row_put(row);
        }
        let stays = |row: &KeyRow| texts.iter().any(|text| compared(&text.hash) == row.hash);
        for start in before {
            self.rows_remove(start, |row| row.credential == key.credential && !stays(row));
        }
    }

    /// Whether a key has no text (any more) that is good now. Nobody waits for the writer: while it is at it the answer is
    /// no, and the next question tells.
    pub(super) fn has_ended(&self, credential: &CredentialId, now_unix_s: u64) -> bool {
        let Ok(places) = self.places.try_lock() else {
            return false;
        };
        let good = |row: &KeyRow| {
            let ends = row.expires_unix_s().unwrap_or(u64::MAX);
            row.credential == *credential && now_unix_s < ends
        };
        let mut starts = places.of(credential);
        !starts.any(|start| {
            let shard = self.shards[shard_of(start)].load();
            let mut rows = shard.iter().flat_map(|shard| shard.candidates(start));
            rows.any(good)
        })
    }

    /// Removes a key with all its texts; another credential's is not there.
    pub(super) fn remove(&self, credential: &CredentialId) {
        let mut places = self.places();
        for start in places.take(credential) {
            self.rows_remove(start, |row| row.credential == *credential);
        }
    }

    fn row_put(&self, row: KeyRow) {
        let at = shard_of(row.start());
        let before = self.shards[at].load();
        let kept = before.iter().flat_map(|shard| shard.rows());
        let kept = kept.filter(|other| other.hash != row.hash).cloned();
        let mut rows: Vec<KeyRow> = kept.collect();
        rows.push(row);
        self.shard_put(at, rows);
    }

    fn rows_remove(&self, start: Start, gone: impl Fn(&KeyRow) -> bool) {
        let at = shard_of(start);
        let before = self.shards[at].load();
        let all = before.iter().flat_map(|shard| shard.rows());
        let kept = all.filter(|row| !(row.start() == start && gone(row)));
        let rows = kept.cloned().collect();
        self.shard_put(at, rows);
    }

    fn shard_put(&self, at: usize, rows: Vec<KeyRow>) {
        let after = rows.len();
        let shard = (after > 0).then(|| Arc::new(Shard::of(rows)));
        let before = self.shards[at].swap(shard);
        let before = before.map_or(0, |shard| shard.rows().count());
        // One writer: nobody sees less than there is.
        let texts = self.len() + after - before;
        self.texts.store(texts, Ordering::Relaxed);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn of(&self, credential: &CredentialId) -> impl Iterator<Item = Start> {
        let places = self.0[place_of(credential)].iter();
        let own = places.filter(move |place| place.credential == *credential);
        own.map(|place| place.start)
    }

    fn add(&mut self, credential: CredentialId, start: Start) {
        let places = &mut self.0[place_of(&credential)];
        places.push(Place { credential, start });
    }

    /// Forgets where the texts of a key are, and says it.
    fn take(&mut self, credential: &CredentialId) -> Vec<Start> {
        let starts = self.of(credential).collect();
        let places = &mut self.0[place_of(credential)];
        places.retain(|place| place.credential != *credential);
        starts
    }
}

fn compared(hash: &Digest) -> [u8; COMPARED] {
    let mut compared = [0; COMPARED];
    compared.copy_from_slice(&hash.as_bytes()[..COMPARED]);
    compared
}

fn start_of(hash: &[u8; COMPARED]) -> Start {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

fn shard_of(start: Start) -> usize {
    usize::from(u16::from_be_bytes([start[0], start[1]])) % SHARDS
}

/// The end of an id is random.
fn place_of(credential: &CredentialId) -> usize {
    let [.., high, low] = *credential.0.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % SHARDS
}

#[cfg(test)]
mod tests;
