//! Smooth weighted round robin: each in its share, and as evenly spread as can be. Source: nginx, commit 52327e0.

/// Whose turn it is, of one core.
pub(super) struct Turns(Vec<i64>);

impl Turns {
    /// For so many endpoints. Each core begins with another one, so that few calls on many cores are spread too.
    pub(super) fn new(count: usize, core: usize) -> Self {
        let mut turns = Self(vec![0; count]);
        if let Some(first) = core.checked_rem(count) {
            turns.0[first] = 1;
        }
        turns
    }

    /// Endpoints came or went: all begin anew.
    pub(super) fn resize(&mut self, count: usize) {
        self.0.clear();
        self.0.resize(count, 0);
    }

    /// The next one of these, by weight. There is at least one.
    pub(super) fn next(&mut self, candidates: &[usize], weight: impl Fn(usize) -> u64) -> usize {
        let (mut total, mut best) = (0, candidates[0]);
        for &index in candidates {
            let weight = i64::try_from(weight(index)).unwrap_or(i64::MAX >> 16);
            total += weight;
            self.0[index] += weight;
            if self.0[index] > self.0[best] {
                best = index;
            }
        }
        self.0[best] -= total;
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_evenly_spread() {
        let weights = [5, 1, 1];
        let mut turns = Turns::new(3, 0);
        let order: Vec<_> = (0..7)
            .map(|_| turns.next(&[0, 1, 2], |index| weights[index]))
            .collect();
        assert_eq!(order.iter().filter(|index| **index == 0).count(), 5);
        // The heavy one does not get its calls in one go.
        assert!(
            order
                .windows(4)
                .any(|four| four.iter().any(|index| *index != 0)),
            "{order:?}"
        );
        assert!(order[1..6].iter().any(|index| *index != 0), "{order:?}");
    }

    #[test]
    fn cores_begin_at_different_endpoints() {
        let first = |core| Turns::new(3, core).next(&[0, 1, 2], |_| 1000);
        assert_eq!([first(0), first(1), first(2), first(3)], [0, 1, 2, 0]);
    }

    #[test]
    fn those_that_are_left_share_among_themselves() {
        let mut turns = Turns::new(3, 0);
        let mut counts = [0; 3];
        for round in 0..300 {
            let candidates: &[usize] = if round < 150 { &[0, 1, 2] } else { &[0, 2] };
            counts[turns.next(candidates, |_| 1000)] += 1;
        }
        assert_eq!(counts, [125, 50, 125]);
    }
}
