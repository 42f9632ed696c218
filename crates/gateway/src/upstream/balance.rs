//! Which endpoint gets a call.
//!
//! Of the endpoints of the lowest priority number those that are able, as far as they are enough; else those of the next
//! priority, then those of the backends that take over. Among them the backend's rule chooses. Start at [`pick`].

mod hash;
mod least_request;
mod round_robin;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use policy::RequestCx;
use snapshot::{Backend, Balance, Snapshot};

use super::members::{Did, Group, Members};
use super::pool::{BackendPool, EndpointPool};
use crate::worker::Worker;
pub(super) use hash::Ring;

/// What a choice may look at.
#[derive(Clone, Copy)]
pub(crate) struct PickInput<'a> {
    /// Where backends that take over are found.
    pub(crate) snapshot: &'a Snapshot,
    /// The call; its headers were moved.
    pub(crate) cx: &'a RequestCx,
    /// Its headers.
    pub(crate) headers: &'a HeaderMap,
}

/// The endpoints that a call has tried; they are not tried again while there are others.
#[derive(Default)]
pub(crate) struct Tried(Vec<Rc<EndpointPool>>);

impl Tried {
    pub(crate) fn add(&mut self, endpoint: &Rc<EndpointPool>) {
        self.0.push(Rc::clone(endpoint));
    }

    fn has(&self, endpoint: &Rc<EndpointPool>) -> bool {
        self.0.iter().any(|tried| Rc::ptr_eq(tried, endpoint))
    }
}

/// An endpoint that was chosen.
pub(crate) struct Picked {
    /// The connections to its backend: that of the call, or one that takes over.
    pub(crate) pool: Rc<BackendPool>,
    /// The connections to it.
    pub(crate) endpoint: Rc<EndpointPool>,
    /// Counts the call while it lives.
    pub(crate) in_flight: InFlight,
}

/// A call that an endpoint has: counted until this is dropped, which is when the answer's body has ended. How it fared
/// is told once, by [`InFlight::done`]; who is dropped without has given up.
pub(crate) struct InFlight {
    endpoint: Rc<EndpointPool>,
    worker: usize,
}

impl InFlight {
    fn new(worker: &Worker, endpoint: &Rc<EndpointPool>) -> Self {
        endpoint.member.state.begin(worker.index);
        Self {
            endpoint: Rc::clone(endpoint),
            worker: worker.index,
        }
    }

    /// What the endpoint did.
    #[inline]
    pub(crate) fn done(&self, worker: &Worker, did: Did) {
        let group = &self.endpoint.group;
        if !group.is_one {
            let now_ms = worker.now_ms.get();
            group.fared(
                &self.endpoint.member.state,
                did,
                now_ms,
                worker.unix_ms(now_ms),
            );
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.member.state.end(self.worker);
    }
}

/// Chooses an endpoint. `None` where there is none at all: a name leads to nothing.
pub(crate) fn pick(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
    input: &PickInput<'_>,
    tried: &Tried,
) -> Option<Picked> {
    let pool = worker.pools.of(worker, backend);
    if pool.group.is_one {
        let endpoint = pool.only();
        return Some(picked(worker, pool, endpoint));
    }
    choose(worker, pool, input, tried)
}

/// As [`pick`], after waiting for names of the backend that nobody has looked up yet. Without a time limit of its own.
pub(crate) async fn pick_found(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
    input: &PickInput<'_>,
    tried: &Tried,
) -> Option<Picked> {
    let pool = worker.pools.of(worker, backend);
    pool.group.told().await;
    pick(worker, backend, input, tried)
}

fn picked(worker: &Worker, pool: Rc<BackendPool>, endpoint: Rc<EndpointPool>) -> Picked {
    Picked {
        in_flight: InFlight::new(worker, &endpoint),
        pool,
        endpoint,
    }
}

/// What an endpoint must be to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Able, not tried, and of a priority with enough of them.
    Enough,
    /// Able and not tried.
    Able,
    /// Able.
    AbleTried,
    /// Not tried.
    Untried,
    /// Nothing.
    Any,
}

fn choose(
    worker: &Rc<Worker>,
    own: Rc<BackendPool>,
    input: &PickInput<'_>,
    tried: &Tried,
) -> Option<Picked> {
    let found = own.choose(worker, input, tried, Want::Enough);
    if let Some(endpoint) = found {
        return Some(picked(worker, own, endpoint));
    }
    let named = own.backend.failover.iter();
    let others: Vec<Rc<BackendPool>> = named
        .filter_map(|key| input.snapshot.backend(key))
        .map(|backend| worker.pools.of(worker, backend))
        .collect();
    let in_turn = |want: Want| {
        let pools = std::iter::once(&own).chain(&others);
        let mut found = pools.map(|pool| (pool, pool.choose(worker, input, tried, want)));
        found.find_map(|(pool, endpoint)| Some((Rc::clone(pool), endpoint?)))
    };
    let found = in_turn(Want::Enough).or_else(|| {
        if own.panics(worker) {
            let panicking = own.choose(worker, input, tried, Want::Untried)?;
            return Some((Rc::clone(&own), panicking));
        }
        None
    });
    let wants = [Want::Able, Want::AbleTried, Want::Untried, Want::Any];
    let (pool, endpoint) = found.or_else(|| wants.into_iter().find_map(in_turn))?;
    Some(picked(worker, pool, endpoint))
}

/// The endpoints as one core sees them: its connections to each, and whose turn it is.
pub(super) struct LineUp {
    members: Arc<Members>,
    pub(super) pools: Vec<Rc<EndpointPool>>,
    turns: round_robin::Turns,
    /// The indices that are looked at; kept so that no call allocates.
    candidates: Vec<usize>,
}

impl LineUp {
    pub(super) fn new(group: &Arc<Group>, core: usize) -> Self {
        let members = group.members.load_full();
        let pools = members.list.iter();
        Self {
            pools: pools
                .map(|member| Rc::new(EndpointPool::new(group, member)))
                .collect(),
            turns: round_robin::Turns::new(members.list.len(), core),
            candidates: Vec::with_capacity(members.list.len()),
            members,
        }
    }

    /// Follows the group: endpoints that stay keep their connections.
    pub(super) fn follow(&mut self, group: &Arc<Group>) {
        let latest = group.members.load();
        if Arc::ptr_eq(&latest, &self.members) {
            return;
        }
        let mut old = std::mem::take(&mut self.pools);
        for member in &latest.list {
            let known = old
                .iter()
                .position(|pool| Arc::ptr_eq(&pool.member, member));
            self.pools.push(match known {
                Some(index) => old.swap_remove(index),
                None => Rc::new(EndpointPool::new(group, member)),
            });
        }
        for pool in &old {
            pool.retire();
        }
        self.turns.resize(self.pools.len());
        self.members = Arc::clone(&latest);
    }

    /// Fills the candidates: those of the first priority that has some.
    fn gather(&mut self, group: &Group, tried: &Tried, want: Want, now_ms: u64) -> bool {
        let members = Arc::clone(&self.members);
        for level in &members.levels {
            let (mut able, count) = (0, level.len());
            self.candidates.clear();
            for index in level.clone() {
                let is_able = group.is_able(&members.list[index].state, now_ms);
                able += usize::from(is_able);
                let untried = tried.0.is_empty() || !tried.has(&self.pools[index]);
                let wanted = match want {
                    Want::Enough | Want::Able => is_able && untried,
                    Want::AbleTried => is_able,
                    Want::Untried => untried,
                    Want::Any => true,
                };
                if wanted {
                    self.candidates.push(index);
                }
            }
            let least = group.backend.health.min_healthy_percent as usize;
            let enough = want != Want::Enough || able * 100 >= least * count;
            if enough && !self.candidates.is_empty() {
                return true;
            }
        }
        false
    }
}

impl BackendPool {
    /// The one endpoint of a backend that has one.
    fn only(&self) -> Rc<EndpointPool> {
        Rc::clone(&self.line_up.borrow().pools[0])
    }

    /// Chooses among the endpoints of this backend that are as wanted.
    fn choose(
        &self,
        worker: &Rc<Worker>,
        input: &PickInput<'_>,
        tried: &Tried,
        want: Want,
    ) -> Option<Rc<EndpointPool>> {
        let now_ms = worker.now_ms.get();
        let mut line_up = self.line_up.borrow_mut();
        let line_up = &mut *line_up;
        line_up.follow(&self.group);
        if !line_up.gather(&self.group, tried, want, now_ms) {
            return None;
        }
        let slow_start_ms = self.backend.slow_start_ms;
        let list = &line_up.members.list;
        let weight = |index: usize| {
            let member = &list[index];
            member.weight() * member.state.share(now_ms, slow_start_ms)
        };
        let index = match (&line_up.candidates[..], &self.backend.balance) {
            ([only], _) => *only,
            (candidates, Balance::LeastRequest) => least_request::choose(
                candidates,
                weight,
                |index| list[index].state.in_flight(),
                || worker.ids.next(),
            ),
            (candidates, Balance::RoundRobin) => line_up.turns.next(candidates, weight),
            (candidates, Balance::Hash { by, bound_percent }) => match hash::key(by, input) {
                Some(key) => line_up.members.ring().choose(
                    key,
                    candidates,
                    |index| list[index].weight(),
                    |index| list[index].state.in_flight(),
                    *bound_percent,
                ),
                None => line_up.turns.next(candidates, weight),
            },
        };
        Some(Rc::clone(&line_up.pools[index]))
    }

    /// Whether so few endpoints are able that all are called.
    fn panics(&self, worker: &Worker) -> bool {
        let now_ms = worker.now_ms.get();
        let members = self.group.members.load();
        let able = members.list.iter();
        let able = able.filter(|member| self.group.is_able(&member.state, now_ms));
        let below = self.backend.health.panic_below_percent as usize;
        able.count() * 100 < below * members.list.len()
    }
}

/// A line-up that is looked at by one core.
pub(super) type Lined = RefCell<LineUp>;
