//! Checking passwords, which is dear: never on a core.

use std::net::IpAddr;
use std::sync::Arc;

use base::Secret;

use crate::directory::{Asking, NotAnswered};

/// Somebody who shows a name and a password.
#[derive(Clone, Debug)]
pub struct PasswordGuess {
    /// Of which list of users; names of two lists are two.
    pub list: Arc<str>,
    /// The name, as it was shown.
    pub name: String,
    /// Where from.
    pub address: IpAddr,
    /// The password.
    pub password: Secret<String>,
    /// The stored hash; `None` for a name that nobody has, which costs the same.
    pub stored: Option<Arc<str>>,
}

/// What came of a guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guessed {
    /// It is the password.
    Right,
    /// It is not, or nobody has the name.
    Wrong,
    /// It was not looked at: too many wrong ones came for this name or from this address. So many seconds to wait.
    Wait(u64),
}

/// Checks passwords off the cores, a few at a time, and slows down who guesses.
pub trait Passwords: Send + Sync {
    /// Whether a password is the stored one. [`NotAnswered::TooMany`] when too many wait already.
    fn check(&self, guess: PasswordGuess) -> Asking<Guessed>;
}

/// Checks nothing: for gateways without users.
#[derive(Clone, Copy, Debug)]
pub struct NoPasswords;

impl Passwords for NoPasswords {
    fn check(&self, _: PasswordGuess) -> Asking<Guessed> {
        Box::pin(std::future::ready(Err(NotAnswered::Unavailable)))
    }
}
