//! What is under way at backends that have a circuit breaker, and how the circuits are.

use std::fmt;
use std::sync::Arc;

use base::Clock;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::upstream::Circuit;
use crate::upstream::state::States;

/// Looks at the states when the metrics are read.
pub(crate) struct Circuits {
    pub(crate) states: Arc<States>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Circuits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuits").finish_non_exhaustive()
    }
}

/// One backend's line in each family.
struct Seen {
    labels: [(&'static str, String); 2],
    circuit: i64,
    opened: u64,
    /// Calls, those that wait for a connection, connections.
    numbers: [u32; 3],
}

impl Circuits {
    fn seen(&self) -> Vec<Seen> {
        let now_ms = self.clock.monotonic_ms();
        let all = self.states.all().into_iter();
        all.filter_map(|(key, state)| {
            let group = state.group()?;
            group.backend.calls.breaker.as_ref()?;
            let circuit = match state.load.breaker.circuit(now_ms) {
                Circuit::Closed => 0,
                Circuit::HalfOpen => 1,
                Circuit::Open(_) => 2,
            };
            Some(Seen {
                labels: [
                    ("org", key.org.to_string()),
                    ("backend", key.name.to_string()),
                ],
                circuit,
                opened: state.load.times_opened(),
                numbers: state.load.numbers(),
            })
        })
        .collect()
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.seen();
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_backend_circuit",
            "The circuit of a backend: 0 closed, 1 half-open, 2 open",
            None,
            MetricType::Gauge,
        )?;
        for one in &seen {
            ConstGauge::new(one.circuit).encode(family.encode_family(&one.labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_backend_circuit_opened",
            "How often the circuit of a backend opened",
            None,
            MetricType::Counter,
        )?;
        for one in &seen {
            ConstCounter::new(one.opened).encode(family.encode_family(&one.labels)?)?;
        }
        let gauges = [
            (
                "tollway_gateway_backend_calls",
                "Calls under way at a backend that has a circuit breaker",
            ),
            (
                "tollway_gateway_backend_pending",
                "Calls that wait for a connection to a backend that has a circuit breaker",
            ),
            (
                "tollway_gateway_backend_connections",
                "Connections to a backend whose circuit breaker limits them",
            ),
        ];
        for (index, (name, help)) in gauges.into_iter().enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for one in &seen {
                let number = i64::from(one.numbers[index]);
                ConstGauge::new(number).encode(family.encode_family(&one.labels)?)?;
            }
        }
        Ok(())
    }
}
