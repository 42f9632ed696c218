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
