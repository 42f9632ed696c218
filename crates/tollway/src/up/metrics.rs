//! Metrics that belong to no single role's own collector: the node's tables and feed, and identity's counters.

use std::sync::Arc;

use gateway::directory::NodeDirectory;
use gateway::feed::FeedState;
use identity::{Counter, IdentityMetrics};
use limits::Quotas;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::NodeSide;

/// Adds them to a registry.
pub(crate) fn register(registry: &mut Registry, node: &NodeSide, identity: &Arc<IdentityMetrics>) {
    registry.register_collector(Box::new(Process {
        directory: Arc::clone(&node.directory),
        quotas: Arc::clone(&node.quotas),
        feed: Arc::clone(&node.feed),
        identity: Arc::clone(identity),
    }));
}

struct Process {
    directory: Arc<NodeDirectory>,
    quotas: Arc<Quotas<policy::QuotaKey>>,
    feed: Arc<FeedState>,
    identity: Arc<IdentityMetrics>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sizes = self.directory.sizes();
        let mut gauge = |name: &str, help: &str, value: usize| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
        };
        gauge(
            "tollway_node_applications",
            "Applications that the node knows",
            sizes.applications,
        )?;
        gauge(
            "tollway_node_subscriptions",
            "Subscriptions that the node knows",
            sizes.subscriptions,
        )?;
        gauge(
            "tollway_node_clients",
            "OAuth clients that the node knows",
            sizes.clients,
        )?;
        gauge(
            "tollway_node_api_keys",
            "API keys that the node knows",
            sizes.api_keys,
        )?;
        gauge(
            "tollway_node_revocations",
            "Revoked tokens that have not expired",
            sizes.revocations,
        )?;
        gauge(
            "tollway_node_quota_counters",
            "Counters of quotas that are kept",
            self.quotas.len(),
        )?;
        gauge(
            "tollway_node_ready",
            "Whether the node has its configuration",
            usize::from(self.feed.is_ready()),
        )?;
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        gauge(
            "tollway_node_revision",
            "The revision that the node serves",
            number(self.feed.revision()),
        )?;
        gauge(
            "tollway_node_apis_broken",
            "APIs that do not compile on the node",
            number(self.feed.broken()),
        )?;

        let mut counter = |name: &str, help: &str, value: u64| {
            let value = ConstCounter::new(value);
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
        };
        counter(
            "tollway_node_feed_failures",
            "Times that the control plane could not be reached",
            self.feed.failures(),
        )?;
        let identity = &self.identity;
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
            .try_for_each(|(name, help, count)| counter(name, help, count.get()))
    }
}
