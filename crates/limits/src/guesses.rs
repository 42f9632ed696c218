//! Guessing costs time: wrong passwords and codes delay the next attempt, for the account and for the address.
//!
//! An attempt counts as failed before it is looked at and is forgiven when it was right, so that many at once gain
//! nothing. Names that nobody has are delayed like those that somebody has. The table has a bounded size; when it is full
//! the entries with the fewest failures go.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How attempts are slowed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuessLimits {
    /// Wrong attempts on one account without a delay; default 5.
    pub account_free: u32,
    /// The longest delay of an account, in seconds; default 300. Longer would let strangers lock people out.
    pub account_delay_max_s: u64,
    /// Wrong attempts from one address (IPv6: one /64) without a delay; default 30.
    pub address_free: u32,
    /// The longest delay of an address, in seconds; default 900.
    pub address_delay_max_s: u64,
    /// The first delay, in seconds; each further failure doubles it. Default 1.
    pub delay_s: u64,
    /// Failures are forgotten when none came for so long, in seconds; default 3600.
    pub forget_s: u64,
    /// Accounts and addresses that are remembered; default 20,000, some 50 bytes each.
    pub entries_max: usize,
}

impl Default for GuessLimits {
    fn default() -> Self {
        Self {
            account_free: 5,
            account_delay_max_s: 300,
            address_free: 30,
            address_delay_max_s: 900,
            delay_s: 1,
            forget_s: 3600,
            entries_max: 20_000,
        }
    }
}

/// What somebody tries to get into.
#[derive(Clone, Copy, Hash)]
pub enum Target<'a> {
    /// An account, whether it exists or not.
    Account {
        /// Of which organisation, or list.
        org: &'a str,
        /// The name.
        name: &'a str,
    },
    /// Any device: there is nothing but the address to go by.
    Devices,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last_ms: u64,
}

/// Who failed how often.
pub struct Guesses {
    limits: GuessLimits,
    /// Keys are hashes under a secret of the process: nobody can aim at an entry.
    hasher: RandomState,
    table: Mutex<HashMap<u64, Entry>>,
}

/// An attempt that counts as failed until it is forgiven.
#[must_use]
pub struct Attempt {
    account: Option<u64>,
    address: Option<u64>,
}

#[derive(Hash)]
enum Key<'a> {
    Target(Target<'a>),
    Address(IpAddr),
}

impl Guesses {
    /// With these limits; nobody has failed yet.
    #[must_use]
    pub fn new(limits: GuessLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    /// Begins an attempt at this monotonic time.
    ///
    /// # Errors
    /// The seconds to wait; nothing was counted then.
    pub fn attempt(
        &self,
        target: Target<'_>,
        address: Option<IpAddr>,
        now_ms: u64,
    ) -> Result<Attempt, u64> {
        let account = match target {
            Target::Account { .. } => Some(self.hasher.hash_one(Key::Target(target))),
            Target::Devices => None,
        };
        let address = address.map(|ip| self.hasher.hash_one(Key::Address(network(ip))));
        let limits = &self.limits;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |key: Option<u64>, free: u32, most_s: u64| {
            let entry = key.and_then(|key| table.get(&key));
            entry.map_or(0, |entry| limits.wait_ms(*entry, free, most_s, now_ms))
        };
        let wait_ms = wait(account, limits.account_free, limits.account_delay_max_s).max(wait(
            address,
            limits.address_free,
            limits.address_delay_max_s,
        ));
        if wait_ms > 0 {
            return Err(wait_ms.div_ceil(1000));
        }
        for key in [account, address].into_iter().flatten() {
            limits.make_room(&mut table, now_ms);
            let entry = table.entry(key).or_insert(Entry {
                failures: 0,
                last_ms: now_ms,
            });
            if limits.is_forgotten(*entry, now_ms) {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last_ms = now_ms;
        }
        Ok(Attempt { account, address })
    }

    /// It was right: the account is free of failures, the address of this one.
    pub fn succeeded(&self, attempt: &Attempt) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = attempt.account {
            table.remove(&account);
        }
        forgive(&mut table, attempt.address);
    }

    /// It was not looked at.
    pub fn withdrawn(&self, attempt: &Attempt) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        forgive(&mut table, attempt.account);
        forgive(&mut table, attempt.address);
    }

    /// How many accounts and addresses are remembered.
    #[must_use]
    pub fn entries(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.len()
    }
}

fn forgive(table: &mut HashMap<u64, Entry>, key: Option<u64>) {
    let Some(key) = key else { return };
    if let Some(entry) = table.get_mut(&key) {
        entry.failures = entry.failures.saturating_sub(1);
        if entry.failures == 0 {
            table.remove(&key);
        }
    }
}

impl GuessLimits {
    fn is_forgotten(&self, entry: Entry, now_ms: u64) -> bool {
        now_ms.saturating_sub(entry.last_ms) > self.forget_s.saturating_mul(1000)
    }

    /// How long an entry has to wait still.
    fn wait_ms(&self, entry: Entry, free: u32, most_s: u64, now_ms: u64) -> u64 {
        if entry.failures < free || self.is_forgotten(entry, now_ms) {
            return 0;
        }
        let doublings = (entry.failures - free).min(32);
        let delay_s = self.delay_s.saturating_mul(1 << doublings).min(most_s);
        let until = entry.last_ms.saturating_add(delay_s.saturating_mul(1000));
        until.saturating_sub(now_ms)
    }

    /// When the table is full: first what is forgotten anyway, then the quarter with the fewest failures.
    fn make_room(&self, table: &mut HashMap<u64, Entry>, now_ms: u64) {
        if table.len() < self.entries_max.max(2) {
            return;
        }
        table.retain(|_, entry| !self.is_forgotten(*entry, now_ms));
        let most = self.entries_max.max(2) * 3 / 4;
        if table.len() <= most {
            return;
        }
        let mut order: Vec<_> = table
            .iter()
            .map(|(key, entry)| (entry.failures, entry.last_ms, *key))
            .collect();
        order.sort_unstable();
        for (_, _, key) in order.iter().take(table.len() - most) {
            table.remove(key);
        }
    }
}

/// An IPv6 subscriber has a /64 at least: its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
