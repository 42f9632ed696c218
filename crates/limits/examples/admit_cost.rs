//! What one admission costs: `cargo run --release -p limits --example admit_cost`.
//!
//! Prints nanoseconds per call of each thread, with one and with two threads, on one key and on a key for each, for every
//! kind of limit.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use base::{Clock as _, SystemClock};
use limits::{Claim, Concurrency, Decision, Key, Limit, LimitId, Quota, Quotas, Rate, Room};

const CALLS: u32 = 2_000_000;
const ROUNDS: usize = 5;

/// How calls are made.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    limits: &'static [Limit],
}

const fn quota(limit: u64) -> Limit {
    Limit::Quota(Quota {
        limit,
        window_ms: 60_000,
    })
}

const RATE: Limit = Limit::Rate(Rate {
    requests: 1_000_000_000,
    per_ms: 1000,
    burst: 1_000_000_000,
});
const FLIGHTS: Limit = Limit::Concurrency(Concurrency { calls: 1000 });

const CASES: &[Case] = &[
    Case {
        what: "quota, admitted",
        limits: &[quota(1 << 38)],
    },
    Case {
        what: "quota, refused",
        limits: &[quota(1000)],
    },
    Case {
        what: "rate, admitted",
        limits: &[RATE],
    },
    Case {
        what: "concurrency, there and back",
        limits: &[FLIGHTS],
    },
    Case {
        what: "three limits, admitted",
        limits: &[quota(1 << 38), RATE, quota(1 << 37)],
    },
];

fn claims(limits: &[Limit], value: u128) -> Vec<Claim> {
    let of = |(index, limit): (usize, &Limit)| Claim {
        key: Key {
            limit: LimitId::known((index as u128 + 1) << 110),
            value,
        },
        limit: *limit,
        cost: 1,
    };
    limits.iter().enumerate().map(of).collect()
}

fn call(quotas: &Quotas, claims: &[Claim], now_ms: u64) -> bool {
    let (_, decision) = match claims {
        [one] => (0, quotas.admit(one.key, one.limit, 1, now_ms)),
        several => quotas.admit_all(several, now_ms),
    };
    if let [
        Claim {
            key,
            limit: Limit::Concurrency(_),
            ..
        },
    ] = claims
    {
        quotas.give_back(*key, 1);
    }
    matches!(black_box(decision), Decision::Admitted { .. })
}

/// Wall-clock nanoseconds per call of each thread, median of the rounds.
fn measure(case: Case, threads: u128, apart: bool) -> f64 {
    let clock = SystemClock::new();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let quotas = Quotas::new(Room::for_keys(1000));
        let one = |thread: u128| {
            let claims = claims(case.limits, if apart { thread } else { 0 });
            let (mut passed, mut now_ms) = (0_u32, clock.monotonic_ms());
            for index in 0..CALLS {
                // The clock is read now and then, so that buckets pass.
                if index % 64 == 0 {
                    now_ms = clock.monotonic_ms();
                }
                passed += u32::from(call(&quotas, &claims, now_ms));
            }
            black_box(passed);
        };
        let started = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                let one = &one;
                scope.spawn(move || one(thread));
            }
        });
        rounds.push(started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    println!(
        "{:<28} {:>9} {:>12} {:>12}",
        "ns a call", "1 thread", "2, one key", "2, apart"
    );
    for case in CASES {
        let [alone, together, apart] = [(1, false), (2, false), (2, true)]
            .map(|(threads, apart)| measure(*case, threads, apart));
        println!(
            "{:<28} {alone:>9.1} {together:>12.1} {apart:>12.1}",
            case.what
        );
    }
}
