//! The present values of one kind of thing, and in which revision each changed last.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use sync::ResourceKey;

/// A map that can tell what changed since a revision.
///
/// Deleted keys are remembered up to a limit; beyond it the oldest are forgotten and [`Changelog::floor`] rises:
/// whoever is older than the floor must read everything anew.
#[derive(Debug)]
pub(super) struct Changelog<K, V> {
    slots: HashMap<K, Slot<V>>,
    order: BTreeMap<(u64, u64), K>,
    deleted: BTreeMap<(u64, u64), K>,
    sequence: u64,
    floor: u64,
    deleted_max: usize,
}

#[derive(Debug)]
struct Slot<V> {
    at: (u64, u64),
    value: Option<V>,
}

impl<K: Clone + Eq + Hash, V: PartialEq> Changelog<K, V> {
    /// An empty log whose memory begins at `floor`.
    pub(super) fn new(floor: u64, deleted_max: usize) -> Self {
        Self {
            slots: HashMap::new(),
            order: BTreeMap::new(),
            deleted: BTreeMap::new(),
            sequence: 0,
            floor,
            deleted_max,
        }
    }

    /// Sets or deletes a key in a revision. An equal value is no change.
    pub(super) fn set(&mut self, key: &K, value: Option<V>, revision: u64) {
        match self.slots.get(key) {
            Some(slot) if slot.value == value => return,
            None if value.is_none() => return,
            Some(slot) => {
                self.order.remove(&slot.at);
                self.deleted.remove(&slot.at);
            }
            None => {}
        }
        self.sequence += 1;
        let at = (revision, self.sequence);
        if value.is_none() {
            self.deleted.insert(at, key.clone());
        }
        self.order.insert(at, key.clone());
        self.slots.insert(key.clone(), Slot { at, value });
        while self.deleted.len() > self.deleted_max {
            let Some((at, key)) = self.deleted.pop_first() else {
                break;
            };
            self.order.remove(&at);
            self.slots.remove(&key);
            self.floor = self.floor.max(at.0);
        }
    }

    /// The present value.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.slots.get(key)?.value.as_ref()
    }

    /// The revision that changed a key last.
    pub(super) fn changed_in(&self, key: &K) -> Option<u64> {
        self.slots.get(key).map(|slot| slot.at.0)
    }

    /// All keys that are there, with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots
            .iter()
            .filter_map(|(key, slot)| Some((key, slot.value.as_ref()?)))
    }

    /// What changed after `revision`, oldest first; `None` for a deleted key.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = (&K, Option<&V>)> {
        self.order
            .range((revision.saturating_add(1), 0)..)
            .map(|(_, key)| {
                (
                    key,
                    self.slots.get(key).and_then(|slot| slot.value.as_ref()),
                )
            })
    }

    /// What changed after `since`, or everything that is there.
    pub(super) fn part(
        &self,
        since: Option<u64>,
    ) -> Box<dyn Iterator<Item = (&K, Option<&V>)> + '_> {
        match since {
            Some(revision) => Box::new(self.since(revision)),
            None => Box::new(self.iter().map(|(key, value)| (key, Some(value)))),
        }
    }

    /// Drops what nobody has to hear of any more.
    pub(super) fn forget(&mut self, gone: impl Fn(&K, &V) -> bool) {
        let keys: Vec<K> = self
            .iter()
            .filter(|(key, value)| gone(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            if let Some(slot) = self.slots.remove(&key) {
                self.order.remove(&slot.at);
            }
        }
    }

    /// Changes after this revision are known; of earlier ones some may be forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }
}

impl<V: PartialEq> Changelog<ResourceKey, Arc<V>> {
    /// [`Changelog::part`] in the shape of an update.
    pub(super) fn changes(&self, since: Option<u64>) -> Vec<sync::Change<Arc<V>>> {
        self.part(since)
            .map(|(key, model)| sync::Change {
                key: key.clone(),
                model: model.cloned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_changed() {
        let mut log = Changelog::new(10, 100);
        log.set(&"a", Some(1), 11);
        log.set(&"b", Some(2), 11);
        log.set(&"a", None, 12);
        log.set(&"b", Some(2), 13);
        assert_eq!(log.since(11).collect::<Vec<_>>(), [(&"a", None)]);
        assert_eq!(
            log.since(10).collect::<Vec<_>>(),
            [(&"b", Some(&2)), (&"a", None)]
        );
        assert_eq!(log.iter().collect::<Vec<_>>(), [(&"b", &2)]);
        assert_eq!(
            log.changed_in(&"b"),
            Some(11),
            "an equal value is no change"
        );
        assert_eq!(log.floor(), 10);
    }

    #[test]
    fn memory_of_deleted_keys_is_bounded() {
        let mut log = Changelog::new(0, 2);
        for (revision, key) in (1..).zip(0..5) {
            log.set(&key, Some(()), revision);
        }
        for (revision, key) in (6..).zip(0..5) {
            log.set(&key, None, revision);
        }
        assert_eq!(log.since(0).count(), 2);
        assert_eq!(log.floor(), 8, "the deletions of 6 to 8 are forgotten");
        assert_eq!(log.get(&4), None);
    }
}
