use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn rules() -> BreakerRules {
    BreakerRules {
        connections_max: None,
        pending_max: None,
        requests_max: None,
        queue: None,
        error_percent: Some(50),
        window_ms: 1_000,
        requests_min: 4,
        statuses: None,
        open_ms: 300,
        probes: 2,
    }
}

/// The same, said simply.
#[derive(Default)]
struct Model {
    /// The part of the window and whether it failed, of each try.
    tries: Vec<(u64, bool)>,
    open_until: Option<u64>,
    begun: u64,
    succeeded: u64,
    /// Counts the times it was open.
    turn: u64,
}

impl Model {
    /// The turn of a probe.
    fn leave(&mut self, now_ms: u64) -> Result<Option<u64>, ()> {
        match self.open_until {
            None => Ok(None),
            Some(until) if now_ms < until => Err(()),
            Some(_) if self.begun < 2 => {
                self.begun += 1;
                Ok(Some(self.turn))
            }
            Some(_) => Err(()),
        }
    }

    fn open(&mut self, now_ms: u64) {
        self.open_until = Some(now_ms + 300);
        (self.begun, self.succeeded) = (0, 0);
        self.turn += 1;
    }

    fn fared(&mut self, probe: Option<u64>, failed: Option<bool>, now_ms: u64) {
        match (probe, failed) {
            (Some(turn), _) if turn != self.turn || self.open_until.is_none() => {}
            (Some(_), None) => self.begun -= 1,
            (Some(_), Some(true)) => self.open(now_ms),
            (Some(_), Some(false)) => {
                self.succeeded += 1;
                if self.succeeded == 2 {
                    self.open_until = None;
                    self.tries.clear();
                }
            }
            (None, None) => {}
            (None, Some(_)) if self.open_until.is_some() => {}
            (None, Some(failed)) => {
                self.tries.push((now_ms / 100, failed));
                let oldest = (now_ms / 100).saturating_sub(9);
                self.tries.retain(|(part, _)| *part >= oldest);
                let failures = self.tries.iter().filter(|(_, failed)| *failed).count();
                if failed && self.tries.len() >= 4 && failures * 2 >= self.tries.len() {
                    self.open(now_ms);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Begin,
    /// How one of those under way ends.
    End(usize, Option<bool>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0u64..150).prop_map(Step::Wait),
        4 => Just(Step::Begin),
        4 => (0usize..8, prop_oneof![
            1 => Just(None),
            4 => Just(Some(true)),
            4 => Just(Some(false)),
        ]).prop_map(|(which, how)| Step::End(which, how)),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in steps()) {
        let (breaker, mut model, rules) = (Breaker::default(), Model::default(), rules());
        let mut now_ms = 1_000_000;
        let mut under_way = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Begin => {
                    let (got, expected) = (breaker.leave(&rules, now_ms), model.leave(now_ms));
                    prop_assert_eq!(got.is_ok(), expected.is_ok());
                    if let (Ok(leave), Ok(probe)) = (got, expected) {
                        prop_assert_eq!(leave.probe_of_ms != 0, probe.is_some());
                        under_way.push((leave, probe));
                    }
                }
                Step::End(which, how) if !under_way.is_empty() => {
                    let (leave, probe) = under_way.swap_remove(which % under_way.len());
                    breaker.fared(&rules, leave, how, now_ms);
                    model.fared(probe, how, now_ms);
                }
                Step::End(..) => {}
            }
            let expected = match model.open_until {
                None => Circuit::Closed,
                Some(until) if now_ms < until => Circuit::Open(until - now_ms),
                Some(_) => Circuit::HalfOpen,
            };
            prop_assert_eq!(breaker.circuit(now_ms), expected);
        }
    }
}

#[test]
fn half_open_lets_no_more_probes_through_however_many_ask() {
    let (breaker, rules) = (Arc::new(Breaker::default()), rules());
    for _ in 0..4 {
        let leave = breaker.leave(&rules, 1_000).unwrap();
        breaker.fared(&rules, leave, Some(true), 1_000);
    }
    assert_eq!(breaker.circuit(1_000), Circuit::Open(300));
    assert_eq!(breaker.leave(&rules, 1_200), Err(100));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (breaker, rules) = (Arc::clone(&breaker), rules.clone());
            std::thread::spawn(move || {
                let asked = (0..100).filter(|_| breaker.leave(&rules, 1_300).is_ok());
                asked.count()
            })
        })
        .collect();
    let passed: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(passed, 2);
}

#[test]
fn without_a_rate_it_never_opens() {
    let breaker = Breaker::default();
    let rules = BreakerRules {
        error_percent: None,
        ..rules()
    };
    for _ in 0..100 {
        let leave = breaker.leave(&rules, 5).unwrap();
        assert!(!breaker.fared(&rules, leave, Some(true), 5));
    }
    assert_eq!(breaker.circuit(5), Circuit::Closed);
    assert_eq!(breaker.counts(&rules, 5), (100, 100));
    assert_eq!(breaker.counts(&rules, 1_100), (0, 0));
}
