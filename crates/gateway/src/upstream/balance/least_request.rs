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
