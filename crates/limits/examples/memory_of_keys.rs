//! What a key costs in memory: `cargo run --release -p limits --example memory_of_keys [KEYS]`, 100,000 keys unless stated.
//!
//! Prints resident bytes per key for keys that are all active, by the allocator that the product has.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;

use limits::{Concurrency, Key, Limit, LimitId, Quota, Quotas, Rate, Room};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tables that are measured together.
const SETS: u64 = 8;
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

/// What stays: the allocator gives back what tables left behind when they grew, a little later and while it is asked.
fn settled_bytes() -> u64 {
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        drop(black_box(vec![1_u8; 1 << 20]));
    }
    resident_bytes()
}

fn filled(limit: Limit, keys: u64) -> Quotas {
    let quotas = Quotas::new(Room::for_keys(usize::MAX));
    for key in 0..keys {
        let key = Key {
            limit: LimitId::known(0x1234_5678_9abc_def0 << 64),
            value: u128::from(key) << 64,
        };
        // Calls in every bucket of the window.
        for bucket in 0..32 {
            black_box(quotas.admit(key, limit, 1, bucket * 1900));
        }
    }
    quotas
}

fn measure(what: &str, limit: Limit, keys: u64) {
    // What one set up for itself and what another left behind is not the keys': several together even that out.
    let first = filled(limit, keys);
    let before = settled_bytes();
    let more: Vec<_> = (0..SETS).map(|_| filled(limit, keys)).collect();
    let bytes = settled_bytes().saturating_sub(before);
    println!("{what}: {} B a key", bytes / keys / SETS);
    // What one measurement gave back, the next one would take without growing.
    std::mem::forget((first, more));
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
    let concurrency = Concurrency { calls: 100 };
    let keys = std::env::args().nth(1);
    let keys = keys.map_or(100_000, |text| text.parse().expect("a number of keys"));
    measure("quota", quota.into(), keys);
    measure("rate with a burst", rate.into(), keys);
    measure("concurrency", concurrency.into(), keys);
}
