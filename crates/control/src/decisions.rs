//! What nodes told of calls that were refused or failed: the newest of them, for operators who ask by trace id.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync::{Decision, NodeId};

/// A decision, and the node that made it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) node: NodeId,
    pub(crate) decision: Decision,
}

/// The newest decisions of all nodes that speak to this process; in memory, so a restart forgets them.
#[derive(Debug)]
pub(crate) struct Decisions {
    max: usize,
    ring: Mutex<Ring>,
}

/// In the order of arrival, and by trace id: a caller may give one id to many calls.
#[derive(Debug, Default)]
struct Ring {
    arrivals: VecDeque<Arc<Told>>,
    by_trace: HashMap<String, VecDeque<Arc<Told>>>,
}

impl Decisions {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            ring: Mutex::default(),
        }
    }

    /// Keeps them, and forgets the oldest for them.
    pub(crate) fn add(&self, node: &NodeId, decisions: Vec<Decision>) {
        let mut ring = self.lock();
        for decision in decisions {
            let told = Arc::new(Told {
                node: node.clone(),
                decision,
            });
            ring.arrivals.push_back(Arc::clone(&told));
            let trace_id = told.decision.trace_id.clone();
            ring.by_trace.entry(trace_id).or_default().push_back(told);
            while ring.arrivals.len() > self.max {
                ring.forget_oldest();
            }
        }
    }

    /// The decisions of a trace, oldest first.
    pub(crate) fn of(&self, trace_id: &str) -> Vec<Arc<Told>> {
        let ring = self.lock();
        let found = ring.by_trace.get(trace_id);
        found.map_or_else(Vec::new, |found| found.iter().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.arrivals.pop_front() else {
            return;
        };
        let trace_id = &oldest.decision.trace_id;
        if let Some(of_trace) = self.by_trace.get_mut(trace_id) {
            of_trace.pop_front();
            if of_trace.is_empty() {
                self.by_trace.remove(trace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sync::decision::{Answer, AskedFor, Matched};

    use super::*;

    fn decision(trace_id: &str, at_unix_ms: u64) -> Decision {
        Decision {
            trace_id: trace_id.to_owned(),
            at_unix_ms,
            took_us: 0,
            request: AskedFor {
                method: "GET".to_owned(),
                host: String::new(),
                path: "/".to_owned(),
                query: None,
                client_ip: "127.0.0.1".to_owned(),
                headers: Vec::new(),
            },
            matched: Matched::default(),
            policies: Vec::new(),
            caller: None,
            quota: None,
            backend: None,
            answer: Answer {
                status: 404,
                code: "ROUTE_NOT_FOUND".to_owned(),
                detail: String::new(),
                rule: String::new(),
                facts: Vec::new(),
            },
        }
    }

    #[test]
    fn the_newest_are_kept_and_those_of_one_trace_together() {
        let decisions = Decisions::new(3);
        let node = NodeId("n1".to_owned());
        decisions.add(&node, vec![decision("a", 1), decision("b", 2)]);
        decisions.add(&node, vec![decision("a", 3)]);
        let times = |trace: &str| -> Vec<u64> {
            let found = decisions.of(trace);
            found.iter().map(|told| told.decision.at_unix_ms).collect()
        };
        assert_eq!(times("a"), [1, 3]);
        decisions.add(&node, vec![decision("c", 4), decision("c", 5)]);
        assert_eq!((times("a"), times("b")), (vec![3], vec![]));
        assert_eq!(times("c"), [4, 5]);
        decisions.add(&node, vec![decision("d", 6)]);
        assert!(times("a").is_empty());
        assert_eq!(decisions.lock().by_trace.len(), 2);
    }

    #[test]
    fn a_ring_of_nothing_keeps_nothing() {
        let decisions = Decisions::new(0);
        decisions.add(&NodeId("n1".to_owned()), vec![decision("a", 1)]);
        assert!(decisions.of("a").is_empty());
    }
}
