//! Several threads on one key: no window holds more than the limit, and nothing is lost for ever.
//!
//! A call counts at some moment between the reading of its clock and its answer. So whatever that moment was, the
//! calls that began and ended inside a window were counted in it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base::{Clock, ManualClock, SystemClock};
use limits::{Decision, Quota, Quotas, Room, SlidingWindow};

use crate::{claim, key};

const THREADS: u64 = 4;

/// An admitted call: the clock before it and after it.
type Call = (u64, u64);

fn assert_no_window_exceeds(mut calls: Vec<Call>, window_ms: u64, limit: u64) {
    calls.sort_unstable();
    for (index, (from_ms, _)) in calls.iter().enumerate() {
        let inside = calls[index..]
            .iter()
            .take_while(|(before_ms, _)| *before_ms <= from_ms + window_ms)
            .filter(|(_, after_ms)| *after_ms <= from_ms + window_ms)
            .count();
        assert!(
            inside as u64 <= limit,
            "{inside} calls in the {window_ms} ms from {from_ms}, limit {limit}"
        );
    }
}

fn hammer(
    clock: &dyn Clock,
    stop: &AtomicBool,
    admit: &(dyn Fn(u64) -> Decision + Sync),
) -> Vec<Call> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let before_ms = clock.monotonic_ms();
        if matches!(admit(before_ms), Decision::Admitted { .. }) {
            calls.push((before_ms, clock.monotonic_ms()));
        }
    }
    calls
}

/// Runs all threads until `drive` returns; answers every admitted call.
fn stress(
    clock: &dyn Clock,
    admit: &(dyn Fn(u64) -> Decision + Sync),
    drive: impl FnOnce(),
) -> Vec<Call> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| hammer(clock, &stop, admit)))
            .collect();
        drive();
        stop.store(true, Ordering::Relaxed);
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

/// How long one run takes, where the machine gives its threads their turns meanwhile.
const RUN: Duration = Duration::from_millis(250);
/// How long is waited for that.
const PATIENCE: Duration = Duration::from_mins(1);

/// Counts the calls that a limit admits, so that a run goes on until it has seen enough of them.
#[derive(Default)]
struct Passed(AtomicU64);

impl Passed {
    fn count(&self, decision: Decision) -> Decision {
        let one = u64::from(matches!(decision, Decision::Admitted { .. }));
        self.0.fetch_add(one, Ordering::Relaxed);
        decision
    }

    /// Drives by short steps: for [`RUN`], and until more than so many calls have passed.
    fn beyond(&self, calls: u64, mut step: impl FnMut()) {
        let begun = Instant::now();
        while begun.elapsed() < RUN || self.0.load(Ordering::Relaxed) <= calls {
            assert!(begun.elapsed() < PATIENCE, "{:?} calls passed", self.0);
            step();
        }
    }
}

/// Turns the clock on by uneven steps, far more often than a bucket lasts and sometimes by more than a window.
fn turn(clock: &ManualClock, window_ms: u64, run: Duration) {
    let end = Instant::now() + run;
    let mut step = 0_u64;
    while Instant::now() < end {
        let ahead_ms = match step % 97 {
            0 => window_ms * 2,
            13 => window_ms / 3,
            even if even % 2 == 0 => 1,
            _ => 0,
        };
        clock.advance_ms(ahead_ms);
        for _ in 0..step % 400 {
            std::hint::spin_loop();
        }
        step += 1;
    }
}

#[test]
fn with_a_clock_turned_by_hand_no_window_exceeds_the_limit() {
    for (window_ms, buckets, limit) in [(50, 5, 7), (100, 32, 40), (10, 10, 3), (1000, 32, 500)] {
        let clock = ManualClock::at(0);
        let window = SlidingWindow::new(window_ms, buckets, 0);
        let passed = Passed::default();
        let admit = |now_ms| passed.count(window.admit(limit, 1, now_ms));
        let calls = stress(&clock, &admit, || {
            let step = Duration::from_millis(10);
            passed.beyond(limit * 2, || turn(&clock, window_ms, step));
        });
        assert!(
            calls.len() as u64 > limit * 2,
            "only {} calls passed",
            calls.len()
        );
        assert_no_window_exceeds(calls, window_ms, limit);
        clock.advance_ms(window_ms * 2 + 2);
        assert_eq!(
            window.used(clock.monotonic_ms()),
            0,
            "a charge was left behind"
        );
    }
}

#[test]
fn with_the_real_clock_no_window_exceeds_the_limit_and_each_gets_it() {
    let (window_ms, buckets, limit) = (100, 20, 3000);
    let clock = SystemClock::new();
    let window = SlidingWindow::new(window_ms, buckets, 0);
    let passed = Passed::default();
    let admit = |now_ms| passed.count(window.admit(limit, 1, now_ms));
    let calls = stress(&clock, &admit, || {
        passed.beyond(2 * limit, thread::yield_now);
        while clock.monotonic_ms() < 700 {
            thread::yield_now();
        }
    });
    assert!(
        calls.len() as u64 >= 2 * limit,
        "only {} calls passed",
        calls.len()
    );
    assert_no_window_exceeds(calls, window_ms, limit);
}

#[test]
fn two_quotas_under_threads_keep_both_and_leave_no_charge_behind() {
    let (narrow, wide) = (
        Quota {
            limit: 5,
            window_ms: 20,
        },
        Quota {
            limit: 60,
            window_ms: 300,
        },
    );
    let clock = ManualClock::at(0);
    let quotas = Quotas::new(Room::for_keys(10));
    let both = [claim(1, wide), claim(1, narrow)];
    let passed = Passed::default();
    let admit = |now_ms| passed.count(quotas.admit_all(&both, now_ms).1);
    let calls = stress(&clock, &admit, || {
        let step = Duration::from_millis(10);
        passed.beyond(narrow.limit, || turn(&clock, 20, step));
    });
    // The clock runs far faster here than threads are scheduled: who is put aside while it makes a ring right keeps the
    // others waiting.
    assert!(
        calls.len() as u64 > narrow.limit,
        "only {} calls passed",
        calls.len()
    );
    assert_no_window_exceeds(calls.clone(), narrow.window_ms, narrow.limit);
    assert_no_window_exceeds(calls, wide.window_ms, wide.limit);
    clock.advance_ms(1000);
    assert_eq!(
        quotas.sweep(clock.monotonic_ms()),
        2,
        "a charge was left behind"
    );
}

#[test]
fn sweeping_all_the_time_forgets_no_call() {
    let quota = Quota {
        limit: 4,
        window_ms: 10,
    };
    let clock = ManualClock::at(0);
    let quotas = Quotas::new(Room::for_keys(10));
    let passed = Passed::default();
    let admit = |now_ms| passed.count(quotas.admit(key(1), quota, 1, now_ms));
    let calls = stress(&clock, &admit, || {
        passed.beyond(quota.limit * 2, || {
            turn(&clock, quota.window_ms, Duration::from_millis(1));
            quotas.sweep(clock.monotonic_ms());
        });
    });
    assert!(
        calls.len() as u64 > quota.limit * 2,
        "only {} calls passed",
        calls.len()
    );
    assert_no_window_exceeds(calls, quota.window_ms, quota.limit);
}
