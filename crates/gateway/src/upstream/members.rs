//! The endpoints that a backend has now: those of its document, and those that its names lead to.

#![allow(dead_code, reason = "health checks and names are next")]

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use snapshot::{Backend, EjectOn, Endpoint};

use super::balance::Ring;
use super::state::{BackendState, Checked, EndpointState, Note};

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Member {
    /// How it is reached.
    pub(crate) endpoint: Endpoint,
    /// Its name among those of the backend, as a URL.
    pub(crate) name: Arc<str>,
    /// The number of its priority and, of SRV records, that of the record; lower ones are called first.
    priority: (u16, u16),
    pub(crate) state: Arc<EndpointState>,
}

impl Member {
    fn of(endpoint: &Endpoint, state: &BackendState) -> Self {
        let name: Arc<str> = format!(
            "{}://{}{}",
            endpoint.scheme.as_str(),
            endpoint.authority,
            endpoint.path
        )
        .into();
        Self {
            state: state.endpoint(&name).0,
            endpoint: endpoint.clone(),
            priority: (endpoint.priority, 0),
            name,
        }
    }

    pub(super) fn weight(&self) -> u64 {
        self.endpoint.weight.into()
    }
}

/// All endpoints at a time, those of lower priority numbers first.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) list: Vec<Arc<Member>>,
    /// Which of them have one priority.
    pub(super) levels: Vec<Range<usize>>,
    /// Where keys lead, made at its first use.
    ring: OnceLock<Ring>,
}

impl Members {
    pub(super) fn new(mut list: Vec<Arc<Member>>) -> Self {
        list.sort_by_key(|member| member.priority);
        let mut levels: Vec<Range<usize>> = Vec::new();
        for (index, member) in list.iter().enumerate() {
            match levels.last_mut() {
                Some(level) if list[level.start].priority == member.priority => {
                    level.end = index + 1;
                }
                _ => levels.push(index..index + 1),
            }
        }
        Self {
            list,
            levels,
            ring: OnceLock::new(),
        }
    }

    /// Where keys lead.
    pub(super) fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| {
            let members = self.list.iter();
            Ring::new(members.map(|member| (&*member.name, member.weight())))
        })
    }
}

/// The endpoints of one backend as a snapshot has it, shared by all cores.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) backend: Arc<Backend>,
    pub(crate) members: ArcSwap<Members>,
    pub(super) state: Arc<BackendState>,
    /// There is one endpoint, always, and nobody who could take over: there is nothing to choose.
    pub(super) is_one: bool,
}

impl Group {
    pub(super) fn new(backend: &Arc<Backend>, state: &Arc<BackendState>) -> Self {
        let members = backend.endpoints.iter();
        let members = members.map(|endpoint| Arc::new(Member::of(endpoint, state)));
        let members = Members::new(members.collect());
        Self {
            is_one: members.list.len() == 1 && backend.failover.is_empty(),
            members: ArcSwap::from_pointee(members),
            backend: Arc::clone(backend),
            state: Arc::clone(state),
        }
    }

    /// Whether an endpoint may be called.
    pub(crate) fn is_able(&self, state: &EndpointState, now_ms: u64) -> bool {
        let health = &self.backend.health;
        let unhealthy = health.check.is_some() && state.checked() == Checked::Unhealthy;
        let ejected = health.eject_after > 0 && state.is_ejected(now_ms);
        !unhealthy && !ejected
    }

    /// Notes how a call fared; ejects the endpoint that fails too often, unless too many are.
    pub(super) fn fared(&self, state: &EndpointState, did: Did, now_ms: u64, unix_ms: u64) {
        let health = &self.backend.health;
        if health.eject_after == 0 {
            return;
        }
        let Some(failed) = did.is_failure(health.eject_on) else {
            return;
        };
        if !failed {
            state.succeeded();
            return;
        }
        if state.failed() < health.eject_after || state.is_ejected(now_ms) {
            return;
        }
        self.state.ejecting(|| {
            let members = self.members.load();
            let ejected = members.list.iter();
            let ejected = ejected.filter(|member| member.state.is_ejected(now_ms));
            let allowed = members.list.len() as u64 * u64::from(health.max_ejected_percent) / 100;
            if ejected.count() as u64 >= allowed {
                self.state.spared.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let note = Note {
                since_unix_ms: unix_ms,
                cause: format!(
                    "{} calls in a row failed, the last: {did}",
                    health.eject_after
                ),
            };
            state.eject(now_ms, health.eject_for_ms, note);
        });
    }
}

/// What an endpoint did with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    /// The head of an answer came, with this status.
    Answered(u16),
    /// No connection could be made.
    ConnectFailed,
    /// The connection broke before an answer, or what came was none.
    Broke,
    /// No answer in time.
    TimedOut,
    /// The call ended for reasons of the client's: nothing is known of the endpoint.
    GaveUp,
}

impl Did {
    /// Whether that is a failure; `None` where it says nothing.
    fn is_failure(self, on: EjectOn) -> Option<bool> {
        match self {
            Self::GaveUp => None,
            Self::ConnectFailed | Self::Broke | Self::TimedOut => Some(true),
            Self::Answered(502..=504) => Some(on >= EjectOn::GatewayErrors),
            Self::Answered(status) => Some(status >= 500 && on >= EjectOn::ServerErrors),
        }
    }
}

impl std::fmt::Display for Did {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "answered {status}"),
            Self::ConnectFailed => f.write_str("no connection"),
            Self::Broke => f.write_str("the connection broke"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::GaveUp => f.write_str("the client gave up"),
        }
    }
}
