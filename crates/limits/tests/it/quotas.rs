//! The registry: one counter a key, all or none, bounded, and nothing forgotten when idle ones go.

use base::{Clock, ManualClock};
use limits::{BUCKETS_DEFAULT, Decision, Quota, Quotas, RegistryFull};
use proptest::collection::vec;
use proptest::prelude::*;

const MINUTE: Quota = Quota {
    limit: 10,
    window_ms: 60_000,
};
const BURST: Quota = Quota {
    limit: 3,
    window_ms: 1000,
};

fn admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

#[test]
fn keys_are_counted_apart_and_edits_keep_the_count() {
    let quotas = Quotas::new(100, BUCKETS_DEFAULT);
    for _ in 0..10 {
        assert!(admitted(quotas.admit(1_u32, MINUTE, 1, 5).unwrap()));
    }
    assert!(!admitted(quotas.admit(1, MINUTE, 1, 6).unwrap()));
    assert!(admitted(quotas.admit(2, MINUTE, 1, 6).unwrap()));
    let raised = Quota {
        limit: 11,
        ..MINUTE
    };
    assert!(admitted(quotas.admit(1, raised, 1, 7).unwrap()));
    assert!(!admitted(quotas.admit(1, raised, 1, 8).unwrap()));
    assert_eq!(quotas.len(), 2);
}

#[test]
fn several_quotas_are_charged_all_or_none() {
    let quotas = Quotas::new(100, BUCKETS_DEFAULT);
    let both = [(1_u32, MINUTE.into()), (1, BURST.into())];
    for left in [2, 1, 0] {
        let (index, decision) = quotas.admit_all(&both, 1, 5).unwrap();
        assert_eq!(index, 1, "the burst has the least remaining");
        assert!(matches!(decision, Decision::Admitted { remaining, .. } if remaining == left));
    }
    for _ in 0..50 {
        let (index, decision) = quotas.admit_all(&both, 1, 6).unwrap();
        assert_eq!(index, 1, "the answer names the one that refused");
        assert!(matches!(decision, Decision::Refused { retry_after_ms } if retry_after_ms > 900));
    }
    // The refused calls have not been charged to the minute.
    let alone = quotas.admit(1, MINUTE, 1, 7).unwrap();
    assert!(matches!(alone, Decision::Admitted { remaining: 6, .. }));
    assert_eq!(
        quotas.admit_all(&[], 1, 7),
        Ok((
            0,
            Decision::Admitted {
                remaining: u64::MAX,
                reset_ms: 0
            }
        ))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wait_over_several_quotas_is_true(
        calls in vec((0_u64..300, 1_u32..3), 1..60),
        limits in (1_u64..8, 2_u64..12),
    ) {
        let both = [
            (1_u8, Quota { limit: limits.0.max(2), window_ms: 500 }.into()),
            (1, Quota { limit: limits.1, window_ms: 3000 }.into()),
        ];
        let quotas = Quotas::new(10, 20);
        let mut history = Vec::new();
        let mut now_ms = 0;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            let (_, decision) = quotas.admit_all(&both, cost, now_ms).unwrap();
            let Decision::Refused { retry_after_ms } = decision else {
                history.push((now_ms, cost));
                continue;
            };
            let again = Quotas::new(10, 20);
            for (at_ms, cost) in &history {
                prop_assert!(admitted(again.admit_all(&both, *cost, *at_ms).unwrap().1));
            }
            prop_assert!(!admitted(again.admit_all(&both, cost, now_ms + retry_after_ms - 1).unwrap().1));
            prop_assert!(admitted(again.admit_all(&both, cost, now_ms + retry_after_ms).unwrap().1));
        }
    }
}

#[test]
fn a_full_registry_drops_idle_counters_or_fails_closed() {
    let clock = ManualClock::at(0);
    let quotas = Quotas::new(2, BUCKETS_DEFAULT);
    clock.advance_ms(10_000);
    for key in [1_u32, 2] {
        assert!(admitted(
            quotas.admit(key, BURST, 1, clock.monotonic_ms()).unwrap()
        ));
    }
    assert_eq!(
        quotas.admit(3, BURST, 1, clock.monotonic_ms()),
        Err(RegistryFull { keys_max: 2 })
    );
    let both = [(1, BURST.into()), (3, BURST.into())];
    assert_eq!(
        quotas.admit_all(&both, 1, clock.monotonic_ms()),
        Err(RegistryFull { keys_max: 2 })
    );
    let first = quotas.admit(1, BURST, 1, clock.monotonic_ms()).unwrap();
    assert!(
        matches!(first, Decision::Admitted { remaining: 1, .. }),
        "known keys go on, nothing stayed charged"
    );
    clock.advance_ms(1100);
    assert!(
        admitted(quotas.admit(3, BURST, 1, clock.monotonic_ms()).unwrap()),
        "the idle ones made room"
    );
    assert_eq!(quotas.len(), 1);
}

#[test]
fn sweep_drops_only_what_remembers_nothing() {
    let quotas = Quotas::new(100, BUCKETS_DEFAULT);
    for key in 0_u32..10 {
        quotas.admit(key, BURST, 1, 0).unwrap();
        quotas.admit(key, MINUTE, 1, 0).unwrap();
    }
    assert_eq!(quotas.sweep(500), 0);
    assert_eq!(quotas.sweep(2000), 10);
    assert_eq!(quotas.len(), 10);
    let decision = quotas.admit(3, MINUTE, 1, 2000).unwrap();
    assert!(matches!(decision, Decision::Admitted { remaining: 8, .. }));
    assert_eq!(quotas.sweep(200_000), 10);
    assert!(quotas.is_empty());
}
