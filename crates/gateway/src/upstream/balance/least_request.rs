//! Least request by the power of two choices: two are drawn by weight, and the one with less to do is taken.
//!
//! Not the least of all: several cores, and several gateways, would all send to the same one at the same time. Source:
//! M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.

/// One of these. There are at least two. `draw` gives random numbers.
pub(super) fn choose(
    candidates: &[usize],
    weight: impl Fn(usize) -> u64,
    in_flight: impl Fn(usize) -> u64,
    mut draw: impl FnMut() -> u64,
) -> usize {
    let total: u64 = candidates.iter().map(|index| weight(*index)).sum();
    let first = drawn(candidates, &weight, draw() % total.max(1), None);
    let rest = total - weight(first);
    let second = drawn(candidates, &weight, draw() % rest.max(1), Some(first));
    // Calls in flight for each unit of weight, without a division.
    let load =
        |index: usize, other: usize| u128::from(in_flight(index)) * u128::from(weight(other));
    if load(second, first) < load(first, second) {
        second
    } else {
        first
    }
}

/// The candidate in whose part of all weights `at` falls.
fn drawn(
    candidates: &[usize],
    weight: impl Fn(usize) -> u64,
    mut at: u64,
    without: Option<usize>,
) -> usize {
    let mut last = candidates[0];
    for &index in candidates.iter().filter(|index| Some(**index) != without) {
        last = index;
        match at.checked_sub(weight(index)) {
            Some(rest) => at = rest,
            None => return index,
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn random() -> impl FnMut() -> u64 {
        let state = Cell::new(0x9e37_79b9_7f4a_7c15_u64);
        move || {
            let mut next = state.get();
            next ^= next << 13;
            next ^= next >> 7;
            next ^= next << 17;
            state.set(next);
            next
        }
    }

    #[test]
    fn idle_endpoints_get_their_share_by_weight() {
        let (weights, mut draw, mut counts) = ([1_u64, 1, 2], random(), [0_u32; 3]);
        for _ in 0..40_000 {
            counts[choose(&[0, 1, 2], |index| weights[index], |_| 0, &mut draw)] += 1;
        }
        for (count, share) in counts.iter().zip([10_000, 10_000, 20_000]) {
            assert!(count.abs_diff(share) < 600, "{counts:?}");
        }
    }

    #[test]
    fn of_two_the_one_with_less_to_do_for_its_weight_is_taken() {
        let mut draw = random();
        for _ in 0..100 {
            assert_eq!(choose(&[0, 1], |_| 1, |index| [3, 2][index], &mut draw), 1);
            // Three calls on a weight of four are less than two on a weight of one.
            assert_eq!(
                choose(
                    &[0, 1],
                    |index| [4, 1][index],
                    |index| [3, 2][index],
                    &mut draw
                ),
                0
            );
        }
    }

    /// Balls into bins: the fullest of 20 has at most a few more than the average, which chance alone does not do.
    #[test]
    fn loads_stay_close_together() {
        let (mut loads, mut draw) = ([0_u64; 20], random());
        let all: Vec<_> = (0..20).collect();
        for _ in 0..20_000 {
            let chosen = choose(&all, |_| 1, |index| loads[index], &mut draw);
            loads[chosen] += 1;
        }
        let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
        assert!(most - least <= 8, "{loads:?}");
    }
}
