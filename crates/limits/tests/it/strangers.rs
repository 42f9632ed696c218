//! Keys that callers choose do not take the counters of others. (req: S12)

use limits::{Decision, Key, LimitId, Quota, Quotas, Room};

const HOUR: Quota = Quota {
    limit: 5,
    window_ms: 3_600_000,
};

fn admitted(quotas: &Quotas, limit: LimitId, value: u128) -> bool {
    let decision = quotas.admit(Key { limit, value }, HOUR, 1, 1000);
    matches!(decision, Decision::Admitted { .. })
}

const ATTACKED: LimitId = LimitId::chosen(0x1111 << 112);
const ALSO: LimitId = LimitId::chosen(0x2222 << 112);
const PLANS: LimitId = LimitId::known(0x3333 << 112);

#[test]
fn a_flood_of_keys_of_one_limit_stays_with_that_limit() {
    let quotas = Quotas::new(Room::for_keys(400));
    assert!(admitted(&quotas, ATTACKED, 7), "somebody was there before");
    let passed = (1000..11_000)
        .filter(|value| admitted(&quotas, ATTACKED, *value))
        .count();
    assert_eq!(
        passed,
        99 + 5,
        "its quarter, and the limit once for all the others"
    );
    assert_eq!(quotas.numbers().counters, 100);
    assert_eq!(quotas.numbers().overflowed, 10_000 - 99);
    for _ in 0..4 {
        assert!(admitted(&quotas, ATTACKED, 7), "who has a counter keeps it");
    }
    assert!(!admitted(&quotas, ATTACKED, 7));
    for value in 0..50 {
        assert!(admitted(&quotas, ALSO, value), "another limit has room");
        assert!(admitted(&quotas, PLANS, value), "so have plans");
    }
}

#[test]
fn a_flood_over_all_such_limits_leaves_a_quarter_to_the_known_ones() {
    let quotas = Quotas::new(Room::for_keys(400));
    for limit in 0..40_u128 {
        let limit = LimitId::chosen((limit + 1) << 114);
        for value in 0..100 {
            admitted(&quotas, limit, value);
        }
    }
    assert_eq!(quotas.numbers().counters, 300);
    assert!((0..100).all(|value| admitted(&quotas, PLANS, value)));
    assert_eq!(quotas.numbers().counters, 400);
}
