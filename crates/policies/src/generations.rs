//! What a core remembers at a time, bounded by a number.

use std::collections::HashMap;
use std::hash::Hash;

/// A map in two generations: what is used moves to the young one; when that holds half of what is allowed it becomes the old
/// one, and what was not used since is forgotten. So memory is bounded, and an entry costs the same however many there are.
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V, foldhash::quality::RandomState>,
    old: HashMap<K, V, foldhash::quality::RandomState>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// What is remembered; counts as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        // Most are young, and often all: then one look-up is enough.
        if !self.old.is_empty() && !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Remembers; says how many were forgotten for it. At most `max` are kept.
    pub(crate) fn put(&mut self, key: K, value: V, max: usize) -> usize {
        self.old.remove(&key);
        let mut forgotten = 0;
        if self.young.len() >= (max / 2).max(1) {
            forgotten = self.old.len();
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
        forgotten
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_bounded_and_what_is_used_stays() {
        let mut kept = Generations::default();
        let mut forgotten = 0;
        for number in 0..1000 {
            forgotten += kept.put(number, number, 10);
            assert_eq!(kept.get(&0).copied(), Some(0), "used all the time");
            assert!(kept.len() <= 11, "{}", kept.len());
        }
        assert!(kept.get(&500).is_none());
        assert_eq!(forgotten + kept.len(), 1000);
    }
}
