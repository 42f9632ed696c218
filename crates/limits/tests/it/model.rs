//! One thread, one window: every answer is held against a list of all admitted calls. (req: R3, R4)

use limits::{Decision, LIMIT_MAX, SlidingWindow};
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
    fn replayed(&self, window_ms: u64, buckets: u32) -> SlidingWindow {
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
fn late_ms(window_ms: u64, buckets: u32) -> u64 {
    window_ms.div_ceil(u64::from(buckets))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_the_limit_and_never_refused_without_need(
        window_ms in 1_u64..3000,
        buckets in 1_u32..70,
        limit in 0_u64..12,
        calls in vec((0_u64..400, 1_u32..4), 1..120),
    ) {
        let buckets = buckets.min(u32::try_from(window_ms).unwrap());
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
        buckets in 1_u32..70,
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
        buckets in 1_u32..61,
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
        let window = SlidingWindow::new(window_ms, 60, START_MS);
        let filled_ms = START_MS + window_ms / 3;
        assert_eq!(passes(&window, 100, filled_ms), 100);
        assert_eq!(
            passes(&window, 100, filled_ms + window_ms),
            0,
            "a whole window has to pass"
        );
        assert_eq!(
            passes(
                &window,
                100,
                filled_ms + window_ms + window_ms.div_ceil(60) + 1
            ),
            100
        );
        assert_eq!(passes(&window, 100, filled_ms + 400 * window_ms), 100);
    }
}

#[test]
fn a_limit_does_not_double_at_a_windows_edge() {
    let window = SlidingWindow::new(1000, 60, 0);
    assert_eq!(passes(&window, 50, 999), 50);
    for now_ms in 1000..=1999 {
        assert_eq!(passes(&window, 50, now_ms), 0, "at {now_ms} ms");
    }
}

#[test]
fn a_live_edit_goes_on_with_what_is_counted() {
    let window = SlidingWindow::new(60_000, 60, 0);
    assert_eq!(passes(&window, 100, 10), 100);
    assert_eq!(passes(&window, 40, 20), 0, "lowered below what is used");
    assert_eq!(window.used(20), 100);
    assert_eq!(passes(&window, 130, 30), 30, "raised");
    assert_eq!(passes(&window, 0, 40), 0);
}

#[test]
fn epochs_may_wrap_around() {
    // One bucket a millisecond: 2³² of them pass in the course of this test.
    let window = SlidingWindow::new(60, 60, 0);
    let mut now_ms = 0;
    for step in 0..12_u64 {
        now_ms += (1 << 30) + step * 61;
        assert_eq!(passes(&window, 5, now_ms), 5, "step {step}");
        assert_eq!(passes(&window, 5, now_ms + 60), 0, "step {step}");
    }
    assert!(now_ms > u64::from(u32::MAX));
}

#[test]
fn a_clock_that_stands_or_lags_is_counted_in_the_latest_bucket() {
    let window = SlidingWindow::new(1000, 10, 5000);
    assert_eq!(passes(&window, 3, 6000), 3);
    assert_eq!(passes(&window, 3, 5500), 0, "the past is not refilled");
    assert_eq!(passes(&window, 3, 0), 0, "nor is the time before the start");
}

#[test]
fn limits_beyond_what_can_be_counted_are_capped_on_the_strict_side() {
    let window = SlidingWindow::new(1000, 10, 0);
    let half = u32::try_from(LIMIT_MAX / 2 + 1).unwrap();
    assert!(matches!(
        window.admit(u64::MAX, half, 1),
        Decision::Admitted { .. }
    ));
    assert!(matches!(
        window.admit(u64::MAX, half, 1),
        Decision::Refused { .. }
    ));
    assert!(matches!(
        window.admit(u64::MAX, u32::MAX, 1),
        Decision::Refused {
            retry_after_ms: 1000
        }
    ));
}
