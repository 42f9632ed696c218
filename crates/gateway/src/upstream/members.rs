//! The endpoints that a backend has now: those of its document, and those that its names lead to.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use snapshot::{Backend, EjectOn, Endpoint, Lookup};

use super::balance::Ring;
use super::breaker::Circuit;
use super::names::{Followed, Names, Sought, Target};
use super::state::{BackendState, Checked, EndpointState, Note};

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Member {
    /// How it is reached.
    pub(crate) endpoint: Endpoint,
    /// Its name among those of the backend, as a URL.
    pub(crate) name: Arc<str>,
    /// Where it is.
    at: At,
    /// The number of its priority and, of SRV records, that of the record; lower ones are called first.
    priority: (u16, u16),
    pub(crate) state: Arc<EndpointState>,
}

/// Where an endpoint is.
#[derive(Debug)]
enum At {
    /// At one of these addresses.
    Fixed(Vec<SocketAddr>),
    /// At those that its host has.
    Host(Arc<Followed>),
}

/// No address of an endpoint is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAddress {
    /// It could not be looked up.
    #[error("the name could not be looked up: {0}")]
    Fault(Arc<String>),
    /// It leads nowhere.
    #[error("the name has no address")]
    Nowhere,
}

impl Member {
    pub(super) fn weight(&self) -> u64 {
        self.endpoint.weight.into()
    }

    /// Its addresses. Waits for the first look-up of its host, without a time limit.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, NoAddress> {
        let host = match &self.at {
            At::Fixed(addresses) => return Ok(addresses.clone()),
            At::Host(host) => host,
        };
        if host.found().is_none() {
            host.told().await;
        }
        let addresses = host.addresses(self.endpoint.port);
        if addresses.is_empty() {
            return Err(host.fault().map_or(NoAddress::Nowhere, NoAddress::Fault));
        }
        Ok(addresses)
    }

    /// Grows whenever its host has other addresses.
    pub(super) fn address_version(&self) -> u64 {
        match &self.at {
            At::Fixed(_) => 0,
            At::Host(host) => host.version(),
        }
    }

    /// It did not answer: its host may have moved.
    pub(super) fn look_again(&self) {
        if let At::Host(host) = &self.at {
            host.look_again();
        }
    }

    /// Whether nothing of it has changed.
    fn is_same(&self, other: &Self) -> bool {
        let same_at = match (&self.at, &other.at) {
            (At::Fixed(mine), At::Fixed(theirs)) => mine == theirs,
            (At::Host(mine), At::Host(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        };
        same_at && self.endpoint == other.endpoint && self.priority == other.priority
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
    pub(crate) state: Arc<BackendState>,
    /// There is one endpoint, always, and nobody who could take over: there is nothing to choose.
    pub(super) is_one: bool,
    /// What each entry of the document leads to, where that is looked up.
    sources: Vec<Option<Arc<Followed>>>,
    /// One at a time makes members.
    making: Mutex<()>,
}

impl Group {
    pub(super) fn new(
        backend: &Arc<Backend>,
        state: &Arc<BackendState>,
        names: &Arc<Names>,
    ) -> Arc<Self> {
        let source = |endpoint: &Endpoint| {
            let host = endpoint.host.clone();
            let sought = match endpoint.lookup {
                Lookup::Host if host.parse::<IpAddr>().is_ok() => return None,
                Lookup::Host | Lookup::Addresses => Sought::Host(host),
                Lookup::Services => Sought::Services(host),
            };
            Some(names.follow(sought))
        };
        let only = match &backend.endpoints[..] {
            [only] => only.lookup == Lookup::Host,
            _ => false,
        };
        let group = Arc::new(Self {
            is_one: only && backend.failover.is_empty(),
            members: ArcSwap::default(),
            sources: backend.endpoints.iter().map(source).collect(),
            backend: Arc::clone(backend),
            state: Arc::clone(state),
            making: Mutex::default(),
        });
        let entries = backend.endpoints.iter().zip(&group.sources);
        for source in entries
            .filter(|(endpoint, _)| endpoint.lookup != Lookup::Host)
            .filter_map(|(_, source)| source.as_ref())
        {
            source.leads(&group);
        }
        group.rebuild(names.now_ms());
        group
    }

    /// Makes the members anew, of what is known now. Those that have not changed stay the same.
    pub(super) fn rebuild(&self, now_ms: u64) {
        let _turn = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let mut list: Vec<Arc<Member>> = Vec::new();
        let mut put = |member: Member| {
            if list.iter().any(|have| have.name == member.name) {
                return;
            }
            let mut known = old.list.iter().filter(|have| have.name == member.name);
            if known.clone().next().is_none() && !old.list.is_empty() {
                member.state.start_slowly(now_ms);
            }
            let same = known.find(|have| have.is_same(&member)).cloned();
            list.push(same.unwrap_or_else(|| Arc::new(member)));
        };
        for (endpoint, source) in self.backend.endpoints.iter().zip(&self.sources) {
            match (endpoint.lookup, source) {
                (Lookup::Host, source) => put(self.at_host(endpoint, source.as_ref())),
                (_, None) => {}
                (_, Some(source)) => {
                    let found = source.found().unwrap_or_default();
                    for target in found.iter() {
                        self.at_target(endpoint, target)
                            .into_iter()
                            .for_each(&mut put);
                    }
                }
            }
        }
        self.members.store(Arc::new(Members::new(list)));
        self.state.forget_endpoints();
    }

    fn member(&self, endpoint: Endpoint, name: String, at: At, record: u16) -> Member {
        let name: Arc<str> = name.into();
        Member {
            state: self.state.endpoint(&name),
            priority: (endpoint.priority, record),
            endpoint,
            name,
            at,
        }
    }

    /// The endpoint of an entry with a URL.
    fn at_host(&self, endpoint: &Endpoint, source: Option<&Arc<Followed>>) -> Member {
        let at = match (source, endpoint.host.parse()) {
            (Some(source), _) => At::Host(Arc::clone(source)),
            (None, Ok(ip)) => At::Fixed(vec![SocketAddr::new(ip, endpoint.port)]),
            (None, Err(_)) => At::Fixed(Vec::new()),
        };
        let authority = endpoint.authority.as_str();
        let name = url(endpoint, authority);
        self.member(endpoint.clone(), name, at, 0)
    }

    /// The endpoints of what a name leads to: of a host each of its addresses, of SRV records each target.
    fn at_target(&self, entry: &Endpoint, target: &Target) -> Vec<Member> {
        let Some(port) = target.port else {
            let each = target.addresses.iter().map(|ip| {
                let at = SocketAddr::new(*ip, entry.port);
                let name = url(entry, &at.to_string());
                self.member(entry.clone(), name, At::Fixed(vec![at]), 0)
            });
            return each.collect();
        };
        let Some(endpoint) = Endpoint::new(entry.scheme, &target.host, port) else {
            return Vec::new();
        };
        let endpoint = Endpoint {
            path: entry.path.clone(),
            weight: entry.weight.saturating_mul(target.weight),
            priority: entry.priority,
            ..endpoint
        };
        let name = url(&endpoint, &format!("{}:{port}", target.host));
        let at = target.addresses.iter().map(|ip| SocketAddr::new(*ip, port));
        let at = At::Fixed(at.collect());
        vec![self.member(endpoint, name, at, target.priority)]
    }

    /// Whether there is something to tell of its endpoints.
    pub(crate) fn is_watched(&self) -> bool {
        let breaks = self.backend.calls.breaker.is_some();
        !self.is_one || self.backend.health.check.is_some() || breaks
    }

    /// How the circuit of the backend is.
    pub(crate) fn circuit(&self, now_ms: u64) -> Circuit {
        self.state.load.breaker.circuit(now_ms)
    }

    /// Why there are no endpoints, where a name could not be looked up.
    pub(crate) fn fault(&self) -> Option<Arc<String>> {
        let sources = self.sources.iter().flatten();
        sources.filter_map(|source| source.fault()).next()
    }

    /// Returns when all names have been looked up, whatever came of it.
    pub(super) async fn told(&self) {
        for source in self.sources.iter().flatten() {
            source.told().await;
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
                self.state.spare();
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

fn url(endpoint: &Endpoint, authority: &str) -> String {
    format!(
        "{}://{authority}{}",
        endpoint.scheme.as_str(),
        endpoint.path
    )
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

#[cfg(test)]
mod tests;
