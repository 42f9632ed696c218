//! Metrics that belong to no single role's own collector: the node's tables and feed, identity's counters, the control
//! plane's nodes, the database's connections, the exporter of traces, and the process itself.

mod backend_auth;
pub(super) mod handshakes;
mod passwords;
mod people;
mod process;
mod store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Clock;
use control::Control;
use gateway::directory::NodeDirectory;
use gateway::feed::FeedState;
use gateway::last_good::KeeperState;
use identity::{Counter, IdentityMetrics, IdentityState, Times};
use limits::Authority;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store_sql::SqlStore;

pub(super) use backend_auth::Shown;

use super::limits::LimitState;
use super::{NodeSide, otlp};

/// Adds those of the control side to a registry.
pub(crate) fn register_control(
    registry: &mut Registry,
    control: &Control,
    store: Arc<SqlStore>,
    identity: &Arc<IdentityState>,
) {
    let metrics = &identity.metrics;
    registry.register_collector(Box::new(Nodes(control.clone())));
    registry.register_collector(Box::new(store::Connections(store)));
    registry.register_collector(Box::new(Identity(Arc::clone(metrics))));
    registry.register_collector(Box::new(people::People(Arc::clone(identity))));
}

/// Adds those of the process and of its node to a registry.
pub(crate) fn register(registry: &mut Registry, node: &NodeSide, otlp: Option<Arc<otlp::Numbers>>) {
    registry.register_collector(Box::new(process::Process));
    registry.register_collector(Box::new(Node {
        directory: Arc::clone(&node.directory),
        authority: Arc::clone(&node.authority),
        limits: Arc::clone(&node.limits),
        counters_max: node.counters_max,
        feed: Arc::clone(&node.feed),
        kept: Arc::clone(&node.kept),
        clock: Arc::clone(&node.clock),
    }));
    registry.register_collector(Box::new(passwords::Passwords(Arc::clone(&node.passwords))));
    registry.register_collector(Box::new(node.shown.clone()));
    node.issuers.register(registry);
    if let Some(numbers) = otlp {
        registry.register_collector(Box::new(Traces(numbers)));
    }
}

/// Writes numbers that have no labels.
struct Plain<'e>(DescriptorEncoder<'e>);

impl Plain<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let kind = value.metric_type();
        value.encode(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = ConstCounter::new(value);
        let kind = value.metric_type();
        value.encode(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn times(&mut self, name: &str, help: &str, times: &Times) -> fmt::Result {
        let counts = times.counts();
        let all = counts.iter().map(|(_, count)| count).sum();
        let unit = Unit::Seconds;
        let kind = MetricType::Histogram;
        self.0
            .encode_descriptor(name, help, Some(&unit), kind)?
            .encode_histogram::<NoLabelSet>(times.sum_s(), all, &counts, None)
    }
}

/// What the node knows, and how it keeps up.
struct Node {
    directory: Arc<NodeDirectory>,
    authority: Arc<Authority>,
    limits: Arc<LimitState>,
    counters_max: usize,
    feed: Arc<FeedState>,
    kept: Arc<KeeperState>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

impl Collector for Node {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        self.tables(&mut plain)?;
        self.asking(&mut plain)?;
        self.limits(&mut plain)?;
        self.feed(&mut plain)
    }
}

impl Node {
    fn tables(&self, plain: &mut Plain<'_>) -> fmt::Result {
        let sizes = self.directory.sizes();
        let tables = [
            (
                "tollway_node_applications",
                "Applications that the node knows",
                sizes.applications,
            ),
            (
                "tollway_node_subscriptions",
                "Subscriptions that the node knows",
                sizes.subscriptions,
            ),
            (
                "tollway_node_clients",
                "OAuth clients that the node knows",
                sizes.clients,
            ),
            (
                "tollway_node_api_keys",
                "API keys that the node knows",
                sizes.api_keys,
            ),
            (
                "tollway_node_revocations",
                "Revoked tokens that have not expired",
                sizes.revocations,
            ),
            (
                "tollway_node_proofs",
                "DPoP proofs that are remembered",
                sizes.used,
            ),
            (
                "tollway_node_proofs_max",
                "DPoP proofs that may be remembered; a call beyond it is refused",
                self.directory.used_max(),
            ),
            (
                "tollway_node_deny_rules",
                "Deny rules that the node knows; calls that they refuse count as rejects with the code DENIED",
                sizes.deny_rules,
            ),
            (
                "tollway_node_quota_counters",
                "Counters of quotas that are kept",
                self.authority.counters().len(),
            ),
            (
                "tollway_node_quota_counters_max",
                "Counters of quotas that may be kept; beyond it calls of one limit are counted together",
                self.counters_max,
            ),
        ];
        tables
            .into_iter()
            .try_for_each(|(name, help, value)| plain.gauge(name, help, value as u64))
    }

    fn asking(&self, plain: &mut Plain<'_>) -> fmt::Result {
        let asked = self.directory.asking();
        let counts = [
            (
                "tollway_node_questions_opaque_tokens",
                "Opaque tokens that the control plane was asked for",
                &asked.opaque_tokens,
            ),
            (
                "tollway_node_questions_news",
                "Times that the control plane was asked for news since a token's key was not known",
                &asked.catch_ups,
            ),
            (
                "tollway_node_questions_paused",
                "Times that the control plane was asked for news later, since it had been asked right before",
                &asked.catch_ups_paused,
            ),
            (
                "tollway_node_questions_refused",
                "Questions that were not asked, since too many waited",
                &asked.refused,
            ),
            (
                "tollway_node_questions_unanswered",
                "Questions that had no answer in time",
                &asked.unanswered,
            ),
            (
                "tollway_node_questions_not_remembered",
                "Answers that nobody knows a token, not remembered since too many were",
                &asked.not_remembered,
            ),
        ];
        counts.into_iter().try_for_each(|(name, help, count)| {
            plain.counter(name, help, count.load(Ordering::Relaxed))
        })
    }

    fn limits(&self, plain: &mut Plain<'_>) -> fmt::Result {
        plain.counter(
            "tollway_node_quota_overflows",
            "Look-ups of counters for which there was no room: their calls are counted together with others, or refused",
            self.authority.counters().numbers().overflowed,
        )?;
        plain.counter(
            "tollway_node_limits_degraded",
            "Limits that were decided without the authority over them, because it failed",
            self.authority.degraded(),
        )?;
        plain.counter(
            "tollway_node_limits_saves_failed",
            "Times that what limits have counted could not be saved",
            self.limits.failed(),
        )?;
        plain.counter(
            "tollway_node_limits_loads_failed",
            "Times that what limits had counted before the start could not be used: they began anew",
            self.limits.unusable(),
        )
    }

    fn feed(&self, plain: &mut Plain<'_>) -> fmt::Result {
        plain.gauge(
            "tollway_node_ready",
            "Whether the node has its configuration",
            u64::from(self.feed.is_ready()),
        )?;
        plain.gauge(
            "tollway_node_revision",
            "The revision that the node serves",
            self.feed.revision(),
        )?;
        plain.gauge(
            "tollway_node_apis_broken",
            "APIs that do not compile on the node",
            self.feed.broken(),
        )?;
        plain.counter(
            "tollway_node_feed_failures",
            "Times that the control plane could not be reached",
            self.feed.failures(),
        )?;
        let age_ms = match self.feed.is_from_disk() {
            true => self
                .clock
                .unix_ms()
                .saturating_sub(self.feed.seen_unix_ms()),
            false => 0,
        };
        plain.gauge(
            "tollway_node_last_good_age_seconds",
            "How long ago the control plane answered whose last word, kept on the disk, the node serves; 0 = it is there",
            age_ms / 1000,
        )?;
        plain.gauge(
            "tollway_node_last_good_revision",
            "The revision that the node has on its disk",
            self.kept.revision(),
        )?;
        plain.gauge(
            "tollway_node_last_good_bytes",
            "Bytes of what the node serves on its disk",
            self.kept.bytes(),
        )?;
        plain.counter(
            "tollway_node_last_good_failures",
            "Times that what the node serves could not be kept on its disk",
            self.kept.failures(),
        )
    }
}

/// What the control plane knows of its nodes.
#[derive(Debug)]
struct Nodes(Control);

impl Collector for Nodes {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let nodes = self.0.nodes();
        plain.gauge(
            "tollway_control_nodes",
            "Nodes that spoke to this control plane within their lease",
            nodes.alive,
        )?;
        plain.gauge(
            "tollway_control_nodes_behind",
            "Nodes that have not acknowledged the newest revision",
            nodes.behind,
        )?;
        plain.counter(
            "tollway_control_credential_notices",
            "Ends of credentials that were told of before",
            self.0.notices().load(Ordering::Relaxed),
        )
    }
}

/// What the authorization server did.
#[derive(Debug)]
struct Identity(Arc<IdentityMetrics>);

impl Collector for Identity {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let identity = &self.0;
        let counts: [(&str, &str, &Counter); 6] = [
            (
                "tollway_identity_logins",
                "Users who logged in",
                &identity.logins,
            ),
            (
                "tollway_identity_logins_failed",
                "Logins with a wrong name or password",
                &identity.logins_failed,
            ),
            (
                "tollway_identity_logins_busy",
                "Logins refused because too many were checked",
                &identity.logins_busy,
            ),
            (
                "tollway_identity_tokens_issued",
                "Access tokens issued to clients",
                &identity.tokens_issued,
            ),
            (
                "tollway_identity_clients_refused",
                "Clients with a wrong id or secret",
                &identity.clients_refused,
            ),
            (
                "tollway_identity_tokens_revoked",
                "Tokens revoked",
                &identity.tokens_revoked,
            ),
        ];
        counts
            .iter()
            .try_for_each(|(name, help, count)| plain.counter(name, help, count.get()))?;
        plain.times(
            "tollway_identity_revocation",
            "From the commit of a revocation until every node refused the token",
            &identity.revocations,
        )
    }
}

/// What went to the collector of traces.
#[derive(Debug)]
struct Traces(Arc<otlp::Numbers>);

impl Collector for Traces {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        plain.counter(
            "tollway_otlp_spans",
            "Spans that the collector took",
            self.0.spans(),
        )?;
        plain.counter(
            "tollway_otlp_spans_failed",
            "Spans that the collector did not take",
            self.0.spans_failed(),
        )
    }
}
