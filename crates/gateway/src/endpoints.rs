//! How the endpoints of backends fare: told to the control plane, and rendered as metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use sync::endpoints::{BackendReport, CircuitReport, EndpointHealth, EndpointReport};
use sync::{ControlPlane, Node, ResourceKey};

use crate::telling;
use crate::upstream::Circuit;
use crate::upstream::members::{Group, Member};
use crate::upstream::state::{BackendState, Checked, States};

/// Endpoints that one node tells of, and whose metrics it shows; those that are not called go first.
const ENDPOINTS_MAX: usize = 2_000;

/// Handle on what is known of all endpoints.
#[derive(Clone)]
pub struct Endpoints {
    states: Arc<States>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

impl Endpoints {
    pub(crate) fn new(states: Arc<States>, clock: Arc<dyn Clock>) -> Self {
        Self { states, clock }
    }

    /// Tells the control plane what has changed, until it is dropped.
    pub async fn forward(self, plane: Arc<dyn ControlPlane>, node: Node) {
        let tell = |reports| {
            let (plane, node) = (Arc::clone(&plane), node.clone());
            async move { plane.endpoints(&node, reports).await }
        };
        telling::changes("the health of endpoints", || self.reports(), tell).await;
    }

    /// Every backend that has a choice of endpoints or checks them, as this node sees it now; in the order of their names.
    #[must_use]
    pub fn reports(&self) -> Vec<BackendReport> {
        let (now_ms, unix_ms) = (self.clock.monotonic_ms(), self.clock.unix_ms());
        let mut reports: Vec<BackendReport> = self
            .watched()
            .iter()
            .map(|(_, group)| report(group, now_ms, unix_ms))
            .collect();
        bound(&mut reports);
        reports.sort_by(|a, b| a.key.cmp(&b.key));
        reports
    }

    fn watched(&self) -> Vec<(Arc<BackendState>, Arc<Group>)> {
        let all = self.states.all().into_iter();
        all.filter_map(|(_, state)| {
            let group = state.group()?;
            group.is_watched().then_some((state, group))
        })
        .collect()
    }

    /// Adds the metrics of endpoints to a registry.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

/// Leaves out what is beyond the bound: of endpoints that are called, those of the backends that have the most.
fn bound(reports: &mut Vec<BackendReport>) {
    let ill = |report: &BackendReport| {
        let mut endpoints = report.endpoints.iter();
        endpoints.any(|endpoint| !endpoint.health.is_called())
    };
    let mut room = ENDPOINTS_MAX;
    reports.sort_by_key(|report| (!ill(report), report.endpoints.len()));
    reports.retain(|report| {
        let fits = report.endpoints.len() <= room;
        room = room.saturating_sub(report.endpoints.len());
        fits
    });
}

fn circuit(group: &Group, now_ms: u64, unix_ms: u64) -> Option<CircuitReport> {
    group.backend.calls.breaker.as_ref()?;
    Some(match group.circuit(now_ms) {
        Circuit::Closed => CircuitReport::Closed,
        Circuit::HalfOpen => CircuitReport::HalfOpen,
        Circuit::Open(left_ms) => CircuitReport::Open {
            until_unix_ms: (unix_ms + left_ms).next_multiple_of(1_000),
        },
    })
}

fn report(group: &Group, now_ms: u64, unix_ms: u64) -> BackendReport {
    let key = &group.backend.key;
    let members = group.members.load();
    let endpoints = members.list.iter();
    BackendReport {
        key: ResourceKey {
            org: key.org.clone(),
            name: key.name.to_string(),
        },
        endpoints: endpoints
            .map(|member| endpoint(group, member, now_ms, unix_ms))
            .collect(),
        fault: group.fault().map(|fault| fault.to_string()),
        circuit: circuit(group, now_ms, unix_ms),
    }
}

fn health(group: &Group, member: &Member, now_ms: u64) -> EndpointHealth {
    let (rules, state) = (&group.backend.health, &member.state);
    let checked = rules.check.as_ref().map(|_| state.checked());
    match checked {
        Some(Checked::Unhealthy) => EndpointHealth::Unhealthy,
        _ if rules.eject_after > 0 && state.is_ejected(now_ms) => EndpointHealth::Ejected,
        Some(Checked::Healthy) => EndpointHealth::Healthy,
        Some(Checked::Unknown) | None => EndpointHealth::Unchecked,
    }
}

fn endpoint(group: &Group, member: &Member, now_ms: u64, unix_ms: u64) -> EndpointReport {
    let health = health(group, member, now_ms);
    let note = member.state.note();
    let ejected = (health == EndpointHealth::Ejected).then(|| {
        // Whole seconds: the two clocks drift, and what does not change is not told again.
        let until_ms = unix_ms + member.state.ejected_for_ms(now_ms);
        (until_ms + 500) / 1000 * 1000
    });
    EndpointReport {
        endpoint: member.name.to_string(),
        weight: member.endpoint.weight,
        priority: member.endpoint.priority,
        health,
        ejected_until_unix_ms: ejected,
        cause: note
            .as_ref()
            .map_or_else(String::new, |note| note.cause.clone()),
        since_unix_ms: note.map(|note| note.since_unix_ms),
    }
}

impl Collector for Endpoints {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now_ms = self.clock.monotonic_ms();
        let mut shown: BTreeMap<(String, String), (EndpointHealth, u64)> = BTreeMap::new();
        let mut spared = 0;
        for (state, group) in self.watched() {
            spared += state.spared();
            let key = &group.backend.key;
            let backend = format!("{}/{}", key.org, key.name);
            for member in &group.members.load().list {
                if shown.len() < ENDPOINTS_MAX {
                    let at = (backend.clone(), member.name.to_string());
                    let now = health(&group, member, now_ms);
                    shown.insert(at, (now, member.state.in_flight()));
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_endpoint_health",
            "1 for the health that an endpoint has, of backends with a choice of endpoints or checks",
            None,
            MetricType::Gauge,
        )?;
        for ((backend, endpoint), (now, _)) in &shown {
            for word in EndpointHealth::ALL {
                let labels = [
                    ("backend", backend.as_str()),
                    ("endpoint", endpoint.as_str()),
                    ("health", word.as_str()),
                ];
                let value = i64::from(word == *now);
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_endpoint_in_flight",
            "Calls that an endpoint has",
            None,
            MetricType::Gauge,
        )?;
        for ((backend, endpoint), (_, calls)) in &shown {
            let labels = [
                ("backend", backend.as_str()),
                ("endpoint", endpoint.as_str()),
            ];
            let calls = i64::try_from(*calls).unwrap_or(i64::MAX);
            ConstGauge::new(calls).encode(family.encode_family(&labels)?)?;
        }
        let family = encoder.encode_descriptor(
            "tollway_gateway_ejections_spared",
            "Endpoints that were not ejected because too many were, since their backend was last changed",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(spared).encode(family)
    }
}
