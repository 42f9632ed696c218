//! The numbers as OpenMetrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::series::OVERFLOW;
use super::{
    BUCKETS_US, Count, Histogram, Limit, Numbers, TunnelEnd, Upstream, Wire, WorkerNumbers, codes,
};

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        self.encode_labelled(&mut encoder)?;
        self.encode_plain(&mut encoder)?;
        self.certificates.encode(&mut encoder)?;
        let circuits = self.circuits.get();
        circuits.map_or(Ok(()), |circuits| circuits.encode(&mut encoder))
    }
}

impl Numbers {
    fn sum(&self, count: impl Fn(&WorkerNumbers) -> &Count) -> u64 {
        self.workers.iter().map(|worker| count(worker).get()).sum()
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests, by API, operation, method, class of the status and plan";
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_requests",
            help,
            None,
            MetricType::Counter,
        )?;
        let overflow = self.sum(|worker| &worker.requests[0]);
        let labels = [
            ("api", OVERFLOW),
            ("operation", OVERFLOW),
            ("method", OVERFLOW),
            ("status", OVERFLOW),
            ("plan", OVERFLOW),
        ];
        ConstCounter::new(overflow).encode(family.encode_family(&labels)?)?;
        for (index, series) in self.series.all().iter().enumerate() {
            let class = match series.status_class {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            };
            let labels = [
                ("api", series.api.as_str()),
                ("operation", series.operation.as_str()),
                ("method", series.method),
                ("status", class),
                ("plan", series.plan.as_str()),
            ];
            let count = self.sum(|worker| &worker.requests[index + 1]);
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Pick = fn(&WorkerNumbers) -> &Histogram;
        let all: [(&str, &str, Pick); 3] = [
            (
                "tollway_gateway_request_duration",
                "From the request's head to the end of its answer",
                |worker| &worker.total,
            ),
            (
                "tollway_gateway_backend_duration",
                "From the end of the policies to the head of the backend's answer",
                |worker| &worker.backend,
            ),
            (
                "tollway_gateway_own_duration",
                "Spent in the gateway until the answer's head, without the backend",
                |worker| &worker.gateway,
            ),
        ];
        for (name, help, pick) in all {
            let mut family = encoder.encode_descriptor(
                name,
                help,
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?;
            let (sum, count, buckets) = self.merged(pick);
            family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn merged(&self, pick: fn(&WorkerNumbers) -> &Histogram) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BUCKETS_US
            .iter()
            .map(|us| seconds(*us))
            .chain(std::iter::once(f64::INFINITY));
        let buckets: Vec<(f64, u64)> = bounds
            .enumerate()
            .map(|(index, bound)| (bound, self.sum(|worker| &pick(worker).buckets[index])))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (
            seconds(self.sum(|worker| &pick(worker).sum_us)),
            count,
            buckets,
        )
    }

    fn encode_labelled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_refusals(encoder)?;
        self.encode_events(encoder)?;
        let mut family = encoder.encode_descriptor(
            "tollway_gateway_connections_open",
            "Connections of clients that are open, by protocol",
            None,
            MetricType::Gauge,
        )?;
        for (index, wire) in Wire::LABELS.iter().enumerate() {
            let open = self.sum(|worker| &worker.connections[index].0);
            ConstGauge::new(gauge(open)).encode(family.encode_family(&[("protocol", *wire)])?)?;
        }
        Ok(())
    }

    /// What was refused, and because of which limit.
    fn encode_refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        by_label(
            encoder,
            "tollway_gateway_rejects",
            "Refused or failed requests, by code",
            "code",
            codes()
                .enumerate()
                .map(|(index, code)| (code.name, self.sum(|worker| &worker.rejects[index])))
                .filter(|(_, count)| *count > 0),
        )?;
        let all_at_once = [
            ("connections", self.connections_refused.get()),
            (
                "connections_per_client",
                self.client_connections_refused.get(),
            ),
            ("openings", self.openings_refused.get()),
        ];
        by_label(
            encoder,
            "tollway_gateway_limits_hit",
            "How often a limit took effect",
            "limit",
            labelled(Limit::LABELS, |index| {
                self.sum(|worker| &worker.limits[index])
            })
            .chain(all_at_once),
        )
    }

    /// What happened to connections, tunnels and endpoints.
    fn encode_events(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        by_label(
            encoder,
            "tollway_gateway_health_checks",
            "Checks of backends' endpoints, by what came of them",
            "result",
            labelled(&["succeeded", "failed"], |index| {
                self.health_checks[index].get()
            }),
        )?;
        by_label(
            encoder,
            "tollway_gateway_connections_accepted",
            "Connections of clients, by protocol",
            "protocol",
            labelled(Wire::LABELS, |index| {
                self.sum(|worker| &worker.connections_total[index])
            }),
        )?;
        by_label(
            encoder,
            "tollway_gateway_upstream_connections",
            "What happened to connections to backends",
            "event",
            labelled(Upstream::LABELS, |index| {
                self.sum(|worker| &worker.upstream[index])
            }),
        )?;
        by_label(
            encoder,
            "tollway_gateway_tunnels_ended",
            "Tunnels that have ended, by who ended them",
            "by",
            labelled(TunnelEnd::LABELS, |index| {
                self.sum(|worker| &worker.tunnels_ended[index])
            }),
        )
    }

    fn encode_plain(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, read) in COUNTERS {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(read(self)).encode(family)?;
        }
        for (name, help, read) in GAUGES {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(gauge(read(self))).encode(family)?;
        }
        Ok(())
    }

    /// The oldest revision that a worker has used for its latest request.
    fn revision(&self) -> u64 {
        let all = self.workers.iter().map(|worker| worker.revision.get());
        all.min().unwrap_or(0)
    }
}

/// A number without labels: its name, what it is, and where it is read.
type Plain = (&'static str, &'static str, fn(&Numbers) -> u64);

const COUNTERS: [Plain; 13] = [
    (
        "tollway_gateway_request_bytes",
        "Bytes of request bodies",
        |all| all.sum(|worker| &worker.bytes_in),
    ),
    (
        "tollway_gateway_response_bytes",
        "Bytes of answers' bodies",
        |all| all.sum(|worker| &worker.bytes_out),
    ),
    (
        "tollway_gateway_tunnel_request_bytes",
        "Bytes from clients through tunnels",
        |all| all.sum(|worker| &worker.tunnel_bytes_in),
    ),
    (
        "tollway_gateway_tunnel_response_bytes",
        "Bytes from backends through tunnels",
        |all| all.sum(|worker| &worker.tunnel_bytes_out),
    ),
    (
        "tollway_gateway_answers_revoked",
        "Streaming answers that were ended because their caller's credential was revoked",
        |all| all.sum(|worker| &worker.answers_revoked),
    ),
    (
        "tollway_gateway_usage_overflow",
        "Calls counted without operation, application and plan because a core had too many rows",
        |all| all.sum(|worker| &worker.usage_overflow),
    ),
    (
        "tollway_gateway_client_aborts",
        "Answers that the client did not take to the end",
        |all| all.sum(|worker| &worker.client_aborts),
    ),
    (
        "tollway_gateway_bodies_broken",
        "Answers whose body broke at the backend",
        |all| all.sum(|worker| &worker.bodies_broken),
    ),
    (
        "tollway_gateway_handshakes_failed",
        "TLS handshakes of clients that failed",
        |all| all.sum(|worker| &worker.handshakes_failed),
    ),
    (
        "tollway_gateway_access_log_dropped",
        "Lines of the access log that were dropped because the disk did not follow",
        |all| all.log_lines_dropped.get(),
    ),
    (
        "tollway_gateway_traces_dropped",
        "Traced calls that were dropped because the exporter did not follow",
        |all| all.sum(|worker| &worker.traces_dropped),
    ),
    (
        "tollway_gateway_decisions",
        "Decisions on refused and failed calls that were kept for operators to ask for",
        |all| all.sum(|worker| &worker.decisions),
    ),
    (
        "tollway_gateway_decisions_dropped",
        "Decisions on refused and failed calls that were too many for one second",
        |all| all.sum(|worker| &worker.decisions_dropped),
    ),
];

const GAUGES: [Plain; 4] = [
    (
        "tollway_gateway_upstream_open",
        "Connections to backends that are open",
        |all| all.sum(|worker| &worker.upstream_open.0),
    ),
    (
        "tollway_gateway_tunnels_open",
        "Tunnels that are open",
        |all| all.sum(|worker| &worker.tunnels_open.0),
    ),
    (
        "tollway_gateway_connections_resting",
        "Idle connections of clients whose buffers were given back",
        |all| all.sum(|worker| &worker.resting.0),
    ),
    (
        "tollway_gateway_snapshot_revision",
        "The oldest revision that a worker has used for its latest request",
        |all| all.revision(),
    ),
];

/// A counter with one label.
fn by_label(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn labelled(
    labels: &'static [&'static str],
    count: impl Fn(usize) -> u64,
) -> impl Iterator<Item = (&'static str, u64)> {
    labels
        .iter()
        .enumerate()
        .map(move |(index, label)| (*label, count(index)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a sum beyond 2^53 µs is 285 years"
)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
