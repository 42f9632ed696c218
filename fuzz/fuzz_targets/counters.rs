//! Saved counters of limits: whatever the bytes are, they are refused or read, and what was read counts on strictly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limits::{Decision, Key, LimitId, Quota, Quotas, Room};

fuzz_target!(|input: (&[u8], u64, u64)| {
    let (saved, now_ms, unix_ms) = input;
    let now_ms = now_ms % (1 << 42);
    let quotas = Quotas::new(Room::for_keys(100));
    let _ = quotas.restore(saved, now_ms, unix_ms % (1 << 42));
    let key = Key {
        limit: LimitId::known(7),
        value: 7,
    };
    let quota = Quota {
        limit: 3,
        window_ms: 1000,
    };
    let admitted = |_: &u8| {
        let decision = quotas.admit(key, quota, 1, now_ms);
        matches!(decision, Decision::Admitted { .. })
    };
    assert!((0..9).filter(admitted).count() <= 3);
    let again = Quotas::new(Room::for_keys(100));
    assert!(
        again
            .restore(&quotas.save(now_ms, unix_ms), now_ms, unix_ms)
            .is_ok()
    );
});
