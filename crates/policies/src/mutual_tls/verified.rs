//! Certificates that were verified on this core, so that a signature is not checked at every call.

use std::collections::HashMap;
use std::rc::Rc;

use base::Digest;
use policy::{Memory, Principal, Remembered};

/// Whom certificates stand for, by the configuration that took them and their SHA-256. Beyond [`Remembered::certificates_max`] all is
/// forgotten and verified anew.
#[derive(Default)]
pub(super) struct Verified(HashMap<Key, Entry, foldhash::quality::RandomState>);

type Key = (Digest, [u8; 32]);

pub(super) struct Entry {
    /// The number of the files that vouched.
    pub(super) files: u64,
    /// The version of the directory in which the application was looked up.
    pub(super) version: u64,
    pub(super) until_unix_s: u64,
    pub(super) principal: Rc<Principal>,
}

impl Verified {
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.0.get(key)
    }

    pub(super) fn put(&mut self, key: Key, entry: Entry, limits: &Remembered) {
        limits.make_room(Memory::Certificates, &mut self.0);
        self.0.insert(key, entry);
    }
}
