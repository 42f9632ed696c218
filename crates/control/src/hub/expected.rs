//! What the nodes of each gateway are to serve: the digest over all, at each revision that is not long gone.

use std::collections::{BTreeMap, VecDeque};

use base::Digest;

/// So many states back an acknowledgement can be held against what was meant.
const STATES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Expected(VecDeque<State>);

/// What was to be served from one revision to another.
#[derive(Debug)]
struct State {
    from: u64,
    upto: u64,
    digests: BTreeMap<String, Digest>,
}

impl Expected {
    /// Nothing is to be served at this revision.
    pub(super) fn new(revision: u64) -> Self {
        Self(VecDeque::from([State {
            from: revision,
            upto: revision,
            digests: BTreeMap::new(),
        }]))
    }

    /// Nothing changed up to this revision.
    pub(super) fn reached(&mut self, revision: u64) {
        if let Some(last) = self.0.back_mut() {
            last.upto = last.upto.max(revision);
        }
    }

    /// From this revision on it is this. Between the last revision that was reached and this one it is not known.
    pub(super) fn push(&mut self, revision: u64, digests: BTreeMap<String, Digest>) {
        self.0.retain(|state| state.from < revision);
        self.0.push_back(State {
            from: revision,
            upto: revision,
            digests,
        });
        if self.0.len() > STATES_MAX {
            self.0.pop_front();
        }
    }

    /// The digest over all that a gateway's nodes serve at a revision; `None` where it is not known, or not any more.
    pub(super) fn at(&self, gateway: &str, revision: u64) -> Option<Digest> {
        let known = |state: &&State| (state.from..=state.upto).contains(&revision);
        let state = self.0.iter().rev().find(known)?;
        let nothing = || sync::served_digest([]);
        Some(state.digests.get(gateway).copied().unwrap_or_else(nothing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_holds_until_the_next_and_gaps_are_not_known() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let states = |text: &str| BTreeMap::from([("default".to_owned(), digest(text))]);
        let mut expected = Expected::new(3);
        expected.push(5, states("a"));
        expected.reached(7);
        expected.push(9, states("b"));
        let nothing = Some(sync::served_digest([]));
        for (revision, wanted) in [
            (2, None),
            (3, nothing),
            (4, None),
            (5, Some(digest("a"))),
            (7, Some(digest("a"))),
            (8, None),
            (9, Some(digest("b"))),
            (10, None),
        ] {
            assert_eq!(expected.at("default", revision), wanted, "{revision}");
        }
        assert_eq!(expected.at("edge", 9), nothing, "a gateway without APIs");
        for revision in 10..10 + STATES_MAX as u64 {
            expected.push(revision, states("c"));
        }
        assert_eq!(expected.at("default", 9), None, "the oldest are forgotten");
    }
}
