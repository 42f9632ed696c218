//! What is counted goes on across a start. (req: R3)

use limits::{Concurrency, Decision, Quota, Quotas, Rate, Room};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::key;

const MINUTE: Quota = Quota {
    limit: 5,
    window_ms: 60_000,
};
const SPREAD: Rate = Rate {
    requests: 10,
    per_ms: 60_000,
    burst: 5,
};
const UNIX_MS: u64 = 1_800_000_000_000;

fn passes(quotas: &Quotas, limit: impl Into<limits::Limit>, now_ms: u64) -> usize {
    let limit = limit.into();
    let admitted = |_: &i32| {
        matches!(
            quotas.admit(key(1), limit, 1, now_ms),
            Decision::Admitted { .. }
        )
    };
    (0..20).filter(admitted).count()
}

fn new() -> Quotas {
    Quotas::new(Room::for_keys(100))
}

#[test]
fn a_start_loses_no_quota_and_brings_no_backlog() {
    let before = new();
    assert_eq!(passes(&before, MINUTE, 500_000), 5);
    assert_eq!(passes(&before, SPREAD, 500_000), 5);
    before.admit(key(2), Concurrency { calls: 1 }, 1, 500_000);
    let saved = before.save(500_010, UNIX_MS);
    // Ten seconds later by the wall clock, in a process whose own clock begins.
    let after = new();
    assert_eq!(after.restore(&saved, 3, UNIX_MS + 10_000), Ok(2));
    assert_eq!(passes(&after, MINUTE, 3), 0);
    assert_eq!(passes(&after, SPREAD, 3), 1, "one in six seconds");
    assert_eq!(passes(&after, MINUTE, 40_000), 0);
    assert_eq!(passes(&after, MINUTE, 52_000), 5, "a window has passed");
    assert_eq!(passes(&after, MINUTE, 53_000), 0);
    let calls = after.admit(key(2), Concurrency { calls: 1 }, 1, 3);
    assert!(
        matches!(calls, Decision::Admitted { .. }),
        "calls end with their process"
    );
    assert_eq!(after.numbers().counters, 3);
}

#[test]
fn clocks_that_jump_err_strict_where_that_can_be_told() {
    let before = new();
    assert_eq!(passes(&before, MINUTE, 500_000), 5);
    let saved = before.save(500_000, UNIX_MS);
    let set_back = new();
    set_back.restore(&saved, 0, UNIX_MS - 3_600_000).unwrap();
    assert_eq!(passes(&set_back, MINUTE, 59_000), 0);
    assert_eq!(passes(&set_back, MINUTE, 62_000), 5);
    // The new process's clock is ahead of the old one's.
    let ahead = new();
    ahead.restore(&saved, 900_000, UNIX_MS).unwrap();
    assert_eq!(passes(&ahead, MINUTE, 959_000), 0);
    assert_eq!(passes(&ahead, MINUTE, 962_000), 5);
}

#[test]
fn nothing_idle_is_saved() {
    let before = new();
    assert_eq!(passes(&before, MINUTE, 0), 5);
    assert_eq!(passes(&before, SPREAD, 0), 5);
    let empty = new().save(0, UNIX_MS).len();
    assert!(before.save(1000, UNIX_MS).len() > empty + 80);
    assert_eq!(before.save(100_000, UNIX_MS).len(), empty);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes are: they are read or refused.
    #[test]
    fn damaged_bytes_are_refused(cut in 0_usize..400, flips in vec((0_usize..400, 0_u8..8), 0..6)) {
        let before = new();
        passes(&before, MINUTE, 500_000);
        passes(&before, SPREAD, 500_000);
        let mut saved = before.save(500_000, UNIX_MS);
        saved.truncate(cut);
        for (at, bit) in flips {
            if let Some(byte) = saved.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        let after = new();
        let _ = after.restore(&saved, 0, UNIX_MS);
        passes(&after, MINUTE, 10);
    }
}
