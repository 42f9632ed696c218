//! Certificates that were verified on this core, so that a signature is not checked at every call.

use std::collections::HashMap;

use base::Digest;
use policy::Principal;

/// What one core remembers; beyond it all is forgotten and verified anew.
const REMEMBERED_MAX: usize = 10_000;

/// Whom certificates stand for, by the configuration that took them and their SHA-256.
#[derive(Default)]
pub(super) struct Verified(HashMap<Key, Entry, foldhash::quality::RandomState>);

type Key = (Digest, [u8; 32]);

pub(super) struct Entry {
    /// The number of the files that vouched.
    pub(super) files: u64,
    /// The version of the directory in which the application was looked up.
    pub(super) version: u64,
    pub(super) until_unix_s: u64,
    pub(super) principal: Principal,
}

impl Verified {
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.0.get(key)
    }

    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(key, entry);
    }
}
