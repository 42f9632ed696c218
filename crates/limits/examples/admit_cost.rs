//! What one admission costs: `cargo run --release -p limits --example admit_cost`.
//!
//! Prints nanoseconds per call with one and with two threads on one key, for admitted and for refused calls.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use base::{Clock as _, SystemClock};
use limits::{BUCKETS_DEFAULT, Decision, Quota, Quotas, SlidingWindow};

const CALLS: u32 = 4_000_000;
const ROUNDS: usize = 5;

/// Wall-clock nanoseconds per call of each thread, median of the rounds, and how many calls passed in the last.
fn measure(threads: usize, limit: u64, read_clock: bool) -> (f64, usize) {
    let clock = SystemClock::new();
    let mut rounds = Vec::new();
    let mut passed = 0;
    for _ in 0..ROUNDS {
        let quotas = Quotas::new(1000, BUCKETS_DEFAULT);
        let quota = Quota {
            limit,
            window_ms: 60_000,
        };
        let started = Instant::now();
        let one = || {
            let mut now_ms = clock.monotonic_ms();
            (0..CALLS)
                .filter(|_| {
                    if read_clock {
                        now_ms = clock.monotonic_ms();
                    }
                    matches!(
                        black_box(quotas.admit(7_u128, quota, 1, now_ms)),
                        Ok(Decision::Admitted { .. })
                    )
                })
                .count()
        };
        passed = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("the loop does not panic"))
                .sum()
        });
        rounds.push(started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2], passed)
}

/// The same without the look-up of the key.
fn measure_window_alone() -> f64 {
    let window = SlidingWindow::new(60_000, BUCKETS_DEFAULT, 0);
    let started = Instant::now();
    for _ in 0..CALLS {
        let _passes = black_box(window.admit(1 << 30, 1, black_box(5)));
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn main() {
    println!("threads  case                        ns/call     passed");
    println!(
        "{:>7}  {:<26} {:>8.1} {CALLS:>10}",
        1,
        "admitted, no look-up",
        measure_window_alone()
    );
    for threads in [1, 2] {
        for (case, limit, read_clock) in [
            ("admitted", 1 << 30, false),
            ("admitted, clock read", 1 << 30, true),
            ("refused", 1000, false),
        ] {
            let (ns, passed) = measure(threads, limit, read_clock);
            println!("{threads:>7}  {case:<26} {ns:>8.1} {passed:>10}");
        }
    }
}
