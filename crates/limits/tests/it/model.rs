//! One thread, one window: every answer is held against a list of all admitted calls. (req: R3, R4)

use limits::{Decision, Key, LIMIT_MAX, LimitId, Quota, Quotas, Room, SlidingWindow};
use proptest::collection::vec;
use proptest::prelude::*;

/// Remembers every admitted call exactly.
#[derive(Default)]
struct Model {
    admitted: Vec<(u64, u32)>,
}

impl Model {
    /// The weight of calls made at `from_ms` or later.
    fn since(&self, from_ms: u64) -> u64 {
        self.admitted
            .iter()
            .filter(|(at_ms, _)| *at_ms >= from_ms)
            .map(|(_, cost)| u64::from(*cost))
            .sum()
    }

    /// A window in the same state, for trying out what would happen.
    fn replayed(&self, window_ms: u64, buckets: u8) -> SlidingWindow {
        let window = SlidingWindow::new(window_ms, buckets, START_MS);
        for (at_ms, cost) in &self.admitted {
            let decision = window.admit(LIMIT_MAX, *cost, *at_ms);
            assert!(matches!(decision, Decision::Admitted { .. }));
        }
        window
    }
}

const START_MS: u64 = 1_700_000_000_123;

/// A bucket's length, rounded up: how late a call may be forgotten.
fn late_ms(window_ms: u64, buckets: u8) -> u64 {
    window_ms.div_ceil(u64::from(buckets))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_the_limit_and_never_refused_without_need(
        window_ms in 1_u64..3000,
        buckets in 1_u8..33,
        limit in 0_u64..12,
        calls in vec((0_u64..400, 1_u32..4), 1..120),
    ) {
        let window = SlidingWindow::new(window_ms, buckets, START_MS);
        let mut model = Model::default();
        let mut now_ms = START_MS;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            match window.admit(limit, cost, now_ms) {
                Decision::Admitted { remaining, .. } => {
                    model.admitted.push((now_ms, cost));
                    prop_assert!(model.since(now_ms - window_ms) <= limit, "more than the limit in one window");
                    prop_assert_eq!(remaining, limit - window.used(now_ms));
                }
                Decision::Refused { .. } => {
                    let remembered = model.since(now_ms - window_ms - late_ms(window_ms, buckets));
                    prop_assert!(remembered + u64::from(cost) > limit, "refused although there was room");
                }
            }
        }
    }

    #[test]
    fn waits_are_true_to_the_millisecond(
        window_ms in 1_u64..3000,
        buckets in 1_u8..33,
        limit in 1_u64..8,
        calls in vec((0_u64..300, 1_u32..4), 1..40),
    ) {
        let window = SlidingWindow::new(window_ms, buckets, START_MS);
        let mut model = Model::default();
        let mut now_ms = START_MS;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            match window.admit(limit, cost, now_ms) {
                Decision::Admitted { reset_ms, .. } => {
                    model.admitted.push((now_ms, cost));
                    let again = model.replayed(window_ms, buckets);
                    let used = again.used(now_ms);
                    prop_assert_eq!(again.used(now_ms + reset_ms - 1), used, "forgotten before the reset");
                    prop_assert!(again.used(now_ms + reset_ms) < used, "nothing forgotten at the reset");
                }
                Decision::Refused { retry_after_ms } if u64::from(cost) > limit => {
                    prop_assert_eq!(retry_after_ms, window_ms);
                }
                Decision::Refused { retry_after_ms } => {
                    let again = model.replayed(window_ms, buckets);
                    let early = again.admit(limit, cost, now_ms + retry_after_ms - 1);
                    prop_assert!(matches!(early, Decision::Refused { .. }), "would have passed earlier");
                    let then = again.admit(limit, cost, now_ms + retry_after_ms);
                    prop_assert!(matches!(then, Decision::Admitted { .. }), "told to come back too early");
                }
            }
        }
    }

    /// Traffic above the limit still gets the whole limit, once per window and bucket. (req: R3)
    #[test]
    fn steady_traffic_above_the_limit_gets_the_limit(
        window_ms in 60_u64..2000,
        buckets in 1_u8..33,
        limit in 1_u64..20,
    ) {
        let window = SlidingWindow::new(window_ms, buckets, START_MS);
        let round_ms = window_ms + late_ms(window_ms, buckets) + 1;
        let admitted: Vec<u64> = (0..round_ms * 5)
            .map(|passed_ms| START_MS + passed_ms)
            .filter(|now_ms| matches!(window.admit(limit, 1, *now_ms), Decision::Admitted { .. }))
            .collect();
        for round in 0..5 {
            let from_ms = START_MS + round * round_ms;
            let got = admitted.iter().filter(|at_ms| (from_ms..from_ms + round_ms).contains(*at_ms)).count();
            prop_assert!(got as u64 >= limit.min(round_ms), "{got} of {limit} in round {round}");
        }
    }
}

fn passes(window: &SlidingWindow, limit: u64, now_ms: u64) -> u64 {
    (0..limit + 5)
        .filter(|_| matches!(window.admit(limit, 1, now_ms), Decision::Admitted { .. }))
        .count() as u64
}

#[test]
fn after_silence_the_whole_limit_passes_again_for_windows_of_a_second_to_a_month() {
    for window_ms in [1000, 60_000, 3_600_000, 86_400_000, 31 * 86_400_000] {
        let window = SlidingWindow::new(window_ms, 32, START_MS);
        let filled_ms = START_MS + window_ms / 3;
        assert_eq!(passes(&window, 100, filled_ms), 100);
        assert_eq!(
            passes(&window, 100, filled_ms + window_ms),
            0,
            "a whole window has to pass"
        );
        // Of a bucket of a hundred four are carried over to the next one.
        let bucket_ms = window_ms.div_ceil(32) + 1;
        let behind_ms = filled_ms + window_ms + bucket_ms;
        assert_eq!(passes(&window, 100, behind_ms), 96);
        assert_eq!(passes(&window, 100, behind_ms + bucket_ms), 4);
        assert_eq!(passes(&window, 100, filled_ms + 400 * window_ms), 100);
    }
}

#[test]
fn a_limit_does_not_double_at_a_windows_edge() {
    let window = SlidingWindow::new(1000, 32, 0);
    assert_eq!(passes(&window, 50, 999), 50);
    for now_ms in 1000..=1999 {
        assert_eq!(passes(&window, 50, now_ms), 0, "at {now_ms} ms");
    }
}

#[test]
fn a_live_edit_goes_on_with_what_is_counted() {
    let window = SlidingWindow::new(60_000, 32, 0);
    assert_eq!(passes(&window, 100, 10), 100);
    assert_eq!(passes(&window, 40, 20), 0, "lowered below what is used");
    assert_eq!(window.used(20), 100);
    assert_eq!(passes(&window, 130, 30), 30, "raised");
    assert_eq!(passes(&window, 0, 40), 0);
}

#[test]
fn epochs_may_wrap_around() {
    // 32 buckets in 32 ms: 2²³ of them pass several times in the course of this test.
    let window = SlidingWindow::new(32, 32, 0);
    let mut now_ms = 0;
    for step in 0..24_u64 {
        now_ms += (1 << 21) + step * 61;
        assert_eq!(passes(&window, 5, now_ms), 5, "step {step}");
        assert_eq!(passes(&window, 5, now_ms + 32), 0, "step {step}");
    }
    assert!(now_ms > 4 << 23);
}

/// After so long a silence that the time cannot be told, nothing passes too much.
#[test]
fn a_window_that_cannot_tell_the_time_stays_strict() {
    let window = SlidingWindow::new(32, 32, 0);
    assert_eq!(passes(&window, 5, 10), 5);
    for now_ms in [10 + (1 << 22), 10 + (1 << 22) + 100, 10 + (3 << 21)] {
        assert_eq!(passes(&window, 5, now_ms), 0, "at {now_ms} ms");
    }
    assert_eq!(passes(&window, 5, 10 + (1 << 23) + 65), 5);
}

#[test]
fn a_clock_that_stands_or_lags_is_counted_in_the_latest_bucket() {
    let window = SlidingWindow::new(1000, 10, 0);
    assert_eq!(passes(&window, 3, 6000), 3);
    assert_eq!(passes(&window, 3, 5500), 0, "the past is not refilled");
    assert_eq!(passes(&window, 3, 0), 0, "nor is the time before the start");
}

#[test]
fn limits_beyond_what_can_be_counted_are_capped_on_the_strict_side() {
    let quotas = Quotas::new(Room::for_keys(10));
    let limit = Quota {
        limit: u64::MAX,
        window_ms: 1000,
    };
    let key = Key {
        limit: LimitId::known(1),
        value: 1,
    };
    quotas.debit(key, limit.into(), LIMIT_MAX - 1, 0);
    let admitted = |cost| matches!(quotas.admit(key, limit, cost, 0), Decision::Admitted { .. });
    assert!(!admitted(2));
    assert!(admitted(1));
    assert!(!admitted(1));
    let window = SlidingWindow::new(1000, 10, 0);
    assert!(matches!(
        window.admit(5, u32::MAX, 1),
        Decision::Refused {
            retry_after_ms: 1000
        }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Great weights: never more than the limit, and what is held too long is at most a ninth of two buckets. (req: R3)
    #[test]
    fn great_weights_are_strict_and_held_a_little_longer(
        window_ms in 100_u64..3000,
        limit in 100_u64..100_000,
        calls in vec((0_u64..400, 1_u32..20_000), 1..200),
    ) {
        let window = SlidingWindow::new(window_ms, 32, START_MS);
        let bucket_ms = late_ms(window_ms, 32);
        let mut model = Model::default();
        let mut now_ms = START_MS;
        for (gap_ms, cost) in calls {
            now_ms += gap_ms;
            match window.admit(limit, cost, now_ms) {
                Decision::Admitted { .. } => {
                    model.admitted.push((now_ms, cost));
                    prop_assert!(model.since(now_ms - window_ms) <= limit, "more than the limit in one window");
                }
                Decision::Refused { .. } => {
                    let remembered = model.since(now_ms - window_ms - 7 * bucket_ms);
                    prop_assert!(remembered + u64::from(cost) > limit, "refused although there was room");
                }
            }
            let held = window.used(now_ms);
            let lately = model.since(now_ms - window_ms - 2 * bucket_ms);
            let carried = model.since(now_ms - window_ms - 7 * bucket_ms) - lately;
            prop_assert!(held <= lately + carried / 9 + 1, "{held} are held, {lately} and {carried} were admitted");
        }
    }
}
