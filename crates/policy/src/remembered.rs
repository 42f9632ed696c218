//! What each core remembers, so that nothing is verified or read at every call: its limits, and what is counted of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One a process; its cores share it. Nothing of it is written by a call that finds what is remembered.
#[derive(Debug)]
pub struct Remembered {
    /// Verified tokens; default 10,000. Those that were not used lately make room, half of them at a time. 0 and 1 = none.
    pub tokens_max: usize,
    /// Bytes of their texts; default 16 MiB. A token longer than half of it is not remembered.
    pub token_bytes_max: usize,
    /// Pairs of name and password that were right; default 10,000. All of them make room, as with what follows.
    pub passwords_max: usize,
    /// Client certificates that were verified; default 10,000.
    pub certificates_max: usize,
    /// Certificates that proxies forward, with how they are written; default 1,000.
    pub forwarded_max: usize,
    /// Files of the folder of secrets, with what was made of them: of each kind; default 1,024.
    pub secrets_max: usize,
    /// What was forgotten.
    pub forgotten: Forgotten,
}

/// How much was forgotten since there was too much; see [`Remembered::forget`].
#[derive(Debug, Default)]
pub struct Forgotten([AtomicU64; Memory::LABELS.len()]);

/// What a core remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// See [`Remembered::tokens_max`].
    Tokens,
    /// See [`Remembered::passwords_max`].
    Passwords,
    /// See [`Remembered::certificates_max`].
    Certificates,
    /// See [`Remembered::forwarded_max`].
    Forwarded,
    /// See [`Remembered::secrets_max`].
    Secrets,
}

impl Memory {
    /// In the order of the variants.
    const LABELS: [&str; 5] = [
        "tokens",
        "passwords",
        "certificates",
        "forwarded_certificates",
        "secrets",
    ];
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            tokens_max: 10_000,
            token_bytes_max: 16 << 20,
            passwords_max: 10_000,
            certificates_max: 10_000,
            forwarded_max: 1_000,
            secrets_max: 1_024,
            forgotten: Forgotten::default(),
        }
    }
}

impl Remembered {
    fn most(&self, of: Memory) -> usize {
        match of {
            Memory::Tokens => self.tokens_max,
            Memory::Passwords => self.passwords_max,
            Memory::Certificates => self.certificates_max,
            Memory::Forwarded => self.forwarded_max,
            Memory::Secrets => self.secrets_max,
        }
    }

    /// Forgets all that is there when one more would be too much: what is used comes again.
    pub fn make_room<K, V, S>(&self, of: Memory, all: &mut HashMap<K, V, S>) {
        if all.len() >= self.most(of) {
            self.forget(of, all.len());
            all.clear();
        }
    }

    /// So many more were forgotten, or not remembered, since there were too many.
    pub fn forget(&self, of: Memory, more: usize) {
        self.forgotten.0[of as usize].fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How many were forgotten.
    #[must_use]
    pub fn forgotten(&self, of: Memory) -> u64 {
        self.forgotten.0[of as usize].load(Ordering::Relaxed)
    }

    /// The same of all, by its label.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.forgotten.0.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        Memory::LABELS.into_iter().zip(counts)
    }
}
