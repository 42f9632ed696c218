//! Calls at the same time, against a model that holds the set of those under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use limits::{Concurrency, Decision, Quota, Quotas, Room};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{claim, key};

fn admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Calls begin and end in any order, and the limit is edited now and then.
    #[test]
    fn every_answer_is_that_of_the_exact_model(
        steps in vec((0_u8..4, 0_u64..6), 1..200),
    ) {
        let quotas = Quotas::new(Room::for_keys(10));
        let (mut under_way, mut calls) = (0_u64, 3);
        for (step, number) in steps {
            match step {
                0 | 1 => {
                    let decision = quotas.admit(key(1), Concurrency { calls }, 1, 0);
                    prop_assert_eq!(admitted(decision), under_way < calls);
                    if let Decision::Admitted { remaining, .. } = decision {
                        under_way += 1;
                        prop_assert_eq!(remaining, calls - under_way);
                    }
                }
                2 if under_way > 0 => {
                    quotas.give_back(key(1), 1);
                    under_way -= 1;
                }
                2 => {}
                _ => calls = number,
            }
            let idle = quotas.sweep(0) == 1;
            prop_assert!(!idle || under_way == 0, "a counter went with calls under way");
        }
    }
}

#[test]
fn it_is_charged_with_others_or_not_at_all() {
    let quotas = Quotas::new(Room::for_keys(10));
    let quota = Quota {
        limit: 3,
        window_ms: 1000,
    };
    let both = [claim(1, Concurrency { calls: 1 }), claim(1, quota)];
    assert!(admitted(quotas.admit_all(&both, 0).1));
    for _ in 0..5 {
        let (index, decision) = quotas.admit_all(&both, 0);
        assert!(!admitted(decision));
        assert_eq!(index, 0);
    }
    quotas.give_back(key(1), 1);
    let third = quotas.admit_all(&both, 0);
    assert!(matches!(third.1, Decision::Admitted { .. }));
    assert_eq!(third.0, 0, "none of the concurrency is left");
    quotas.give_back(key(1), 1);
    assert!(admitted(quotas.admit_all(&both, 0).1));
    quotas.give_back(key(1), 1);
    assert!(
        !admitted(quotas.admit_all(&both, 0).1),
        "now the quota refuses"
    );
    assert!(admitted(quotas.admit(
        key(1),
        Concurrency { calls: 1 },
        1,
        0
    )));
}

#[test]
fn threads_share_it_exactly() {
    let quotas = Quotas::new(Room::for_keys(10));
    let (under_way, most) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    if admitted(quotas.admit(key(1), Concurrency { calls: 2 }, 1, 0)) {
                        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        quotas.give_back(key(1), 1);
                    }
                    quotas.sweep(0);
                }
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 2);
    quotas.sweep(0);
    assert!(quotas.is_empty(), "a charge was left behind");
}

/// Beyond the room for counters nothing passes: there is nothing that such calls could share.
#[test]
fn without_room_it_refuses() {
    let quotas = Quotas::new(Room::for_keys(1));
    assert!(admitted(quotas.admit(
        key(1),
        Concurrency { calls: 9 },
        1,
        0
    )));
    assert!(!admitted(quotas.admit(
        key(2),
        Concurrency { calls: 9 },
        1,
        5000
    )));
    assert_eq!(quotas.numbers().overflowed, 1);
    quotas.give_back(key(1), 1);
    assert!(admitted(quotas.admit(
        key(2),
        Concurrency { calls: 9 },
        1,
        9000
    )));
}
