//! What a key costs in memory: `cargo run --release -p limits --example memory_of_keys`.
//!
//! Prints resident bytes per key of a rate and of a quota, for keys that are all active.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;

use limits::{BUCKETS_DEFAULT, Limit, Quota, Quotas, Rate};

const KEYS: u64 = 1_000_000;
const PAGE_BYTES: u64 = 4096;

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second number is resident pages") * PAGE_BYTES
}

/// As large as a gateway's key.
type Key = (u64, u128);

fn measure(what: &str, limit: Limit, keys: u64) {
    let before = resident_bytes();
    let quotas: Quotas<Key> = Quotas::new(usize::MAX, BUCKETS_DEFAULT);
    for key in 0..keys {
        let admitted = quotas.admit((7, u128::from(key) << 64), limit, 1, 1);
        black_box(admitted.expect("the registry is not full"));
    }
    let bytes = resident_bytes().saturating_sub(before);
    println!("{what}: {} B a key", bytes / keys);
    // What one measurement gave back, the next one would take without growing.
    std::mem::forget(quotas);
}

fn main() {
    let rate = Rate {
        requests: 100,
        per_ms: 60_000,
        burst: 20,
    };
    let quota = Quota {
        limit: 100,
        window_ms: 60_000,
    };
    measure("rate with a burst", rate.into(), KEYS);
    measure("quota", quota.into(), KEYS / 10);
}
