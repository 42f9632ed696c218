//! Every interleaving of a few calls, step by step, on a model of the window's atomics: each atomic access of
//! `window.rs` is one step here, the clock may tick between any two, and a charge may be taken back.

use std::collections::HashSet;

const EPOCHS: usize = 3;
/// Buckets of the modelled window: epochs up to this age are live.
const BUCKETS: usize = 1;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    ReadClock,
    LoadHead,
    SumSlot { slot: usize, sum: u8 },
    TurnHead { sum: u8 },
    Check,
    ChargeSlot,
    ChargeHead { epoch: usize },
    ReleaseSlot { epoch: usize, again: bool },
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Thread {
    step: Step,
    now: usize,
    /// The head as this thread last read it: epoch and count.
    read: (usize, u8),
    /// The epoch in which its call is admitted and not taken back.
    admitted: Option<usize>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    clock: usize,
    head: (usize, u8),
    slots: [u8; EPOCHS],
    threads: Vec<Thread>,
}

impl World {
    /// After reading the head: rotate if the clock is ahead of it, else look at the count.
    fn settle(thread: &mut Thread) {
        thread.step = if thread.now > thread.read.0 {
            Step::SumSlot {
                slot: thread.now.saturating_sub(BUCKETS),
                sum: 0,
            }
        } else {
            Step::Check
        };
    }

    /// Lets one thread take its next step; `takes_back` says whether it regrets its admission.
    fn advance(&mut self, index: usize, limit: u8, takes_back: bool) {
        let mut thread = self.threads[index];
        match thread.step {
            Step::ReadClock => (thread.now, thread.step) = (self.clock, Step::LoadHead),
            Step::LoadHead => {
                thread.read = self.head;
                Self::settle(&mut thread);
            }
            Step::SumSlot { slot, sum } => {
                let sum = sum + self.slots[slot];
                let next = Step::SumSlot {
                    slot: slot + 1,
                    sum,
                };
                thread.step = if slot == thread.now {
                    Step::TurnHead { sum }
                } else {
                    next
                };
            }
            Step::TurnHead { sum } if self.head == thread.read => {
                self.head = (thread.now, sum);
                (thread.read, thread.step) = (self.head, Step::Check);
            }
            Step::TurnHead { .. } => {
                thread.read = self.head;
                Self::settle(&mut thread);
            }
            Step::Check => {
                thread.step = if thread.read.1 < limit {
                    Step::ChargeSlot
                } else {
                    Step::Done
                }
            }
            Step::ChargeSlot => {
                let epoch = thread.read.0;
                self.slots[epoch] += 1;
                thread.step = Step::ChargeHead { epoch };
            }
            Step::ChargeHead { epoch } if self.head == thread.read => {
                self.head.1 += 1;
                thread.admitted = Some(epoch);
                thread.step = if takes_back {
                    Step::ReleaseSlot {
                        epoch,
                        again: false,
                    }
                } else {
                    Step::Done
                };
            }
            Step::ChargeHead { epoch } if self.head.0 == epoch && self.head.1 < limit => {
                thread.read = self.head;
            }
            Step::ChargeHead { epoch } => thread.step = Step::ReleaseSlot { epoch, again: true },
            Step::ReleaseSlot { epoch, again } => {
                self.slots[epoch] -= 1;
                thread.admitted = None;
                thread.step = if again { Step::LoadHead } else { Step::Done };
            }
            Step::Done => {}
        }
        self.threads[index] = thread;
    }

    /// Admitted calls that are live at the head's epoch.
    fn live(&self) -> usize {
        let live = |epoch: usize| epoch + BUCKETS >= self.head.0;
        self.threads
            .iter()
            .filter(|thread| thread.admitted.is_some_and(live))
            .count()
    }

    fn assert_sound(&self, limit: u8) {
        assert!(
            self.live() <= usize::from(limit),
            "more than {limit} live: {self:?}"
        );
        if self.threads.iter().all(|thread| thread.step == Step::Done) {
            for (epoch, slot) in self.slots.iter().enumerate() {
                let held = self
                    .threads
                    .iter()
                    .filter(|thread| thread.admitted == Some(epoch))
                    .count();
                assert_eq!(
                    usize::from(*slot),
                    held,
                    "a charge left behind or lost: {self:?}"
                );
            }
        }
    }
}

fn explore(threads: usize, limit: u8, takes_back: &[usize]) -> usize {
    let thread = Thread {
        step: Step::ReadClock,
        now: 0,
        read: (0, 0),
        admitted: None,
    };
    let start = World {
        clock: 0,
        head: (0, 0),
        slots: [0; EPOCHS],
        threads: vec![thread; threads],
    };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        world.assert_sound(limit);
        let mut next = Vec::new();
        if world.clock + 1 < EPOCHS {
            next.push(World {
                clock: world.clock + 1,
                ..world.clone()
            });
        }
        for index in (0..threads).filter(|index| world.threads[*index].step != Step::Done) {
            let mut after = world.clone();
            after.advance(index, limit, takes_back.contains(&index));
            next.push(after);
        }
        open.extend(next.into_iter().filter(|world| seen.insert(world.clone())));
    }
    seen.len()
}

#[test]
fn no_interleaving_exceeds_the_limit_or_leaves_a_charge_behind() {
    for (limit, takes_back) in [(1, &[][..]), (1, &[0]), (2, &[0, 1])] {
        let states = explore(3, limit, takes_back);
        assert!(
            states > 10_000,
            "only {states} states: the model does not move"
        );
    }
}
