//! Pairs of name and password that were right, remembered on this core so that argon2 does not run at every call.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use policy::{Memory, Remembered, RequestCx};

use super::Shown;

/// Right pairs by their keyed digest, each with the hash that it was held against: when the user's line changes it is right
/// no more. Beyond [`Remembered::passwords_max`] all is forgotten and checked anew.
#[derive(Default)]
pub(super) struct Known(HashMap<[u8; 32], Arc<str>, foldhash::quality::RandomState>);

/// The key of this core's digests. It leaves the core as little as a password does.
struct DigestKey(hmac::Key);

impl Default for DigestKey {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self(key.expect("the system has randomness"))
    }
}

/// What a pair is remembered by.
pub(super) fn digest(cx: &RequestCx, list: &str, shown: &Shown) -> hmac::Tag {
    let key = cx.core.memory::<DigestKey>();
    let key = key.borrow();
    let mut context = hmac::Context::with_key(&key.0);
    for part in [list, &shown.name, shown.password.expose()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.sign()
}

fn bytes(digest: &hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

impl Known {
    pub(super) fn has(&self, digest: &hmac::Tag, stored: &str) -> bool {
        self.0
            .get(&bytes(digest))
            .is_some_and(|known| **known == *stored)
    }

    pub(super) fn put(&mut self, digest: &hmac::Tag, stored: Arc<str>, limits: &Remembered) {
        limits.make_room(Memory::Passwords, &mut self.0);
        self.0.insert(bytes(digest), stored);
    }
}
