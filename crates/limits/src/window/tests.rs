//! The steps of a charge, taken apart: what a thread that stalls between two of them leaves behind.

use super::*;

fn window() -> SlidingWindow {
    SlidingWindow::new(100, 10, 0)
}

fn admitted(window: &SlidingWindow, limit: u64, now_ms: u64) -> bool {
    matches!(window.admit(limit, 1, now_ms), Decision::Admitted { .. })
}

#[test]
fn a_stall_after_the_slot_errs_strict_and_heals() {
    let window = window();
    assert!(
        window.slot_charge(0, 2),
        "a thread charges its slot and stalls"
    );
    assert!(admitted(&window, 3, 0), "the head does not know yet");
    assert_eq!(window.used(10), 3, "the rotation counts the stalled charge");
    assert!(!admitted(&window, 3, 10));
    window.slot_release(0, 2);
    assert_eq!(window.used(20), 1, "and forgets it once it is taken back");
}

#[test]
fn a_slot_is_never_given_back_to_an_older_epoch() {
    let window = window();
    let ring = u32::try_from(window.ring.len()).unwrap();
    window.head.store(
        Word {
            epoch: ring,
            count: 0,
        }
        .pack(),
        Release,
    );
    assert!(window.slot_charge(ring, 1));
    assert!(
        !window.slot_charge(0, 1),
        "a thread that slept for a whole ring has to look again"
    );
    window.slot_release(0, 1);
    assert_eq!(
        Word::unpack(window.slot(0).load(Relaxed)),
        Word {
            epoch: ring,
            count: 1
        }
    );
}

#[test]
fn a_charge_taken_back_is_gone_with_the_next_rotation() {
    let window = window();
    for now_ms in [0, 40] {
        let Charged::Yes { epoch, .. } = window.charge(5, 2, now_ms) else {
            panic!("there is room")
        };
        window.take_back(epoch, 2);
        assert_eq!(window.used(now_ms), 2, "still counted: strict");
        assert_eq!(window.used(now_ms + 10), 0);
    }
}

/// A rotator reads the head and the slots, then one call is taken back and another admitted before it goes on.
#[test]
fn taking_back_never_hides_an_admission_from_a_rotator() {
    let window = window();
    let Charged::Yes { epoch, .. } = window.charge(1, 1, 0) else {
        panic!("there is room")
    };
    let read = window.head.load(Acquire);
    window.take_back(epoch, 1);
    assert_eq!(window.remembered(1), (0, 1), "what the rotator sums");
    assert!(
        !admitted(&window, 1, 0),
        "so nobody may be admitted while the head shows what it read"
    );
    assert_eq!(window.head.load(Acquire), read);
}

#[test]
fn a_retired_window_admits_nobody() {
    let window = window();
    assert!(admitted(&window, 5, 0));
    assert!(!window.retire(50), "it still remembers a call");
    assert!(window.retire(500));
    assert!(window.is_retired());
    assert!(matches!(window.charge(5, 1, 500), Charged::Retired));
    assert!(!admitted(&window, 5, 500));
    assert_eq!(window.used(500), 0);
}

#[test]
fn parts_are_bounded() {
    assert_eq!(SlidingWindow::new(0, 0, 0).buckets, 1);
    assert_eq!(
        SlidingWindow::new(10, 60, 0).buckets,
        10,
        "no bucket is shorter than a millisecond"
    );
    assert_eq!(
        SlidingWindow::new(u64::MAX, u32::MAX, 0).buckets,
        BUCKETS_MAX
    );
}
