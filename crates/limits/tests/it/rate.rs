//! The rate with a burst against a list of all admitted calls, under threads, and beside quotas. (req: R3, R4)

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use limits::{Decision, Pace, Quota, Quotas, Rate, Room};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{claim, key};

const START_MS: u64 = 1_700_000_000_123;

/// The distance between two calls in nanoseconds.
fn distance_ns(rate: Rate) -> u128 {
    u128::from(rate.per_ms * 1_000_000).div_ceil(u128::from(rate.requests))
}

/// Whether a call made after these keeps every stretch of time within `burst + stretch / distance`.
fn fits(rate: Rate, admitted: &[(u64, u32)], call: (u64, u32)) -> bool {
    let mut weight = u128::from(call.1);
    let mut holds = |from_ms: u64, more: u32| {
        weight += u128::from(more);
        let stretch_ns = u128::from(call.0 - from_ms) * 1_000_000;
        weight * distance_ns(rate) <= u128::from(rate.burst) * distance_ns(rate) + stretch_ns
    };
    holds(call.0, 0)
        && admitted
            .iter()
            .rev()
            .all(|(from_ms, cost)| holds(*from_ms, *cost))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_the_exact_model(
        (requests, per_ms, burst) in (1_u64..30, 1_u64..5000, 1_u64..8),
        calls in vec((0_u64..400, 1_u32..4), 1..120),
    ) {
        let rate = Rate { requests, per_ms, burst };
        let pace = Pace::default();
        let mut admitted = Vec::new();
        let mut now_ms = START_MS;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            match pace.admit(rate, cost, now_ms) {
                Decision::Admitted { remaining, reset_ms } => {
                    prop_assert!(fits(rate, &admitted, (now_ms, cost)), "more than the rate allows");
                    admitted.push((now_ms, cost));
                    let at_once = |cost: u64| fits(rate, &admitted, (now_ms, u32::try_from(cost).unwrap()));
                    prop_assert!(remaining == 0 || at_once(remaining), "remaining is not there");
                    prop_assert!(!at_once(remaining + 1), "there is more than remaining");
                    let later = (now_ms + reset_ms, u32::try_from(remaining + 1).unwrap());
                    prop_assert!(remaining + 1 > burst || fits(rate, &admitted, later), "remaining grows by then");
                }
                Decision::Refused { retry_after_ms } => {
                    prop_assert!(!fits(rate, &admitted, (now_ms, cost)), "refused although there was room");
                    if u64::from(cost) <= burst {
                        prop_assert!(!fits(rate, &admitted, (now_ms + retry_after_ms - 1, cost)));
                        prop_assert!(fits(rate, &admitted, (now_ms + retry_after_ms, cost)), "the wait is too short");
                    }
                }
            }
        }
    }
}

const PER_SECOND: Rate = Rate {
    requests: 10,
    per_ms: 1000,
    burst: 5,
};

fn admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

/// A quota and a rate on one call: neither is charged when the other refuses, and the answer names who did.
#[test]
fn rates_and_quotas_are_charged_all_or_none() {
    let quotas = Quotas::new(Room::for_keys(10));
    let quota = Quota {
        limit: 7,
        window_ms: 60_000,
    };
    let both = [claim(1, quota), claim(1, PER_SECOND)];
    for _ in 0..5 {
        assert!(admitted(quotas.admit_all(&both, 0).1));
    }
    let refused = Decision::Refused {
        retry_after_ms: 100,
    };
    assert_eq!(quotas.admit_all(&both, 0), (1, refused));
    assert!(admitted(quotas.admit_all(&both, 100).1));
    assert!(admitted(quotas.admit_all(&both, 200).1));
    let (index, decision) = quotas.admit_all(&both, 400);
    assert_eq!(index, 0, "the quota is used up");
    assert!(!admitted(decision));
    // Two of the five are free again, and the refused call has taken none of them.
    let alone = quotas.admit(key(1), PER_SECOND, 1, 400);
    assert!(matches!(alone, Decision::Admitted { remaining: 1, .. }));
}

/// A live edit of the rate goes on from where the calls have brought the counter.
#[test]
fn an_edited_rate_keeps_its_counter() {
    let quotas = Quotas::new(Room::for_keys(10));
    for _ in 0..5 {
        assert!(admitted(quotas.admit(key(1), PER_SECOND, 1, 0)));
    }
    let raised = Rate {
        burst: 7,
        ..PER_SECOND
    };
    assert!(admitted(quotas.admit(key(1), raised, 2, 0)));
    assert!(!admitted(quotas.admit(key(1), raised, 1, 0)));
    assert_eq!(quotas.len(), 1);
}

#[test]
fn what_can_never_pass_is_refused() {
    let pace = Pace::default();
    let nothing = Rate {
        requests: 0,
        ..PER_SECOND
    };
    let refused = Decision::Refused {
        retry_after_ms: 1000,
    };
    assert_eq!(pace.admit(nothing, 1, 0), refused);
    assert_eq!(pace.admit(PER_SECOND, 6, 0), refused, "more than the burst");
    assert!(admitted(pace.admit(PER_SECOND, 5, 0)));
}

#[test]
fn an_idle_counter_is_swept_and_begins_anew() {
    let quotas = Quotas::new(Room::for_keys(1));
    assert!(admitted(quotas.admit(key(1), PER_SECOND, 5, 0)));
    assert_eq!(quotas.sweep(499), 0, "it still remembers");
    assert_eq!(quotas.sweep(500), 1);
    assert!(admitted(quotas.admit(key(2), PER_SECOND, 5, 500)));
}

/// Threads on one key: all of the burst and of what the time gives, not one more.
#[test]
fn threads_share_a_rate_exactly() {
    let pace = Pace::default();
    let passed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for now_ms in 0..10_000 {
                    if admitted(pace.admit(PER_SECOND, 1, now_ms)) {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // Each thread goes through ten seconds; the last of them sees all of it.
    assert_eq!(passed.load(Ordering::Relaxed), 5 + 99);
}
