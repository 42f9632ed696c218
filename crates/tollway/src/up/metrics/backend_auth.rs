//! What the node remembers of callers and shows backends, and what services say of calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway::backend_tokens::TokenCounts;
use policy::{AuthorizationCounts, BackendAuth, Remembered};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Plain;

#[derive(Clone, Debug)]
pub(in crate::up) struct Shown {
    pub(in crate::up) auth: Arc<BackendAuth>,
    pub(in crate::up) tokens: Arc<TokenCounts>,
    pub(in crate::up) authorization: Arc<AuthorizationCounts>,
    pub(in crate::up) remembered: Arc<Remembered>,
}

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut plain = Plain(encoder);
        let (shown, tokens) = (&self.auth.counts, &self.tokens);
        let all = [
            (
                "tollway_backend_jwts_signed",
                "Tokens for backends that were signed",
                &shown.jwts_signed,
            ),
            (
                "tollway_backend_jwts_forgotten",
                "Tokens for backends that were forgotten, since a core remembered too many",
                &shown.jwts_forgotten,
            ),
            (
                "tollway_backend_tokens_forgotten",
                "Access tokens for backends that a core forgot, since it remembered too many, and looked up again",
                &shown.tokens_forgotten,
            ),
            (
                "tollway_backend_credentials_missing",
                "Calls refused, since what the backend has to be shown could not be made",
                &shown.refused,
            ),
            (
                "tollway_backend_tokens_given",
                "Access tokens for backends that authorization servers gave",
                &tokens.given,
            ),
            (
                "tollway_backend_tokens_failed",
                "Requests for access tokens for backends that gave none",
                &tokens.failed,
            ),
            (
                "tollway_backend_tokens_refused",
                "Calls whose access token was not asked for, since the node keeps those of too many clients",
                &tokens.too_many,
            ),
        ];
        for (name, help, count) in all {
            plain.counter(name, help, count.load(Ordering::Relaxed))?;
        }
        plain.gauge(
            "tollway_backend_token_clients",
            "OAuth clients whose tokens for backends are kept",
            tokens.clients.load(Ordering::Relaxed),
        )?;
        by_label(
            &mut plain,
            "tollway_gateway_forgotten",
            "What cores forgot of what they remember, since it was too much, and verify or read again",
            "what",
            self.remembered.counts(),
        )?;
        by_label(
            &mut plain,
            "tollway_backend_token_limits_hit",
            "How often a limit on access tokens for backends took effect",
            "limit",
            self.tokens.limits(),
        )?;
        self.authorization(&mut plain)
    }
}

impl Shown {
    fn authorization(&self, plain: &mut Plain<'_>) -> fmt::Result {
        let counts = &self.authorization;
        let all: [(&str, &AtomicU64); 5] = [
            ("allowed", &counts.allowed),
            ("denied", &counts.denied),
            ("failed", &counts.failed),
            ("failed-open", &counts.failed_open),
            ("too-long", &counts.too_long),
        ];
        by_label(
            plain,
            "tollway_external_authorization",
            "Calls that services decided on (`extAuthz`), by what came of it",
            "result",
            all.map(|(result, count)| (result, count.load(Ordering::Relaxed))),
        )
    }
}

/// A counter with one label.
fn by_label<'l>(
    plain: &mut Plain<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: impl IntoIterator<Item = (&'l str, u64)>,
) -> fmt::Result {
    let mut family = plain
        .0
        .encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
