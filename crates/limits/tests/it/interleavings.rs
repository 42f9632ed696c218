//! Every interleaving of a few calls, step by step, on a model of the window's atomics: each atomic access of
//! `window.rs` is one step here, the clock may tick between any two, and a charge may be taken back.

use std::collections::HashSet;

const EPOCHS: usize = 4;
/// Buckets of the modelled window: epochs up to this age are live.
const BUCKETS: usize = 1;

/// The word of the head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Head {
    turns: bool,
    epoch: usize,
    weight: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    ReadClock,
    LoadHead,
    /// Sets the mark.
    Mark,
    /// Makes the ring right, place by place; `before` is the head that was marked.
    Turn {
        before: Head,
        place: usize,
        own: u8,
        gone: u8,
    },
    LoadTurned {
        gone: u8,
    },
    Unmark {
        gone: u8,
    },
    Check,
    Charge,
    LoadBack {
        epoch: usize,
    },
    TakeBack {
        epoch: usize,
    },
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Thread {
    step: Step,
    now: usize,
    /// The head as this thread last read it.
    read: Head,
    /// The epoch in which its call is admitted and not taken back.
    admitted: Option<usize>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    clock: usize,
    head: Head,
    /// By epoch; the ring proper would use places again.
    ring: [u8; EPOCHS],
    threads: Vec<Thread>,
}

impl World {
    fn swap(&mut self, from: Head, to: Head) -> bool {
        let same = self.head == from;
        if same {
            self.head = to;
        }
        same
    }

    /// Lets one thread take its next step; `takes_back` says whether it regrets its admission.
    fn advance(&mut self, index: usize, limit: u8, takes_back: bool) {
        let mut thread = self.threads[index];
        thread.step = match thread.step {
            Step::ReadClock => {
                thread.now = self.clock;
                Step::LoadHead
            }
            Step::LoadHead => {
                thread.read = self.head;
                match (thread.now > self.head.epoch, self.head.turns) {
                    (false, _) => Step::Check,
                    // It is refused.
                    (true, true) => Step::Done,
                    (true, false) => Step::Mark,
                }
            }
            Step::Mark => {
                let before = thread.read;
                let marked = Head {
                    turns: true,
                    epoch: thread.now,
                    ..before
                };
                if self.swap(before, marked) {
                    Step::Turn {
                        before,
                        place: 0,
                        own: before.weight,
                        gone: 0,
                    }
                } else {
                    Step::LoadHead
                }
            }
            Step::Turn {
                before,
                place,
                own,
                gone,
            } => self.turn(thread.now, before, place, own, gone),
            Step::LoadTurned { gone } => {
                thread.read = self.head;
                Step::Unmark { gone }
            }
            Step::Unmark { gone } => {
                let turned = Head {
                    turns: false,
                    weight: thread.read.weight - gone,
                    ..thread.read
                };
                if self.swap(thread.read, turned) {
                    thread.read = turned;
                    Step::Check
                } else {
                    Step::LoadTurned { gone }
                }
            }
            Step::Check if thread.read.weight < limit => Step::Charge,
            Step::Check => Step::Done,
            Step::Charge => {
                let charged = Head {
                    weight: thread.read.weight + 1,
                    ..thread.read
                };
                if self.swap(thread.read, charged) {
                    let epoch = charged.epoch;
                    thread.admitted = Some(epoch);
                    if takes_back {
                        Step::LoadBack { epoch }
                    } else {
                        Step::Done
                    }
                } else {
                    Step::LoadHead
                }
            }
            Step::LoadBack { epoch } => {
                thread.read = self.head;
                // A charge whose bucket has passed stays.
                if self.head.epoch == epoch {
                    Step::TakeBack { epoch }
                } else {
                    Step::Done
                }
            }
            Step::TakeBack { epoch } => {
                let back = Head {
                    weight: thread.read.weight - 1,
                    ..thread.read
                };
                if self.swap(thread.read, back) {
                    thread.admitted = None;
                    Step::Done
                } else {
                    Step::LoadBack { epoch }
                }
            }
            Step::Done => Step::Done,
        };
        self.threads[index] = thread;
    }

    /// One place: places that are live before the turn give what the head's own bucket has not; of them those go that are
    /// too old behind it. At last the own bucket is written.
    fn turn(&mut self, now: usize, before: Head, place: usize, own: u8, gone: u8) -> Step {
        if place < before.epoch {
            let held = self.ring[place];
            let goes = place + BUCKETS < now;
            if goes {
                self.ring[place] = 0;
            }
            return Step::Turn {
                before,
                place: place + 1,
                own: own - held,
                gone: gone + if goes { held } else { 0 },
            };
        }
        if before.epoch + BUCKETS < now {
            return Step::LoadTurned { gone: gone + own };
        }
        self.ring[before.epoch] = own;
        Step::LoadTurned { gone }
    }

    /// Admitted calls that are live at the head's epoch.
    fn live(&self) -> usize {
        let live = |epoch: usize| epoch + BUCKETS >= self.head.epoch;
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
        assert!(
            self.live() <= usize::from(self.head.weight),
            "a charge was lost: {self:?}"
        );
        if self.threads.iter().all(|thread| thread.step == Step::Done) {
            assert!(!self.head.turns, "a mark was left behind: {self:?}");
            assert_eq!(
                self.live(),
                usize::from(self.head.weight),
                "a charge was left behind: {self:?}"
            );
        }
    }
}

fn explore(threads: usize, limit: u8, takes_back: &[usize]) -> usize {
    let empty = Head {
        turns: false,
        epoch: 0,
        weight: 0,
    };
    let thread = Thread {
        step: Step::ReadClock,
        now: 0,
        read: empty,
        admitted: None,
    };
    let start = World {
        clock: 0,
        head: empty,
        ring: [0; EPOCHS],
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
            states > 5_000,
            "only {states} states: the model does not move"
        );
    }
}
