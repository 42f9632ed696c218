//! The registry: one counter a key, all or none, bounded, and nothing forgotten when idle ones go.

use base::{Clock, ManualClock};
use limits::{Claim, Decision, Quota, Quotas, Room};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{claim, key};

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

fn roomy() -> Quotas {
    Quotas::new(Room::for_keys(100))
}

#[test]
fn keys_are_counted_apart_and_edits_keep_the_count() {
    let quotas = roomy();
    for _ in 0..10 {
        assert!(admitted(quotas.admit(key(1), MINUTE, 1, 5)));
    }
    assert!(!admitted(quotas.admit(key(1), MINUTE, 1, 6)));
    assert!(admitted(quotas.admit(key(2), MINUTE, 1, 6)));
    let raised = Quota {
        limit: 11,
        ..MINUTE
    };
    assert!(admitted(quotas.admit(key(1), raised, 1, 7)));
    assert!(!admitted(quotas.admit(key(1), raised, 1, 8)));
    assert_eq!(quotas.len(), 2);
}

#[test]
fn several_quotas_are_charged_all_or_none() {
    let quotas = roomy();
    let both = [claim(1, MINUTE), claim(1, BURST)];
    for left in [2, 1, 0] {
        let (index, decision) = quotas.admit_all(&both, 5);
        assert_eq!(index, 1, "the burst is nearest to its end");
        assert!(matches!(decision, Decision::Admitted { remaining, .. } if remaining == left));
    }
    for _ in 0..50 {
        let (index, decision) = quotas.admit_all(&both, 6);
        assert_eq!(index, 1, "the answer names the one that refused");
        assert!(matches!(decision, Decision::Refused { retry_after_ms } if retry_after_ms > 900));
    }
    // The refused calls have not been charged to the minute.
    let alone = quotas.admit(key(1), MINUTE, 1, 7);
    assert!(matches!(alone, Decision::Admitted { remaining: 6, .. }));
    assert_eq!(
        quotas.admit_all::<Claim>(&[], 7),
        (
            0,
            Decision::Admitted {
                remaining: u64::MAX,
                reset_ms: 0
            }
        )
    );
}

/// What is known only when it comes is checked first, and debited then: at most one message beyond the limit.
#[test]
fn what_is_debited_overshoots_by_one_message() {
    let quotas = roomy();
    let bytes = Claim {
        cost: 0,
        ..claim(
            1,
            Quota {
                limit: 1000,
                ..MINUTE
            },
        )
    };
    for message in [400, 500, 900] {
        assert!(admitted(quotas.admit_all(&[bytes, claim(2, MINUTE)], 5).1));
        quotas.debit(bytes.key, bytes.limit, message, 5);
    }
    assert!(!quotas.has_room(bytes.key, bytes.limit, 5));
    let (index, decision) = quotas.admit_all(&[bytes, claim(2, MINUTE)], 5);
    assert_eq!(index, 0);
    assert!(!admitted(decision));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wait_over_several_quotas_is_true(
        calls in vec((0_u64..300, 1_u32..3), 1..60),
        limits in (1_u64..8, 2_u64..12),
    ) {
        let both = |cost| [
            Claim { cost, ..claim(1, Quota { limit: limits.0.max(2), window_ms: 500 }) },
            Claim { cost, ..claim(1, Quota { limit: limits.1, window_ms: 3000 }) },
        ];
        let quotas = roomy();
        let mut history = Vec::new();
        let mut now_ms = 0;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            let (_, decision) = quotas.admit_all(&both(cost), now_ms);
            let Decision::Refused { retry_after_ms } = decision else {
                history.push((now_ms, cost));
                continue;
            };
            let again = roomy();
            for (at_ms, cost) in &history {
                prop_assert!(admitted(again.admit_all(&both(*cost), *at_ms).1));
            }
            prop_assert!(!admitted(again.admit_all(&both(cost), now_ms + retry_after_ms - 1).1));
            prop_assert!(admitted(again.admit_all(&both(cost), now_ms + retry_after_ms).1));
        }
    }
}

#[test]
fn a_full_registry_drops_idle_counters_or_counts_the_others_together() {
    let clock = ManualClock::at(0);
    let quotas = Quotas::new(Room::for_keys(2));
    clock.advance_ms(10_000);
    let admit = |value| quotas.admit(key(value), BURST, 1, clock.monotonic_ms());
    assert!(admitted(admit(1)));
    assert!(admitted(admit(2)));
    for value in [3, 4, 5] {
        assert!(
            admitted(admit(value)),
            "together they have the limit of one"
        );
    }
    assert!(!admitted(admit(3)));
    assert!(!admitted(admit(6)));
    assert_eq!(quotas.numbers().overflowed, 5);
    assert!(
        matches!(admit(1), Decision::Admitted { remaining: 1, .. }),
        "known keys go on"
    );
    clock.advance_ms(1100);
    assert!(admitted(admit(3)), "the idle ones made room");
    assert_eq!(quotas.numbers().counters, 1);
    assert_eq!(quotas.numbers().overflowed, 5);
}

/// A key that was counted with others does not get a counter of its own, and the limit once more, while that is remembered.
#[test]
fn who_was_counted_with_others_stays_so_for_a_window() {
    let quotas = Quotas::new(Room::for_keys(1));
    let long = Quota {
        limit: 2,
        window_ms: 60_000,
    };
    assert!(admitted(quotas.admit(key(1), BURST, 1, 10_000)));
    assert!(admitted(quotas.admit(key(2), long, 1, 10_000)));
    assert!(admitted(quotas.admit(key(2), long, 1, 10_000)));
    assert_eq!(quotas.sweep(20_000), 1, "there is room again");
    assert!(!admitted(quotas.admit(key(2), long, 1, 20_000)));
    assert!(admitted(quotas.admit(key(2), long, 1, 80_000)));
    assert_eq!(quotas.numbers().counters, 1);
}

#[test]
fn sweep_drops_only_what_remembers_nothing() {
    let quotas = roomy();
    for value in 0..10 {
        quotas.admit(key(value), BURST, 1, 0);
        quotas.admit(key(value), MINUTE, 1, 0);
    }
    assert_eq!(quotas.sweep(500), 0);
    assert_eq!(quotas.sweep(2000), 10);
    assert_eq!(quotas.len(), 10);
    let decision = quotas.admit(key(3), MINUTE, 1, 2000);
    assert!(matches!(decision, Decision::Admitted { remaining: 8, .. }));
    assert_eq!(quotas.sweep(200_000), 10);
    assert!(quotas.is_empty());
}
