//! Tokens that this node cannot judge by itself, and whom it asks.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use base::{Digest, Org};
use jose::Claims;
use policy::{Core, Directory, Introspected, NotAnswered};

/// The issuer of opaque tokens: the platform itself.
pub(super) const RESIDENT: &str = "resident";
/// How the platform's opaque tokens begin.
const PREFIX: &str = "twa_";
/// So long nothing is asked again that had no answer, in seconds.
const NOT_AGAIN_S: u64 = 10;

/// What to ask.
pub(super) enum Question {
    /// What an opaque token stands for, by the SHA-256 of its text.
    Opaque(Digest),
    /// Whether there are newer keys.
    Keys,
    /// Whether an issuer outside of the platform has newer keys.
    NewerKeys(Org, String),
    /// What such an issuer says that a token stands for.
    Introspect(Org, String, Box<str>),
}

/// Without the token.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque(digest) => write!(f, "Opaque({digest})"),
            Self::Keys => f.write_str("Keys"),
            Self::NewerKeys(org, issuer) => write!(f, "NewerKeys({org}, {issuer})"),
            Self::Introspect(org, issuer, _) => write!(f, "Introspect({org}, {issuer})"),
        }
    }
}

/// What was said.
pub(super) enum Answer {
    Opaque(Result<Option<Box<Claims>>, NotAnswered>),
    /// The tables are as new as can be.
    CaughtUp,
    Introspected(Result<Option<Arc<Introspected>>, NotAnswered>),
}

impl Question {
    pub(super) async fn ask(self, core: &Core) -> Answer {
        let directory = &core.runtime.directory;
        match self {
            Self::Opaque(digest) => {
                let found = directory.opaque_token(digest).await;
                Answer::Opaque(found.map(|claims| claims.map(Box::new)))
            }
            Self::Keys => {
                // Without an answer the token is judged by what is there, as it was.
                let _ = directory.catch_up().await;
                Answer::CaughtUp
            }
            Self::NewerKeys(org, issuer) => {
                let _ = directory.newer_keys(&org, &issuer).await;
                Answer::CaughtUp
            }
            Self::Introspect(org, issuer, token) => {
                Answer::Introspected(directory.introspect(&org, &issuer, &token).await)
            }
        }
    }
}

/// The digest of an opaque token; `None` for what looks like none of ours.
pub(super) fn opaque(token: &str) -> Option<Digest> {
    (token.starts_with(PREFIX) && !token.contains('.')).then(|| Digest::of(token.as_bytes()))
}

/// What nobody knew a while ago: key ids and opaque tokens, asked for on this core. Strangers choose them: their hashes
/// are seeded, and kept instead of the texts.
#[derive(Default)]
pub(super) struct Unknown {
    hasher: foldhash::quality::RandomState,
    not_known: HashSet<u64>,
    until_unix_s: u64,
}

impl Unknown {
    /// Whether nobody knew this when it was asked for a moment ago.
    pub(super) fn has(&mut self, what: &impl Hash, now_unix_s: u64) -> bool {
        if now_unix_s >= self.until_unix_s {
            self.not_known.clear();
            self.until_unix_s = now_unix_s.saturating_add(NOT_AGAIN_S);
        }
        self.not_known.contains(&self.hasher.hash_one(what))
    }

    /// Nobody knows this. What is too much is not remembered, and asked for again.
    pub(super) fn add(&mut self, what: &impl Hash, directory: &dyn Directory) {
        if self.not_known.len() < directory.not_known_max() {
            self.not_known.insert(self.hasher.hash_one(what));
        } else {
            directory.not_remembered();
        }
    }
}
