//! The steps of a charge, taken apart: what a thread that stalls between two of them leaves behind.

use super::*;

fn window() -> SlidingWindow {
    SlidingWindow::new(100, 10, 0)
}

fn admitted(window: &SlidingWindow, limit: u64, now_ms: u64) -> bool {
    matches!(window.admit(limit, 1, now_ms), Decision::Admitted { .. })
}

#[test]
fn a_key_takes_48_bytes() {
    assert_eq!(size_of::<SlidingWindow>(), 48);
}

#[test]
fn codes_are_exact_up_to_15_and_never_more_than_the_weight() {
    for weight in (0..5000).chain((0..40).map(|bit| (1 << bit) + 1)) {
        let coded = weight_of(code_of(weight));
        assert!(coded <= weight, "{weight} became {coded}");
        assert!(
            weight > 15 << 30 || (weight - coded) * 9 <= weight,
            "{weight} became {coded}"
        );
        assert!(weight > 15 || coded == weight, "{weight} became {coded}");
    }
    for code in 0..=u8::MAX {
        assert_eq!(code_of(weight_of(code)), code);
    }
}

/// A turner that stalls behind its mark: others are counted as if nothing were forgotten, and once it goes on all is right.
#[test]
fn a_stall_while_turning_errs_strict_and_heals() {
    let window = window();
    assert!(admitted(&window, 3, 0));
    assert!(admitted(&window, 3, 50));
    let before = Head::of(window.head.load(Acquire));
    let marked = Head {
        turns: true,
        epoch: 11,
        ..before
    };
    assert!(window.swap(before, marked), "the first bucket has gone");
    assert!(admitted(&window, 3, 110), "room for one is left");
    assert!(!admitted(&window, 3, 110), "what is forgotten still counts");
    assert!(
        !admitted(&window, 9, 120),
        "a later bucket cannot be counted"
    );
    assert_eq!(window.save(), None, "nor can it be saved");
    assert_eq!(window.turn(before, marked).weight, 2);
    assert!(admitted(&window, 3, 110));
    assert!(!admitted(&window, 3, 120));
    assert_eq!(window.used(160), 2, "the call of 50 has gone");
}

#[test]
fn a_charge_is_taken_back_also_behind_its_bucket_unless_somebody_turns() {
    let window = window();
    for (now_ms, back_ms) in [(0, 0), (200, 210), (400, 499), (600, 900)] {
        let Charged::Yes { mark: epoch, .. } = window.charge(5, 2, now_ms) else {
            panic!("there is room")
        };
        assert!(admitted(&window, 5, now_ms));
        let _turned = window.used(back_ms);
        window.take_back(epoch, 2);
        let left = if back_ms > now_ms + 110 { 0 } else { 1 };
        assert_eq!(window.used(back_ms), left, "charged at {now_ms}");
    }
    let Charged::Yes { mark: epoch, .. } = window.charge(5, 2, 2000) else {
        panic!("there is room")
    };
    let head = Head::of(window.head.load(Acquire));
    let marked = Head {
        turns: true,
        epoch: head.epoch + 1,
        ..head
    };
    assert!(window.swap(head, marked));
    window.take_back(epoch, 2);
    assert_eq!(window.turn(head, marked).weight, 2, "it stays");
    assert_eq!(window.used(2110), 0, "until it is forgotten");
}

#[test]
fn a_retired_window_admits_nobody() {
    let window = window();
    assert!(admitted(&window, 5, 0));
    assert!(!window.retire(50), "it still remembers a call");
    assert!(window.retire(500));
    assert!(window.is_retired());
    assert!(matches!(window.charge(5, 1, 500), Charged::Retired));
    assert!(!window.debit(1, 500));
    assert!(!admitted(&window, 5, 500));
    assert_eq!(window.used(500), 0);
}

/// What is carried over is forgotten a bucket later, and all of it at last.
#[test]
fn heavy_buckets_are_forgotten_in_parts_and_never_early() {
    let window = window();
    window.debit(1_000_003, 5);
    assert_eq!(window.used(100), 1_000_003);
    let left: Vec<u64> = (11..20).map(|bucket| window.used(bucket * 10)).collect();
    assert!(left[0] * 9 <= 1_000_003, "{left:?}");
    assert!(left[1] * 81 <= 1_000_003, "{left:?}");
    assert_eq!(left[8], 0, "{left:?}");
    window.debit(u64::MAX, 300);
    window.debit(u64::MAX, 300);
    assert!(!admitted(&window, u64::MAX, 399));
    assert_eq!(window.used(10_000), 0);
}

#[test]
fn what_is_saved_is_restored() {
    let window = window();
    for now_ms in [0, 30, 77] {
        assert!(admitted(&window, 5, now_ms));
    }
    let saved = window.save().unwrap();
    let again = SlidingWindow::restore(100, 10, 7, saved).unwrap();
    for now_ms in [90, 111, 141, 199] {
        assert_eq!(again.used(now_ms), window.used(now_ms), "at {now_ms}");
    }
    let nonsense = [1 << 63, 0, 0, 0, 0];
    assert!(SlidingWindow::restore(100, 10, 7, nonsense).is_none());
    let too_full = [5, u64::MAX, 0, 0, 0];
    assert!(SlidingWindow::restore(100, 10, 7, too_full).is_none());
}

#[test]
fn lengths_and_parts_are_bounded() {
    assert_eq!(SlidingWindow::new(0, 0, 0).buckets, 1);
    assert_eq!(SlidingWindow::new(0, 0, 0).window_ms(), 1);
    assert_eq!(SlidingWindow::new(10, u8::MAX, 0).buckets, BUCKETS);
    let year_ms = 366 * 86_400_000 + 1;
    assert_eq!(
        SlidingWindow::new(year_ms, 32, 0).window_ms(),
        year_ms + 999
    );
    assert!(SlidingWindow::new(u64::MAX, 32, 0).window_ms() > year_ms);
}
